use std::time::Instant;

/// Names one waiting client within one [`Pending`] table.
///
/// Bits 0-31 are the slot, bits 32-63 the slot's generation: an answer that comes after its client was
/// given up finds another generation and is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

/// The clients of one worker that wait for the engine: a slab of fixed capacity.
///
/// Every client waits equally long, so the slots form a list in order of their deadlines; insertion,
/// removal and expiry are O(1). At the bound [`insert`](Self::insert) hands the context back.
#[derive(Debug)]
pub struct Pending<T> {
    /// Those that have been used; there is room for `capacity`.
    slots: Vec<Slot<T>>,
    capacity: usize,
    free: Option<u32>,
    oldest: Option<u32>,
    newest: Option<u32>,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// `None`: on the free list, linked by `next`.
    entry: Option<(Instant, T)>,
    prev: Option<u32>,
    next: Option<u32>,
}

impl<T> Pending<T> {
    /// A table for at most `capacity` waiting clients. Its memory is reserved here and touched when so many wait.
    pub fn new(capacity: u32) -> Self {
        let capacity = capacity as usize;
        Self {
            slots: Vec::with_capacity(capacity),
            capacity,
            free: None,
            oldest: None,
            newest: None,
            len: 0,
        }
    }

    /// How many wait.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many may wait.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds a client that waits until `deadline`, which must not lie before those already waiting.
    ///
    /// # Errors
    /// The table is full: the context is handed back.
    pub fn insert(&mut self, deadline: Instant, context: T) -> Result<Token, T> {
        let Some(index) = self.free.or_else(|| self.unused()) else {
            return Err(context);
        };
        let newest = self.newest.replace(index);
        match newest {
            Some(newest) => self.slots[newest as usize].next = Some(index),
            None => self.oldest = Some(index),
        }
        let slot = &mut self.slots[index as usize];
        self.free = slot.next.take();
        slot.prev = newest;
        slot.entry = Some((deadline, context));
        self.len += 1;
        Ok(Token(u64::from(slot.generation) << 32 | u64::from(index)))
    }

    /// A slot that was never used yet.
    fn unused(&mut self) -> Option<u32> {
        let index = u32::try_from(self.slots.len()).ok()?;
        (self.slots.len() < self.capacity).then(|| {
            self.slots.push(Slot {
                generation: 0,
                entry: None,
                prev: None,
                next: None,
            });
            index
        })
    }

    /// A client that waits; `None` if it is no longer there.
    pub fn get(&self, token: Token) -> Option<&T> {
        let slot = self.slots.get(token.0 as u32 as usize)?;
        let is_same = slot.generation == (token.0 >> 32) as u32;
        let (_, context) = slot.entry.as_ref().filter(|_| is_same)?;
        Some(context)
    }

    /// Takes a client out; `None` if it is no longer there.
    pub fn take(&mut self, token: Token) -> Option<T> {
        let index = token.0 as u32;
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation != (token.0 >> 32) as u32 {
            return None;
        }
        let (_, context) = slot.entry.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        let (prev, next) = (slot.prev.take(), slot.next.take());
        slot.next = self.free.replace(index);
        match prev {
            Some(prev) => self.slots[prev as usize].next = next,
            None => self.oldest = next,
        }
        match next {
            Some(next) => self.slots[next as usize].prev = prev,
            None => self.newest = prev,
        }
        self.len -= 1;
        Some(context)
    }

    /// When the oldest client's patience ends.
    pub fn next_deadline(&self) -> Option<Instant> {
        let slot = &self.slots[self.oldest? as usize];
        slot.entry.as_ref().map(|(deadline, _)| *deadline)
    }

    /// Takes out one client whose deadline has passed.
    pub fn expire(&mut self, now: Instant) -> Option<T> {
        if self.next_deadline()? > now {
            return None;
        }
        self.oldest().and_then(|token| self.take(token))
    }

    /// Takes out the oldest client, whatever its deadline (when the worker ends).
    pub fn pop(&mut self) -> Option<T> {
        self.oldest().and_then(|token| self.take(token))
    }

    fn oldest(&self) -> Option<Token> {
        let index = self.oldest?;
        Some(Token(
            u64::from(self.slots[index as usize].generation) << 32 | u64::from(index),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn full_table_hands_the_context_back() {
        let now = Instant::now();
        let mut table = Pending::new(2);
        table.insert(now, "a").unwrap();
        let b = table.insert(now, "b").unwrap();
        assert_eq!(table.insert(now, "c"), Err("c"));
        assert_eq!(table.take(b), Some("b"));
        assert!(table.insert(now, "c").is_ok());
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn late_answer_does_not_reach_the_slot_s_next_client() {
        let now = Instant::now();
        let mut table = Pending::new(1);
        let old = table.insert(now, 1).unwrap();
        assert_eq!(table.expire(now), Some(1));
        let new = table.insert(now, 2).unwrap();
        assert_eq!(table.get(old), None);
        assert_eq!(table.get(new), Some(&2));
        assert_eq!(table.take(old), None);
        assert_eq!(table.take(new), Some(2));
        assert_eq!(table.take(new), None);
    }

    #[test]
    fn expires_in_order_after_removals_in_any_order() {
        let start = Instant::now();
        let at = |i: u64| start + Duration::from_millis(i);
        for remove in 0..4u64 {
            let mut table = Pending::new(4);
            let tokens: Vec<_> = (0..4).map(|i| table.insert(at(i), i).unwrap()).collect();
            assert_eq!(table.take(tokens[remove as usize]), Some(remove));
            let rest: Vec<_> = (0..4).filter(|i| *i != remove).collect();
            assert_eq!(table.next_deadline(), Some(at(rest[0])));
            assert_eq!(
                table.expire(start.checked_sub(Duration::from_nanos(1)).unwrap()),
                None
            );
            for i in rest {
                assert_eq!(table.expire(at(9)), Some(i));
            }
            assert_eq!(table.expire(at(9)), None);
            assert!(table.is_empty());
        }
    }

    #[test]
    fn random_use_agrees_with_a_model() {
        let start = Instant::now();
        let mut table = Pending::new(8);
        let mut model: Vec<(Token, u32)> = Vec::new();
        let mut state = 1u32;
        for step in 0..10_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 {
                match table.insert(start + Duration::from_micros(u64::from(step)), step) {
                    Ok(token) => model.push((token, step)),
                    Err(_) => assert_eq!(model.len(), 8),
                }
            } else if !model.is_empty() {
                let (token, value) = model.remove((state >> 8) as usize % model.len());
                assert_eq!(table.take(token), Some(value));
            }
            assert_eq!(table.len(), model.len());
        }
        for (_, value) in model {
            assert_eq!(table.pop(), Some(value));
        }
        assert!(table.pop().is_none());
    }
}

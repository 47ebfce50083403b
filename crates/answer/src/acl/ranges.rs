use std::net::IpAddr;

use ipnet::IpNet;

/// Something for each address, by prefixes flattened into disjoint ranges. The most specific prefix wins; of two equal
/// ones the later does. The cost of a look-up grows with the logarithm of the ranges that share an address's first
/// bits, which an index keeps few.
#[derive(Debug)]
pub(crate) struct Prefixes<V> {
    v4: Ranges<u32, V>,
    v6: Ranges<u128, V>,
}

impl<V: Copy + PartialEq> Prefixes<V> {
    /// What no prefix covers gets `elsewhere`. A prefix of IPv4-mapped addresses is the IPv4 prefix.
    pub(crate) fn new(prefixes: impl IntoIterator<Item = (IpNet, V)>, elsewhere: V) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (prefix, value) in prefixes {
            match unmap(prefix) {
                IpNet::V4(net) => v4.push(Prefix {
                    start: net.network().into(),
                    bits: net.prefix_len(),
                    value,
                }),
                IpNet::V6(net) => v6.push(Prefix {
                    start: net.network().into(),
                    bits: net.prefix_len(),
                    value,
                }),
            }
        }
        Self {
            v4: Ranges::flatten(v4, elsewhere),
            v6: Ranges::flatten(v6, elsewhere),
        }
    }

    /// What this address gets. An IPv4-mapped one is the IPv4 address.
    #[expect(clippy::inline_always, reason = "called for each query, once")]
    #[inline(always)]
    pub(crate) fn find(&self, address: IpAddr) -> V {
        match address {
            IpAddr::V4(ip) => self.v4.find(ip.into()),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => self.v4.find(ip.into()),
                None => self.v6.find(ip.into()),
            },
        }
    }
}

/// A prefix of the mapped range as the IPv4 prefix it means.
pub(crate) fn unmap(prefix: IpNet) -> IpNet {
    if let IpNet::V6(net) = prefix
        && let Some(ip) = net.network().to_ipv4_mapped()
        && let Some(bits) = net.prefix_len().checked_sub(96)
        && let Ok(mapped) = ipnet::Ipv4Net::new(ip, bits)
    {
        return IpNet::V4(mapped);
    }
    prefix
}

/// An address as a number.
trait Address: Copy + Ord {
    const ZERO: Self;
    /// The first address after the prefix, or `None` when the prefix reaches the end.
    fn after(self, bits: u8) -> Option<Self>;
    /// The first `count` bits, at most 16.
    fn head(self, count: u8) -> usize;
}

impl Address for u32 {
    const ZERO: Self = 0;
    fn after(self, bits: u8) -> Option<Self> {
        1u32.checked_shl(u32::from(32 - bits))
            .and_then(|size| self.checked_add(size))
    }
    #[inline]
    fn head(self, count: u8) -> usize {
        (u64::from(self) >> (32 - count)) as usize
    }
}

impl Address for u128 {
    const ZERO: Self = 0;
    fn after(self, bits: u8) -> Option<Self> {
        1u128
            .checked_shl(u32::from(128 - bits))
            .and_then(|size| self.checked_add(size))
    }
    #[inline]
    fn head(self, count: u8) -> usize {
        // Two shifts: `count` may be 0, and a shift by the whole width is none.
        (self >> 64 >> 1 >> (63 - count)) as usize
    }
}

#[derive(Clone, Copy)]
struct Prefix<A, V> {
    start: A,
    bits: u8,
    value: V,
}

/// Disjoint ranges in order: from its start up to the next one's, each has a value. The first starts at the lowest
/// address.
#[derive(Debug)]
struct Ranges<A, V> {
    all: Vec<(A, V)>,
    /// For each value of the first `index_bits` bits: the range in which the lowest address with it lies, and the first
    /// range behind all of them.
    index: Vec<[u32; 2]>,
    index_bits: u8,
    elsewhere: V,
}

impl<A: Address, V: Copy + PartialEq> Ranges<A, V> {
    /// Later rules win over equal earlier ones.
    fn flatten(mut prefixes: Vec<Prefix<A, V>>, elsewhere: V) -> Self {
        // Stable: of equal prefixes the last written comes last, and is entered over the others.
        prefixes.sort_by_key(|p| (p.start, p.bits));
        let mut ranges = Self {
            all: Vec::new(),
            index: Vec::new(),
            index_bits: 0,
            elsewhere,
        };
        ranges.enter(A::ZERO, elsewhere);
        // The prefixes that cover the place we are at, outermost first, each with its end.
        let mut open: Vec<(Option<A>, V)> = vec![(None, elsewhere)];
        for prefix in prefixes {
            ranges.close(&mut open, Some(prefix.start));
            ranges.enter(prefix.start, prefix.value);
            open.push((prefix.start.after(prefix.bits), prefix.value));
        }
        ranges.close(&mut open, None);
        ranges.build_index();
        ranges
    }

    /// Ends the open prefixes that end at or before `limit` (`None`: the end of all addresses).
    fn close(&mut self, open: &mut Vec<(Option<A>, V)>, limit: Option<A>) {
        while let Some(&(Some(end), _)) = open.last()
            && limit.is_none_or(|limit| end <= limit)
        {
            open.pop();
            if let Some(&(_, outer)) = open.last() {
                self.enter(end, outer);
            }
        }
    }

    fn enter(&mut self, start: A, value: V) {
        self.all.pop_if(|(last, _)| *last == start);
        if self.all.last().is_none_or(|(_, last)| *last != value) {
            self.all.push((start, value));
        }
    }

    fn build_index(&mut self) {
        // About one range for each index value, in at most 512 KiB, and no less than half a page.
        self.index_bits = self.all.len().ilog2().clamp(LEAST_INDEX_BITS, 16) as u8;
        let mut next = 0;
        let entries = (0..1 << self.index_bits).map(|head| {
            let starts_here = |(start, _): &&(A, V)| start.head(self.index_bits) == head;
            let first = next;
            next += self.all[first..].iter().take_while(starts_here).count();
            [first.saturating_sub(1) as u32, next as u32]
        });
        self.index = entries.collect();
    }

    #[expect(clippy::inline_always, reason = "called for each query, once")]
    #[inline(always)]
    fn find(&self, address: A) -> V {
        let near = self.index.get(address.head(self.index_bits));
        let near = near.and_then(|[low, high]| self.all.get(*low as usize..*high as usize));
        let near = near.unwrap_or_default();
        let found = if near.len() <= FEW {
            near.iter().rfind(|(start, _)| *start <= address)
        } else {
            let below = near.partition_point(|(start, _)| *start <= address);
            near.get(below.saturating_sub(1))
        };
        // The first range starts at the lowest address, so that each lies in one.
        found.map_or(self.elsewhere, |(_, value)| *value)
    }
}

/// Of so few ranges the one is found sooner by looking at each.
const FEW: usize = 8;
/// 256 index values.
const LEAST_INDEX_BITS: u32 = 8;

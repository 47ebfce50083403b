//! A set of the table under every interleaving of two threads, and every reordering that the memory model allows.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release -p sluicegate-answer --lib loom`.

use loom::sync::Arc;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;

use super::set::{AtomicU64, Count, Set, State, WAYS};

/// A cache line of its own, and clients whose tags all begin to look for a place at its first one.
struct Line {
    tags: [AtomicU64; WAYS],
    states: [AtomicU64; WAYS],
}

const NOW: u32 = 100;
const LIMIT: u32 = 1;
const KNOWN: u64 = 1;
const OTHER: u64 = 1 + 4 * WAYS as u64;
const NEW: u64 = 1 + 8 * WAYS as u64;
const NEWER: u64 = 1 + 12 * WAYS as u64;
const NOBODY: u64 = 0;

impl Line {
    /// These clients have asked so often in this second.
    fn new(clients: [(u64, u32); WAYS]) -> Arc<Self> {
        Arc::new(Self {
            tags: clients.map(|(tag, _)| AtomicU64::new(tag)),
            states: clients.map(|(_, count)| AtomicU64::new(state(NOW, 0, count).word())),
        })
    }

    fn set(&self) -> Set<'_> {
        let (tags, states) = (&self.tags, &self.states);
        Set { tags, states }
    }

    fn count(&self, tag: u64, now_secs: u32) -> Count {
        self.set().count(tag, now_secs, LIMIT)
    }

    /// What is counted for a client, in each of its places.
    fn counts(&self, tag: u64) -> Vec<u32> {
        let held = |way: &usize| self.tags[*way].load(Relaxed) == tag;
        let count = |way: usize| State::read(self.states[way].load(Relaxed)).count;
        (0..WAYS).filter(held).map(count).collect()
    }
}

fn state(second: u32, before: u32, count: u32) -> State {
    State {
        second,
        before,
        count,
    }
}

/// Every way in which two threads can run that takes the processor from one of them so often at most in the midst of its
/// work.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(run);
}

/// What two threads do with one line, the second one in a thread of its own; what both got.
fn both<A: 'static, B>(
    line: &Arc<Line>,
    theirs: impl FnOnce(&Line) -> A + 'static,
    ours: impl FnOnce(&Line) -> B,
) -> (A, B) {
    let other = Arc::clone(line);
    let thread = thread::spawn(move || theirs(&other));
    let ours = ours(line);
    (thread.join().unwrap(), ours)
}

fn within(counts: &[Count]) -> usize {
    let is_within = |count: &&Count| matches!(count, Count::Within { .. });
    counts.iter().filter(is_within).count()
}

/// Who has a place is counted to the query, also where a second begins meanwhile.
#[test]
fn loom_a_known_client_has_its_limit_and_no_more() {
    for now in [NOW, NOW + 1, NOW + 7] {
        model(move || {
            let line = Line::new([(KNOWN, 0), (OTHER, 5)]);
            let ask = move |line: &Line| [line.count(KNOWN, now), line.count(KNOWN, now)];
            let (theirs, ours) = both(&line, ask, ask);
            assert_eq!(within(&theirs) + within(&ours), LIMIT as usize);
            // What is beyond the limit is not counted any further.
            let [count] = line.counts(KNOWN)[..] else {
                panic!("another place")
            };
            assert!((LIMIT + 1..=LIMIT + 2).contains(&count), "{count}");
            assert_eq!(line.counts(OTHER), [5]);
        });
    }
}

/// Two threads meet a new client at once. It has a place afterwards, or two if both gave it one, of which the first counts:
/// one query may be counted where nobody looks again.
#[test]
fn loom_a_new_client_has_a_place() {
    model(|| {
        let line = Line::new([(NOBODY, 0), (NOBODY, 0)]);
        let ask = |line: &Line| line.count(NEW, NOW);
        both(&line, ask, ask);
        let counts = line.counts(NEW);
        assert!(matches!(counts[..], [1 | 2] | [1 | 2, 0 | 1]), "{counts:?}");
        let later = [line.count(NEW, NOW), line.count(NEW, NOW)];
        assert!(within(&later) < 2);
        assert!(line.counts(NEW)[0] > LIMIT);
    });
}

/// Two new clients are after the same places, whose owners have exceeded their limits. Nothing of what those have asked is
/// counted for them: only a query that is being counted while a place changes hands may be, one for each other thread.
#[test]
fn loom_new_clients_inherit_nothing() {
    model(|| {
        let line = Line::new([(KNOWN, 5), (OTHER, 5)]);
        let (theirs, ours) = both(
            &line,
            |line| line.count(NEWER, NOW),
            |line| line.count(NEW, NOW),
        );
        assert!(within(&[theirs, ours]) >= 1);
        for tag in [NEW, NEWER] {
            assert!(line.counts(tag).iter().all(|count| *count <= 2));
        }
    });
}

/// A client asks more and more while a new one looks for a place. If it is taken for the one who has asked least, that was
/// true when its place went: no more is lost of its count than the other one's.
#[test]
fn loom_who_asks_most_keeps_its_count() {
    model(|| {
        // Of two that have asked equally little, the first would go.
        let line = Line::new([(OTHER, 1), (KNOWN, 0)]);
        let ask = |line: &Line| [(); 3].map(|()| line.set().count(KNOWN, NOW, 9));
        both(&line, ask, |line| line.set().give_place(NEW, NOW));
        let counted: u32 = [KNOWN, NEW].iter().flat_map(|tag| line.counts(*tag)).sum();
        assert!((2..=3).contains(&counted), "{counted}");
    });
}

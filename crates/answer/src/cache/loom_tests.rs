//! The sequence lock under every interleaving and every reordering that the memory model allows.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release -p sluicegate-answer --lib loom`.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::thread;

use super::seqlock::{begin_read, begin_write, end_read};

#[derive(Default)]
struct Pair {
    sequence: AtomicU64,
    words: [AtomicU64; 2],
}

impl Pair {
    fn write(&self, value: u64) -> bool {
        let Some(_guard) = begin_write(&self.sequence) else {
            return false;
        };
        for word in &self.words {
            word.store(value, Relaxed);
        }
        true
    }

    fn add_one(&self) -> bool {
        let Some(_guard) = begin_write(&self.sequence) else {
            return false;
        };
        for word in &self.words {
            word.store(word.load(Relaxed) + 1, Relaxed);
        }
        true
    }

    fn read(&self) -> Option<[u64; 2]> {
        let seen = begin_read(&self.sequence)?;
        let values = [self.words[0].load(Relaxed), self.words[1].load(Relaxed)];
        end_read(&self.sequence, seen).then_some(values)
    }
}

#[test]
fn loom_a_reader_never_sees_half_a_write() {
    loom::model(|| {
        let pair = Arc::new(Pair::default());
        let writer = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || {
                assert!(pair.write(1));
                assert!(pair.write(2));
            })
        };
        if let Some([a, b]) = pair.read() {
            assert_eq!(a, b);
        }
        writer.join().unwrap();
        assert_eq!(pair.read(), Some([2, 2]));
    });
}

#[test]
fn loom_writers_exclude_each_other() {
    loom::model(|| {
        let pair = Arc::new(Pair::default());
        let other = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || u64::from(pair.add_one()))
        };
        let mine = u64::from(pair.add_one());
        let theirs = other.join().unwrap();
        // A writer may give up; none may be lost.
        assert!(mine + theirs >= 1);
        assert_eq!(pair.read(), Some([mine + theirs; 2]));
    });
}

#[test]
fn loom_memory_reused_by_another_writer_is_noticed() {
    loom::model(|| {
        let pair = Arc::new(Pair::default());
        let writers: Vec<_> = [10, 20]
            .into_iter()
            .map(|value| {
                let pair = Arc::clone(&pair);
                thread::spawn(move || pair.write(value))
            })
            .collect();
        if let Some([a, b]) = pair.read() {
            assert_eq!(a, b);
        }
        for writer in writers {
            writer.join().unwrap();
        }
    });
}

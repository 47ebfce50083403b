use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::*;
use crate::spread::Spread;

const DEADLINE: Duration = Duration::from_secs(10);

fn table() -> Table<u32> {
    Table::new(
        2,
        Limits {
            questions_per_thread: 2,
            waiters: 4,
            deadline: DEADLINE,
        },
    )
}

fn question(letter: u8) -> Question {
    Question::new(&[1, letter, 0], 1, 1).unwrap()
}

/// A question of a zone of its own.
fn resolve(thread: usize) -> Errand {
    static ZONES: AtomicU8 = AtomicU8::new(0);
    in_zone(ZONES.fetch_add(1, Relaxed), thread)
}

fn in_zone(letter: u8, thread: usize) -> Errand {
    Errand {
        thread,
        zone: SPREAD.zone(&question(letter)),
        purpose: Purpose::Resolve,
    }
}

fn refresh(thread: usize) -> Errand {
    Errand {
        purpose: Purpose::Refresh,
        ..resolve(thread)
    }
}

/// Lets an engine serve and sends it what waits for the first thread.
fn send_all(table: &mut Table<u32>, engine: u32, now: Instant) -> Vec<Token> {
    table.serve_by(engine, now);
    std::iter::from_fn(|| Some(table.send_next(0, now)?.0)).collect()
}

static SPREAD: LazyLock<Spread> = LazyLock::new(Spread::default);

fn new(asked: Asked<u32>) -> Token {
    match asked {
        Asked::New(token) => token,
        other => panic!("not new: {other:?}"),
    }
}

#[test]
fn equal_questions_are_joined_and_finish_together() {
    let (mut table, now) = (table(), Instant::now());
    let token = new(table.ask(question(b'a'), 1, resolve(0), now));
    assert_eq!(table.ask(question(b'A'), 2, resolve(0), now), Asked::Joined);
    assert_eq!(table.finish(token), Some((question(b'a'), vec![1, 2])));
    assert_eq!(table.finish(token), None);
    assert_eq!((table.questions(), table.waiting()), (0, 0));
    // The slot is used again under another token.
    assert_ne!(new(table.ask(question(b'a'), 3, resolve(0), now)), token);
    assert_eq!(table.finish(token), None);
}

#[test]
fn bounds_hold_for_each_thread_and_for_waiters() {
    let (mut table, now) = (table(), Instant::now());
    new(table.ask(question(b'a'), 1, resolve(0), now));
    new(table.ask(question(b'b'), 2, resolve(0), now));
    assert_eq!(
        table.ask(question(b'c'), 3, resolve(0), now),
        Asked::Overloaded(3, Bound::Thread)
    );
    new(table.ask(question(b'c'), 3, resolve(1), now));
    assert_eq!(table.ask(question(b'a'), 4, resolve(0), now), Asked::Joined);
    assert_eq!(
        table.ask(question(b'a'), 5, resolve(0), now),
        Asked::Overloaded(5, Bound::Waiters)
    );
}

#[test]
fn a_deadline_takes_the_waiter_but_the_question_stays_with_the_engine() {
    let (mut table, now) = (table(), Instant::now());
    let token = new(table.ask(question(b'a'), 1, resolve(0), now));
    send_all(&mut table, 7, now);
    table.ask(question(b'a'), 2, resolve(0), now + DEADLINE / 2);
    let mut expired = Vec::new();
    table.expire(now + DEADLINE, |question, waiters| {
        expired.push((question.clone(), waiters));
    });
    assert_eq!(expired, [(question(b'a'), vec![1])]);
    table.expire(now + DEADLINE * 2, |_, waiters| assert_eq!(waiters, [2]));
    assert_eq!((table.questions(), table.waiting()), (1, 0));
    assert_eq!(
        table.ask(question(b'a'), 3, resolve(0), now + DEADLINE * 2),
        Asked::Joined
    );
    table.expire(now + DEADLINE * 3, |_, waiters| assert_eq!(waiters, [3]));
    table.expire(now + LINGER * 2, |_, _| panic!("nobody waits"));
    assert_eq!(table.questions(), 0);
    assert_eq!(table.finish(token), None);
}

#[test]
fn a_question_that_never_reached_an_engine_goes_with_its_last_waiter() {
    let (mut table, now) = (table(), Instant::now());
    new(table.ask(question(b'a'), 1, resolve(0), now));
    table.expire(now + DEADLINE, |_, waiters| assert_eq!(waiters, [1]));
    assert_eq!(table.questions(), 0);
}

#[test]
fn the_queue_does_not_grow_while_no_engine_serves() {
    let (mut table, mut now) = (table(), Instant::now());
    // Suspects too: one was with an engine that crashed.
    new(table.ask(question(b'a'), 1, resolve(0), now));
    send_all(&mut table, 1, now);
    assert_eq!(table.lose_engine(1, Blame::Questions).again, 1);
    for _ in 0..100 {
        // What is asked halfway outlives the others' end.
        new(table.ask(question(b'b'), 2, resolve(0), now));
        new(table.ask(question(b'c'), 3, resolve(1), now + DEADLINE / 2));
        now += DEADLINE;
        table.expire(now, |_, _| ());
        assert_eq!((table.questions(), table.queued()), (1, 1));
        now += DEADLINE;
        table.expire(now, |_, _| ());
        assert_eq!((table.questions(), table.queued()), (0, 0));
    }
    // What is left in the queue still gets its turn, in order.
    new(table.ask(question(b'd'), 4, resolve(1), now));
    let later = now + DEADLINE / 2;
    let left = [b'e', b'f'].map(|letter| new(table.ask(question(letter), 5, resolve(0), later)));
    table.expire(now + DEADLINE, |_, waiters| assert_eq!(waiters, [4]));
    assert_eq!(send_all(&mut table, 2, now + DEADLINE), left);
}

#[test]
fn a_lost_engine_s_questions_are_sent_again_but_not_for_ever() {
    let (mut table, now) = (table(), Instant::now());
    let token = new(table.ask(question(b'a'), 1, resolve(0), now));
    for engine in 1..MAX_CRASHES {
        send_all(&mut table, engine.into(), now);
        let lost = table.lose_engine(engine.into(), Blame::Questions);
        assert_eq!((lost.again, lost.hopeless), (1, vec![]));
        assert_eq!(table.queued(), 1);
    }
    // Killed from outside, however often, is not the question's fault.
    for engine in 10..20 {
        send_all(&mut table, engine, now);
        let lost = table.lose_engine(engine, Blame::Nobody);
        assert_eq!((lost.again, lost.hopeless), (1, vec![]));
    }
    send_all(&mut table, 50, now);
    let lost = table.lose_engine(50, Blame::Questions);
    assert_eq!((lost.again, lost.hopeless), (0, vec![token]));
}

#[test]
fn who_waited_longest_is_sent_again_first() {
    let (mut table, now) = (table(), Instant::now());
    let later = new(table.ask(question(b'a'), 1, resolve(0), now + DEADLINE));
    let earlier = new(table.ask(question(b'b'), 2, resolve(0), now));
    assert_eq!(send_all(&mut table, 1, now), [later, earlier]);
    table.lose_engine(1, Blame::Nobody);
    assert_eq!(send_all(&mut table, 2, now), [earlier, later]);
}

#[test]
fn what_an_engine_under_replacement_has_is_not_joined() {
    let (mut table, now) = (table(), Instant::now());
    let old = new(table.ask(question(b'a'), 1, resolve(0), now));
    send_all(&mut table, 1, now);
    table.stop_joining(1);
    let fresh = new(table.ask(question(b'a'), 2, resolve(0), now));
    assert!(!table.is_superseded(old));
    assert_eq!(send_all(&mut table, 2, now), [fresh]);
    assert!(table.is_superseded(old) && !table.is_superseded(fresh));
    assert_eq!(table.finish(old), Some((question(b'a'), vec![1])));
    assert!(!table.is_superseded(old));
    assert_eq!(table.ask(question(b'a'), 3, resolve(0), now), Asked::Joined);
    assert_eq!(table.finish(fresh), Some((question(b'a'), vec![2, 3])));
}

#[test]
fn refreshes_take_only_their_share_and_are_joined() {
    let now = Instant::now();
    let limits = Limits {
        questions_per_thread: 16,
        waiters: 100,
        deadline: DEADLINE,
    };
    let mut table = Table::new(2, limits);
    let here = refresh(0);
    let first = new(table.ask(question(b'a'), 1, here, now));
    new(table.ask(question(b'b'), 2, here, now));
    assert_eq!(
        table.ask(question(b'c'), 3, here, now),
        Asked::Overloaded(3, Bound::Refreshes)
    );
    new(table.ask(question(b'c'), 3, refresh(1), now));
    // A client that asks meanwhile gets the refresh's answer, and a refresh a client's.
    let joined = table.ask(question(b'a'), 4, resolve(0), now);
    assert_eq!(joined, Asked::Joined);
    new(table.ask(question(b'd'), 5, resolve(0), now));
    assert_eq!(table.ask(question(b'd'), 6, here, now), Asked::Joined);
    assert_eq!(table.finish(first), Some((question(b'a'), vec![1, 4])));
    new(table.ask(question(b'e'), 7, here, now));
}

/// One dead zone leaves half of the places, two leave a third, and a zone without any always gets one.
#[test]
fn a_zone_may_have_what_is_free() {
    let now = Instant::now();
    let limits = Limits {
        questions_per_thread: 90,
        waiters: 1000,
        deadline: DEADLINE,
    };
    let mut table = Table::new(1, limits);
    let mut names = 0_u32;
    let mut fill = |table: &mut Table<u32>, zone: u8| {
        let mut taken = 0;
        loop {
            names += 1;
            let name: Vec<u8> = [&[4], &names.to_be_bytes()[..], &[0]].concat();
            let question = Question::new(&name, 1, 1).unwrap();
            match table.ask(question, names, in_zone(zone, 0), now) {
                Asked::New(_) => taken += 1,
                Asked::Overloaded(_, bound) => break (taken, bound),
                Asked::Joined => panic!("each name is new"),
            }
        }
    };
    assert_eq!(fill(&mut table, b'a'), (45, Bound::Zone));
    assert_eq!(fill(&mut table, b'b'), (23, Bound::Zone));
    assert_eq!(fill(&mut table, b'a'), (0, Bound::Zone));
    for zone in b'c'..=b'f' {
        assert!(fill(&mut table, zone).0 >= 1);
    }
    // Room comes back with the answers.
    for token in table.tokens(|_| true) {
        table.finish(token);
    }
    assert!(table.zones.is_empty());
    assert_eq!(fill(&mut table, b'b'), (45, Bound::Zone));
}

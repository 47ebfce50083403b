//! What comes back, joining, bounds, deadlines, configuration.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use sluicegate_engine::{
    Client, EngineOptions, Failure, Overloaded, Question, Security, StartError,
};

use crate::rig::{LIMIT, Rig, contains, counts, options, question};
use crate::trial;
use crate::upstream::{Upstream, a_record, name};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("answers_of_each_kind", answers_of_each_kind),
        trial(
            "any_bytes_and_types_go_through",
            any_bytes_and_types_go_through,
        ),
        trial(
            "odd_types_and_classes_do_no_harm",
            odd_types_and_classes_do_no_harm,
        ),
        trial("built_in_local_zones_are_off", built_in_local_zones_are_off),
        trial(
            "unproven_data_is_bogus_and_says_why",
            unproven_data_is_bogus_and_says_why,
        ),
        trial(
            "equal_questions_are_one_upstream_query",
            equal_questions_are_one_upstream_query,
        ),
        trial(
            "a_refresh_asks_upstream_again",
            a_refresh_asks_upstream_again,
        ),
        trial("refreshes_go_on_past_two", refreshes_go_on_past_two),
        trial(
            "a_silent_upstream_ends_at_the_deadline",
            a_silent_upstream_ends_at_the_deadline,
        ),
        trial(
            "beyond_the_bounds_is_overload",
            beyond_the_bounds_is_overload,
        ),
        trial("a_dead_zone_leaves_room", a_dead_zone_leaves_room),
        trial(
            "several_threads_share_the_caches",
            several_threads_share_the_caches,
        ),
        trial("the_most_threads_start", the_most_threads_start),
        trial(
            "a_refused_configuration_says_why",
            a_refused_configuration_says_why,
        ),
        trial(
            "reconfiguration_loses_nothing",
            reconfiguration_loses_nothing,
        ),
        trial(
            "a_bad_reconfiguration_keeps_the_old_engine",
            a_bad_reconfiguration_keeps_the_old_engine,
        ),
    ]
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

fn answers_of_each_kind() {
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));

    let plain = rig.resolve(&question("plain.example"));
    assert_eq!((plain.rcode, plain.security), (0, Security::Insecure));
    assert_eq!((plain.why_bogus, plain.ratelimited), (None, false));
    assert_eq!(counts(&plain.wire), (1, 0));
    assert!(contains(&plain.wire, &ADDRESS.octets()));
    assert_eq!(plain.wire[12..27], name("plain.example"));

    let missing = rig.resolve(&question("nx.example"));
    assert_eq!((missing.rcode, counts(&missing.wire)), (3, (0, 1)));

    let empty = rig.resolve(&question("nodata.example"));
    assert_eq!((empty.rcode, counts(&empty.wire)), (0, (0, 1)));

    let chain = rig.resolve(&question("cname.example"));
    assert_eq!((chain.rcode, counts(&chain.wire).0), (0, 3));
    assert!(contains(&chain.wire, b"\x06middle") && contains(&chain.wire, &ADDRESS.octets()));

    let failed = rig.resolve(&question("servfail.example"));
    assert_eq!((failed.rcode, failed.wire.as_slice()), (2, &[][..]));

    let big = rig.resolve(&Question::new(&name("big.example"), 16, 1).unwrap());
    assert_eq!((big.rcode, counts(&big.wire).0), (0, 200));
    assert!(big.wire.len() > 50_000 && upstream.tcp_queries() >= 1);

    let again = rig.resolve(&question("plain.example"));
    assert_eq!((again.rcode, upstream.queries("plain.example")), (0, 1));
    assert_eq!(rig.client.stop(), []);
}

fn any_bytes_and_types_go_through() {
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    let every_byte: Vec<u8> = (0..=255).collect();
    for part in every_byte.chunks(60) {
        let mut wire = vec![part.len() as u8 + 2];
        wire.extend(b"x.");
        wire.extend(part);
        wire.extend(name("weird.example"));
        let question = Question::new(&wire, 1, 1).unwrap();
        let answer = rig.resolve(&question);
        assert_eq!((answer.rcode, counts(&answer.wire).0), (0, 1), "{question}");
        assert_eq!(answer.wire[12..12 + wire.len()], *question.name());
    }
    let unknown = rig.resolve(&Question::new(&name("unknown.example"), 65_280, 1).unwrap());
    assert!(contains(&unknown.wire, b"\x00\xff opaque"));
    let longest = format!("{}.example", ["x"; 120].join("."));
    assert_eq!(rig.resolve(&question(&longest)).rcode, 0);
    let root = rig.resolve(&Question::new(&[0], 2, 1).unwrap());
    assert_eq!(root.rcode, 0);
}

fn odd_types_and_classes_do_no_harm() {
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    let pid = rig.client.pid();
    let types = [
        0, 41, 43, 46, 47, 50, 128, 249, 250, 251, 252, 253, 254, 255, 65_535,
    ];
    let odd = types.iter().map(|qtype| (*qtype, 1)).chain([
        (1, 0),
        (1, 3),
        (1, 254),
        (1, 255),
        (255, 255),
    ]);
    let mut asked = 0;
    for (qtype, qclass) in odd {
        asked += 1;
        rig.ask(
            &Question::new(&name("odd.example"), qtype, qclass).unwrap(),
            asked,
        )
        .unwrap();
    }
    rig.run_until("all outcomes", |rig| rig.outcomes.len() == asked as usize);
    assert_eq!(rig.resolve(&question("after.example")).rcode, 0);
    assert_eq!(rig.client.pid(), pid, "the engine has not died");
}

fn built_in_local_zones_are_off() {
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    for zone in [
        "localhost",
        "x.test",
        "x.invalid",
        "x.onion",
        "x.home.arpa",
        "1.10.in-addr.arpa",
        "1.0.0.127.in-addr.arpa",
    ] {
        assert_eq!(counts(&rig.resolve(&question(zone)).wire).0, 1, "{zone}");
        assert_eq!(upstream.queries(zone), 1, "{zone}");
    }
}

fn unproven_data_is_bogus_and_says_why() {
    let upstream = Upstream::start(ADDRESS);
    let anchor = "signed.example. DS 12345 13 2 \
                  0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF";
    let conf = format!("server:\n  trust-anchor: \"{anchor}\"\n{}", upstream.conf());
    let mut rig = Rig::start(options(&conf));
    let bogus = rig.resolve(&question("www.signed.example"));
    assert_eq!(bogus.security, Security::Bogus);
    assert!(
        bogus
            .why_bogus
            .is_some_and(|why| why.contains("signed.example"))
    );
    // The data is there for clients with CD.
    assert!(contains(&bogus.wire, &ADDRESS.octets()));
    assert_eq!(
        rig.resolve(&question("www.unsigned.example")).security,
        Security::Insecure
    );
}

fn equal_questions_are_one_upstream_query() {
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    for waiter in 0..1000 {
        let text = if waiter % 2 == 0 {
            "hold.join.example"
        } else {
            "HOLD.Join.example"
        };
        rig.ask(&question(text), waiter).unwrap();
    }
    rig.run_until("the upstream query", |_| {
        upstream.queries("hold.join.example") > 0
    });
    assert_eq!(rig.client.stats().questions, 1);
    upstream.release();
    assert_eq!(rig.outcome(999).unwrap().rcode, 0);
    assert_eq!(rig.outcomes.len(), 1);
    assert_eq!(rig.outcomes[0].1, (0..1000).collect::<Vec<_>>());
    assert_eq!(upstream.queries("hold.join.example"), 1);
    assert_eq!(rig.client.stats().joined, 999);
}

/// libunbound holds the answer for an hour: refreshes get a new one all the same, with one thread and with more.
fn a_refresh_asks_upstream_again() {
    for threads in [1, 2] {
        let upstream = Upstream::start(ADDRESS);
        let mut options = options(&upstream.conf());
        options.threads = threads;
        let mut rig = Rig::start(options);
        let popular = question("www.popular.example");
        rig.resolve(&popular);
        rig.resolve(&popular);
        assert_eq!(upstream.queries("www.popular.example"), 1);
        assert_eq!(rig.refresh(&popular, 1).rcode, 0);
        assert_eq!(upstream.queries("www.popular.example"), 2, "{threads}");
        assert_eq!(rig.client.stats().refreshes, 1);
    }
}

/// Refreshes alternate, so that the copy of the context asked has always expired: here each answer lives for a
/// second, and the third refresh goes to the same context as the first.
fn refreshes_go_on_past_two() {
    let upstream = Upstream::start(ADDRESS);
    let ttl_secs = 1;
    let record = a_record("www.brief.example", ttl_secs, ADDRESS);
    upstream.answer("www.brief.example", 1, &[record]);
    let mut rig = Rig::start(options(&upstream.conf()));
    let brief = question("www.brief.example");
    rig.resolve(&brief);
    for generation in 1..=3_u8 {
        let asked = usize::from(generation);
        assert_eq!(upstream.queries("www.brief.example"), asked);
        // Until the copy of two refreshes ago has expired.
        let end = Instant::now() + LIMIT;
        while upstream.queries("www.brief.example") == asked {
            assert!(Instant::now() < end, "generation {generation}");
            assert_eq!(rig.refresh(&brief, generation).rcode, 0);
        }
    }
}

fn a_silent_upstream_ends_at_the_deadline() {
    let upstream = Upstream::start(ADDRESS);
    let mut options = options(&upstream.conf());
    options.deadline = Duration::from_millis(300);
    let mut rig = Rig::start(options);
    let asked = Instant::now();
    rig.ask(&question("hold.example"), 1).unwrap();
    assert_eq!(rig.outcome(1), Err(Failure::Deadline));
    assert!(
        asked.elapsed() >= Duration::from_millis(300) && asked.elapsed() < Duration::from_secs(2)
    );
    assert_eq!(
        (rig.client.stats().waiting, rig.client.stats().questions),
        (0, 1)
    );
    // The answer comes late, and is handed over for the cache.
    upstream.release();
    rig.run_until("the late answer", |rig| rig.outcomes.len() == 2);
    assert_eq!(rig.outcomes[1].1, []);
    assert_eq!(rig.outcomes[1].0.result.as_ref().unwrap().rcode, 0);
    assert_eq!(
        (rig.client.stats().late, rig.client.stats().questions),
        (1, 0)
    );
}

fn beyond_the_bounds_is_overload() {
    let upstream = Upstream::start(ADDRESS);
    let mut options = options(&upstream.conf());
    options.questions_per_thread = 4;
    options.waiters = 6;
    let mut rig = Rig::start(options);
    for waiter in 0..4 {
        rig.ask(&question(&format!("hold{waiter}.example")), waiter)
            .unwrap();
    }
    assert_eq!(rig.ask(&question("hold4.example"), 4), Err(Overloaded(4)));
    rig.ask(&question("hold0.example"), 5).unwrap();
    rig.ask(&question("hold0.example"), 6).unwrap();
    assert_eq!(rig.ask(&question("hold0.example"), 7), Err(Overloaded(7)));
    rig.run_until("the upstream queries", |_| {
        (0..4).all(|n| upstream.queries(&format!("hold{n}.example")) > 0)
    });
    upstream.release();
    rig.run_until("the answers", |rig| rig.outcomes.len() == 4);
    assert_eq!(rig.client.stats().overloaded, 2);
    assert_eq!(rig.resolve(&question("hold4.example")).rcode, 0);
}

/// A zone whose servers are dead takes half of the places at most; another zone is answered meanwhile.
fn a_dead_zone_leaves_room() {
    let upstream = Upstream::start(ADDRESS);
    let mut options = options(&upstream.conf());
    options.questions_per_thread = 64;
    let mut rig = Rig::start(options);
    let mut taken = 0;
    for waiter in 0..1000 {
        let dead = question(&format!("silent{waiter}.dead.example"));
        taken += u32::from(rig.ask(&dead, waiter).is_ok());
    }
    assert_eq!(taken, 32);
    let stats = rig.client.stats();
    assert_eq!((stats.shed_zone, stats.overloaded), (968, 968));
    rig.ask(&question("www.alive.example"), 2000).unwrap();
    assert_eq!(rig.outcome(2000).unwrap().rcode, 0);
}

fn several_threads_share_the_caches() {
    let upstream = Upstream::start(ADDRESS);
    let conf = format!(
        "server:\n  msg-cache-size: 96m\n  outgoing-range: 300\n{}",
        upstream.conf()
    );
    let mut options = options(&conf);
    options.threads = 3;
    let mut rig = Rig::start(options);
    let summary = rig.client.summary().clone();
    assert_eq!((summary.threads, summary.message_cache_bytes), (3, 2 << 20));
    assert_eq!(summary.rrset_cache_bytes, (4 << 20) / 3);
    assert_eq!(summary.outgoing_range, 300);
    for waiter in 0..300 {
        rig.ask(
            &question(&format!("www.zone{waiter}.example{}", waiter % 7)),
            waiter,
        )
        .unwrap();
    }
    rig.run_until("all answers", |rig| rig.outcomes.len() == 300);
    assert!(
        rig.outcomes
            .iter()
            .all(|(outcome, _)| outcome.result.as_ref().unwrap().rcode == 0)
    );
    let threads = std::fs::read_dir(format!("/proc/{}/task", rig.client.pid().unwrap()))
        .unwrap()
        .count();
    assert_eq!(threads, 4);
}

fn the_most_threads_start() {
    let upstream = Upstream::start(ADDRESS);
    let mut options = options(&upstream.conf());
    options.threads = EngineOptions::MAX_THREADS;
    let mut rig = Rig::start(options);
    assert_eq!(
        rig.client.summary().threads as usize,
        EngineOptions::MAX_THREADS
    );
    for number in 0..50 {
        assert_eq!(
            rig.resolve(&question(&format!("www.zone{number}.example")))
                .rcode,
            0
        );
    }
}

fn a_refused_configuration_says_why() {
    let refused = |text: &str| match Client::<u32>::start(options(text)) {
        Err(StartError::Refused { line, message }) => (line, message),
        other => panic!("not refused: {other:?}"),
    };
    let (line, message) = refused("server:\n  verbosity: 0\n  no-such-option: 7\n");
    assert_eq!(line, 3);
    assert!(
        message.contains("syntax error") || message.contains("no-such-option"),
        "{message}"
    );
    let (line, message) = refused("server:\n  module-config: \"validator nonsense\"\n");
    assert_eq!(line, 0);
    assert!(message.contains("module-config"), "{message}");
    let (_, message) = refused("server:\n  trust-anchor-file: \"/does/not/exist\"\n");
    assert!(message.contains("/does/not/exist"), "{message}");
}

fn reconfiguration_loses_nothing() {
    let other = Ipv4Addr::new(198, 51, 100, 7);
    let (before, after) = (Upstream::start(ADDRESS), Upstream::start(other));
    let mut rig = Rig::start(options(&before.conf()));
    let old_pid = rig.client.pid().unwrap();
    rig.ask(&question("hold.example"), 1).unwrap();
    rig.run_until("the upstream query", |_| before.queries("hold.example") > 0);
    rig.client.begin_reconfigure(after.conf()).unwrap();
    // Until the new engine is ready, the old one serves.
    rig.ask(&question("meanwhile.example"), 2).unwrap();
    let mut result = None;
    rig.run_until("the new engine", |rig| {
        result = rig.client.reconfigured();
        result.is_some()
    });
    assert!(matches!(result, Some(Ok(()))));
    assert_ne!(rig.client.pid().unwrap(), old_pid);
    assert!(contains(&rig.outcome(2).unwrap().wire, &ADDRESS.octets()));
    // The same question again: by the new rules, not joined to the old.
    after.release();
    rig.ask(&question("hold.example"), 3).unwrap();
    assert!(contains(&rig.outcome(3).unwrap().wire, &other.octets()));
    before.release();
    assert!(contains(&rig.outcome(1).unwrap().wire, &ADDRESS.octets()));
    // That one came from an engine that had been replaced by then.
    let is_superseded = |waiter: u32| {
        let mut outcomes = rig.outcomes.iter();
        outcomes.any(|(told, waiters)| told.superseded && waiters.contains(&waiter))
    };
    assert!(is_superseded(1) && !is_superseded(3));
    rig.run_until("the old engine's end", |_| {
        !std::path::Path::new(&format!("/proc/{old_pid}")).exists()
    });
    assert_eq!(rig.client.stats().restarts, 0);
}

fn a_bad_reconfiguration_keeps_the_old_engine() {
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    let pid = rig.client.pid();
    rig.client
        .begin_reconfigure("server:\n nonsense\n")
        .unwrap();
    let mut result = None;
    rig.run_until("the verdict", |rig| {
        result = rig.client.reconfigured();
        result.is_some()
    });
    assert!(
        matches!(result, Some(Err(StartError::Refused { line: 2, .. }))),
        "{result:?}"
    );
    assert_eq!(rig.client.pid(), pid);
    assert_eq!(rig.resolve(&question("still.example")).rcode, 0);
}

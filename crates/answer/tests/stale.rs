//! Expired answers, failures and refreshes, with a clock that the test turns.

mod common;

use common::{Client, Message, Server, ede, record, records};
use sluicegate_answer::{Findings, Outdated, Security, Transport, Unresolved, Verdict};
use sluicegate_dns::{Ede, rcode, rtype};
use sluicegate_telemetry::Counter;

const STALE: &str = "serve-expired: yes";

fn found(wire: &[u8]) -> Findings<'_> {
    Findings {
        rcode: u16::from(wire[3] & 15),
        security: Security::Insecure,
        wire,
        ede: None,
    }
}

const FAILED: Findings<'_> = Findings {
    rcode: rcode::SERVFAIL,
    security: Security::Insecure,
    wire: &[],
    ede: None,
};

/// A client that understands extended errors.
fn client(name: &str) -> Client {
    Client {
        edns: Some((1232, false)),
        ..Client::new(name, rtype::A)
    }
}

fn address(name: &str, ttl_secs: u32, last: u8) -> Vec<u8> {
    Message::reply(name, rtype::A)
        .answer(record(b"\xc0\x0c", rtype::A, ttl_secs, &[192, 0, 2, last]))
        .build()
}

fn nxdomain(name: &str, ttl_secs: u32) -> Vec<u8> {
    let soa = [&b"\0\0"[..], &[0; 16], &[0, 0, 0, 60]].concat();
    Message::reply(name, rtype::A)
        .rcode(rcode::NXDOMAIN)
        .authority(record(b"\0", rtype::SOA, ttl_secs, &soa))
        .build()
}

/// RCODE, extended error, and the TTLs of the answer section.
fn shape(reply: &[u8]) -> (u8, Option<u16>, Vec<u32>) {
    let ttls = records(reply)
        .iter()
        .map(|record| record.ttl_secs)
        .collect();
    (reply[3] & 15, ede(reply).map(|(code, _)| code), ttls)
}

#[test]
fn what_has_expired_is_told_when_the_client_s_patience_ends() {
    let mut server = Server::new(STALE);
    let client = client("www.lab");
    server.ask_and_find(&client, &found(&address("www.lab", 60, 1)));
    server.advance(59);
    assert_eq!(shape(&server.ask(&client).reply()), (0, None, vec![1]));
    server.advance(1);
    let question = server.miss(&client);
    assert!(question.stale, "the client may be told what has expired");
    assert!(server.has_expired(&client));
    let (reply, stale) = server.fail(&client, Unresolved::Late);
    assert!(stale);
    assert_eq!(shape(&reply), (0, Some(3), vec![30]));
    assert_eq!(server.count(Counter::Expired), 1);
    // Once it is fresh again, nothing is left of that.
    server.finish(&client, &question, &found(&address("www.lab", 60, 2)));
    assert_eq!(shape(&server.ask(&client).reply()), (0, None, vec![60]));
}

#[test]
fn an_answer_that_has_come_meanwhile_is_not_told_as_stale() {
    let mut server = Server::new(STALE);
    let (client, other) = (client("www.lab"), client("other.lab"));
    let question = server.miss(&client);
    // Another has got the answer before this one's patience ends.
    server.finish(&client, &question, &found(&address("www.lab", 300, 1)));
    server.advance(7);
    assert_eq!(
        shape(&server.fail(&client, Unresolved::Late).0),
        (0, None, vec![293])
    );
    assert_eq!(server.count(Counter::Expired), 0);
    let (reply, told) = server.fail(&other, Unresolved::Late);
    assert!(!told);
    assert_eq!(shape(&reply).0, 2, "there is nothing to tell");
}

#[test]
fn nobody_else_waits_while_the_upstream_is_late() {
    let mut server = Server::new(STALE);
    let client = client("www.lab");
    server.ask_and_find(&client, &found(&address("www.lab", 60, 1)));
    server.advance(61);
    let question = server.miss(&client);
    server.note(&question, Unresolved::Late);
    assert_eq!(shape(&server.ask(&client).reply()), (0, Some(3), vec![30]));
    assert!(server.refreshes().is_empty(), "it is being asked");
    server.advance(1);
    assert_eq!(shape(&server.ask(&client).reply()), (0, Some(3), vec![30]));
    assert_eq!(server.refreshes().len(), 1, "it is time to ask again");
    // A name without an expired answer is not held up by what is late.
    let other = Client::new("other.lab", rtype::A);
    assert!(!server.has_expired(&other));
    let question = server.miss(&other);
    assert!(!question.stale);
    server.note(&question, Unresolved::Late);
    assert_eq!(server.miss(&other), question);
}

#[test]
fn with_no_client_timeout_it_is_told_at_once_and_refreshed_behind() {
    let mut server = Server::new("serve-expired: yes\nserve-expired-client-timeout: 0");
    let client = client("www.lab");
    server.ask_and_find(&client, &found(&address("www.lab", 60, 1)));
    server.advance(60);
    for _ in 0..3 {
        assert_eq!(shape(&server.ask(&client).reply()), (0, Some(3), vec![30]));
    }
    let refreshes = server.refreshes();
    assert_eq!(refreshes.len(), 1, "one in a second");
    assert_eq!(refreshes[0].name.as_bytes(), b"\x03www\x03lab\0");
}

#[test]
fn a_failure_does_not_take_the_place_of_what_has_expired() {
    let mut server = Server::new(STALE);
    let client = client("www.lab");
    server.ask_and_find(&client, &found(&address("www.lab", 60, 1)));
    server.advance(100);
    let question = server.miss(&client);
    let waited = server.finish(&client, &question, &FAILED);
    assert_eq!(shape(&waited), (0, Some(3), vec![30]));
    for _ in 0..30 {
        let later = server.ask(&client).reply();
        assert_eq!(later, waited, "whoever asks later gets the same bytes");
        server.advance(1);
    }
}

#[test]
fn an_expired_nxdomain_says_so() {
    let mut server = Server::new(STALE);
    let client = client("nx.lab");
    server.ask_and_find(&client, &found(&nxdomain("nx.lab", 60)));
    server.advance(60);
    let question = server.miss(&client);
    let reply = server.finish(&client, &question, &FAILED);
    assert_eq!((reply[3] & 15, ede(&reply).unwrap().0), (3, 19));
    let domain = domain::base::Message::from_octets(&reply).unwrap();
    let soa = domain.authority().unwrap().next().unwrap().unwrap();
    assert_eq!(soa.ttl().as_secs(), 30);
}

#[test]
fn the_options_of_serve_expired_hold() {
    let lines = "serve-expired: yes\nserve-expired-ttl: 100\nserve-expired-reply-ttl: 7\nede-serve-expired: no";
    let mut server = Server::new(lines);
    let client = client("www.lab");
    server.ask_and_find(&client, &found(&address("www.lab", 60, 1)));
    server.advance(60 + 99);
    assert!(server.miss(&client).stale);
    assert_eq!(
        shape(&server.fail(&client, Unresolved::NoAnswer).0),
        (0, None, vec![7])
    );
    server.advance(1);
    assert!(!server.miss(&client).stale, "too old");
    let (reply, stale) = server.fail(&client, Unresolved::NoAnswer);
    assert!(!stale);
    assert_eq!(shape(&reply), (2, Some(22), vec![]));
    server.reload("serve-expired: yes\nserve-expired-ttl: 0");
    server.advance(1_000_000);
    assert!(server.miss(&client).stale, "for ever");
    server.reload("serve-expired: no");
    assert!(!server.miss(&client).stale);
}

#[test]
fn a_failed_refresh_may_start_the_time_anew() {
    for (reset, stale) in [("yes", true), ("no", false)] {
        let mut server = Server::new(&format!(
            "serve-expired: yes\nserve-expired-ttl: 100\nserve-expired-ttl-reset: {reset}"
        ));
        let client = client("www.lab");
        server.ask_and_find(&client, &found(&address("www.lab", 60, 1)));
        server.advance(60 + 90);
        let question = server.miss(&client);
        server.finish(&client, &question, &FAILED);
        server.advance(90);
        assert_eq!(server.miss(&client).stale, stale, "{reset}");
    }
}

#[test]
fn expired_answers_make_room_only_when_they_are_of_no_use() {
    for (lines, kept) in [(STALE, true), ("", false)] {
        let mut server = Server::new(lines);
        let client = client("www.lab");
        server.ask_and_find(&client, &found(&address("www.lab", 60, 1)));
        // It has been of use: a scan of names asked once does not push it out.
        server.ask(&client).reply();
        server.advance(61);
        for number in 0..60_000 {
            let name = format!("n{number}.lab");
            let once = Client::new(&name, rtype::A);
            server.ask_and_find(&once, &found(&address(&name, 60, 1)));
            if number % 8 == 0 && kept {
                assert!(server.fail(&client, Unresolved::Late).1, "{number}");
            }
        }
        assert!(!matches!(server.ask(&client).verdict, Verdict::Reply(_)));
        server.reload(STALE);
        assert_eq!(server.fail(&client, Unresolved::Late).1, kept);
    }
}

#[test]
fn the_same_comes_over_every_transport_and_behind_an_alias() {
    let mut server = Server::new(
        "serve-expired: yes\nlocal-zone: away.lab redirect\nlocal-data: \"away.lab 77 CNAME www.lab\"",
    );
    let udp = client("www.lab");
    server.ask_and_find(&udp, &found(&address("www.lab", 60, 1)));
    server.advance(60);
    let tcp = Client {
        transport: Transport::Tcp { keepalive: false },
        ..udp.clone()
    };
    assert_eq!(
        server.fail(&udp, Unresolved::Late),
        server.fail(&tcp, Unresolved::Late)
    );
    let behind = client("away.lab");
    assert!(server.miss(&behind).stale);
    let (reply, stale) = server.fail(&behind, Unresolved::Late);
    assert!(stale);
    assert_eq!(shape(&reply), (0, Some(3), vec![77, 30]));
}

#[test]
fn failures_are_held_for_a_second_then_for_four() {
    let mut server = Server::new("");
    let client = client("broken.lab");
    let first = server.ask_and_find(&client, &FAILED);
    assert_eq!(shape(&first), (2, Some(22), vec![]));
    for held in [1, 4, 4, 4] {
        for _ in 0..held {
            assert_eq!(server.ask(&client).reply(), first);
            server.advance(1);
        }
        let question = server.miss(&client);
        server.finish(&client, &question, &FAILED);
    }
    assert_eq!(server.count(Counter::FailureHits), 13);
    // An answer ends it; the next failure is a first one.
    server.advance(4);
    let question = server.miss(&client);
    server.finish(&client, &question, &found(&address("broken.lab", 1, 1)));
    server.advance(1);
    let question = server.miss(&client);
    server.finish(&client, &question, &FAILED);
    server.advance(1);
    server.miss(&client);
}

#[test]
fn a_failure_long_ago_is_no_failure_in_a_row() {
    let mut server = Server::new("");
    let client = client("broken.lab");
    server.ask_and_find(&client, &FAILED);
    server.advance(60);
    server.ask_and_find(&client, &FAILED);
    server.advance(1);
    server.miss(&client);
}

#[test]
fn what_says_nothing_of_the_name_is_not_held_against_it() {
    let server = Server::new("");
    let client = client("www.lab");
    let question = server.miss(&client);
    server.note(&question, Unresolved::Overloaded);
    server.note(&question, Unresolved::Stopping);
    assert_eq!(server.miss(&client), question);
    server.note(&question, Unresolved::NoAnswer);
    assert_eq!(shape(&server.ask(&client).reply()), (2, Some(22), vec![]));
}

#[test]
fn ede_no_is_silent() {
    let mut server = Server::new("ede: no\nserve-expired: yes");
    let broken = client("broken.lab");
    assert_eq!(ede(&server.ask_and_find(&broken, &FAILED)), None);
    let client = client("www.lab");
    server.ask_and_find(&client, &found(&address("www.lab", 60, 1)));
    server.advance(60);
    let (reply, stale) = server.fail(&client, Unresolved::Late);
    assert_eq!((ede(&reply), stale), (None, true));
}

#[test]
fn bogus_is_never_stale_and_takes_no_good_answer_s_place() {
    let mut server = Server::new("serve-expired: yes\nval-bogus-ttl: 60\nval-log-level: 2");
    let checked = client("www.lab");
    let unchecked = Client {
        cd: true,
        ..checked.clone()
    };
    let bogus = address("www.lab", 3600, 66);
    let bogus = Findings {
        security: Security::Bogus,
        ede: Some(Ede {
            code: 7,
            text: "signature expired from 192.0.2.1",
        }),
        ..found(&bogus)
    };
    server.ask_and_find(&checked, &found(&address("www.lab", 100, 1)));
    // A refresh brings bogus data: what is good stays until it ends.
    server.advance(95);
    let question = sluicegate_answer::Question {
        name: sluicegate_dns::Name::from_text("www.lab").unwrap(),
        qtype: rtype::A,
        qclass: 1,
        dnssec_ok: false,
        cd: false,
        stale: false,
    };
    server.finish(&checked, &question, &bogus);
    for client in [&checked, &unchecked] {
        assert_eq!(shape(&server.ask(client).reply()), (0, None, vec![5]));
    }
    // Then the verdict stands, also where something expired is at hand.
    server.advance(5);
    let told = server.ask(&checked).reply();
    assert_eq!(shape(&told), (2, Some(7), vec![]));
    assert!(ede(&told).unwrap().1.contains("signature expired"));
    assert_eq!(shape(&server.ask(&unchecked).reply()), (0, None, vec![55]));
    assert_eq!(server.finish(&checked, &question, &bogus), told);
    // What is bogus does not become something that has expired.
    let never = client("never.lab");
    let wire = address("never.lab", 10, 66);
    let bogus = Findings {
        security: Security::Bogus,
        ..found(&wire)
    };
    server.ask_and_find(&never, &bogus);
    server.advance(100);
    assert!(!server.miss(&never).stale);
    let all = Client { cd: true, ..never };
    assert!(!server.miss(&all).stale);
}

#[test]
fn the_last_tenth_asks_once_in_a_second_and_the_client_does_not_notice() {
    let mut server = Server::new("prefetch: yes");
    let client = client("www.lab");
    server.ask_and_find(&client, &found(&address("www.lab", 100, 1)));
    server.advance(89);
    server.ask(&client).reply();
    assert!(server.refreshes().is_empty());
    server.advance(1);
    for _ in 0..100 {
        assert_eq!(shape(&server.ask(&client).reply()), (0, None, vec![10]));
    }
    let refreshes = server.refreshes();
    assert_eq!(refreshes.len(), 1);
    assert_eq!(server.count(Counter::Prefetches), 1);
    assert_eq!(server.count(Counter::CacheHits), 101);
    server.finish(&client, &refreshes[0], &found(&address("www.lab", 100, 2)));
    assert_eq!(shape(&server.ask(&client).reply()), (0, None, vec![100]));
    server.advance(20);
    server.ask(&client).reply();
    assert!(server.refreshes().is_empty(), "it is fresh");
}

#[test]
fn without_prefetch_answers_end() {
    let mut server = Server::new("");
    let client = client("www.lab");
    server.ask_and_find(&client, &found(&address("www.lab", 100, 1)));
    server.advance(99);
    server.ask(&client).reply();
    assert!(server.refreshes().is_empty());
}

#[test]
fn who_may_only_look_into_the_cache_has_nothing_refreshed() {
    let lines = "prefetch: yes\naccess-control: 127.0.0.0/8 allow_snoop";
    let mut server = Server::new(lines);
    let client = client("www.lab");
    server.ask_and_find(&client, &found(&address("www.lab", 100, 1)));
    server.advance(95);
    let snoop = Client {
        rd: false,
        ..client.clone()
    };
    server.ask(&snoop).reply();
    assert!(server.refreshes().is_empty());
    server.ask(&client).reply();
    assert_eq!(server.refreshes().len(), 1);
}

#[test]
fn the_name_behind_an_alias_is_refreshed() {
    let lines =
        "prefetch: yes\nlocal-zone: away.lab redirect\nlocal-data: \"away.lab 77 CNAME www.lab\"";
    let mut server = Server::new(lines);
    let client = client("away.lab");
    server.ask_and_find(&client, &found(&address("www.lab", 100, 1)));
    server.advance(95);
    server.ask(&client).reply();
    let refreshes = server.refreshes();
    assert_eq!(refreshes.len(), 1);
    assert_eq!(refreshes[0].name.as_bytes(), b"\x03www\x03lab\0");
}

#[test]
fn ttls_are_kept_within_their_limits() {
    let lines = "cache-min-ttl: 20\ncache-max-ttl: 1000\ncache-min-negative-ttl: 5\ncache-max-negative-ttl: 30";
    let mut server = Server::new(lines);
    for (name, ttl, told) in [("a.lab", 1, 20), ("b.lab", 500, 500), ("c.lab", 5000, 1000)] {
        let reply = server.ask_and_find(&client(name), &found(&address(name, ttl, 1)));
        assert_eq!(shape(&reply).2, [told], "{name}");
    }
    // The SOA's MINIMUM is 60.
    let gone = client("nx.lab");
    server.ask_and_find(&gone, &found(&nxdomain("nx.lab", 3600)));
    server.advance(29);
    server.ask(&gone).reply();
    server.advance(1);
    server.miss(&gone);
}

#[test]
fn an_answer_without_a_life_replaces_what_has_expired() {
    let mut server = Server::new(STALE);
    let client = client("www.lab");
    server.ask_and_find(&client, &found(&address("www.lab", 60, 1)));
    server.advance(60);
    let question = server.miss(&client);
    server.finish(&client, &question, &found(&address("www.lab", 0, 2)));
    let (reply, stale) = server.fail(&client, Unresolved::Late);
    assert!(stale);
    let last = reply.windows(4).any(|bytes| bytes == [192, 0, 2, 2]);
    assert!(last, "the newer one");
}

#[test]
fn who_may_only_look_into_the_cache_sees_failures_too() {
    let server = Server::new("access-control: 127.0.0.0/8 allow_snoop");
    let asks = client("broken.lab");
    let looks = Client {
        rd: false,
        ..asks.clone()
    };
    assert_eq!(shape(&server.ask(&looks).reply()), (5, None, vec![]));
    server.ask_and_find(&asks, &FAILED);
    assert_eq!(shape(&server.ask(&looks).reply()), (2, Some(22), vec![]));
}

#[test]
fn what_is_forgotten_is_told_neither_fresh_nor_expired() {
    let mut server = Server::new(STALE);
    let zone: sluicegate_dns::Name = "inner.lab".parse().expect("a name");
    let below = Outdated::Below([zone].into());
    let names = ["www.inner.lab", "inner.lab", "www.lab", "xinner.lab"];
    for name in names {
        server.ask_and_find(&client(name), &found(&address(name, 60, 1)));
    }
    // Asked for under another name, but an answer from there: "inner.lab" follows the question.
    let alias = client("alias.lab");
    let leads = Message::reply("alias.lab", rtype::A)
        .answer(record(
            b"\xc0\x0c",
            rtype::CNAME,
            60,
            b"\x03www\x05inner\xc0\x12",
        ))
        .answer(record(b"\xc0\x27", rtype::A, 60, &[192, 0, 2, 1]))
        .build();
    server.ask_and_find(&alias, &found(&leads));
    assert_eq!(records(&server.ask(&alias).reply()).len(), 2);
    // Why it failed is not known.
    let failed = client("failed.lab");
    server.ask_and_find(&failed, &FAILED);
    assert_eq!(server.brain.forget(&Outdated::Nothing), 0);
    assert_eq!(server.brain.forget(&below), 4);
    for gone in ["www.inner.lab", "inner.lab", "alias.lab", "failed.lab"] {
        assert!(!server.miss(&client(gone)).stale, "{gone}");
    }
    for kept in ["www.lab", "xinner.lab"] {
        assert_eq!(
            shape(&server.ask(&client(kept)).reply()),
            (0, None, vec![60]),
            "{kept}"
        );
    }
    server.advance(61);
    for gone in ["www.inner.lab", "alias.lab"] {
        assert!(!server.has_expired(&client(gone)), "{gone}");
        let (reply, stale) = server.fail(&client(gone), Unresolved::NoAnswer);
        assert_eq!((stale, reply[3] & 15), (false, 2), "{gone}");
    }
    assert!(server.has_expired(&client("www.lab")));
    assert_eq!(server.brain.forget(&Outdated::All), 2);
    assert!(!server.has_expired(&client("www.lab")));
    assert_eq!(server.brain.cache.stats().flushed, 6);
}

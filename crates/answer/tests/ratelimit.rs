//! `ip-ratelimit` on every way that a query may take.
#![allow(clippy::unwrap_used, reason = "tests fail with it")]

mod common;

use common::{Client, Message, Server, name, record};
use sluicegate_answer::{
    Findings, Packets, Prepared, Repeated, Security, Sighting, Transport, Verdict,
    answer_and_learn, answer_known, answer_prepared, prepare,
};
use sluicegate_telemetry::{Counter, DropReason};

const LIMIT: usize = 20;
const CONFIGURATION: &str = "  ip-ratelimit: 20
  ip-ratelimit-factor: 0
  access-control: 192.0.2.0/24 allow
  access-control: 198.51.100.0/24 refuse
  access-control: 198.51.101.0/24 deny
  local-zone: \"local.example.\" static
  local-data: \"www.local.example. A 192.0.2.80\"
  local-zone: \"alias.example.\" redirect
  local-data: \"alias.example. CNAME cached.example.\"";

/// A server that knows `cached.example`, and its clock a second after what was counted for that.
fn server() -> Server {
    let mut server = Server::new(CONFIGURATION);
    let client = Client::new("cached.example", 1);
    let found = Message::reply("cached.example", 1)
        .answer(record(&name("cached.example"), 1, 300, &[192, 0, 2, 7]))
        .build();
    server.ask_and_find(&client, &findings(&found));
    server.advance(1);
    server
}

fn findings(wire: &[u8]) -> Findings<'_> {
    Findings {
        rcode: 0,
        security: Security::Insecure,
        wire,
        ede: None,
    }
}

fn is_over(verdict: &Verdict) -> bool {
    *verdict == Verdict::Drop(DropReason::IpRatelimit)
}

/// As many as the limit are admitted, and not one more.
fn expect_limit(server: &mut Server, client: &Client) {
    for number in 0..LIMIT {
        let verdict = server.ask(client).verdict;
        assert!(!is_over(&verdict), "{} of {}", number + 1, client.name);
    }
    for _ in 0..3 {
        assert!(is_over(&server.ask(client).verdict), "{}", client.name);
    }
    server.advance(1);
}

#[test]
fn local_data_the_cache_misses_and_errors_are_limited() {
    let mut server = server();
    for name in [
        "www.local.example",
        "none.local.example",
        "cached.example",
        "x.alias.example",
        "alias.example",
        "missed.example",
    ] {
        for transport in [Transport::Udp, Transport::Tcp { keepalive: false }] {
            let client = Client {
                transport,
                ..Client::new(name, 1)
            };
            expect_limit(&mut server, &client);
        }
    }
    // Without RD: refused after local data.
    let snoop = Client {
        rd: false,
        ..Client::new("cached.example", 1)
    };
    expect_limit(&mut server, &snoop);
    expect_limit(&mut server, &Client::new("cached.example", 252)); // a transfer
}

#[test]
fn both_transports_share_one_limit() {
    let server = server();
    let udp = Client::new("cached.example", 1);
    let tcp = Client {
        transport: Transport::Tcp { keepalive: false },
        ..udp.clone()
    };
    for number in 0..LIMIT {
        let client = if number % 2 == 0 { &udp } else { &tcp };
        assert!(!is_over(&server.ask(client).verdict));
    }
    assert!(is_over(&server.ask(&udp).verdict));
    assert!(is_over(&server.ask(&tcp).verdict));
}

#[test]
fn replies_that_a_worker_remembers_are_limited() {
    let mut server = server();
    let client = Client::new("cached.example", 1);
    let mut packets = Packets::new();
    let mut known = 0;
    for second in 0..3 {
        for number in 0..LIMIT + 5 {
            let verdict = server.with(|context| {
                let (request, mut buf) = (client.request(), client.msg());
                let len = buf.len();
                buf.resize(4096, 0);
                match packets.look(context, &buf[..len]) {
                    Sighting::Known(ticket) => {
                        known += 1;
                        answer_known(context, (&packets, ticket), &request, &mut buf, len)
                    }
                    Sighting::Repeated(ticket) => {
                        let mut prepared = Prepared::empty();
                        prepare(&mut prepared, context, &buf[..len]);
                        let repeated = Repeated {
                            prepared: &prepared,
                            packets: &mut packets,
                            ticket,
                        };
                        answer_and_learn(context, repeated, &request, &mut buf, len)
                    }
                    Sighting::New => {
                        let mut prepared = Prepared::empty();
                        prepare(&mut prepared, context, &buf[..len]);
                        answer_prepared(context, &prepared, &request, &mut buf, len)
                    }
                }
            });
            assert_eq!(
                is_over(&verdict),
                number >= LIMIT,
                "{number} in second {second}"
            );
        }
        server.advance(1);
    }
    assert!(known > 2 * LIMIT, "{known}");
}

#[test]
fn a_remembered_reply_that_is_made_anew_is_counted_once() {
    let server = server();
    let client = Client::new("cached.example", 1);
    let mut packets = Packets::new();
    let mut admitted = 0;
    // Learnt over one path, asked by another: the reply that is known is not the one to be told.
    for number in 0..LIMIT + 5 {
        let other = Client {
            path_limit: 65_535 - number % 2,
            ..client.clone()
        };
        let verdict = server.with(|context| {
            let (request, mut buf) = (other.request(), client.msg());
            let len = buf.len();
            buf.resize(4096, 0);
            match packets.look(context, &buf[..len]) {
                Sighting::Known(ticket) => {
                    answer_known(context, (&packets, ticket), &request, &mut buf, len)
                }
                Sighting::Repeated(ticket) => {
                    let mut prepared = Prepared::empty();
                    prepare(&mut prepared, context, &buf[..len]);
                    let repeated = Repeated {
                        prepared: &prepared,
                        packets: &mut packets,
                        ticket,
                    };
                    answer_and_learn(context, repeated, &request, &mut buf, len)
                }
                Sighting::New => sluicegate_answer::answer(context, &request, &mut buf, len),
            }
        });
        admitted += usize::from(!is_over(&verdict));
    }
    assert_eq!(admitted, LIMIT);
}

#[test]
fn who_waits_is_counted_once() {
    let server = server();
    let client = Client::new("missed.example", 1);
    let found = Message::reply("missed.example", 1)
        .answer(record(&name("missed.example"), 1, 300, &[192, 0, 2, 7]))
        .build();
    let question = server.miss(&client);
    for _ in 0..2 * LIMIT {
        server.finish(&client, &question, &findings(&found));
    }
    for _ in 1..LIMIT {
        assert!(!is_over(&server.ask(&client).verdict));
    }
    assert!(is_over(&server.ask(&client).verdict));
}

#[test]
fn what_is_turned_away_anyway_is_not_counted() {
    let server = server();
    for (address, expected) in [("198.51.100.1", 5), ("198.51.101.1", 0)] {
        let client = Client {
            address: address.parse().unwrap(),
            ..Client::new("cached.example", 1)
        };
        for _ in 0..2 * LIMIT {
            let answered = server.ask(&client);
            match expected {
                0 => assert_eq!(answered.verdict, Verdict::Drop(DropReason::Denied)),
                rcode => assert_eq!(answered.reply()[3] & 15, rcode),
            }
        }
    }
    // Responses, what is too short, and what comes from port 0.
    let response = Client::new("cached.example", 1).with_bytes(|msg| msg[2] |= 0x80);
    let nowhere = Client {
        port: 0,
        ..Client::new("cached.example", 1)
    };
    for _ in 0..2 * LIMIT {
        let verdict = server.ask_raw(&response).verdict;
        assert_eq!(verdict, Verdict::Drop(DropReason::Response));
        let verdict = server.ask_raw(&response[..7]).verdict;
        assert_eq!(verdict, Verdict::Drop(DropReason::Short));
        let verdict = server.ask(&nowhere).verdict;
        assert_eq!(verdict, Verdict::Drop(DropReason::Malformed));
    }
    assert!(!is_over(
        &server.ask(&Client::new("cached.example", 1)).verdict
    ));
    // FORMERR is a reply.
    let broken = Client::new("cached.example", 1).with_bytes(|msg| msg[5] = 2);
    let replies = (0..2 * LIMIT).filter(|_| !is_over(&server.ask_raw(&broken).verdict));
    assert_eq!(replies.count(), LIMIT - 1);
}

#[test]
fn hits_that_are_dropped_are_no_hits() {
    let server = server();
    let before = server.count(Counter::CacheHits);
    for _ in 0..3 * LIMIT {
        server.ask(&Client::new("cached.example", 1));
    }
    assert_eq!(server.count(Counter::CacheHits) - before, LIMIT as u64);
}

#[test]
fn a_reload_keeps_what_was_counted() {
    let mut server = server();
    let client = Client::new("www.local.example", 1);
    for _ in 0..LIMIT {
        assert!(!is_over(&server.ask(&client).verdict));
    }
    server.reload(CONFIGURATION);
    assert!(is_over(&server.ask(&client).verdict));
    server.reload(&(CONFIGURATION.to_owned() + "\n  ip-ratelimit-size: 1m"));
    assert!(!is_over(&server.ask(&client).verdict));
    server.reload("  access-control: 192.0.2.0/24 allow");
    for _ in 0..3 * LIMIT {
        assert!(!is_over(&server.ask(&client).verdict));
    }
}

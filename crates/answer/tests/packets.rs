//! A worker that remembers whole replies tells what one tells that does not.

mod common;

use std::net::IpAddr;

use common::{Client, Message, Server, record};
use sluicegate_answer::{
    Context, Findings, Outdated, Packets, Prepared, Repeated, Security, Sighting, Verdict, answer,
    answer_and_learn, answer_known, answer_prepared, prepare,
};
use sluicegate_dns::rtype;
use sluicegate_telemetry::Counter;

const CONF: &str = "
    access-control: 192.0.2.0/24 refuse
    access-control: 198.51.100.0/24 allow_snoop
    prefetch: yes
    rrset-roundrobin: no";
const OTHER_CONF: &str = "
    access-control: 192.0.2.0/24 allow
    access-control: 198.51.100.0/24 refuse
    local-zone: name3.lab always_nxdomain
    max-udp-size: 600";

/// A worker: what it remembers, and how often that was of use.
struct Worker {
    packets: Packets,
    known: u32,
}

impl Worker {
    fn new() -> Self {
        Self {
            packets: Packets::new(),
            known: 0,
        }
    }

    /// What a worker of the server does with a query.
    fn ask(&mut self, context: &Context<'_>, client: &Client) -> (Verdict, Vec<u8>) {
        let (msg, request) = (client.msg(), client.request());
        let (mut buf, len) = (msg.clone(), msg.len());
        buf.resize(2048, 0xaa);
        let sighting = self.packets.look(context, &msg);
        if let Sighting::Known(ticket) = sighting {
            self.known += 1;
            let known = (&self.packets, ticket);
            let verdict = answer_known(context, known, &request, &mut buf, len);
            if let Verdict::Reply(len) = verdict {
                buf.truncate(len);
            }
            return (verdict, buf);
        }
        let mut prepared = Prepared::empty();
        prepare(&mut prepared, context, &msg);
        let verdict = match sighting {
            Sighting::Repeated(ticket) => {
                let repeated = Repeated {
                    prepared: &prepared,
                    packets: &mut self.packets,
                    ticket,
                };
                answer_and_learn(context, repeated, &request, &mut buf, len)
            }
            _ => answer_prepared(context, &prepared, &request, &mut buf, len),
        };
        if let Verdict::Reply(len) = verdict {
            buf.truncate(len);
        }
        (verdict, buf)
    }
}

/// What one tells that remembers nothing.
fn plain(context: &Context<'_>, client: &Client) -> (Verdict, Vec<u8>) {
    let msg = client.msg();
    let (mut buf, len) = (msg.clone(), msg.len());
    buf.resize(2048, 0xaa);
    let verdict = answer(context, &client.request(), &mut buf, len);
    if let Verdict::Reply(len) = verdict {
        buf.truncate(len);
    }
    (verdict, buf)
}

/// Numbers that look random and are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

fn client(numbers: &mut Numbers) -> Client {
    let number = numbers.below(8);
    let name = match numbers.below(8) {
        0 => format!("NAME{number}.LAB"),
        _ => format!("name{number}.lab"),
    };
    let address: IpAddr = match numbers.below(12) {
        0 => [192, 0, 2, 1].into(),
        1 => [198, 51, 100, 1].into(),
        _ => [127, 0, 0, 1].into(),
    };
    Client {
        id: numbers.below(65_536) as u16,
        address,
        edns: [
            None,
            Some((1232, false)),
            Some((1232, true)),
            Some((512, true)),
        ][numbers.below(4) as usize],
        rd: numbers.below(10) > 0,
        path_limit: if numbers.below(16) == 0 { 560 } else { 1472 },
        ..Client::new(&name, rtype::A)
    }
}

/// Answers of different shapes, one for each name; the octets change with every call.
fn resolve(server: &Server, number: u64, numbers: &mut Numbers) {
    let asked = Client::new(&format!("name{number}.lab"), rtype::A);
    let mut message = Message::reply(&asked.name, rtype::A);
    let ttl = [1, 5, 20, 77, 300, 3600, 40, 10][number as usize];
    let records = [1, 2, 3, 8, 9, 33, 1, 0][number as usize];
    for n in 0..records {
        let rdata = [10, n, numbers.below(256) as u8, 4];
        message = message.answer(record(b"\xc0\x0c", rtype::A, ttl, &rdata));
    }
    let wire = message.build();
    let found = Findings {
        rcode: 0,
        security: Security::Secure,
        wire: &wire,
        ede: None,
    };
    let question = sluicegate_answer::Question {
        name: asked.name.parse().expect("a name"),
        qtype: rtype::A,
        qclass: 1,
        dnssec_ok: false,
        cd: false,
        stale: false,
    };
    server.finish(&asked, &question, &found);
}

#[test]
fn whatever_happens_the_same_octets_are_told() {
    let mut numbers = Numbers(0x5347);
    let mut server = Server::new(CONF);
    let mut worker = Worker::new();
    let mut other = false;
    for step in 0..60_000 {
        match numbers.below(400) {
            0 => server.advance(numbers.below(10) as u32),
            4..=6 => {
                let number = numbers.below(8);
                resolve(&server, number, &mut numbers);
            }
            7 => {
                let gone = format!("\x05name{}\x03lab\0", numbers.below(8));
                server.brain.cache.flush(|name| name == gone.as_bytes());
            }
            8 if numbers.below(4) == 0 => {
                other = !other;
                server.reload(if other { OTHER_CONF } else { CONF });
            }
            _ => {
                let client = client(&mut numbers);
                let (told, wanted) =
                    server.with(|context| (worker.ask(context, &client), plain(context, &client)));
                assert_eq!(told, wanted, "step {step}: {client:?}");
            }
        }
    }
    assert!(worker.known > 5_000, "{}", worker.known);
}

#[test]
fn a_reply_is_learnt_at_the_second_time_and_counted_as_a_hit() {
    let server = Server::new(CONF);
    resolve(&server, 6, &mut Numbers(1));
    let mut worker = Worker::new();
    let client = Client::new("name6.lab", rtype::A);
    for times in 1..=5 {
        server.with(|context| worker.ask(context, &client));
        assert_eq!(worker.known, u32::saturating_sub(times, 2));
        assert_eq!(server.count(Counter::CacheHits), u64::from(times));
    }
}

#[test]
fn two_queries_that_come_in_turn_are_both_learnt() {
    let server = Server::new(CONF);
    resolve(&server, 6, &mut Numbers(1));
    let mut worker = Worker::new();
    for _ in 0..10 {
        for edns in [None, Some((1232, false))] {
            let client = Client {
                edns,
                ..Client::new("name6.lab", rtype::A)
            };
            server.with(|context| worker.ask(context, &client));
        }
    }
    // But for the rare seed with which both have the same slot: then neither pushes the other out.
    assert!(worker.known == 16 || worker.known == 0, "{}", worker.known);
}

#[test]
fn what_is_forgotten_is_no_longer_known() {
    let mut numbers = Numbers(0x5347);
    let server = Server::new(CONF);
    let mut worker = Worker::new();
    resolve(&server, 2, &mut numbers);
    let client = Client::new("name2.lab", rtype::A);
    for _ in 0..4 {
        let (verdict, _) = server.with(|context| worker.ask(context, &client));
        assert!(matches!(verdict, Verdict::Reply(_)));
    }
    assert!(worker.known > 0);
    let zone: sluicegate_dns::Name = "lab".parse().expect("a name");
    assert_eq!(server.brain.forget(&Outdated::Below([zone].into())), 1);
    let known = worker.known;
    let (verdict, _) = server.with(|context| worker.ask(context, &client));
    assert!(matches!(verdict, Verdict::Miss(_)));
    assert_eq!(worker.known, known);
}

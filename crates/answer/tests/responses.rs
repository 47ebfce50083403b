//! What becomes of answers by the addresses in them, of each kind of answer: fresh, from the cache, expired.

mod common;

use common::{Client, Message, Server, name, record, records};
use sluicegate_answer::{Findings, Resolution, Security, Transport, Unresolved, Verdict, further};
use sluicegate_dns::rtype;
use sluicegate_telemetry::DropReason;

const CONF: &str = "module-config: \"respip iterator\"
    serve-expired: yes
    response-ip: 192.0.2.1 deny
    response-ip: 192.0.2.2 redirect
    response-ip-data: 192.0.2.2 \"500 A 203.0.113.1\"
    response-ip: 192.0.2.3 redirect
    response-ip-data: 192.0.2.3 \"500 CNAME target.lab\"";

fn found(wire: &[u8]) -> Findings<'_> {
    Findings {
        rcode: u16::from(wire[3] & 15),
        security: Security::Secure,
        wire,
        ede: None,
    }
}

fn address(name: &str, last: u8) -> Vec<u8> {
    Message::reply(name, rtype::A)
        .answer(record(b"\xc0\x0c", rtype::A, 60, &[192, 0, 2, last]))
        .build()
}

/// `alias.lab` leads to `host.lab`, which has this address.
fn behind_alias(last: u8) -> Vec<u8> {
    let host = name("host.lab");
    Message::reply("alias.lab", rtype::A)
        .answer(record(b"\xc0\x0c", rtype::CNAME, 60, &host))
        .answer(record(&host, rtype::A, 60, &[192, 0, 2, last]))
        .build()
}

/// A client that wants to know whether the answer is validated.
fn client(name: &str) -> Client {
    Client {
        ad: true,
        ..Client::new(name, rtype::A)
    }
}

/// Owners and TTLs of the answer section.
fn shape(reply: &[u8]) -> Vec<(String, u32)> {
    let records = records(reply).into_iter();
    records
        .map(|record| {
            (
                record.owner.trim_end_matches('.').to_owned(),
                record.ttl_secs,
            )
        })
        .collect()
}

fn owned(shape: &[(&str, u32)]) -> Vec<(String, u32)> {
    let owned = shape.iter().map(|(owner, ttl)| ((*owner).to_owned(), *ttl));
    owned.collect()
}

const AD: u8 = 0x20;

#[test]
fn what_is_denied_is_told_neither_fresh_nor_from_the_cache_nor_expired() {
    let mut server = Server::new(CONF);
    let client = client("www.lab");
    assert!(
        server
            .ask_and_find(&client, &found(&address("www.lab", 1)))
            .is_empty()
    );
    for transport in [Transport::Udp, Transport::Tcp { keepalive: false }] {
        let client = Client {
            transport,
            ..client.clone()
        };
        assert_eq!(
            server.ask(&client).verdict,
            Verdict::Drop(DropReason::LocalDeny)
        );
    }
    server.advance(61);
    assert!(server.has_expired(&client));
    let (reply, _) = server.fail(&client, Unresolved::Late);
    assert!(reply.is_empty());
}

#[test]
fn the_address_is_replaced_and_what_leads_to_it_ages() {
    let mut server = Server::new(CONF);
    let client = client("alias.lab");
    let reply = server.ask_and_find(&client, &found(&behind_alias(2)));
    assert_eq!(
        shape(&reply),
        owned(&[("alias.lab", 60), ("host.lab", 500)])
    );
    assert_eq!(reply[3] & AD, 0, "nobody signed this");
    assert!(reply.ends_with(&[203, 0, 113, 1]));
    server.advance(7);
    let reply = server.ask(&client).reply();
    assert_eq!(
        shape(&reply),
        owned(&[("alias.lab", 53), ("host.lab", 500)])
    );
    assert_eq!(reply[3] & AD, 0);
    // What no rule is for is told as it was found.
    let plain = Client {
        name: "plain.lab".to_owned(),
        ..client.clone()
    };
    let reply = server.ask_and_find(&plain, &found(&address("plain.lab", 9)));
    assert_eq!(reply[3] & AD, AD);
    assert_eq!(server.ask(&plain).reply(), reply);
    // Without the rules the cache says what was found.
    server.reload("serve-expired: yes");
    let reply = server.ask(&client).reply();
    assert_eq!(shape(&reply), owned(&[("alias.lab", 53), ("host.lab", 53)]));
    assert!(reply.ends_with(&[192, 0, 2, 2]));
    assert_eq!(reply[3] & AD, AD);
}

#[test]
fn a_client_waits_on_for_what_the_answer_leads_to() {
    let mut server = Server::new(CONF);
    let client = client("alias.lab");
    let question = server.miss(&client);
    let wire = behind_alias(3);
    let next = server.with(|context| {
        let limits = context.policy.limits();
        let resolution = Resolution::new(&question, &found(&wire), limits);
        context.cache.insert(&resolution, limits, context.now);
        further(context, &resolution, &client.request(), &client.msg())
    });
    let next = next.unwrap();
    assert_eq!(next.name.to_string(), "target.lab.");
    // The same is asked by whoever finds the first answer in the cache.
    server.advance(10);
    assert_eq!(server.miss(&client), next);
    // Even if that has ended meanwhile, the client gets both.
    server.advance(51);
    let whole = [("alias.lab", 0), ("host.lab", 500), ("target.lab", 60)];
    let reply = server.finish(&client, &next, &found(&address("target.lab", 8)));
    assert_eq!(shape(&reply), owned(&whole));
    assert_eq!(reply[3] & AD, 0);
    // What it leads to is subject to a rule itself: it is left out.
    let reply = server.finish(&client, &next, &found(&address("target.lab", 1)));
    assert_eq!(shape(&reply), owned(&whole[..2]));
}

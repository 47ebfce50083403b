//! The whole way of a query, from the bytes that came to the bytes that leave.

mod common;

use common::{Client, Message, Server, record};
use proptest::prelude::*;
use sluicegate_answer::{Findings, Security, Transport, Unresolved, Verdict, answer, fail};
use sluicegate_dns::{rcode, rtype};
use sluicegate_telemetry::{Counter, DropReason};

const CONF: &str = r#"
    local-zone: local.lab static
    local-data: "local.lab SOA ns.local.lab. hostmaster.local.lab. 7 3600 900 86400 60"
    local-data: "local.lab A 192.0.2.1"
    local-zone: denied.lab deny
    local-zone: away.lab redirect
    local-data: "away.lab 77 CNAME www.elsewhere.lab"
"#;

fn insecure(wire: &[u8]) -> Findings<'_> {
    Findings {
        rcode: u16::from(wire[3] & 15),
        security: Security::Insecure,
        wire,
        ede: None,
    }
}

#[test]
fn a_later_hit_has_the_bytes_of_the_first_answer() {
    let server = Server::new(CONF);
    let rrsig = [
        &[0, 1, 8, 3, 0, 0, 14, 16, 0, 0, 0, 9, 0, 0, 0, 1, 1, 2][..],
        b"\x03lab\0",
        &[9; 64],
    ]
    .concat();
    let wire = Message::reply("www.big.lab", rtype::A)
        .answer(record(b"\xc0\x0c", rtype::A, 3600, &[192, 0, 2, 1]))
        .answer(record(b"\xc0\x0c", rtype::RRSIG, 3600, &rrsig))
        .build();
    for (dnssec_ok, cd) in [(false, false), (true, false), (false, true), (true, true)] {
        let client = Client {
            edns: Some((1232, dnssec_ok)),
            cd,
            ..Client::new("WwW.bIg.LaB", rtype::A)
        };
        let first = server.ask_and_find(&client, &insecure(&wire));
        let second = server.ask(&client).reply();
        assert_eq!(first, second);
        assert_eq!(
            u16::from_be_bytes([first[6], first[7]]),
            if dnssec_ok { 2 } else { 1 }
        );
        assert_eq!(first[12..25], *b"\x03WwW\x03bIg\x03LaB\0");
        assert_eq!(first[..2], client.id.to_be_bytes());
    }
    assert_eq!(server.count(Counter::CacheMisses), 1);
}

#[test]
fn every_rule_holds_for_what_is_in_the_cache() {
    let mut server = Server::new(CONF);
    let client = Client::new("www.rules.lab", rtype::A);
    let wire = Message::reply("www.rules.lab", rtype::A)
        .answer(record(b"\xc0\x0c", rtype::A, 3600, &[192, 0, 2, 1]))
        .build();
    server.ask_and_find(&client, &insecure(&wire));
    let code = |reply: Vec<u8>| u16::from(reply[3] & 15);
    let without_rd = Client {
        rd: false,
        ..client.clone()
    };
    let from_nowhere = Client {
        port: 0,
        ..client.clone()
    };
    let transfer = Client {
        qtype: rtype::AXFR,
        ..client.clone()
    };
    assert_eq!(code(server.ask(&client).reply()), rcode::NOERROR);
    assert_eq!(code(server.ask(&without_rd).reply()), rcode::REFUSED);
    assert_eq!(code(server.ask(&transfer).reply()), rcode::REFUSED);
    assert!(matches!(
        server.ask(&from_nowhere).verdict,
        Verdict::Drop(DropReason::Malformed)
    ));
    let other_class = server.ask_raw(&client.with_bytes(|msg| {
        if let Some(class) = msg.last_mut() {
            *class = 3;
        }
    }));
    assert_eq!(code(other_class.reply()), rcode::REFUSED);
    for (lines, want) in [
        ("local-zone: rules.lab always_nxdomain", rcode::NXDOMAIN),
        ("local-zone: lab always_nxdomain", rcode::NXDOMAIN),
        ("local-zone: . always_nxdomain", rcode::NXDOMAIN),
        ("access-control: 127.0.0.0/8 refuse", rcode::REFUSED),
        (
            "access-control: 127.0.0.0/8 refuse_non_local",
            rcode::REFUSED,
        ),
        ("local-zone: mules.lab always_nxdomain", rcode::NOERROR),
    ] {
        server.reload(lines);
        assert_eq!(code(server.ask(&client).reply()), want, "{lines}");
    }
    server.reload("access-control: 127.0.0.0/8 deny");
    assert!(matches!(
        server.ask(&client).verdict,
        Verdict::Drop(DropReason::Denied)
    ));
    server.reload("access-control: 127.0.0.0/8 allow_setrd");
    assert_eq!(code(server.ask(&without_rd).reply()), rcode::NOERROR);
}

#[test]
fn ttls_run_down_and_the_answer_expires() {
    let mut server = Server::new(CONF);
    let wire = Message::reply("www.lab", rtype::A)
        .answer(record(b"\xc0\x0c", rtype::A, 100, &[1, 2, 3, 4]))
        .build();
    let client = Client::new("www.lab", rtype::A);
    let ttl = |reply: &[u8]| u32::from_be_bytes(reply[31..35].try_into().unwrap());
    assert_eq!(ttl(&server.ask_and_find(&client, &insecure(&wire))), 100);
    server.advance(40);
    assert_eq!(ttl(&server.ask(&client).reply()), 60);
    server.advance(59);
    assert_eq!(ttl(&server.ask(&client).reply()), 1);
    server.advance(1);
    assert!(matches!(server.ask(&client).verdict, Verdict::Miss(_)));
}

#[test]
fn negative_answers_live_as_long_as_their_soa_says() {
    let mut server = Server::new(CONF);
    let soa = [
        &b"\x02ns\x03lab\0\x02hm\x03lab\0"[..],
        &[0, 0, 0, 1],
        &[0; 12],
        &30u32.to_be_bytes(),
    ]
    .concat();
    let wire = Message::reply("none.lab", rtype::A)
        .rcode(rcode::NXDOMAIN)
        .authority(record(b"\x03lab\0", rtype::SOA, 900, &soa))
        .build();
    let client = Client::new("none.lab", rtype::A);
    let first = server.ask_and_find(&client, &insecure(&wire));
    assert_eq!(first[3] & 15, 3);
    server.advance(29);
    assert_eq!(server.ask(&client).reply()[3] & 15, 3);
    server.advance(1);
    assert!(matches!(server.ask(&client).verdict, Verdict::Miss(_)));
}

#[test]
fn bogus_data_is_for_clients_with_cd_only() {
    let server = Server::new(CONF);
    let wire = Message::reply("bogus.lab", rtype::A)
        .answer(record(b"\xc0\x0c", rtype::A, 100, &[1, 2, 3, 4]))
        .build();
    let found = Findings {
        rcode: 0,
        security: Security::Bogus,
        wire: &wire,
        ede: None,
    };
    let plain = Client::new("bogus.lab", rtype::A);
    let unchecked = Client {
        cd: true,
        ..plain.clone()
    };
    assert_eq!(server.ask_and_find(&plain, &found)[3] & 15, 2);
    for _ in 0..2 {
        let refused = server.ask(&plain).reply();
        assert_eq!((refused[3] & 15, &refused[6..12]), (2, &[0; 6][..]));
        let shown = server.ask(&unchecked).reply();
        assert_eq!((shown[3] & 15, &shown[6..8]), (0, &[0, 1][..]));
    }
}

#[test]
fn secure_answers_carry_ad_to_those_who_asked() {
    let server = Server::new(CONF);
    let wire = Message::reply("secure.lab", rtype::A)
        .answer(record(b"\xc0\x0c", rtype::A, 100, &[1, 2, 3, 4]))
        .build();
    let found = Findings {
        rcode: 0,
        security: Security::Secure,
        wire: &wire,
        ede: None,
    };
    let plain = Client::new("secure.lab", rtype::A);
    let ad = |reply: &[u8]| reply[3] & 0x20 != 0;
    assert!(!ad(&server.ask_and_find(&plain, &found)));
    assert!(ad(&server
        .ask(&Client {
            ad: true,
            ..plain.clone()
        })
        .reply()));
    assert!(ad(&server
        .ask(&Client {
            edns: Some((1232, true)),
            ..plain.clone()
        })
        .reply()));
    assert!(!ad(&server
        .ask(&Client {
            edns: Some((1232, false)),
            ..plain
        })
        .reply()));
}

#[test]
fn what_answers_another_question_is_a_failure() {
    let server = Server::new(CONF);
    let wire = Message::reply("other.lab", rtype::A)
        .answer(record(b"\xc0\x0c", rtype::A, 100, &[1, 2, 3, 4]))
        .build();
    let reply = server.ask_and_find(&Client::new("asked.lab", rtype::A), &insecure(&wire));
    assert_eq!((reply[3] & 15, &reply[6..8]), (2, &[0, 0][..]));
    let cut = &wire[..wire.len() - 1];
    let reply = server.ask_and_find(&Client::new("other.lab", rtype::A), &insecure(cut));
    assert_eq!((reply[3] & 15, &reply[6..8]), (2, &[0, 0][..]));
}

#[test]
fn replies_fit_the_client_the_server_and_the_path() {
    let server = Server::new("max-udp-size: 1400\n");
    let mut message = Message::reply("large.lab", rtype::TXT);
    for number in 0..20 {
        let text = [&[100u8][..], &[number; 100]].concat();
        message = message.answer(record(b"\xc0\x0c", rtype::TXT, 100, &text));
    }
    let wire = message.build();
    let base = Client::new("large.lab", rtype::TXT);
    server.ask_and_find(&base, &insecure(&wire));
    for (client, path, fits) in [
        (base.clone(), 65_535, false),
        (
            Client {
                edns: Some((1232, false)),
                ..base.clone()
            },
            65_535,
            false,
        ),
        (
            Client {
                edns: Some((4096, false)),
                ..base.clone()
            },
            65_535,
            false,
        ),
        (
            Client {
                transport: Transport::Tcp { keepalive: false },
                ..base.clone()
            },
            65_535,
            true,
        ),
        (
            Client {
                transport: Transport::Tcp { keepalive: false },
                ..base.clone()
            },
            600,
            false,
        ),
    ] {
        let reply = server
            .ask(&Client {
                path_limit: path,
                ..client.clone()
            })
            .reply();
        assert_eq!(reply[2] & 2 == 0, fits, "{client:?}");
        assert_eq!(reply.len() > 600, fits);
        assert_eq!(
            reply[10..12],
            u16::from(client.edns.is_some()).to_be_bytes()
        );
    }
    assert_eq!(server.count(Counter::Truncated), 5);
}

#[test]
fn an_alias_and_its_target_become_one_answer() {
    let mut server = Server::new(CONF);
    // Every kind of pointer: into the question, its middle, an earlier owner, and earlier data.
    let wire = Message::reply("www.elsewhere.lab", rtype::A)
        .answer(record(b"\xc0\x0c", rtype::CNAME, 300, b"\x01a\xc0\x10"))
        .answer(record(b"\xc0\x2f", rtype::CNAME, 200, b"\x01b\xc0\x2f"))
        .answer(record(b"\xc0\x3f", rtype::A, 100, &[192, 0, 2, 7]))
        .build();
    let client = Client::new("X.Away.lab", rtype::A);
    let first = server.ask_and_find(&client, &insecure(&wire));
    assert_eq!(first, server.ask(&client).reply());
    server.advance(10);
    let later = server.ask(&client).reply();
    let chain = common::records(&later);
    let expected = [
        ("x.away.lab.", rtype::CNAME, 77, Some("www.elsewhere.lab.")),
        (
            "www.elsewhere.lab.",
            rtype::CNAME,
            290,
            Some("a.elsewhere.lab."),
        ),
        (
            "a.elsewhere.lab.",
            rtype::CNAME,
            190,
            Some("b.a.elsewhere.lab."),
        ),
        ("b.a.elsewhere.lab.", rtype::A, 90, None),
    ];
    assert_eq!(chain.len(), expected.len());
    for (record, (owner, rtype, ttl_secs, target)) in chain.iter().zip(expected) {
        assert_eq!(
            (&record.owner[..], record.rtype, record.ttl_secs),
            (owner, rtype, ttl_secs)
        );
        assert_eq!(record.target.as_deref(), target);
    }
    assert_eq!(later[2] & 4, 4, "AA");
    // Too long for the client: nothing but TC, the question and OPT.
    let small = Client {
        path_limit: 80,
        edns: Some((512, false)),
        ..client
    };
    let cut = server.ask(&small).reply();
    assert_eq!((cut[2] & 2, &cut[6..12]), (2, &[0, 0, 0, 0, 0, 1][..]));
    assert_eq!(cut.len(), 12 + 16 + 11);
}

#[test]
fn a_failed_target_is_a_failure_without_the_alias() {
    let server = Server::new(CONF);
    let failed = Findings {
        rcode: rcode::SERVFAIL,
        security: Security::Insecure,
        wire: &[],
        ede: None,
    };
    let reply = server.ask_and_find(&Client::new("x.away.lab", rtype::A), &failed);
    assert_eq!(
        (reply[2] & 4, reply[3] & 15, &reply[6..12]),
        (0, 2, &[0; 6][..])
    );
}

#[test]
fn a_changed_policy_fails_waiting_clients_cleanly() {
    let mut server = Server::new(CONF);
    let client = Client::new("x.away.lab", rtype::A);
    let Verdict::Miss(question) = server.ask(&client).verdict else {
        panic!("a miss")
    };
    let wire = Message::reply("www.elsewhere.lab", rtype::A).build();
    server.reload("");
    let reply = server.finish(&client, &question, &insecure(&wire));
    assert_eq!((reply[3] & 15, &reply[6..12]), (2, &[0; 6][..]));
}

#[test]
fn silence_has_a_reason() {
    let server = Server::new(CONF);
    let drop = |client: &Client| server.ask(client).verdict;
    assert_eq!(
        drop(&Client::new("x.denied.lab", rtype::A)),
        Verdict::Drop(DropReason::LocalDeny)
    );
    assert_eq!(
        drop(&Client {
            port: 0,
            ..Client::new("x", rtype::A)
        }),
        Verdict::Drop(DropReason::Malformed)
    );
    let response = Client::new("x", rtype::A).with_bytes(|msg| msg[2] |= 0x80);
    assert_eq!(
        server.ask_raw(&response).verdict,
        Verdict::Drop(DropReason::Response)
    );
    assert_eq!(
        server.ask_raw(&[0; 11]).verdict,
        Verdict::Drop(DropReason::Short)
    );
}

#[test]
fn strangers_are_refused_with_a_header_alone() {
    let server = Server::new("access-control: 192.0.2.0/24 deny\n");
    let stranger = Client {
        address: "198.51.100.1".parse().unwrap(),
        ..Client::new("x.lab", rtype::A)
    };
    let reply = server.ask(&stranger).reply();
    assert_eq!(reply, [0x53, 0x47, 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0]);
    let denied = Client {
        address: "192.0.2.1".parse().unwrap(),
        ..Client::new("x.lab", rtype::A)
    };
    assert_eq!(
        server.ask(&denied).verdict,
        Verdict::Drop(DropReason::Denied)
    );
    assert_eq!(server.count(Counter::Refused), 1);
}

#[test]
fn any_may_be_denied() {
    let server = Server::new("deny-any: yes\n");
    let reply = server.ask(&Client::new("x.lab", rtype::ANY)).reply();
    assert_eq!((reply[3] & 15, &reply[6..12]), (4, &[0; 6][..]));
}

#[test]
fn a_client_with_cookies_only_is_sent_to_tcp() {
    let server = Server::new("access-control: 192.0.2.0/24 allow_cookie\n");
    let udp = Client {
        address: "192.0.2.1".parse().unwrap(),
        ..Client::new("x.lab", rtype::A)
    };
    assert_eq!(server.ask(&udp).reply()[2] & 2, 2);
    assert!(matches!(
        server
            .ask(&Client {
                transport: Transport::Tcp { keepalive: false },
                ..udp
            })
            .verdict,
        Verdict::Miss(_)
    ));
}

#[test]
fn tcp_clients_hear_of_the_idle_time_out_if_they_ask() {
    let keepalive = |conf: &str, transport| {
        let client = Client {
            transport,
            ..Client::new("local.lab", rtype::A)
        };
        let mut msg = client.msg();
        msg[11] = 1;
        msg.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 11, 0, 0]);
        let server = Server::new(&format!("{CONF}{conf}"));
        server
            .ask_raw_over(&msg, transport)
            .reply()
            .ends_with(&[0, 6, 0, 11, 0, 2, 1, 44])
    };
    let tcp = Transport::Tcp { keepalive: false };
    assert!(keepalive("edns-tcp-keepalive: yes\n", tcp));
    assert!(!keepalive("edns-tcp-keepalive: yes\n", Transport::Udp));
    assert!(!keepalive("", tcp));
}

#[test]
fn who_has_asked_once_hears_of_it_with_each_reply() {
    let server = Server::new(&format!("{CONF}edns-tcp-keepalive: yes\n"));
    let tells = |keepalive, opt: &[u8]| {
        let mut msg = Client::new("local.lab", rtype::A).msg();
        msg[11] = u8::from(!opt.is_empty());
        msg.extend(opt);
        let transport = Transport::Tcp { keepalive };
        let answered = server.ask_raw_over(&msg, transport);
        answered.reply().ends_with(&[0, 11, 0, 2, 1, 44])
    };
    let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    assert!(tells(true, &opt));
    assert!(!tells(false, &opt));
    // Who knows no EDNS is told nothing of it.
    assert!(!tells(true, &[]));
}

#[test]
fn fail_is_servfail_with_the_question() {
    let server = Server::new(CONF);
    let client = Client {
        edns: Some((1232, true)),
        ..Client::new("X.lab", rtype::A)
    };
    let msg = client.msg();
    let mut buf = vec![0; 2048];
    buf[..msg.len()].copy_from_slice(&msg);
    let why = Unresolved::Overloaded;
    let reply = server.with(|context| fail(context, &client.request(), &mut buf, msg.len(), why));
    assert_eq!(
        (buf[3] & 15, &buf[4..12]),
        (2, &[0, 1, 0, 0, 0, 0, 0, 1][..])
    );
    assert!(!reply.stale);
    // The OPT record says why: network error.
    assert_eq!(buf[msg.len()..reply.len], [0, 15, 0, 2, 0, 23]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn nothing_that_comes_in_makes_it_panic(
        changes in prop::collection::vec((0usize..64, any::<u8>()), 0..8),
        cut in 0usize..80,
        room in 0usize..400,
        name in "[a-z.]{0,12}(local|away|denied|x)[.]lab",
        qtype in prop_oneof![Just(1u16), Just(5), Just(43), Just(255), any::<u16>()],
        edns in any::<bool>(),
    ) {
        let name = name.trim_start_matches('.').replace("..", ".");
        let client = Client { edns: edns.then_some((1232, true)), ..Client::new(&name, qtype) };
        let mut msg = client.msg();
        for (at, byte) in changes {
            if let Some(place) = msg.get_mut(at) {
                *place = byte;
            }
        }
        msg.truncate(cut.max(1));
        let mut buf = msg.clone();
        buf.resize(msg.len() + room, 0xaa);
        let server = Server::shared(CONF);
        server.with(|context| {
            let verdict = answer(context, &client.request(), &mut buf, msg.len());
            if let Verdict::Reply(len) = verdict {
                prop_assert!(len >= 12 && len <= buf.len() && buf[2] & 0x80 != 0);
                prop_assert!(len <= msg.len().max(1232));
            }
            Ok(())
        })?;
    }
}

#[test]
fn addresses_take_turns_by_the_query_s_id() {
    for (lines, turned) in [("", true), ("rrset-roundrobin: no", false)] {
        let server = Server::new(lines);
        let mut wire = Message::reply("many.lab", rtype::A);
        for last in 0..5 {
            wire = wire.answer(record(b"\xc0\x0c", rtype::A, 300, &[192, 0, 2, last]));
        }
        let wire = wire.build();
        let mut firsts = Vec::new();
        for id in 0..5 {
            let client = Client {
                id,
                ..Client::new("many.lab", rtype::A)
            };
            let first = server.ask_and_find(&client, &insecure(&wire));
            assert_eq!(
                server.ask(&client).reply(),
                first,
                "the same query, the same reply"
            );
            firsts.push(first[client.msg().len() + 15]);
        }
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), if turned { 5 } else { 1 });
    }
}

#[test]
fn with_ede_yes_refusals_have_a_reason() {
    let lines =
        "access-control: 192.0.2.0/25 refuse\naccess-control: 192.0.2.128/25 refuse_non_local";
    for (ede_lines, explains) in [("\nede: yes", true), ("\nede: no", false), ("", false)] {
        let server = Server::new(&format!("{lines}{ede_lines}"));
        let plain = Client::new("www.lab", rtype::A);
        let asks = |address: [u8; 4], rd| Client {
            address: address.into(),
            rd,
            edns: Some((1232, false)),
            ..plain.clone()
        };
        let local = asks([127, 0, 0, 1], false);
        for (client, code) in [
            (asks([192, 0, 2, 1], true), 18),
            (asks([192, 0, 2, 200], true), 18),
            (local, 20),
        ] {
            let reply = server.ask(&client).reply();
            assert_eq!(reply[3] & 15, 5);
            assert_eq!(
                common::ede(&reply).map(|(code, _)| code),
                explains.then_some(code)
            );
        }
        // Who does not speak EDNS gets what it always got.
        let old = Client {
            address: [192, 0, 2, 1].into(),
            ..plain.clone()
        };
        assert_eq!(server.ask(&old).reply().len(), 12);
    }
}

/// A message of `client` that also asks for the server's identifier.
fn asking_for_nsid(client: &Client) -> Vec<u8> {
    let mut message = client.msg();
    let length = message.len() - 2;
    message[length..].copy_from_slice(&[0, 4]);
    message.extend([0, 3, 0, 0]);
    message
}

#[test]
fn who_asks_for_the_server_s_identifier_gets_it() {
    let server = Server::new("nsid: 0a0b0c");
    let client = Client {
        edns: Some((1232, false)),
        ..Client::new("www.nsid.lab", rtype::A)
    };
    let wire = Message::reply("www.nsid.lab", rtype::A)
        .answer(record(b"\xc0\x0c", rtype::A, 3600, &[192, 0, 2, 1]))
        .build();
    let plain = server.ask_and_find(&client, &insecure(&wire));
    let asked = asking_for_nsid(&client);
    // Again and again, so that it is no matter what is remembered of the query.
    for _ in 0..3 {
        let mut expected = plain.clone();
        let length = expected.len() - 2;
        expected[length..].copy_from_slice(&[0, 7]);
        expected.extend([0, 3, 0, 3, 0x0a, 0x0b, 0x0c]);
        assert_eq!(server.ask_raw(&asked).reply(), expected);
        assert_eq!(server.ask(&client).reply(), plain);
    }
    let silent = Server::new("");
    silent.ask_and_find(&client, &insecure(&wire));
    assert_eq!(silent.ask_raw(&asked).reply(), plain);
}

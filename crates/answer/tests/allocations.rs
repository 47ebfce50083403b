//! Nothing is allocated for a query whose answer is known, whatever kind of answer it is.

mod common;

use allocation_counter::measure;
use common::{Client, Message, Server, record};
use sluicegate_answer::{Findings, Security, Transport, Verdict, answer};
use sluicegate_dns::rtype;

const CONF: &str = r#"
    access-control: 192.0.2.0/24 refuse
    local-zone: local.lab static
    local-data: "local.lab SOA ns.local.lab. hostmaster.local.lab. 7 3600 900 86400 60"
    local-data: "local.lab A 192.0.2.1"
    local-zone: away.lab redirect
    local-data: "away.lab 77 CNAME www.elsewhere.lab"
"#;

#[test]
fn a_known_answer_allocates_nothing() {
    let server = Server::new(CONF);
    for (asked, resolved) in [("www.lab", "www.lab"), ("x.away.lab", "www.elsewhere.lab")] {
        let wire = Message::reply(resolved, rtype::A)
            .answer(record(b"\xc0\x0c", rtype::A, 300, &[1, 2, 3, 4]))
            .build();
        let found = Findings {
            rcode: 0,
            security: Security::Insecure,
            wire: &wire,
            ede: None,
        };
        server.ask_and_find(&Client::new(asked, rtype::A), &found);
    }
    for (what, client) in known() {
        assert_eq!(allocations(&server, &client, what), 0, "{what}");
    }
}

/// One question for each way to an answer.
fn known() -> Vec<(&'static str, Client)> {
    let edns = Some((1232, true));
    let cached = Client::new("www.lab", rtype::A);
    let stranger = "192.0.2.1".parse().expect("an address");
    vec![
        ("cache", cached.clone()),
        (
            "cache, EDNS",
            Client {
                edns,
                ..cached.clone()
            },
        ),
        (
            "cache, TCP",
            Client {
                transport: Transport::Tcp { keepalive: false },
                ..cached.clone()
            },
        ),
        ("alias", Client::new("x.away.lab", rtype::A)),
        ("local data", Client::new("local.lab", rtype::A)),
        (
            "local negative",
            Client {
                edns,
                ..Client::new("none.local.lab", rtype::A)
            },
        ),
        (
            "built-in",
            Client::new("1.0.0.127.in-addr.arpa", rtype::PTR),
        ),
        ("transfer", Client::new("local.lab", rtype::AXFR)),
        (
            "no recursion",
            Client {
                rd: false,
                ..cached.clone()
            },
        ),
        (
            "stranger",
            Client {
                address: stranger,
                ..cached
            },
        ),
    ]
}

/// How often ten answers allocate.
fn allocations(server: &Server, client: &Client, what: &str) -> u64 {
    let (msg, request) = (client.msg(), client.request());
    let mut buf = vec![0; 2048];
    server.with(|context| {
        let mut verdict = Verdict::Reply(0);
        let counted = measure(|| {
            for _ in 0..10 {
                buf[..msg.len()].copy_from_slice(&msg);
                verdict = answer(context, &request, &mut buf, msg.len());
            }
        });
        assert!(
            matches!(verdict, Verdict::Reply(1..)),
            "{what}: {verdict:?}"
        );
        counted.count_total
    })
}

#[test]
fn a_miss_allocates_nothing() {
    let server = Server::new(CONF);
    let client = Client::new("unknown.lab", rtype::A);
    let msg = client.msg();
    let request = client.request();
    let mut buf = vec![0; 2048];
    server.with(|context| {
        buf[..msg.len()].copy_from_slice(&msg);
        let mut verdict = Verdict::Reply(0);
        let counted = measure(|| verdict = answer(context, &request, &mut buf, msg.len()));
        assert!(matches!(verdict, Verdict::Miss(_)));
        assert_eq!(counted.count_total, 0);
    });
}

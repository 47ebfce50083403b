//! What must hold for every message that claims to be a query. Run by the fuzz target, over its corpus by
//! `cargo test`, and on generated messages beside two other implementations of DNS.

use domain::base::Message;
use domain::base::name::ToName;
use domain::base::opt::UnknownOptData;
use sluicegate_dns::{
    Ede, HEADER_BYTES, Name, Query, QueryError, RenderOptions, write_error, write_rcode,
};

/// Panics if a message is judged or refused otherwise than `domain` and the RFCs have it.
pub(crate) fn check(msg: &[u8]) {
    match Query::parse(msg) {
        Ok(query) => {
            accepted(msg, &query);
            same_in_hickory(msg, &query);
            check_refusal(msg, &query);
        }
        Err(error) => {
            assert_eq!(why_not(msg), Some(error), "{msg:x?}");
            check_error_reply(msg, &error);
        }
    }
}

/// The same message, read by `domain`.
fn accepted(msg: &[u8], query: &Query) {
    assert_eq!(why_not(msg), None, "accepted, but should not be: {msg:x?}");
    let message = Message::from_slice(msg).expect("at least a header");
    let header = message.header();
    assert_eq!((query.id, query.rd), (header.id(), header.rd()));
    assert_eq!((query.cd, query.ad), (header.cd(), header.ad()));
    let question = message.sole_question().expect("one question");
    let qname = question.qname().to_vec();
    assert_eq!(query.name.as_bytes(), qname.as_slice().to_ascii_lowercase());
    assert_eq!(
        (query.qtype, query.qclass),
        (question.qtype().to_int(), question.qclass().to_int())
    );
    assert_eq!(query.question_len, qname.len() + 4);
    check_name(&query.name);
    let has_opt = message.header_counts().arcount() == 1;
    let opt = has_opt
        .then(|| Opt::read(message, HEADER_BYTES + query.question_len).expect("an OPT record"));
    assert_eq!(query.edns.is_some(), opt.is_some());
    if let (Some(edns), Some(opt)) = (query.edns, opt) {
        let options = opt.options.expect("options that can be read");
        assert_eq!(
            (edns.udp_size, edns.version, edns.dnssec_ok),
            (opt.udp_size.max(512), opt.version, opt.dnssec_ok)
        );
        assert_eq!(query.dnssec_ok(), opt.dnssec_ok);
        assert_eq!(edns.nsid, first(&options, 3).is_some());
        assert_eq!(edns.keepalive, first(&options, 11).is_some());
        let cookie = edns.cookie.map(|cookie| {
            let (server, len) = cookie.server;
            [&cookie.client[..], &server[..usize::from(len)]].concat()
        });
        assert_eq!(
            cookie.as_ref(),
            first(&options, 10),
            "the first cookie counts (RFC 7873, 5.2)"
        );
    }
    assert!(query.udp_limit(4096) >= 512 && query.udp_limit(600) <= 600);
}

/// A name and its presentation format, there and back.
fn check_name(name: &Name) {
    assert_eq!(Name::from_text(&name.to_string()), Ok(*name));
    assert_eq!(name.suffixes().count(), name.label_count() + 1);
    let octets: usize = name.labels().map(|label| label.len() + 1).sum();
    assert_eq!(octets + 1, name.as_bytes().len());
    assert!(
        name.parent()
            .is_none_or(|parent| name.is_subdomain_of(&parent) && !parent.is_subdomain_of(name))
    );
}

/// Whatever hickory can read of an accepted query, it reads likewise.
fn same_in_hickory(msg: &[u8], query: &Query) {
    let Ok(theirs) = hickory_proto::op::Message::from_vec(msg) else {
        return;
    };
    assert_eq!(theirs.metadata.id, query.id);
    assert_eq!(theirs.metadata.recursion_desired, query.rd);
    assert_eq!(theirs.metadata.checking_disabled, query.cd);
    let [question] = &theirs.queries[..] else {
        panic!("not one question: {theirs:?}")
    };
    let labels: Vec<Vec<u8>> = question
        .name()
        .iter()
        .map(<[u8]>::to_ascii_lowercase)
        .collect();
    assert_eq!(
        labels,
        query.name.labels().map(<[u8]>::to_vec).collect::<Vec<_>>()
    );
    assert_eq!(u16::from(question.query_type()), query.qtype);
    assert_eq!(
        u16::from(question.query_class()) & 0x7fff,
        query.qclass & 0x7fff,
        "mDNS takes the highest bit"
    );
    assert_eq!(theirs.edns.is_some(), query.edns.is_some());
    if let (Some(theirs), Some(ours)) = (&theirs.edns, query.edns) {
        assert_eq!(theirs.max_payload().max(512), ours.udp_size);
        assert_eq!(theirs.flags().dnssec_ok, ours.dnssec_ok);
    }
}

/// The rules of [`Query::parse`] in their order, spelled out over `domain`'s reading.
fn why_not(msg: &[u8]) -> Option<QueryError> {
    let Ok(message) = Message::from_slice(msg) else {
        return Some(QueryError::Short);
    };
    let (header, counts) = (message.header(), message.header_counts());
    if header.qr() {
        return Some(QueryError::Response);
    }
    if header.tc() {
        return Some(QueryError::Format);
    }
    match header.opcode().to_int() {
        0 | 4 => {}
        _ => return Some(QueryError::NotImplemented),
    }
    if counts.qdcount() != 1 || counts.arcount() > 1 {
        return Some(QueryError::Format);
    }
    // A NOTIFY may bring the new SOA record along (RFC 1996, 3.7).
    let notify = header.opcode().to_int() == 4;
    if counts.ancount() > u16::from(notify) || counts.nscount() != 0 {
        return Some(QueryError::Format);
    }
    if notify {
        return Some(QueryError::Notify);
    }
    let Ok(question) = message.sole_question() else {
        return Some(QueryError::Format);
    };
    let qname = question.qname().to_vec();
    if !msg[HEADER_BYTES..].starts_with(qname.as_slice()) {
        return Some(QueryError::Format); // compressed
    }
    if counts.arcount() == 0 {
        return None;
    }
    let question_len = qname.len() + 4;
    let Some(opt) = Opt::read(message, HEADER_BYTES + question_len) else {
        return Some(QueryError::Format);
    };
    if opt.version != 0 {
        return Some(QueryError::BadVersion {
            question_len,
            dnssec_ok: opt.dnssec_ok,
        });
    }
    let Some(options) = opt.options else {
        return Some(QueryError::Format);
    };
    let cookie = first(&options, 10);
    cookie
        .is_some_and(|cookie| !matches!(cookie.len(), 8 | 16..=40))
        .then_some(QueryError::Format)
}

/// The OPT record of a query, read by `domain`.
struct Opt {
    udp_size: u16,
    version: u8,
    dnssec_ok: bool,
    /// Codes and data, in order; `None`: they don't fill the record.
    options: Option<Vec<(u16, Vec<u8>)>>,
}

impl Opt {
    /// The record, if it stands at `at`, has the root as its owner, and is an OPT.
    fn read(message: &Message<[u8]>, at: usize) -> Option<Self> {
        let record = message.additional().ok()?.next()?.ok()?;
        if message.as_slice()[at] != 0 || record.rtype().to_int() != 41 {
            return None;
        }
        let [_, version, flags, _] = record.ttl().as_secs().to_be_bytes();
        let data = record
            .to_record::<domain::base::opt::Opt<_>>()
            .ok()
            .flatten();
        let options = data.map(|record| {
            let options = record.data().iter::<UnknownOptData<_>>().flatten();
            options
                .map(|option| (option.code().to_int(), option.data().to_vec()))
                .collect()
        });
        Some(Self {
            udp_size: record.class().to_int(),
            version,
            dnssec_ok: flags & 0x80 != 0,
            options,
        })
    }
}

/// The first option with this code.
fn first(options: &[(u16, Vec<u8>)], code: u16) -> Option<&Vec<u8>> {
    options
        .iter()
        .find(|(number, _)| *number == code)
        .map(|(_, data)| data)
}

/// The reply to what is no good query: at most question and OPT, never longer than need be.
fn check_error_reply(msg: &[u8], error: &QueryError) {
    let mut buf = msg.to_vec();
    buf.extend([0xa5; 64]);
    let Some(len) = write_error(&mut buf, error, 1232) else {
        assert!(matches!(error, QueryError::Short | QueryError::Response));
        return;
    };
    let reply = Message::from_slice(&buf[..len]).expect("at least a header");
    let query = Message::from_slice(msg).expect("only what has a header is replied to");
    let (header, asked) = (reply.header(), query.header());
    assert_eq!(
        (header.id(), header.opcode(), header.rd(), header.cd()),
        (asked.id(), asked.opcode(), asked.rd(), asked.cd())
    );
    assert!(header.qr() && !header.tc() && !header.ad() && !header.z());
    let rcode = reply.opt_rcode().to_int();
    match error {
        QueryError::NotImplemented => assert_eq!(rcode, 4),
        QueryError::Notify => assert_eq!(rcode, 5),
        QueryError::Format => assert_eq!(rcode, 1),
        QueryError::BadVersion {
            question_len,
            dnssec_ok,
        } => {
            let opt = reply.opt().expect("BADVERS needs an OPT record");
            assert_eq!((rcode, opt.version(), opt.dnssec_ok()), (16, 0, *dnssec_ok));
            assert_eq!(len, HEADER_BYTES + question_len + 11);
            assert_eq!(
                buf[HEADER_BYTES..][..*question_len],
                msg[HEADER_BYTES..][..*question_len]
            );
        }
        other => panic!("{other:?} is answered"),
    }
    assert!(
        len <= msg.len().max(HEADER_BYTES + 11),
        "{len} octets for {}",
        msg.len()
    );
    whole(&buf[..len]);
}

/// A refusal of a good query, with everything that an OPT record can say.
fn check_refusal(msg: &[u8], query: &Query) {
    let options = RenderOptions {
        age_secs: 0,
        limit_bytes: 512,
        udp_size: 1400,
        recursion_available: true,
        ede: Some(Ede {
            code: 18,
            text: "keep out",
        }),
        keepalive: None,
        nsid: None,
    };
    let mut buf = msg.to_vec();
    buf.extend([0xa5; 64]);
    let len = write_rcode(&mut buf, query, 5, &options);
    let reply = Message::from_slice(&buf[..len]).expect("at least a header");
    let header = reply.header();
    assert_eq!(
        (
            header.id(),
            header.opcode().to_int(),
            header.rcode().to_int()
        ),
        (query.id, 0, 5)
    );
    assert_eq!((header.rd(), header.cd()), (query.rd, query.cd));
    assert!(
        header.qr() && header.ra() && !header.aa() && !header.tc() && !header.ad() && !header.z()
    );
    let question = HEADER_BYTES..HEADER_BYTES + query.question_len;
    assert_eq!(
        buf[question.clone()],
        msg[question],
        "the client's own spelling"
    );
    let opt = reply.opt();
    assert_eq!(
        opt.is_some(),
        query.edns.is_some(),
        "OPT if and only if there was one"
    );
    if let Some(opt) = opt {
        assert_eq!(
            (opt.udp_payload_size(), opt.version(), opt.dnssec_ok()),
            (1400, 0, query.dnssec_ok())
        );
        let options: Vec<_> = opt.opt().iter::<UnknownOptData<_>>().flatten().collect();
        assert_eq!(options.len(), 1, "EDE alone");
        assert_eq!(
            (options[0].code().to_int(), *options[0].data()),
            (15, &b"\0\x12keep out"[..])
        );
    }
    whole(&buf[..len]);
}

/// The message ends where its last record does, as `domain` and hickory both have it.
fn whole(reply: &[u8]) {
    let message = Message::from_slice(reply).expect("at least a header");
    let mut octets = reply.len();
    if let Some(opt) = message.opt() {
        octets -= 11 + opt.opt().len();
    }
    let question = message.question().next().map_or(0, |question| {
        question.expect("a question").qname().to_vec().len() + 4
    });
    assert_eq!(octets, HEADER_BYTES + question, "{reply:x?}");
}

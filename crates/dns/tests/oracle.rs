//! Generated messages, written by three encoders and read by three implementations: this crate, `domain` and
//! hickory.

use domain::base::message_builder::{MessageBuilder, StaticCompressor, TreeCompressor};
use domain::base::wire::Composer;
use domain::base::{Message, ParsedName, Record};
use domain::rdata::AllRecordData;
use proptest::collection::vec;
use proptest::prelude::*;
use sluicegate_dns::{
    CompileOptions, HEADER_BYTES, Name, Owner, Query, RenderOptions, Section, Stored,
    StoredBuilder, compile, render,
};

#[path = "../../../fuzz/checks/dns_answer.rs"]
mod dns_answer;
#[path = "../../../fuzz/checks/dns_query.rs"]
mod dns_query;

/// A name on the wire, of labels that often meet again, so that there is something to compress.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let label = prop_oneof![
        8 => prop_oneof![Just("a"), Just("www"), Just("example"), Just("com"), Just("ns1")].prop_map(str::to_owned),
        1 => "[a-z0-9-]{1,63}",
    ];
    vec(label, 0..4).prop_map(|labels| {
        let mut wire = Vec::new();
        for label in labels {
            wire.push(label.len() as u8);
            wire.extend(label.as_bytes());
        }
        wire.push(0);
        wire
    })
}

/// A record type and its data, names in full.
fn data() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let octets = |len| vec(any::<u8>(), len);
    let headed = move |len, rtypes: &'static [u16]| {
        let rtype = proptest::sample::select(rtypes);
        (rtype, octets(len..=len), name())
            .prop_map(|(rtype, head, name)| (rtype, [head, name].concat()))
    };
    let text = octets(0..=39).prop_map(|text| [vec![text.len() as u8], text].concat());
    prop_oneof![
        4 => octets(4..=4).prop_map(|data| (1, data)),
        2 => octets(16..=16).prop_map(|data| (28, data)),
        3 => headed(0, &[2, 5, 12, 39]),
        2 => headed(2, &[15]),
        1 => headed(6, &[33]),
        2 => (name(), name(), octets(20..=20)).prop_map(|(m, r, rest)| (6, [m, r, rest].concat())),
        1 => vec(text, 1..4).prop_map(|texts| (16, texts.concat())),
        2 => (octets(4..=4), name()).prop_map(|(mut head, signer)| {
            head = [&[0, 1, 13, 2], &head[..], &[0x70; 10], &signer[..], &[0xaa; 64]].concat();
            (46, head)
        }),
        1 => name().prop_map(|next| (47, [&next[..], &[0, 1, 0x40]].concat())),
        1 => octets(32..=32).prop_map(|digest| (43, [&[0x30, 0x39, 13, 2], &digest[..]].concat())),
        1 => octets(0..=49).prop_map(|data| (65_280, data)),
    ]
}

/// The octets in front of a message for [`dns_answer::check`]; limits that cut as often as not.
fn head() -> impl Strategy<Value = [u8; 5]> {
    (any::<u8>(), any::<u16>(), 512..1400u16).prop_map(|(control, age, limit)| {
        let ([a, b], [c, d]) = (age.to_be_bytes(), limit.to_be_bytes());
        [control, a, b, c, d]
    })
}

/// Owner, TTL, and type with data.
type Rr = (Vec<u8>, u32, (u16, Vec<u8>));

#[derive(Clone, Debug)]
struct Answer {
    question: Vec<u8>,
    rcode: u8,
    records: [Vec<Rr>; 3],
}

fn answer() -> impl Strategy<Value = Answer> {
    let ttl = prop_oneof![0..1000u32, any::<u32>()];
    let section = move |most| vec((name(), ttl.clone(), data()), 0..most);
    let rcode = prop_oneof![4 => Just(0u8), 2 => Just(3), 1 => 0..16u8];
    let qtype = proptest::sample::select(&[1u16, 28, 2, 6, 16, 46, 47, 255, 65_280][..]);
    (name(), qtype, rcode, section(12), section(6), section(8)).prop_map(
        |(name, qtype, rcode, an, ns, ar)| {
            let question = [&name[..], &qtype.to_be_bytes(), &[0, 1]].concat();
            Answer {
                question,
                rcode,
                records: [an, ns, ar],
            }
        },
    )
}

impl Answer {
    /// The message with all names in full.
    fn plain(&self) -> Vec<u8> {
        let mut msg = vec![0x12, 0x34, 0x81, 0x80 | self.rcode, 0, 1];
        msg.extend(
            self.records
                .iter()
                .flat_map(|section| (section.len() as u16).to_be_bytes()),
        );
        msg.extend(&self.question);
        for (owner, ttl_secs, (rtype, data)) in self.records.iter().flatten() {
            msg.extend(owner);
            msg.extend(rtype.to_be_bytes());
            msg.extend([0, 1]);
            msg.extend(ttl_secs.to_be_bytes());
            msg.extend((data.len() as u16).to_be_bytes());
            msg.extend(data);
        }
        msg
    }
}

/// The same message as `domain` writes it.
fn by_domain<Target: Composer + AsRef<[u8]>>(plain: &[u8], target: Target) -> Vec<u8>
where
    Target::AppendError: std::fmt::Debug,
{
    let message = Message::from_slice(plain).expect("a message");
    let mut builder = MessageBuilder::from_target(target).expect("room for a header");
    *builder.header_mut() = message.header();
    let mut builder = builder.question();
    builder
        .push(message.sole_question().expect("a question"))
        .expect("room");
    let section = |number: usize| {
        let (_, answer, authority, additional) = message.sections().expect("sections");
        let records = [answer, authority, additional][number]
            .into_records::<AllRecordData<_, ParsedName<_>>>();
        records
            .map(|record| -> Record<_, _> { record.expect("a record") })
            .collect::<Vec<_>>()
    };
    let mut builder = builder.answer();
    for record in section(0) {
        builder.push(record).expect("room");
    }
    let mut builder = builder.authority();
    for record in section(1) {
        builder.push(record).expect("room");
    }
    let mut builder = builder.additional();
    for record in section(2) {
        builder.push(record).expect("room");
    }
    builder.finish().as_ref().to_vec()
}

/// The same message as hickory writes it; TTLs of RFC 2181, 8, come out as they went in.
fn by_hickory(plain: &[u8]) -> Vec<u8> {
    let message =
        hickory_proto::op::Message::from_vec(plain).expect("a message that hickory reads");
    message.to_vec().expect("a message that hickory writes")
}

const KEEP_ALL: CompileOptions = CompileOptions {
    keep_dnssec: true,
    secure: false,
    min_ttl_secs: 0,
    max_ttl_secs: u32::MAX,
    min_negative_ttl_secs: 0,
    max_negative_ttl_secs: u32::MAX,
};

/// The reply to the message's own question, without EDNS.
fn reply(msg: &[u8], question: &[u8]) -> Vec<u8> {
    let mut stored = Vec::new();
    compile(msg, &KEEP_ALL, &mut stored).expect("a good message");
    let mut buf = [&[0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], question].concat();
    let query = Query::parse(&buf).expect("a good query");
    buf.resize(65_535, 0);
    let options = RenderOptions {
        age_secs: 0,
        limit_bytes: 65_535,
        udp_size: 1232,
        recursion_available: true,
        ede: None,
        keepalive: None,
        nsid: None,
    };
    let stored = Stored::new(&stored).expect("what compile wrote");
    let rendered = render(stored, &query, &mut buf, &options);
    buf.truncate(rendered.len);
    buf
}

/// A query: flags, question, and an OPT record with its version and options.
fn query() -> impl Strategy<Value = Vec<u8>> {
    let option = (
        prop_oneof![Just(3u16), Just(10), Just(11), Just(12), any::<u16>()],
        vec(any::<u8>(), 0..42),
    );
    let opt = (
        any::<u16>(),
        prop_oneof![9 => Just(0u8), 1 => any::<u8>()],
        any::<u16>(),
        vec(option, 0..4),
    );
    let opt = proptest::option::of(opt);
    (
        any::<u16>(),
        any::<u16>(),
        name(),
        any::<u16>(),
        any::<u16>(),
        opt,
    )
        .prop_map(|(id, flags, name, qtype, class, opt)| {
            let words = [id, flags & 0x01b0, 1, 0, 0, u16::from(opt.is_some())];
            let mut msg: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            msg.extend(name);
            msg.extend([qtype.to_be_bytes(), class.to_be_bytes()].as_flattened());
            if let Some((size, version, flags, options)) = opt {
                let mut data = Vec::new();
                for (code, value) in options {
                    data.extend(
                        [code.to_be_bytes(), (value.len() as u16).to_be_bytes()].as_flattened(),
                    );
                    data.extend(value);
                }
                msg.extend([0, 0, 41]);
                msg.extend(size.to_be_bytes());
                msg.extend([0, version]);
                msg.extend(flags.to_be_bytes());
                msg.extend((data.len() as u16).to_be_bytes());
                msg.extend(data);
            }
            msg
        })
}

proptest! {
    #[test]
    fn queries_are_read_as_the_others_read_them(msg in query()) {
        dns_query::check(&msg);
    }

    #[test]
    fn broken_queries_are_judged_by_the_rules(
        mut msg in query(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        for (place, octet) in changes {
            let place = place.index(msg.len());
            msg[place] = octet;
        }
        if let Some(cut) = cut {
            msg.truncate(cut.index(msg.len()));
        }
        dns_query::check(&msg);
    }

    /// However names were compressed, the reply is the same, octet by octet.
    #[test]
    fn every_encoding_makes_the_same_reply(answer in answer()) {
        let plain = answer.plain();
        let first = reply(&plain, &answer.question);
        let others = [
            by_domain(&plain, StaticCompressor::new(Vec::new())),
            by_domain(&plain, TreeCompressor::new(Vec::new())),
            reply(&plain, &answer.question),
        ];
        for other in others {
            prop_assert_eq!(&reply(&other, &answer.question), &first);
        }
        prop_assert!(first.len() <= plain.len(), "compressed, it is no longer than in full");
    }

    #[test]
    fn replies_hold_the_records_of_the_message(answer in answer(), head in head()) {
        let plain = answer.plain();
        for msg in [&plain, &by_domain(&plain, TreeCompressor::new(Vec::new()))] {
            dns_answer::check(&[&head[..], msg].concat());
        }
    }

    /// Records that are pushed one by one make the same octets as a message that holds them.
    #[test]
    fn built_and_compiled_are_the_same(mut answer in answer()) {
        answer.rcode = 5; // neither positive nor negative: no TTL is changed
        answer.records.iter_mut().flatten().for_each(|(_, ttl_secs, _)| *ttl_secs %= 1 << 31);
        let mut compiled = Vec::new();
        compile(&answer.plain(), &KEEP_ALL, &mut compiled).expect("a good message");
        let asked = Name::from_wire(&answer.question).expect("a name");
        let mut builder = StoredBuilder::new(Some(&asked), 5, false);
        let sections = [Section::Answer, Section::Authority, Section::Additional];
        for (section, records) in sections.into_iter().zip(&answer.records) {
            for (owner, ttl_secs, (rtype, data)) in records {
                let name = Name::from_wire(owner).expect("a name");
                let owner = if name == asked && !name.is_root() { Owner::Question } else { Owner::Name(&name) };
                builder.push(section, owner, [*rtype, 1], *ttl_secs, data).expect("good data");
            }
        }
        let mut built = Vec::new();
        builder.finish(&mut built);
        prop_assert_eq!(built, compiled);
    }

    /// What hickory writes is read, and what comes of it, hickory reads as the same records.
    #[test]
    fn hickory_reads_the_same_records(answer in answer()) {
        let plain = answer.plain();
        let before = hickory_proto::op::Message::from_vec(&plain);
        prop_assume!(before.is_ok()); // it knows types whose data it wants to be meaningful
        let before = before.expect("just looked");
        for msg in [&plain, &by_hickory(&plain)] {
            let after = hickory_proto::op::Message::from_vec(&reply(msg, &answer.question)).expect("a good reply");
            let sections = [
                (&before.answers, &after.answers),
                (&before.authorities, &after.authorities),
                (&before.additionals, &after.additionals),
            ];
            for (theirs, ours) in sections {
                prop_assert_eq!(theirs.len(), ours.len());
                for (their, our) in theirs.iter().zip(ours) {
                    prop_assert_eq!((&their.name, their.dns_class, &their.data), (&our.name, our.dns_class, &our.data));
                }
            }
        }
    }

    /// Any octets, behind a header and question that are good: an error, or a reply that can be read.
    #[test]
    fn broken_answers_do_no_harm(
        answer in answer(),
        head in head(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut msg = by_domain(&answer.plain(), StaticCompressor::new(Vec::new()));
        for (place, octet) in changes {
            let place = place.index(msg.len() - HEADER_BYTES) + HEADER_BYTES;
            msg[place] = octet;
        }
        dns_answer::check(&[&head[..], &msg].concat());
    }
}

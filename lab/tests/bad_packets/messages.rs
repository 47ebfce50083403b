use anyhow::{Context, Result, ensure};
use sluicegate_lab::scene::{PATIENCE, Path, SILENCE, Scene};
use sluicegate_lab::wire::{Message, QuerySpec, query, rcode, rtype};

/// What must come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Silence,
    Code(u16),
}

use Expected::{Code, Silence};

const NAME: &str = "host.local.example";
const LOCAL_DATA: &str = r#"
  local-zone: "local.example" static
  local-data: "host.local.example A 192.0.2.1"
"#;

/// Where the parts of [`good`] are: the header's flags, its counters, the question.
const FLAGS: usize = 2;
const OPCODE: usize = 2;
const QDCOUNT: usize = 5;
const ANCOUNT: usize = 7;
const NSCOUNT: usize = 9;
const ARCOUNT: usize = 11;
const QNAME: usize = 12;

fn good() -> QuerySpec {
    query(NAME, rtype::A)
}

fn spoilt(spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = good().build();
    spoil(&mut message);
    message
}

fn spoilt_edns(spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = good().edns(1232, false).build();
    spoil(&mut message);
    message
}

const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];

/// The rows, with what Debian's Unbound 1.17 answers to each (tried on it).
fn rows() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let mut rows = headers();
    rows.extend(questions());
    rows.extend(edns());
    rows
}

#[expect(clippy::too_many_lines, reason = "a flat table")]
fn headers() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let opcode = |number: u8| spoilt(|m| m[OPCODE] |= number << 3);
    vec![
        ("an empty datagram", Vec::new(), Silence),
        ("one byte", vec![0x53], Silence),
        (
            "eleven bytes of header",
            good().build()[..11].to_vec(),
            Silence,
        ),
        ("a response", spoilt(|m| m[FLAGS] |= 0x80), Silence),
        (
            "a response with a bad question",
            spoilt(|m| {
                m[FLAGS] |= 0x80;
                m.truncate(14);
            }),
            Silence,
        ),
        (
            "a header alone",
            good().build()[..12].to_vec(),
            Code(rcode::FORMERR),
        ),
        (
            "no question",
            spoilt(|m| m[QDCOUNT] = 0),
            Code(rcode::FORMERR),
        ),
        (
            "two questions",
            spoilt(|m| {
                m[QDCOUNT] = 2;
                let question = m[QNAME..].to_vec();
                m.extend_from_slice(&question);
            }),
            Code(rcode::FORMERR),
        ),
        (
            "two questions announced, one there",
            spoilt(|m| m[QDCOUNT] = 2),
            Code(rcode::FORMERR),
        ),
        (
            "an answer record announced",
            spoilt(|m| m[ANCOUNT] = 1),
            Code(rcode::FORMERR),
        ),
        (
            "an authority record announced",
            spoilt(|m| m[NSCOUNT] = 1),
            Code(rcode::FORMERR),
        ),
        (
            "TC in a query",
            spoilt(|m| m[FLAGS] |= 0x02),
            Code(rcode::FORMERR),
        ),
        (
            "AA, RA, Z, AD and an rcode in a query",
            spoilt(|m| {
                m[FLAGS] |= 0x04;
                m[FLAGS + 1] |= 0xef;
            }),
            Code(rcode::NOERROR),
        ),
        ("opcode IQUERY", opcode(1), Code(rcode::NOTIMP)),
        ("opcode STATUS", opcode(2), Code(rcode::NOTIMP)),
        ("opcode 3", opcode(3), Code(rcode::NOTIMP)),
        ("opcode NOTIFY", opcode(4), Code(rcode::REFUSED)),
        ("opcode UPDATE", opcode(5), Code(rcode::NOTIMP)),
        ("opcode 15", opcode(15), Code(rcode::NOTIMP)),
    ]
}

#[expect(clippy::too_many_lines, reason = "a flat table")]
fn questions() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let name = |bytes: &[u8]| {
        let mut message = good().build()[..QNAME].to_vec();
        message.extend_from_slice(bytes);
        message.extend_from_slice(&[0, 1, 0, 1]);
        message
    };
    let long = [&[63; 64][..]; 4].concat();
    vec![
        (
            "a name that points at itself",
            name(&[0xc0, 12]),
            Code(rcode::FORMERR),
        ),
        (
            "a name that points into the header",
            name(&[0xc0, 0]),
            Code(rcode::FORMERR),
        ),
        (
            "a name that points forward",
            name(&[0xc0, 20]),
            Code(rcode::FORMERR),
        ),
        (
            "a label of type 01",
            name(&[0x41, b'a', 0]),
            Code(rcode::FORMERR),
        ),
        (
            "a label of type 10",
            name(&[0x81, b'a', 0]),
            Code(rcode::FORMERR),
        ),
        (
            "a name longer than 255 bytes",
            name(&[&long[..], &[0]].concat()),
            Code(rcode::FORMERR),
        ),
        (
            "a name that runs out of the message",
            good().build()[..20].to_vec(),
            Code(rcode::FORMERR),
        ),
        (
            "a question without its class",
            spoilt(|m| m.truncate(m.len() - 2)),
            Code(rcode::FORMERR),
        ),
        (
            "a question without its type",
            spoilt(|m| m.truncate(m.len() - 4)),
            Code(rcode::FORMERR),
        ),
        (
            "bytes behind the question",
            spoilt(|m| m.extend_from_slice(b"behind")),
            Code(rcode::NOERROR),
        ),
        (
            "type OPT",
            query(NAME, rtype::OPT).build(),
            Code(rcode::FORMERR),
        ),
        ("type TSIG", query(NAME, 250).build(), Code(rcode::FORMERR)),
        ("type AXFR", query(NAME, 252).build(), Code(rcode::REFUSED)),
        ("type IXFR", query(NAME, 251).build(), Code(rcode::REFUSED)),
        ("type 0", query(NAME, 0).build(), Code(rcode::NOERROR)),
        (
            "type 65535",
            query(NAME, 65_535).build(),
            Code(rcode::NOERROR),
        ),
    ]
}

fn edns() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let version = |version| {
        let mut spec = good().edns(1232, true);
        spec.version = version;
        spec.build()
    };
    let options = |options: &[u8]| {
        let mut spec = good().edns(1232, false);
        spec.options = options.to_vec();
        spec.build()
    };
    let opt = good().build().len();
    vec![
        (
            "two OPT records",
            spoilt_edns(|m| {
                m[ARCOUNT] = 2;
                m.extend_from_slice(&OPT);
            }),
            Code(rcode::FORMERR),
        ),
        ("EDNS version 1", version(1), Code(rcode::BADVERS)),
        ("EDNS version 255", version(255), Code(rcode::BADVERS)),
        (
            "an OPT record announced, none there",
            spoilt(|m| m[ARCOUNT] = 1),
            Code(rcode::FORMERR),
        ),
        (
            "an OPT record cut off",
            spoilt_edns(|m| m.truncate(m.len() - 3)),
            Code(rcode::FORMERR),
        ),
        (
            "an OPT record with a name",
            spoilt_edns(|m| {
                m.splice(opt..=opt, *b"\x01a\0");
            }),
            Code(rcode::FORMERR),
        ),
        (
            "an OPT record longer than the message",
            spoilt_edns(|m| *m.last_mut().expect("a message") = 200),
            Code(rcode::FORMERR),
        ),
        (
            "an A record where OPT may be",
            spoilt_edns(|m| m[opt + 2] = 1),
            Code(rcode::FORMERR),
        ),
        (
            "bytes behind the OPT record",
            spoilt_edns(|m| m.extend_from_slice(b"behind")),
            Code(rcode::NOERROR),
        ),
        (
            "an unknown option",
            options(&[0xff, 0xf0, 0, 2, 1, 2]),
            Code(rcode::NOERROR),
        ),
        (
            "a size of 0",
            good().edns(0, false).build(),
            Code(rcode::NOERROR),
        ),
        (
            "bits of Z set",
            spoilt_edns(|m| m[opt + 8] = 0xff),
            Code(rcode::NOERROR),
        ),
    ]
}

pub(crate) fn over_af_xdp_and_udp() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(LOCAL_DATA)?;
    let mut wrong = Vec::new();
    for (what, message, expected) in rows() {
        for path in [Path::Xdp, Path::Udp] {
            if let Err(error) = try_row(&scene, path, &message, expected) {
                wrong.push(format!("{what} over {path}: {error:#}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What is answered over the link is answered by AF_XDP; only short messages and responses are left to the kernel.
    let answered = rows()
        .iter()
        .filter(|(_, _, expected)| *expected != Silence)
        .count();
    server.expect_sum("xdp.", ".replied", u64::try_from(answered + rows().len())?)
}

fn try_row(scene: &Scene, path: Path, message: &[u8], expected: Expected) -> Result<()> {
    let limit = if expected == Silence {
        SILENCE
    } else {
        PATIENCE
    };
    let answer = scene.ask(path, message, limit)?;
    match (expected, answer) {
        (Silence, None) => {}
        (Silence, Some(answer)) => anyhow::bail!("answered with {answer:?}"),
        (Code(code), answer) => {
            let answer = answer.context("no answer")?;
            ensure!(answer.len() >= 12, "an answer of {} bytes", answer.len());
            ensure!(
                answer[..2] == message[..2] && answer[2] & 0x80 != 0,
                "not a response to this: {answer:?}"
            );
            ensure!(answer[2] & 0x78 == message[2] & 0x78, "another opcode");
            let found = code_of(&answer, code);
            ensure!(found == code, "rcode {found}, not {code}: {answer:?}");
        }
    }
    good_query_is_answered(scene, path)
}

/// The response code; with the OPT record's upper bits only where those are expected, since error answers to broken
/// messages may not be readable as a whole.
fn code_of(answer: &[u8], expected: u16) -> u16 {
    let low = u16::from(answer[3] & 0xf);
    if expected <= 0xf {
        low
    } else {
        Message::parse(answer).map_or(low, |message| message.rcode())
    }
}

fn good_query_is_answered(scene: &Scene, path: Path) -> Result<()> {
    let message = good().build();
    let answer = scene
        .ask(path, &message, PATIENCE)?
        .context("the next good query got no answer")?;
    let answer = Message::parse(&answer)?;
    ensure!(
        answer.rcode() == rcode::NOERROR && answer.answer.len() == 1,
        "{answer:?}"
    );
    Ok(())
}

pub(crate) fn over_tcp() -> Result<()> {
    let scene = Scene::new(1)?;
    let _server = scene.start(LOCAL_DATA)?;
    let mut wrong = Vec::new();
    for (what, message, expected) in rows() {
        // Over TCP what is met with silence ends or outlasts the connection; only what has an answer is compared.
        if expected == Silence {
            continue;
        }
        if let Err(error) = try_row(&scene, Path::Tcp, &message, expected) {
            wrong.push(format!("{what}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    good_query_is_answered(&scene, Path::Tcp)
}

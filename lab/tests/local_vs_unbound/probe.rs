use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use sluicegate_lab::wire::{Message, QuerySpec, query, rtype};

/// One question as one client asks it.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) source: IpAddr,
    pub(crate) query: QuerySpec,
}

impl Probe {
    /// Asked from 127.0.0.1, RD set, no EDNS.
    pub(crate) fn new(name: &str, qtype: u16) -> Self {
        Self {
            source: Ipv4Addr::LOCALHOST.into(),
            query: query(name, qtype),
        }
    }

    pub(crate) fn from(mut self, source: IpAddr) -> Self {
        self.source = source;
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(QuerySpec) -> QuerySpec) -> Self {
        self.query = change(self.query);
        self
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QuerySpec {
            name,
            qtype,
            qclass,
            rd,
            cd,
            ad,
            udp_size,
            dnssec_ok,
            ..
        } = &self.query;
        let name = if name.len() > 60 { &name[..60] } else { name };
        write!(f, "{name} TYPE{qtype} CLASS{qclass} from {}", self.source)?;
        for (flag, set) in [("rd", !rd), ("cd", *cd), ("ad", *ad), ("do", *dnssec_ok)] {
            if set {
                write!(f, " {}{flag}", if flag == "rd" { "no" } else { "" })?;
            }
        }
        udp_size.map_or(Ok(()), |size| write!(f, " edns {size}"))
    }
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No reply.
    Silence,
    /// A reply that can be read; without its ID.
    Reply(Box<Message>),
    /// A reply that can't, as it came, without its ID.
    Odd(Vec<u8>),
}

impl Outcome {
    pub(crate) fn of_reply(reply: &[u8]) -> Self {
        // Behind REFUSED for those who may have local data only, Unbound 1.17 sends the query and 12 bytes of
        // whatever the buffer held: it means a header alone, as it sends to those who may have nothing.
        let reply = match reply {
            _ if reply.len() > 12 && reply[4..12] == [0; 8] => &reply[..12],
            whole => whole,
        };
        match Message::parse(reply) {
            Ok(message) => Self::Reply(Box::new(local_part(Message { id: 0, ..message }))),
            Err(_) => Self::Odd(reply.get(2..).unwrap_or_default().to_vec()),
        }
    }
}

/// What comes from the upstream ages in Unbound's cache: its TTLs say nothing, and an answer to ANY is what the
/// cache happens to hold. It is what AA is not set for, and what stands behind a local CNAME.
fn local_part(mut message: Message) -> Message {
    let local = if message.flags & AUTHORITATIVE == 0 {
        if matches!(message.questions[..], [(_, rtype::ANY, _)]) {
            message.answer.clear();
        }
        0
    } else if message
        .answer
        .first()
        .is_some_and(|first| first.rtype == rtype::CNAME)
    {
        1
    } else {
        return message;
    };
    let sections = [
        &mut message.answer,
        &mut message.authority,
        &mut message.additional,
    ];
    for record in sections.into_iter().flatten().skip(local) {
        record.ttl_secs = 0;
    }
    message
}

const AUTHORITATIVE: u16 = 0x0400;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => write!(f, "silence"),
            Self::Odd(bytes) => write!(f, "odd {}", bytes.escape_ascii()),
            Self::Reply(message) => {
                let Message {
                    flags,
                    questions,
                    answer,
                    authority,
                    additional,
                    edns,
                    ..
                } = &**message;
                let names: Vec<_> = questions
                    .iter()
                    .map(|(name, ..)| name.escape_ascii().to_string())
                    .collect();
                write!(
                    f,
                    "{flags:04x} {names:?} an {answer:?} ns {authority:?} ar {additional:?} {edns:?}"
                )
            }
        }
    }
}

use std::hint::black_box;

use anyhow::{Result, ensure};
use sluicegate_answer::{Acl, Packets, Verdict};
use sluicegate_conf::{AccessAction, AccessRule};
use sluicegate_dns::{CompileOptions, Query, RenderOptions, Stored, compile, render};
use sluicegate_packet::{Datagram, reply_in_place};

use crate::fixture::{Fixture, LOCAL_NAMES, known, local};
use crate::frame::{BUFFER_BYTES, HEADERS, frame};

/// A step of an answer, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The query's frame is put into the buffer: what all others do first.
    Copy,
    /// `Datagram::parse`.
    Datagram,
    /// `Query::parse`.
    Parse,
    /// `Acl::action`.
    Acl,
    /// `answer()` of a client that may not ask.
    Refused,
    /// `answer()` from local data.
    Local,
    /// `answer()` from the cache.
    Hit,
    /// `render` of a stored answer.
    Render,
    /// `reply_in_place`.
    Headers,
    /// From the query's frame to the reply's, by way of the answer cache.
    Whole,
    /// The same for a query that has come before, as the workers remember it.
    Repeated,
}

/// Works on a buffer that begins with a frame of this length.
type Step = Box<dyn FnMut(&mut [u8], usize)>;

/// How many names the cache knows.
const NAMES: u32 = 128;
const CACHE_BYTES: u64 = 128 << 10;

impl Operation {
    /// All of them, [`Operation::Copy`] first.
    pub const ALL: [Self; 11] = [
        Self::Copy,
        Self::Datagram,
        Self::Parse,
        Self::Acl,
        Self::Refused,
        Self::Local,
        Self::Hit,
        Self::Render,
        Self::Headers,
        Self::Whole,
        Self::Repeated,
    ];

    /// How it is called in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Datagram => "datagram",
            Self::Parse => "parse",
            Self::Acl => "acl",
            Self::Refused => "refused",
            Self::Local => "local",
            Self::Hit => "hit",
            Self::Render => "render",
            Self::Headers => "headers",
            Self::Whole => "whole",
            Self::Repeated => "repeated",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.name() == name)
    }

    /// What makes its cost, to be called as often as one likes.
    ///
    /// Each call takes the next of so many queries, all for different names, and at the end the first again.
    pub fn prepare(self, queries: usize) -> Result<Box<dyn FnMut()>> {
        let name = |at: usize| match self {
            Self::Local => local(at as u32 % LOCAL_NAMES),
            // Two that share a slot would push each other out, in some processes and in others not.
            Self::Repeated => known(1),
            _ => known(at as u32 % NAMES),
        };
        let mut step = self.step(&frame(&name(1)))?;
        let templates: Vec<Vec<u8>> = (0..queries).map(|at| frame(&name(at))).collect();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut next = 0;
        Ok(Box::new(move || {
            let template = &templates[next % queries];
            next = next.wrapping_add(1);
            buffer[..template.len()].copy_from_slice(black_box(template));
            step(black_box(&mut buffer), template.len());
        }))
    }

    fn step(self, template: &[u8]) -> Result<Step> {
        Ok(match self {
            Self::Copy => Box::new(|buffer, _| {
                black_box(buffer);
            }),
            Self::Datagram => Box::new(|buffer, len| {
                let _ = black_box(Datagram::parse(&buffer[..len]));
            }),
            Self::Parse => Box::new(|buffer, len| {
                let _ = black_box(Query::parse(&buffer[HEADERS..len]));
            }),
            Self::Acl => acl(),
            Self::Refused | Self::Local | Self::Hit => self.answer(template)?,
            Self::Render => rendering(template)?,
            Self::Headers => {
                let datagram = Datagram::parse(template)
                    .map_err(|reject| anyhow::anyhow!("the frame: {reject:?}"))?;
                Box::new(move |buffer, len| {
                    black_box(reply_in_place(buffer, &datagram, len - HEADERS));
                })
            }
            Self::Whole => {
                let fixture = Fixture::new(CACHE_BYTES, NAMES)?;
                let mut probe = template.to_vec();
                probe.resize(BUFFER_BYTES, 0);
                ensure!(
                    fixture.whole(&mut probe, template.len()) > template.len(),
                    "not a hit"
                );
                Box::new(move |buffer, len| {
                    black_box(fixture.whole(buffer, len));
                })
            }
            Self::Repeated => Self::repeated(template)?,
        })
    }

    fn repeated(template: &[u8]) -> Result<Step> {
        let fixture = Fixture::new(CACHE_BYTES, NAMES)?;
        let mut packets = Packets::new();
        let mut probe = template.to_vec();
        probe.resize(BUFFER_BYTES, 0);
        for _ in 0..3 {
            probe[..template.len()].copy_from_slice(template);
            let len = fixture.remembered(&mut packets, &mut probe, template.len());
            ensure!(len > template.len(), "not a hit");
        }
        Ok(Box::new(move |buffer, len| {
            black_box(fixture.remembered(&mut packets, buffer, len));
        }))
    }

    fn answer(self, template: &[u8]) -> Result<Step> {
        let fixture = Fixture::new(CACHE_BYTES, NAMES)?;
        let client = match self {
            Self::Refused => "198.51.100.9:4000".parse()?,
            _ => "192.0.2.9:4000".parse()?,
        };
        let mut probe = template[HEADERS..].to_vec();
        let len = probe.len();
        probe.resize(BUFFER_BYTES, 0);
        let verdict = fixture.answer(client, &mut probe, len);
        let rcode = if self == Self::Refused { 5 } else { 0 };
        ensure!(
            matches!(verdict, Verdict::Reply(_)) && probe[3] & 15 == rcode,
            "{self:?} gives {verdict:?}"
        );
        Ok(Box::new(move |buffer, len| {
            let _ = black_box(fixture.answer(client, &mut buffer[HEADERS..], len - HEADERS));
        }))
    }
}

/// An access list of so many prefixes of 24 bits, up to 16 million, that begin where `start` says: all allowed, their
/// neighbours refused.
pub fn access_list(prefixes: u32, start: impl Fn(u32) -> u32) -> Acl {
    let rules = (0..prefixes).map(|n| AccessRule {
        prefix: ipnet::IpNet::V4(ipnet::Ipv4Net::new_assert(start(n).into(), 24)),
        action: AccessAction::Allow,
    });
    Acl::new(rules, true)
}

fn acl() -> Step {
    // A thousand prefixes, each beside the next.
    let acl = access_list(1000, |n| 10 << 24 | n << 8);
    let client = std::net::IpAddr::from([10, 2, 3, 4]);
    Box::new(move |_, _| {
        black_box(acl.action(black_box(client)));
    })
}

fn rendering(template: &[u8]) -> Result<Step> {
    let query = Query::parse(&template[HEADERS..])?;
    let fixture = Fixture::new(CACHE_BYTES, NAMES)?;
    let mut wire = template[HEADERS..].to_vec();
    let len = wire.len();
    wire.resize(BUFFER_BYTES, 0);
    let verdict = fixture.answer("192.0.2.9:4000".parse()?, &mut wire, len);
    let Verdict::Reply(len) = verdict else {
        anyhow::bail!("no reply: {verdict:?}");
    };
    let mut bytes = Vec::new();
    compile(&wire[..len], &COMPILING, &mut bytes)?;
    ensure!(Stored::new(&bytes).is_some(), "a stored answer");
    Ok(Box::new(move |buffer, _| {
        if let Some(stored) = Stored::new(&bytes) {
            let _ = black_box(render(stored, &query, &mut buffer[HEADERS..], &RENDERING));
        }
    }))
}

const COMPILING: CompileOptions = CompileOptions {
    keep_dnssec: false,
    secure: false,
    min_ttl_secs: 0,
    max_ttl_secs: 86_400,
    min_negative_ttl_secs: 0,
    max_negative_ttl_secs: 3600,
};

const RENDERING: RenderOptions<'static> = RenderOptions {
    age_secs: 10,
    limit_bytes: 1232,
    udp_size: 1232,
    recursion_available: true,
    ede: None,
    keepalive: None,
    nsid: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_runs() {
        for operation in Operation::ALL {
            operation.prepare(2).unwrap()();
        }
    }
}

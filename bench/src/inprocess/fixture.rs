use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use sluicegate_answer::{
    Brain, Context, Findings, Now, Policy, Question, Request, Resolution, Security, Transport,
    Verdict, answer,
};
use sluicegate_conf::LoadOptions;
use sluicegate_dns::Name as DnsName;
use sluicegate_lab::wire::{FrameSpec, query, udp_frame};
use sluicegate_packet::{Datagram, reply_in_place};
use sluicegate_telemetry::Counters;

use crate::data::{Kind, Name};

/// A server without sockets, whose cache knows names from 0 on.
pub(super) struct Fixture {
    brain: Brain,
    policy: Arc<Policy>,
    counters: Counters,
}

/// Where the digits of a name stand in a query's frame: behind Ethernet, IPv4, UDP, DNS header, length and letter.
const DIGITS_AT: usize = 14 + 20 + 8 + 12 + 2;
const DIGITS: usize = 7;
/// Room for a reply.
pub(super) const BUFFER_BYTES: usize = 2048;
/// The time of all queries, in seconds.
const NOW: Now = Now { secs: 1000 };
/// The client and the server.
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 40_000);
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 53);
/// Local data, an access list and nothing else.
const CONFIGURATION: &str = "server:
  access-control: 192.0.2.0/24 allow
  access-control: 198.51.100.0/24 refuse
  local-zone: \"local.lab.\" static
  local-data: \"www.home.local.lab. A 192.0.2.80\"
";

impl Fixture {
    /// With a cache of so many bytes that knows the names below `names`.
    pub(super) fn new(cache_bytes: u64, names: u32) -> Result<Self> {
        let loaded = sluicegate_conf::load_text(
            Path::new("/bench.conf"),
            CONFIGURATION,
            &LoadOptions::default(),
        );
        let config = loaded.config.as_ref().context("the configuration")?;
        let policy = Policy::build(config).map_err(|errors| anyhow!("the policy: {errors:?}"))?;
        let brain = Brain::new(policy, cache_bytes);
        let fixture = Self {
            policy: brain.policy.load_full(),
            brain,
            counters: Counters::new(),
        };
        for number in 0..names {
            fixture.insert(number)?;
        }
        Ok(fixture)
    }

    /// Puts a name's answer into the cache, as if the engine had found it.
    pub(super) fn insert(&self, number: u32) -> Result<()> {
        let name = known(number);
        let question = Question {
            name: DnsName::from_text(&name.to_string())?,
            qtype: 1,
            qclass: 1,
            cd: false,
            stale: false,
        };
        let wire = message(name, &question);
        let found = Findings {
            rcode: 0,
            security: Security::Insecure,
            wire: &wire,
            why_bogus: "",
        };
        let resolution = Resolution::new(&question, &found, self.policy.limits());
        let limits = self.policy.limits();
        self.brain.cache.insert(&resolution, limits, NOW);
        Ok(())
    }

    /// Decides the query in `buffer[..len]`.
    #[inline]
    pub(super) fn answer(&self, client: SocketAddr, buffer: &mut [u8], len: usize) -> Verdict {
        let request = Request {
            client,
            local: SERVER,
            transport: Transport::Udp,
            path_limit_bytes: 1472,
        };
        let context = Context {
            policy: &self.policy,
            cache: &self.brain.cache,
            now: NOW,
            counters: &self.counters,
            refresh: &(),
        };
        answer(&context, &request, buffer, len)
    }

    /// The whole way of a hit: the query's frame becomes its reply's. The reply's length; 0 if it was none.
    #[inline]
    pub(super) fn whole(&self, frame: &mut [u8], len: usize) -> usize {
        let Ok(datagram) = Datagram::parse(&frame[..len]) else {
            return 0;
        };
        let payload = datagram.payload();
        let source = datagram.source(frame);
        match self.answer(source, &mut frame[payload.start..], payload.len()) {
            Verdict::Reply(len) => reply_in_place(frame, &datagram, len),
            Verdict::Drop(_) | Verdict::Miss(_) => 0,
        }
    }

    /// Bytes for each entry if the cache is full: all that it takes, over the entries that it holds.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(super) fn bytes_per_entry(&self) -> f64 {
        let stats = self.brain.cache.stats();
        stats.bound_bytes as f64 / stats.entries.max(1) as f64
    }
}

/// The name of this number.
pub(super) fn known(number: u32) -> Name {
    Name {
        kind: Kind::Known,
        number,
    }
}

/// The frame of a query for a name, as it comes from the interface.
pub(super) fn frame(name: &str) -> Vec<u8> {
    let spec = FrameSpec {
        source_mac: [2, 0, 0, 0, 0, 2],
        destination_mac: [2, 0, 0, 0, 0, 1],
        tags: Vec::new(),
        source: CLIENT,
        destination: SERVER,
        hop_limit: 64,
    };
    let mut frame = udp_frame(&spec, &query(name, 1).build());
    // No checksum, so that names can be changed in place.
    frame[40..42].fill(0);
    frame
}

/// Puts another number into the name of a frame of [`frame`].
#[inline]
pub(super) fn renumber(frame: &mut [u8], number: u32) {
    let mut left = number;
    for digit in frame[DIGITS_AT..DIGITS_AT + DIGITS].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
}

/// The answer's message.
fn message(name: Name, question: &Question) -> Vec<u8> {
    let mut wire = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    wire.extend_from_slice(question.name.as_bytes());
    wire.extend([0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1]);
    wire.extend(name.ttl_secs().to_be_bytes());
    wire.extend([0, 4]);
    wire.extend(name.rdata());
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_is_answered_whatever_its_number() {
        let fixture = Fixture::new(1 << 20, 1000).unwrap();
        let template = frame(&known(0).to_string());
        let mut buffer = [0; BUFFER_BYTES];
        for number in [0, 1, 999] {
            buffer[..template.len()].copy_from_slice(&template);
            renumber(&mut buffer, number);
            let len = fixture.whole(&mut buffer, template.len());
            assert_eq!(buffer[len - 4..len], known(number).address().octets());
        }
        buffer[..template.len()].copy_from_slice(&template);
        renumber(&mut buffer, 1000);
        assert_eq!(fixture.whole(&mut buffer, template.len()), 0);
    }
}

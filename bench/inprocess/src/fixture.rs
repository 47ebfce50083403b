use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use sluicegate_answer::{
    Brain, Context, FETCH_AHEAD, Findings, Now, Packets, Policy, Prepared, Question, Repeated,
    Request, Resolution, Security, Sighting, Transport, Verdict, answer, answer_and_learn,
    answer_known, answer_prepared, fetch, gather, prepare,
};
use sluicegate_conf::LoadOptions;
use sluicegate_dns::Name;
use sluicegate_packet::{Datagram, reply_in_place};
use sluicegate_telemetry::Counters;

use crate::frame::SERVER;

/// A server without sockets, whose cache knows names from 0 on.
pub struct Fixture {
    brain: Brain,
    policy: Arc<Policy>,
    counters: Counters,
}

/// How many frames a batch may have.
pub const MAX_BATCH: usize = 32;
/// A day.
const TTL_SECS: u32 = 86_400;
/// The time of all queries, in seconds.
const NOW: Now = Now { secs: 1000 };
/// Local data, an access list and nothing else.
const CONFIGURATION: &str = "server:
  access-control: 192.0.2.0/24 allow
  access-control: 198.51.100.0/24 refuse
  local-zone: \"local.lab.\" static
";
/// How many names the local data have.
pub(crate) const LOCAL_NAMES: u32 = 64;

impl Fixture {
    /// With a cache of so many bytes that knows the names below `names`.
    pub fn new(cache_bytes: u64, names: u32) -> Result<Self> {
        let fixture = Self::build(cache_bytes, LOCAL_NAMES)?;
        for number in 0..names {
            fixture.insert(number)?;
        }
        Ok(fixture)
    }

    /// With an empty cache, and so many names in the local data.
    pub fn with_local(names: u32) -> Result<Self> {
        Self::build(1 << 20, names)
    }

    fn build(cache_bytes: u64, local_names: u32) -> Result<Self> {
        let data = (0..local_names)
            .map(|number| format!("  local-data: \"{} A 192.0.2.80\"\n", local(number)));
        let loaded = sluicegate_conf::load_text(
            Path::new("/bench.conf"),
            &(CONFIGURATION.to_owned() + &data.collect::<String>()),
            &LoadOptions::default(),
        );
        let config = loaded.config.as_ref().context("the configuration")?;
        let policy = Policy::build(config).map_err(|errors| anyhow!("the policy: {errors:?}"))?;
        let brain = Brain::new(policy, cache_bytes);
        Ok(Self {
            policy: brain.policy.load_full(),
            brain,
            counters: Counters::new(),
        })
    }

    /// Puts a name's answer into the cache, as if the engine had found it.
    pub fn insert(&self, number: u32) -> Result<()> {
        let question = Question {
            name: Name::from_text(&known(number))?,
            qtype: 1,
            qclass: 1,
            dnssec_ok: false,
            cd: false,
            stale: false,
        };
        let wire = message(number, &question);
        let found = Findings {
            rcode: 0,
            security: Security::Insecure,
            wire: &wire,
            ede: None,
        };
        let resolution = Resolution::new(&question, &found, self.policy.limits());
        let limits = self.policy.limits();
        self.brain.cache.insert(&resolution, limits, NOW);
        Ok(())
    }

    /// Decides the query in `buffer[..len]`.
    #[inline]
    pub fn answer(&self, client: SocketAddr, buffer: &mut [u8], len: usize) -> Verdict {
        answer(&self.context(), &request(client), buffer, len)
    }

    #[inline]
    fn context(&self) -> Context<'_> {
        Context {
            policy: &self.policy,
            cache: &self.brain.cache,
            now: NOW,
            counters: &self.counters,
            refresh: &(),
        }
    }

    /// The whole way of a hit: the query's frame becomes its reply's. The reply's length; 0 if it was none.
    #[inline]
    pub fn whole(&self, frame: &mut [u8], len: usize) -> usize {
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

    /// As [`Fixture::whole`], by a worker that remembers whole replies.
    #[inline]
    pub fn remembered(&self, packets: &mut Packets, frame: &mut [u8], len: usize) -> usize {
        let Ok(datagram) = Datagram::parse(&frame[..len]) else {
            return 0;
        };
        let payload = datagram.payload();
        let request = request(datagram.source(frame));
        let context = self.context();
        let sighting = packets.look(&context, &frame[payload.clone()]);
        let buffer = &mut frame[payload.start..];
        let verdict = match sighting {
            Sighting::Known(ticket) => {
                answer_known(&context, (packets, ticket), &request, buffer, payload.len())
            }
            Sighting::New => answer(&context, &request, buffer, payload.len()),
            Sighting::Repeated(ticket) => {
                let mut prepared = Prepared::empty();
                prepare(&mut prepared, &context, &buffer[..payload.len()]);
                let repeated = Repeated {
                    prepared: &prepared,
                    packets,
                    ticket,
                };
                answer_and_learn(&context, repeated, &request, buffer, payload.len())
            }
        };
        match verdict {
            Verdict::Reply(len) => reply_in_place(frame, &datagram, len),
            Verdict::Drop(_) | Verdict::Miss(_) => 0,
        }
    }

    /// As [`Fixture::whole`] for each of the frames, all of one length, the way a worker takes a batch: all are looked at
    /// and what they need is fetched from memory before the first is answered. How many got a reply.
    pub fn batch(&self, frames: &mut [Vec<u8>], len: usize, prepared: &mut [Prepared]) -> usize {
        let context = self.context();
        let mut datagrams = [None; MAX_BATCH];
        for ((frame, prepared), datagram) in frames.iter().zip(&mut *prepared).zip(&mut datagrams) {
            if let Ok(parsed) = Datagram::parse(&frame[..len]) {
                prepare(prepared, &context, &frame[parsed.payload()]);
                *datagram = Some(parsed);
            }
        }
        let prepared = &prepared[..frames.len()];
        gather(prepared.iter(), &context);
        for prepared in prepared.iter().take(FETCH_AHEAD) {
            fetch(prepared, &context);
        }
        let mut replies = 0;
        for (number, (frame, datagram)) in frames.iter_mut().zip(&datagrams).enumerate() {
            if let Some(later) = prepared.get(number + FETCH_AHEAD) {
                fetch(later, &context);
            }
            let prepared = &prepared[number];
            let Some(datagram) = datagram else { continue };
            let payload = datagram.payload();
            let request = request(datagram.source(frame));
            let buffer = &mut frame[payload.start..];
            let verdict = answer_prepared(&context, prepared, &request, buffer, payload.len());
            if let Verdict::Reply(len) = verdict {
                reply_in_place(frame, datagram, len);
                replies += 1;
            }
        }
        replies
    }

    /// Bytes for each entry if the cache is full: all that it takes, over the entries that it holds.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn bytes_per_entry(&self) -> f64 {
        let stats = self.brain.cache.stats();
        stats.bound_bytes as f64 / stats.entries.max(1) as f64
    }
}

#[inline]
fn request(client: SocketAddr) -> Request {
    Request {
        client,
        local: SERVER.into(),
        transport: Transport::Udp,
        path_limit_bytes: 1472,
    }
}

/// The name of this number, below ten million: 20 bytes on the wire.
pub fn known(number: u32) -> String {
    format!("h{number:07}.bench.lab")
}

/// The name of this number in the local data, as long as those in the cache.
pub fn local(number: u32) -> String {
    format!("w{number:07}.local.lab")
}

/// The address that it has.
fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 | number)
}

/// The answer's message.
fn message(number: u32, question: &Question) -> Vec<u8> {
    let mut wire = vec![0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    wire.extend_from_slice(question.name.as_bytes());
    wire.extend([0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1]);
    wire.extend(TTL_SECS.to_be_bytes());
    wire.extend([0, 4]);
    wire.extend(address(number).octets());
    wire
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{BUFFER_BYTES, frame, renumber};

    #[test]
    fn a_known_name_is_answered_whatever_its_number() {
        let fixture = Fixture::new(1 << 20, 1000).unwrap();
        let template = frame(&known(0));
        let mut buffer = [0; BUFFER_BYTES];
        for number in [0, 1, 999] {
            buffer[..template.len()].copy_from_slice(&template);
            renumber(&mut buffer, number);
            let len = fixture.whole(&mut buffer, template.len());
            assert_eq!(buffer[len - 4..len], address(number).octets());
        }
        buffer[..template.len()].copy_from_slice(&template);
        renumber(&mut buffer, 1000);
        assert_eq!(fixture.whole(&mut buffer, template.len()), 0);
    }

    #[test]
    fn every_local_name_is_answered() {
        let fixture = Fixture::with_local(100).unwrap();
        let template = frame(&local(0));
        let mut buffer = [0; BUFFER_BYTES];
        for number in [0, 64, 99, 100] {
            buffer[..template.len()].copy_from_slice(&template);
            renumber(&mut buffer, number);
            let len = fixture.whole(&mut buffer, template.len());
            let has_data = buffer[len - 4..len] == [192, 0, 2, 80];
            assert_eq!(has_data, number < 100, "{number}");
        }
    }

    #[test]
    fn what_is_remembered_is_answered_as_at_first() {
        let fixture = Fixture::new(1 << 20, 1000).unwrap();
        let mut template = frame(&known(7));
        let len = template.len();
        template.resize(BUFFER_BYTES, 0);
        let mut alone = template.clone();
        let reply = fixture.whole(&mut alone, len);
        let mut packets = Packets::new();
        for _ in 0..4 {
            let mut again = template.clone();
            assert_eq!(fixture.remembered(&mut packets, &mut again, len), reply);
            assert_eq!(again, alone);
        }
    }

    #[test]
    fn a_batch_is_answered_as_each_alone() {
        let fixture = Fixture::new(1 << 20, 1000).unwrap();
        let mut template = frame(&known(7));
        let len = template.len();
        template.resize(BUFFER_BYTES, 0);
        let mut frames = vec![template; 3];
        renumber(&mut frames[1], 5000);
        let mut alone = frames[2].clone();
        fixture.whole(&mut alone, len);
        let mut prepared = vec![Prepared::empty(); 3];
        assert_eq!(fixture.batch(&mut frames, len, &mut prepared), 2);
        assert_eq!(frames[2], alone);
    }
}

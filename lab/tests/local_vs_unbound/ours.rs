use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use sluicegate_answer::{
    Brain, Context, Findings, Now, Policy, Question, Request, Resolution, Security, Transport,
    Verdict, answer, finish, further,
};
use sluicegate_conf::LoadOptions;
use sluicegate_lab::wire::{ask_tcp, query};
use sluicegate_telemetry::Counters;

use crate::peer::whole_conf;
use crate::probe::{Outcome, Probe};

/// Our own answers, without a server around them.
pub(crate) struct Ours {
    brain: Brain,
    counters: Counters,
}

const NOW: Now = Now { secs: 1000 };
const CACHE_BYTES: u64 = 4 << 20;
const BUFFER_BYTES: usize = 65_535;
const UPSTREAM_LIMIT: Duration = Duration::from_secs(2);

impl Ours {
    pub(crate) fn new(conf: &str) -> Result<Self> {
        let text = whole_conf(conf);
        let loaded =
            sluicegate_conf::load_text(Path::new("/test.conf"), &text, &LoadOptions::default());
        let config = loaded
            .config
            .as_ref()
            .with_context(|| loaded.render(false))?;
        let policy = Policy::build(config).map_err(|errors| anyhow!("{errors:?}"))?;
        Ok(Self {
            brain: Brain::new(policy, CACHE_BYTES),
            counters: Counters::new(),
        })
    }

    /// What the client gets that has to wait for the answer, and what it gets when it asks again.
    pub(crate) fn ask(&self, probe: &Probe, upstream: SocketAddr) -> Result<(Outcome, Outcome)> {
        let policy = self.brain.policy.load();
        let context = Context {
            policy: &policy,
            cache: &self.brain.cache,
            now: NOW,
            counters: &self.counters,
            refresh: &(),
        };
        let local: IpAddr = match probe.source {
            IpAddr::V4(_) => [127, 0, 0, 1].into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let request = Request {
            client: SocketAddr::new(probe.source, 40_000),
            local: SocketAddr::new(local, 53),
            transport: Transport::Udp,
            path_limit_bytes: BUFFER_BYTES,
        };
        let msg = probe.query.build();
        let mut outcomes = Vec::new();
        for _ in 0..2 {
            let mut buf = vec![0xee; BUFFER_BYTES];
            buf[..msg.len()].copy_from_slice(&msg);
            outcomes.push(match answer(&context, &request, &mut buf, msg.len()) {
                Verdict::Reply(len) => Outcome::of_reply(&buf[..len]),
                Verdict::Drop(_) => Outcome::Silence,
                Verdict::Miss(mut question) => loop {
                    let resolution = resolve(&question, upstream, policy.limits())?;
                    self.brain.cache.insert(&resolution, policy.limits(), NOW);
                    if let Some(next) = further(&context, &resolution, &request, &msg) {
                        question = next;
                        continue;
                    }
                    let len = finish(&context, &resolution, &request, &mut buf, msg.len());
                    break match len {
                        0 => Outcome::Silence,
                        _ => Outcome::of_reply(&buf[..len]),
                    };
                },
            });
        }
        let second = outcomes.pop().context("two outcomes")?;
        Ok((outcomes.pop().context("two outcomes")?, second))
    }
}

/// Asks the upstream, as the engine would.
fn resolve(
    question: &Question,
    upstream: SocketAddr,
    limits: &sluicegate_answer::Limits,
) -> Result<Resolution> {
    let asked = query(&question.name.to_string(), question.qtype)
        .class(question.qclass)
        .edns(4096, true);
    let mut wire = ask_tcp(upstream, &asked.build(), UPSTREAM_LIMIT)?.unwrap_or_default();
    if let Some(flags) = wire.get_mut(2) {
        *flags &= !0x04; // AA is the upstream's own
    }
    let rcode = wire.get(3).map_or(2, |flags| u16::from(flags & 0xf));
    Ok(Resolution::new(
        question,
        &Findings {
            rcode,
            security: Security::Insecure,
            wire: &wire,
            ede: None,
        },
        limits,
    ))
}

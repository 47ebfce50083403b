use sluicegate_conf::Config;
use sluicegate_dns::{CompileOptions, Query, RenderOptions};

use crate::{Request, Transport};

/// The limits that a configuration sets to messages and to what is stored.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    edns_buffer_bytes: u16,
    max_udp_bytes: usize,
    pub(crate) deny_any: bool,
    /// What TCP clients are told of their idle time-out, in units of 100 ms.
    keepalive: Option<u16>,
    min_ttl_secs: u32,
    max_ttl_secs: u32,
    min_negative_ttl_secs: u32,
    max_negative_ttl_secs: u32,
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        let keepalive = u16::try_from(config.tcp.idle_timeout_ms / 100).unwrap_or(u16::MAX);
        Self {
            edns_buffer_bytes: config.message.edns_buffer_bytes,
            max_udp_bytes: usize::from(config.message.max_udp_bytes),
            deny_any: config.message.deny_any,
            keepalive: config.message.edns_tcp_keepalive.then_some(keepalive),
            min_ttl_secs: config.cache.min_ttl_secs,
            max_ttl_secs: config.cache.max_ttl_secs,
            min_negative_ttl_secs: config.cache.min_negative_ttl_secs,
            max_negative_ttl_secs: config.cache.max_negative_ttl_secs,
        }
    }

    /// How the reply to this query is made.
    #[inline]
    pub(crate) fn render_options(
        &self,
        query: &Query,
        request: &Request,
        age_secs: u32,
    ) -> RenderOptions<'static> {
        let (ours, keepalive) = match request.transport {
            Transport::Udp => (query.udp_limit(self.max_udp_bytes), None),
            Transport::Tcp => {
                let asked = query.edns.is_some_and(|edns| edns.keepalive);
                (usize::from(u16::MAX), self.keepalive.filter(|_| asked))
            }
        };
        RenderOptions {
            age_secs,
            limit_bytes: ours.min(request.path_limit_bytes),
            udp_size: self.edns_buffer_bytes,
            recursion_available: true,
            ede: None,
            keepalive,
        }
    }

    /// The size that our OPT record announces.
    pub(crate) fn udp_size(&self) -> u16 {
        self.edns_buffer_bytes
    }

    pub(crate) fn compile_options(&self, keep_dnssec: bool, secure: bool) -> CompileOptions {
        CompileOptions {
            keep_dnssec,
            secure,
            min_ttl_secs: self.min_ttl_secs,
            max_ttl_secs: self.max_ttl_secs,
            min_negative_ttl_secs: self.min_negative_ttl_secs,
            max_negative_ttl_secs: self.max_negative_ttl_secs,
        }
    }
}

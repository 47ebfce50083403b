use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{
    CacheConfig, ChaosConfig, Config, ControlConfig, EngineConfig, ExpiredConfig, Listen,
    LogConfig, MessageConfig, RateLimitConfig, TcpConfig, XdpConfig, XdpEnable, XdpMode,
    XdpRouteCheck,
};
use crate::{At, Span, TagConfig};

/// What an empty file means: Unbound's defaults.
impl Default for Config {
    fn default() -> Self {
        let local = |ip: IpAddr| At {
            value: Listen::Address(SocketAddr::new(ip, 53)),
            at: Span::NONE,
        };
        Self {
            listen: vec![
                local(Ipv4Addr::LOCALHOST.into()),
                local(Ipv6Addr::LOCALHOST.into()),
            ],
            port: 53,
            do_ip4: true,
            do_ip6: true,
            do_udp: true,
            do_tcp: true,
            access_control: Vec::new(),
            local_zones: Vec::new(),
            local_data: Vec::new(),
            local_data_ptr: Vec::new(),
            tags: TagConfig::default(),
            responses: Vec::new(),
            unblock_lan_zones: false,
            cache: CacheConfig {
                size_bytes: 4 << 20,
                min_ttl_secs: 0,
                max_ttl_secs: 86_400,
                min_negative_ttl_secs: 0,
                max_negative_ttl_secs: 3600,
                prefetch: false,
                bogus_ttl_secs: 60,
                expired: ExpiredConfig::default(),
            },
            message: MessageConfig {
                edns_buffer_bytes: 1232,
                max_udp_bytes: 1232,
                deny_any: false,
                edns_tcp_keepalive: false,
                ede: None,
                ede_serve_expired: None,
                rrset_roundrobin: true,
            },
            chaos: ChaosConfig::default(),
            tcp: TcpConfig {
                connections_per_thread: 10,
                idle_timeout_ms: 30_000,
            },
            num_threads: None,
            username: None,
            directory: None,
            pidfile: None,
            rate_limit: RateLimitConfig {
                queries_per_sec: 0,
                size_bytes: 4 << 20,
                factor: 10,
                backoff: false,
            },
            log: LogConfig {
                verbosity: 1,
                logfile: None,
                use_syslog: false,
                time_ascii: false,
                val_log_level: 0,
            },
            statistics_interval_secs: 0,
            control: ControlConfig {
                enable: None,
                socket: None,
            },
            xdp: XdpConfig::default(),
            engine: EngineConfig::default(),
        }
    }
}

/// XDP wherever it works.
impl Default for XdpConfig {
    fn default() -> Self {
        Self {
            enable: XdpEnable::Auto,
            mode: XdpMode::Auto,
            queues: None,
            frames: 4096,
            rx_ring: 2048,
            tx_ring: 2048,
            busy_poll_us: 0,
            route_check: XdpRouteCheck::Auto,
            pinned_maps: None,
        }
    }
}

/// As RFC 8767 has it, once it is switched on.
impl Default for ExpiredConfig {
    fn default() -> Self {
        Self {
            serve: false,
            ttl_secs: 86_400,
            ttl_reset: false,
            reply_ttl_secs: 30,
            client_timeout_ms: 1800,
        }
    }
}

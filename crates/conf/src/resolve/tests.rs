use std::path::Path;

use crate::config::*;
use crate::*;

/// Reads a text that stands for /etc/x/x.conf; file names in it are not looked for.
fn read(text: &str) -> Loaded {
    let options = LoadOptions {
        check_files: false,
        ..LoadOptions::default()
    };
    load_text(Path::new("/etc/x/x.conf"), text, &options)
}

fn config(text: &str) -> Config {
    let loaded = read(text);
    let shown = loaded.render(false);
    loaded.config.unwrap_or_else(|| panic!("{shown}"))
}

/// The messages of one severity.
fn messages(text: &str, severity: Severity) -> Vec<String> {
    let diagnostics = read(text).diagnostics;
    diagnostics
        .into_iter()
        .filter(|d| d.severity == severity)
        .map(|d| d.message)
        .collect()
}

fn listens(text: &str) -> Vec<String> {
    let listen = config(text).listen;
    let shown = listen.into_iter().map(|at| match at.value {
        Listen::Address(address) => address.to_string(),
        Listen::Interface { name, port } => format!("{name}@{port}"),
    });
    shown.collect()
}

#[test]
fn an_empty_file_means_unbounds_defaults() {
    let config = config("");
    assert_eq!(listens(""), ["127.0.0.1:53", "[::1]:53"]);
    assert_eq!(config.cache.size_bytes, 4 << 20);
    assert_eq!(config.message.max_udp_bytes, 1232);
    assert_eq!((config.num_threads, config.control.enable), (None, None));
    assert!(config.do_ip4 && config.do_ip6 && config.do_udp && config.do_tcp);
}

#[test]
fn the_last_of_an_option_wins_and_the_last_port_counts_for_all_interfaces() {
    let text = "server: interface: 192.0.2.1 interface: ::1@99 port: 1 verbosity: 5\nserver: port: 2 verbosity: 0";
    assert_eq!(listens(text), ["192.0.2.1:2", "[::1]:99"]);
    assert_eq!(config(text).log.verbosity, 0);
}

#[test]
fn interface_automatic_listens_on_everything() {
    let text = "server: interface: 192.0.2.1 port: 54 interface-automatic: yes";
    assert_eq!(listens(text), ["0.0.0.0:54", "[::]:54"]);
    let ports = format!("{text} interface-automatic-ports: \"53 55\"");
    assert_eq!(
        listens(&ports),
        ["0.0.0.0:53", "[::]:53", "0.0.0.0:55", "[::]:55"]
    );
    assert_eq!(
        listens("server: interface: eth0@54 ip-address: lo interface-automatic: no"),
        ["eth0@54", "lo@53"]
    );
}

#[test]
fn ports_of_other_protocols_are_left_closed_with_a_warning() {
    let text = "server: interface: 192.0.2.1 interface: 192.0.2.1@853 interface: 192.0.2.1@443";
    assert_eq!(listens(text), ["192.0.2.1:53"]);
    assert_eq!(
        messages(text, Severity::Warning),
        ["this is not listened on", "this is not listened on"]
    );
    assert_eq!(
        listens("server: interface: ::1@853 tls-port: 999 quic-port: 999"),
        ["[::1]:853"]
    );
    assert_eq!(
        listens("server: interface: ::1 interface: ::1@9 proxy-protocol-port: 9"),
        ["[::1]:53"]
    );
}

#[test]
fn one_address_twice_is_an_error() {
    let text = "server: interface: 192.0.2.1 interface: 192.0.2.1@53";
    assert_eq!(
        messages(text, Severity::Error),
        ["the same address and port twice"]
    );
}

#[test]
fn every_access_control_action_is_known() {
    let actions = [
        ("deny", AccessAction::Deny),
        ("refuse", AccessAction::Refuse),
        ("allow", AccessAction::Allow),
        ("allow_setrd", AccessAction::AllowSetrd),
        ("allow_snoop", AccessAction::AllowSnoop),
        ("allow_cookie", AccessAction::AllowCookie),
        ("deny_non_local", AccessAction::DenyNonLocal),
        ("refuse_non_local", AccessAction::RefuseNonLocal),
    ];
    for (word, action) in actions {
        let config = config(&format!("server: access-control: 10.1.2.3/8 {word}"));
        let rule = &config.access_control[0].value;
        assert_eq!(
            (rule.prefix.to_string().as_str(), rule.action),
            ("10.0.0.0/8", action)
        );
    }
}

#[test]
fn every_local_zone_type_of_the_table_is_known() {
    let table::Arg::OneOf(types) = table::keyword("local-zone").unwrap().args[1] else {
        panic!("local-zone takes no words");
    };
    for word in types {
        let config = config(&format!("server: local-zone: \"example.\" {word}"));
        let expected = LocalZoneType::from_word(word).unwrap_or(LocalZoneType::Transparent);
        assert_eq!(
            config.local_zones[0].value,
            LocalZone {
                name: "example.".into(),
                kind: expected
            }
        );
    }
}

#[test]
fn local_data_is_kept_as_written_with_its_place() {
    let text = "server:\n local-data: 'a. TXT \"x # y\"'\n local-data-ptr: \"192.0.2.1 a.\"";
    let loaded = read(text);
    let config = loaded.config.as_ref().unwrap();
    assert_eq!(config.local_data[0].value, "a. TXT \"x # y\"");
    assert_eq!(
        loaded.sources.place(config.local_data[0].at),
        "/etc/x/x.conf:2:15"
    );
    assert_eq!(
        config.local_data_ptr[0].value,
        "1.2.0.192.in-addr.arpa. PTR a."
    );
}

#[test]
fn local_zones_of_a_view_are_not_the_servers() {
    let text = "python: dynlib:\nview: name: v local-zone: a. refuse local-data: 'a. A 192.0.2.1' view-first: yes";
    let config = config(text);
    assert!(config.local_zones.is_empty() && config.local_data.is_empty());
    assert_eq!(
        messages(text, Severity::Warning),
        ["`view:` has no effect yet"]
    );
}

#[test]
fn every_honoured_option_is_honoured_by_some_code() {
    // The assertion is in the code under test: an option that none takes up stops it.
    for row in table::keywords().filter(|row| row.opens.is_none()) {
        let value = if row.default.is_empty() {
            "1"
        } else {
            row.default
        };
        for clause in row.clauses.iter() {
            let values = vec![format!("\"{value}\""); row.args.len()].join(" ");
            let loaded = read(&format!("{}: {}: {values}", clause.name(), row.name));
            assert_eq!(loaded.sources.sources().len(), 1);
        }
    }
}

#[test]
fn numbers_out_of_bounds_count_as_the_bound() {
    let config = config(
        "server: tcp-idle-timeout: 999999 max-udp-size: 65536 cache-min-ttl: -5 incoming-num-tcp: 0",
    );
    assert_eq!(
        config.tcp,
        TcpConfig {
            connections_per_thread: 0,
            idle_timeout_ms: 120_000
        }
    );
    assert_eq!(config.message.max_udp_bytes, 65_535);
    assert_eq!(config.cache.min_ttl_secs, 0);
}

#[test]
fn the_later_of_logfile_and_use_syslog_wins() {
    assert!(!config("server: use-syslog: yes logfile: /x").log.use_syslog);
    let log = config("server: logfile: x use-syslog: yes").log;
    assert_eq!(
        (log.use_syslog, log.logfile),
        (true, Some("/etc/x/x".into()))
    );
    assert_eq!(config("server: logfile: \"\"").log.logfile, None);
}

#[test]
fn file_names_begin_where_unbound_has_them_begin() {
    let file = |text: &str| config(text).pidfile.unwrap().value.display().to_string();
    assert_eq!(file("server: pidfile: p"), "/etc/x/p");
    assert_eq!(file("server: pidfile: p directory: /var"), "/var/p");
    assert_eq!(file("server: pidfile: p directory: var"), "/etc/x/var/p");
    assert_eq!(file("server: pidfile: /p chroot: /jail"), "/jail/p");
    assert_eq!(file("server: pidfile: /jail/p chroot: /jail/"), "/jail/p");
    assert_eq!(
        file("server: pidfile: /jailer chroot: /jail"),
        "/jail/jailer"
    );
    assert_eq!(
        file("server: pidfile: p chroot: /jail directory: /etc"),
        "/jail/etc/p"
    );
    assert_eq!(
        file("server: pidfile: p chroot: /jail directory: /jail/etc"),
        "/jail/etc/p"
    );
}

#[test]
fn the_control_socket_is_a_file() {
    let control =
        config("remote-control: control-enable: no control-interface: /run/x.ctl").control;
    assert_eq!(
        control,
        ControlConfig {
            enable: Some(false),
            socket: Some("/run/x.ctl".into())
        }
    );
    let text = "remote-control: control-interface: 127.0.0.1";
    assert_eq!(
        messages(text, Severity::Warning),
        ["the control socket does not listen on addresses yet"]
    );
}

#[test]
fn pinned_maps_are_not_for_another_user() {
    let text = "server: username: \"dns\"\nxdp: pinned-maps: \"/sys/fs/bpf/s\"";
    assert_eq!(
        messages(text, Severity::Warning),
        ["no maps are made for `pinned-maps:` as another user"]
    );
    let help = read(text).diagnostics[0].help.clone().unwrap();
    assert!(help.contains("username: \"\"") && help.contains("/sys/fs/bpf/s/INTERFACE/"));
    for fine in [
        "server: username: \"\"\nxdp: pinned-maps: \"/sys/fs/bpf/s\"",
        "server: username: \"dns\"",
    ] {
        assert!(messages(fine, Severity::Warning).is_empty(), "{fine}");
    }
}

#[test]
fn the_clause_xdp_is_read() {
    let text = "xdp: enable: yes mode: zero-copy queues: 2 frames: 4096 rx-ring: 512 tx-ring: 256 \
                busy-poll: 20 route-check: no pinned-maps: \"/sys/fs/bpf/s\"";
    let expected = XdpConfig {
        enable: XdpEnable::Yes,
        mode: XdpMode::ZeroCopy,
        queues: Some(2),
        frames: 4096,
        rx_ring: 512,
        tx_ring: 256,
        busy_poll_us: 20,
        route_check: XdpRouteCheck::No,
        pinned_maps: Some("/sys/fs/bpf/s".into()),
    };
    assert_eq!(config(text).xdp, expected);
    assert_eq!(
        messages("xdp: mode: zerocopy", Severity::Error),
        ["`mode:` has an invalid value"]
    );
    assert_eq!(
        messages("server: mode: copy", Severity::Error),
        ["`mode:` does not belong in `server:`"]
    );
}

#[test]
fn what_cannot_work_is_an_error() {
    let cases = [
        (
            "server: do-ip4: no do-ip6: no",
            "`do-ip4:` and `do-ip6:` are both off",
        ),
        (
            "server: do-tcp: no do-udp: no",
            "`do-udp:` and `do-tcp:` are both off",
        ),
        (
            "server: do-ip6: no prefer-ip6: yes",
            "`prefer-ip6: yes` and `do-ip6: no` contradict each other",
        ),
        (
            "server: module-config: validator",
            "`module-config:` does not end in `iterator`",
        ),
        (
            "forward-zone: forward-addr: 192.0.2.1",
            "`forward-zone:` has no `name:`",
        ),
        (
            "stub-zone: name: a name: b stub-addr: ::1",
            "`stub-zone:` has more than one `name:`",
        ),
        ("port: 53", "`port:` stands outside of any clause"),
        ("server: verbosity: -1", "`verbosity:` has an invalid value"),
        (
            "server: num-threads: 0",
            "`num-threads:` has an invalid value",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(messages(text, Severity::Error), [message], "{text}");
    }
    assert!(read("server: do-ip6: no prefer-ip6: no").config.is_some());
}

#[test]
fn known_options_without_effect_pass_with_warnings() {
    let text = "server: serve-original-ttl: yes serve-original-ttl: yes log-queries: no so-reuseport: yes\ndnstap: dnstap-enable: yes";
    assert!(read(text).config.is_some());
    let warnings = [
        "`dnstap:` has no effect yet",
        "`serve-original-ttl:` has no effect yet (2 times)",
    ];
    assert_eq!(messages(text, Severity::Warning), warnings);
    assert_eq!(
        messages(text, Severity::Note),
        ["`so-reuseport:` needs no effect"]
    );
}

#[test]
fn an_option_is_told_as_it_was_written() {
    let loaded = read(
        "server: access-control: 10.0.0.0/8 allow access-control: ::/0 deny ip-address: ::1 port: 5 port: 6",
    );
    let value = |name| loaded.value_of(name);
    assert_eq!(value("port").unwrap(), "6");
    assert_eq!(
        value("access-control").unwrap(),
        "10.0.0.0/8 allow\n::/0 deny"
    );
    assert_eq!(value("interface").unwrap(), "::1");
    assert_eq!(value("verbosity").unwrap(), "1");
    assert_eq!((value("nosuch"), value("server")), (None, None));
}

mod engine {
    use super::*;

    /// The engine's part without what is always there.
    fn engine_with(text: &str, options: &LoadOptions) -> (String, Vec<String>) {
        let options = LoadOptions {
            check_files: false,
            ..options.clone()
        };
        let loaded = load_text(Path::new("/etc/x/x.conf"), text, &options);
        let diagnostics = loaded.diagnostics.into_iter().map(|d| d.message).collect();
        let text = loaded.config.unwrap().engine.text;
        (
            text.split_once("# /etc/x/x.conf\n")
                .map_or("", |(_, own)| own)
                .to_owned(),
            diagnostics,
        )
    }

    fn engine(text: &str) -> String {
        engine_with(text, &LoadOptions::default()).0
    }

    #[test]
    fn options_of_the_resolver_are_handed_over_as_written() {
        let text = "server:\n verbosity: 3\n harden-glue: 'yes'\n edns-client-string: 10.0.0.0/8 \"a # b\"\n\
                    forward-zone:\n name: \".\"\n forward-addr: 192.0.2.1@853#dns.example";
        let expected = "server: # line 1\n    harden-glue: 'yes' # line 3\n    \
                        edns-client-string: 10.0.0.0/8 \"a # b\" # line 4\n\
                        forward-zone: # line 5\n    name: \".\" # line 6\n    \
                        forward-addr: 192.0.2.1@853#dns.example # line 7\n";
        assert_eq!(engine(text), expected);
    }

    #[test]
    fn options_of_the_server_stay_here() {
        let text = "server: interface: ::1 access-control: ::/0 allow local-zone: a. refuse username: x chroot: /y\n\
                    remote-control: control-enable: yes\nxdp: enable: no\nview: name: v\nrpz: name: r.\npython: python-script: p";
        assert_eq!(engine(text), "");
    }

    #[test]
    fn options_that_concern_both_are_handed_over_too() {
        assert_eq!(
            engine("server: do-ip6: no"),
            "server: # line 1\n    do-ip6: no # line 1\n"
        );
    }

    #[test]
    fn file_names_are_made_whole() {
        let root_hints = |text: &str| {
            let text = engine(text);
            text.lines()
                .find(|line| line.contains("root-hints"))
                .unwrap()
                .trim()
                .to_owned()
        };
        assert_eq!(
            root_hints("server: root-hints: a"),
            "root-hints: \"/etc/x/a\" # line 1"
        );
        assert_eq!(
            root_hints("server: root-hints: /a"),
            "root-hints: /a # line 1"
        );
        assert_eq!(
            root_hints("server: chroot: /j root-hints: '/a'"),
            "root-hints: \"/j/a\" # line 1"
        );
        assert_eq!(
            root_hints("server: root-hints: 'a\"b'"),
            "root-hints: '/etc/x/a\"b' # line 1"
        );
    }

    #[test]
    fn what_libunbound_is_too_old_for_is_left_out_with_a_warning() {
        let text = "server: harden-glue: no iter-scrub-rrsig: 9 answer-cookie: no";
        let old = LoadOptions {
            engine_version: Some(Version::new(1, 17, 1)),
            ..LoadOptions::default()
        };
        let (engine_text, messages) = engine_with(text, &old);
        assert_eq!(
            engine_text,
            "server: # line 1\n    harden-glue: no # line 1\n"
        );
        assert_eq!(messages, ["`iter-scrub-rrsig:` needs libunbound 1.25.0"]);
        let new = LoadOptions {
            engine_version: Some(Version::new(1, 25, 0)),
            ..LoadOptions::default()
        };
        assert!(engine_with(text, &new).0.contains("iter-scrub-rrsig: 9"));
        // A distribution's library that got it with a security fix.
        let mended = LoadOptions {
            engine_knows: |option| option == "iter-scrub-rrsig",
            ..old
        };
        let (engine_text, messages) = engine_with(text, &mended);
        assert!(engine_text.contains("iter-scrub-rrsig: 9") && messages.is_empty());
    }

    #[test]
    fn modules_that_libunbound_lacks_are_left_out_with_a_warning() {
        let text = "server: module-config: \"python cachedb validator iterator\"";
        assert!(engine(text).contains("module-config: \"cachedb validator iterator\""));
        let modules = Some(vec!["validator".to_owned(), "iterator".to_owned()]);
        let (text, messages) = engine_with(
            text,
            &LoadOptions {
                engine_modules: modules,
                ..LoadOptions::default()
            },
        );
        assert!(text.contains("module-config: \"validator iterator\""));
        assert_eq!(messages, ["the engine has no module python, cachedb"]);
    }

    #[test]
    fn upstreams_over_tls_are_marked_and_asked_over_tcp() {
        let text = engine(
            "server: tls-cert-bundle: /a tls-port: 8853
forward-zone: name: . forward-addr: 192.0.2.1#dns.example forward-addr: ::1@853 forward-addr: ::2
 forward-tcp-upstream: no forward-ssl-upstream: yes
stub-zone: name: a stub-addr: 192.0.2.2#b",
        );
        for part in [
            "#tls-cert-bundle: /a # line 1\n",
            "forward-tcp-upstream: yes # line 2\n",
            "forward-addr: tls:192.0.2.1@8853#dns.example # line 2\n",
            "forward-addr: tls:::1@853 # line 2\n",
            "forward-addr: tls:::2@53 # line 2\n",
            "stub-addr: 192.0.2.2#b # line 4\n",
        ] {
            assert!(text.contains(part), "{part}{text}");
        }
        for part in [
            "tls-upstream",
            "ssl-upstream",
            "tcp-upstream: no",
            "stub-tcp-upstream",
        ] {
            assert!(!text.contains(part), "{part}{text}");
        }
    }

    #[test]
    fn tls_upstream_is_for_every_zone() {
        let text = "server: ssl-upstream: yes\nforward-zone: name: . forward-addr: ::1@853\nstub-zone: name: a stub-addr: ::2@853";
        let (text, messages) = engine_with(text, &LoadOptions::default());
        assert_eq!(messages, ["a server over TLS without a name"; 2]);
        for part in [
            "#tls-upstream: yes # line 1\n",
            "forward-addr: tls:::1@853 # line 2\n",
            "stub-addr: tls:::2@853 # line 3\n",
            "stub-tcp-upstream: yes # line 3\n",
        ] {
            assert!(text.contains(part), "{part}{text}");
        }
        let (_, messages) = engine_with("server: tls-upstream: yes", &LoadOptions::default());
        assert_eq!(messages, ["no zone for all that is to be asked over TLS"]);
    }

    #[test]
    fn upstreams_over_tls_that_cannot_be_asked_are_warned_of() {
        let text = "forward-zone: name: . forward-host: dns.example@853#b forward-addr: ::1 forward-tls-upstream: yes";
        let (text, messages) = engine_with(text, &LoadOptions::default());
        assert_eq!(
            messages,
            [
                "a server over TLS needs an address, not the name `dns.example@853#b`",
                "TLS on port 53",
            ]
        );
        // It stays within TLS all the same.
        assert!(
            text.contains("forward-addr: tls:dns.example@853#b") && !text.contains("forward-host")
        );
        let text = "forward-zone: name: . forward-tls-upstream: yes \
                    forward-addr: ::1@853#dns.example forward-addr: ::2@853";
        let (_, unnamed) = engine_with(text, &LoadOptions::default());
        assert_eq!(unnamed, ["a server over TLS without a name"]);
        let plain = "forward-zone: name: . forward-addr: ::2@853";
        assert!(engine_with(plain, &LoadOptions::default()).1.is_empty());
    }

    #[test]
    fn libunbounds_own_local_zones_are_off() {
        let text = config("").engine.text;
        assert!(
            text.contains("unblock-lan-zones: yes\n")
                && text.contains("\"localhost.\" nodefault\n")
        );
    }
}

#[test]
fn what_the_cache_does_is_kept_from_libunbound() {
    let text = "server: serve-expired: yes serve-expired-ttl: 7 serve-expired-client-timeout: 0 \
        serve-expired-reply-ttl: 9 serve-expired-ttl-reset: yes prefetch: yes ede: yes \
        ede-serve-expired: no rrset-roundrobin: no val-bogus-ttl: 5 prefetch-key: yes";
    let loaded = read(text);
    assert!(loaded.diagnostics.is_empty(), "all of it is built");
    let config = loaded.config.unwrap();
    let expired = ExpiredConfig {
        serve: true,
        ttl_secs: 7,
        ttl_reset: true,
        reply_ttl_secs: 9,
        client_timeout_ms: 0,
    };
    assert_eq!(config.cache.expired, expired);
    assert!(config.cache.prefetch && !config.message.rrset_roundrobin);
    assert_eq!(config.cache.bogus_ttl_secs, 5);
    assert_eq!(config.message.ede, Some(true));
    assert_eq!(config.message.ede_serve_expired, Some(false));
    for kept in ["serve-expired", "prefetch:", " ede"] {
        assert!(!config.engine.text.contains(kept), "{kept}");
    }
    for shared in [
        "val-bogus-ttl: 5",
        "rrset-roundrobin: no",
        "prefetch-key: yes",
    ] {
        assert!(config.engine.text.contains(shared), "{shared}");
    }
}

#[test]
fn tags_are_numbered_as_they_are_defined() {
    let text = "server: define-tag: \"a b\" define-tag: \"b c\" local-zone: x. static local-zone-tag: x. \"c a\"
                access-control-tag-action: 10.0.0.0/8 d refuse
                access-control-tag: 10.1.2.3/8 b define-tag: d";
    let tags = config(text).tags;
    assert_eq!(tags.names, ["a", "b", "c", "d"]);
    assert_eq!(
        tags.zones[0].value,
        ("x.".to_owned(), [0, 2].into_iter().collect())
    );
    let prefix = "10.0.0.0/8".parse().unwrap();
    let rules: Vec<_> = tags.clients.into_iter().map(|rule| rule.value).collect();
    assert_eq!(
        rules,
        [
            ClientRule {
                prefix,
                says: ClientTrait::Tags([1].into_iter().collect())
            },
            ClientRule {
                prefix,
                says: ClientTrait::Action(3, LocalZoneType::Refuse)
            },
        ]
    );
}

#[test]
fn a_tag_that_is_not_defined_is_named_with_a_remedy() {
    let loaded = read("server: define-tag: lan\n access-control-tag: 10.0.0.0/8 \"lan lam\"");
    let error = &loaded.diagnostics[0];
    assert_eq!(error.message, "the tag `lam` is not defined");
    assert_eq!(error.help.as_deref(), Some("did you mean `lan`?"));
    assert_eq!(loaded.sources.place(error.span), "/etc/x/x.conf:2:34");
    let loaded = read("server: access-control-tag-data: 10.0.0.0/8 walled \"A 192.0.2.1\"");
    let help = loaded.diagnostics[0].help.as_deref();
    assert_eq!(help, Some("write `define-tag: \"walled\"` above this line"));
}

#[test]
fn a_number_beyond_its_bounds_is_named_with_what_it_counts_as() {
    let warnings = |text: &str| messages(text, Severity::Warning);
    for (option, taken) in [
        ("serve-expired-ttl: -5", 1),
        ("cache-max-ttl: -1", 0),
        ("max-udp-size: 12", 512),
    ] {
        let loaded = read(&format!("server: {option}"));
        let [warning] = &loaded.diagnostics[..] else {
            panic!("{option}: {}", loaded.render(false));
        };
        let label = format!("taken as {taken}");
        assert_eq!(warning.severity, Severity::Warning, "{option}");
        assert!(loaded.render(false).contains(&label), "{option}");
    }
    for fine in [
        "serve-expired-ttl: 0",
        "max-udp-size: 65536",
        "num-threads: 128",
    ] {
        assert!(warnings(&format!("server: {fine}")).is_empty(), "{fine}");
    }
    let most = format!("the engine has at most {MAX_ENGINE_THREADS} threads");
    assert_eq!(warnings("server: num-threads: 1000"), [most]);
    // For ever is what 0 would be.
    assert_eq!(
        config("server: serve-expired-ttl: -5")
            .cache
            .expired
            .ttl_secs,
        1
    );
}

#[test]
fn anchors_and_hints_without_records_are_errors() {
    let dir = std::env::temp_dir().join(format!("sluicegate-anchors-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let empty = dir.join("empty");
    std::fs::write(&empty, "; nothing\n").unwrap();
    let good = dir.join("good");
    std::fs::write(&good, ". DS 1 8 2 00\n. NS a.\n").unwrap();
    let errors = |option: &str, value: &str| {
        let text = format!("server: {option}: \"{value}\"");
        let loaded = load_text(&dir.join("conf"), text, &LoadOptions::default());
        assert_eq!(loaded.config.is_none(), !loaded.diagnostics.is_empty());
        loaded.diagnostics.into_iter().map(|d| d.message).collect()
    };
    let none: [String; 0] = [];
    for option in ["trust-anchor-file", "root-hints"] {
        let found: Vec<String> = errors(option, &empty.display().to_string());
        assert!(found[0].contains("there is no "), "{found:?}");
        assert_eq!(errors(option, &good.display().to_string()), none);
    }
    assert_eq!(errors("trust-anchor", "garbage here").len(), 1);
    assert_eq!(errors("trust-anchor", ". DS 1 8 2 00"), none);
    std::fs::remove_dir_all(dir).unwrap();
}

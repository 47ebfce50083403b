//! The demo's stage: hosts, the links between them, the upstream, and the server itself.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::host::Host;
use super::responder;

/// The whole stage; see the module's drawing.
pub(super) struct Stage {
    pub(super) client: Host,
    pub(super) server: Host,
    _upstream: Host,
    process: Child,
    log: Log,
}

/// The server's log so far.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

/// The server's addresses, and the upstream's as the client reaches it directly.
pub(super) const SERVER_V4: &str = "10.11.1.1:53";
pub(super) const SERVER_V6: &str = "[fc00:dead:cafe:1::1]:53";
pub(super) const SERVER_LOOPBACK: &str = "127.0.0.1:53";
pub(super) const UPSTREAM_V4: &str = "203.0.113.53:53";
pub(super) const UPSTREAM_V6: &str = "[fc00:dead:cafe:3::53]:53";

/// Local data of the demo's configuration.
pub(super) const LOCAL_NAME: &str = "gate.example";

/// The interface that the server's AF_XDP path is on.
pub(super) const INTERFACE: &str = "eth0";

/// The server's control socket, below the private `/run`.
pub(super) const CONTROL_SOCKET: &str = "/run/sluicegate.ctl";
/// What the server is started with, there too.
const CONFIG_FILE: &str = "/run/sluicegate-demo.conf";

const CONFIG: &str = r#"server:
    interface: 10.11.1.1
    interface: fc00:dead:cafe:1::1
    interface: 127.0.0.1
    access-control: 10.11.1.0/24 allow
    access-control: fc00:dead:cafe:1::/64 allow
    local-zone: "gate.example" static
    local-data: "gate.example A 10.11.1.1"
    local-data: "gate.example AAAA fc00:dead:cafe:1::1"
    num-threads: 1
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
    do-not-query-localhost: no
forward-zone:
    name: "."
    forward-addr: 198.51.100.53
remote-control:
    control-enable: yes
    control-interface: /run/sluicegate.ctl
xdp:
    enable: auto
"#;

const READY_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How often the counters are looked at before a server that goes on counting is taken as it is.
const REST_POLLS: u32 = 50;
const POLL: Duration = Duration::from_millis(10);
const MAX_LOG_LINES: usize = 1000;

/// Gives this process, and all threads and processes that it starts from now on, a `/run` of its own that vanishes with
/// them. To be called before any thread is started.
pub(super) fn private_run() -> Result<()> {
    let why = "this machine allows no mount namespaces to be made";
    unshare(CloneFlags::CLONE_NEWNS).context(why)?;
    let nothing = None::<&str>;
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        nothing,
    )
    .context("making this process's mounts private (in a chroot: its root has to be a mount, as by mount --bind)")?;
    let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(
        Some("tmpfs"),
        "/run",
        Some("tmpfs"),
        flags,
        Some("mode=0755,size=1m"),
    )
    .context("mounting a private /run")
}

impl Stage {
    /// Builds the stage, starts the server, and waits until it answers.
    pub(super) fn build() -> Result<Self> {
        let [client, server, upstream] = [
            Host::new("client")?,
            Host::new("server")?,
            Host::new("upstream")?,
        ];
        let near = ["10.11.1", "fc00:dead:cafe:1:"];
        let behind = ["198.51.100", "fc00:dead:cafe:2:"];
        let direct = ["203.0.113", "fc00:dead:cafe:3:"];
        link((&server, INTERFACE, 1), (&client, "eth0", 2), near)?;
        link((&server, "eth1", 1), (&upstream, "eth0", 53), behind)?;
        link((&client, "eth1", 2), (&upstream, "eth1", 53), direct)?;
        responder::start(&upstream)?;
        fs::write(CONFIG_FILE, CONFIG)?;
        // This very program, whatever has become of its file.
        let program = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
        let mut process = server.spawn(&program, &["-c", CONFIG_FILE, "-d", "-d"])?;
        let log = Log::default();
        log.follow(&mut process)?;
        let mut stage = Self {
            client,
            server,
            _upstream: upstream,
            process,
            log,
        };
        stage.wait_until_ready()?;
        Ok(stage)
    }

    /// What the server said of its AF_XDP path: the line in which it is active, or the one that says why it isn't.
    pub(super) fn xdp_line(&self) -> Result<XdpState> {
        let end = Instant::now() + READY_LIMIT;
        loop {
            if let Some(line) = self.log.find(&|line| line.contains("XDP fast path active")) {
                return Ok(XdpState::Active(from_word(&line, "XDP fast path")));
            }
            let ours = |line: &str| line.contains("XDP not available") && line.contains(INTERFACE);
            if let Some(line) = self.log.find(&ours) {
                return Ok(XdpState::Missing(from_word(&line, "XDP not available")));
            }
            if Instant::now() > end {
                bail!(
                    "the server says nothing of XDP; its log:\n{}",
                    self.log.text()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// The number of the XDP program on the server's interface, as iproute2 sees it.
    pub(super) fn xdp_program(&self) -> Result<Option<u32>> {
        let text = self
            .server
            .ip(&format!("-d -o link show dev {INTERFACE}"))?;
        let words = text
            .split_whitespace()
            .skip_while(|word| !word.starts_with("prog/xdp"));
        let id = words.skip_while(|word| *word != "id").nth(1);
        Ok(id.map(str::parse).transpose()?)
    }

    /// The server's statistics by name, those that are whole numbers.
    #[expect(
        clippy::unused_self,
        reason = "there are no statistics without a stage"
    )]
    pub(super) fn stats(&self) -> Result<BTreeMap<String, u64>> {
        let text = sluicegate_serve::control::request(Path::new(CONTROL_SOCKET), "stats")?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Ok(pairs
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect())
    }

    /// The statistics once all replies are counted: a reply may reach its client before that.
    pub(super) fn stats_at_rest(&self) -> Result<BTreeMap<String, u64>> {
        const REPLIES: &str = "total.replied";
        let mut stats = self.stats()?;
        for _ in 0..REST_POLLS {
            thread::sleep(POLL);
            let later = self.stats()?;
            if later.get(REPLIES) == stats.get(REPLIES) {
                return Ok(later);
            }
            stats = later;
        }
        Ok(stats)
    }

    /// The server's process number.
    pub(super) fn server_pid(&self) -> u32 {
        self.process.id()
    }

    /// Whether the server still runs.
    pub(super) fn server_runs(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Ends the server as an operator would, with SIGTERM, and says whether it ended well.
    pub(super) fn stop_server(&mut self) -> Result<bool> {
        kill(
            Pid::from_raw(i32::try_from(self.process.id())?),
            Signal::SIGTERM,
        )?;
        let end = Instant::now() + STOP_LIMIT;
        while Instant::now() < end {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status.success());
            }
            thread::sleep(POLL);
        }
        self.process.kill()?;
        self.process.wait()?;
        Ok(false)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let end = Instant::now() + READY_LIMIT;
        while self.stats().is_err() {
            if !self.server_runs() || Instant::now() > end {
                bail!("the server did not start; its log:\n{}", self.log.text());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether AF_XDP serves, in the server's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum XdpState {
    Active(String),
    Missing(String),
}

impl Log {
    fn follow(&self, process: &mut Child) -> Result<()> {
        let stream = process
            .stderr
            .take()
            .context("the server's log can't be read")?;
        let log = self.clone();
        let read = move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut lines = log.0.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() < MAX_LOG_LINES {
                    lines.push(line);
                }
            }
        };
        thread::Builder::new().name("log".into()).spawn(read)?;
        Ok(())
    }

    fn find(&self, wanted: &dyn Fn(&str) -> bool) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().find(|line| wanted(line)).cloned()
    }

    fn text(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join("\n")
    }
}

/// One end of a link: the host, the interface's name there, and the last part of its addresses.
type End<'h> = (&'h Host, &'static str, u16);

/// Joins two hosts by a veth pair with two queues at each end, an IPv4 `/24` and an IPv6 `/64`.
fn link(a: End<'_>, b: End<'_>, [v4, v6]: [&str; 2]) -> Result<()> {
    let queues = "numrxqueues 2 numtxqueues 2";
    a.0.ip(&format!(
        "link add {} {queues} type veth peer name {} {queues} netns {}",
        a.1,
        b.1,
        b.0.path()
    ))?;
    for (host, name, last) in [a, b] {
        // Addresses shall work at once, without duplicate address detection.
        host.ip(&format!("addr add {v4}.{last}/24 dev {name}"))?;
        host.ip(&format!("addr add {v6}:{last}/64 dev {name} nodad"))?;
        host.ip(&format!("link set {name} up"))?;
    }
    Ok(())
}

/// `line` from `word` on: without the time and level before it.
fn from_word(line: &str, word: &str) -> String {
    line.find(word).map_or(line, |at| &line[at..]).to_owned()
}

/// An address of this module's constants.
pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("the constants are addresses")
}

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use anyhow::{Context, Result, ensure};
use sluicegate_answer::Policy;
use sluicegate_conf::LoadOptions;
use sluicegate_lab::netns::{Netns, Process};
use sluicegate_lab::peers;
use sluicegate_lab::upstream::Upstream;

use crate::probe::{Outcome, Probe};
use crate::questions::{MISTAKES, REFUSED_BY_US_ONLY};
use crate::responses::RESPONSE_MISTAKES;
use crate::tagged::TAG_MISTAKES;

/// Debian's Unbound in a namespace of its own, on port 5300, with an upstream beside it.
pub(crate) struct Peer {
    // Fields are dropped in this order: the process before its namespace.
    _process: Process,
    upstream: Upstream,
    netns: Netns,
}

/// How long Unbound gets to start, and to answer the last question.
const START_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Questions under way at once: less than what a socket buffer holds.
const WINDOW: usize = 32;
const PORT: u16 = 5300;

impl Peer {
    pub(crate) fn start(conf: &str) -> Result<Self> {
        let netns = Netns::new()?;
        netns.ip("link set lo up")?;
        let upstream = Upstream::start(&netns, "127.0.0.1:5301".parse()?)?;
        let file = ConfFile::new(&whole_conf(conf))?;
        let mut command = peers::command("unbound")?;
        command.args(["-d", "-d", "-c"]).arg(file.path());
        let process = netns.spawn(&command)?;
        process.wait_for_line("start of service", START_LIMIT)?;
        Ok(Self {
            _process: process,
            upstream,
            netns,
        })
    }

    pub(crate) fn upstream(&self) -> SocketAddr {
        self.upstream.address()
    }

    /// Runs something inside Unbound's namespace.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.netns.enter(work)
    }

    /// Asks every question; what came of each, in their order.
    pub(crate) fn ask_all(&self, probes: &[Probe]) -> Result<Vec<Outcome>> {
        let mut sources: Vec<_> = probes.iter().map(|probe| probe.source).collect();
        sources.sort_unstable();
        sources.dedup();
        let mut outcomes = vec![Outcome::Silence; probes.len()];
        for source in sources {
            let from_here: Vec<_> = probes
                .iter()
                .enumerate()
                .filter(|(_, probe)| probe.source == source)
                .collect();
            for (index, outcome) in self.netns.enter(|| ask_from(source, &from_here))? {
                outcomes[index] = outcome;
            }
        }
        Ok(outcomes)
    }
}

/// Asks from one address; what stays without a reply is asked again, so that a busy machine isn't taken for silence.
fn ask_from(source: IpAddr, probes: &[(usize, &Probe)]) -> Result<HashMap<usize, Outcome>> {
    let server: IpAddr = match source {
        IpAddr::V4(_) => [127, 0, 0, 1].into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let socket = UdpSocket::bind((source, 0)).with_context(|| format!("binding to {source}"))?;
    socket.connect((server, PORT))?;
    let mut outcomes = HashMap::new();
    for silence in [Duration::from_millis(200), Duration::from_secs(1)] {
        let open: Vec<_> = probes
            .iter()
            .filter(|(index, _)| !outcomes.contains_key(index))
            .copied()
            .collect();
        // What nobody answered the first time is asked in larger groups: each costs a wait.
        let window = if silence < ANSWER_LIMIT / 4 {
            WINDOW
        } else {
            4 * WINDOW
        };
        for window in open.chunks(window) {
            ask_window(&socket, window, silence, &mut outcomes)?;
        }
    }
    Ok(outcomes)
}

/// Asks some questions at once, until all are answered or nothing has come for the time of `silence`.
fn ask_window(
    socket: &UdpSocket,
    probes: &[(usize, &Probe)],
    silence: Duration,
    outcomes: &mut HashMap<usize, Outcome>,
) -> Result<()> {
    static LAST_ID: AtomicU16 = AtomicU16::new(0);
    let mut open = HashMap::new();
    for &(index, probe) in probes {
        let id = LAST_ID.fetch_add(1, Relaxed);
        socket.send(&probe.query.clone().id(id).build())?;
        open.insert(id, index);
    }
    let limit = Instant::now() + ANSWER_LIMIT;
    let mut buffer = vec![0; 65_535];
    socket.set_read_timeout(Some(silence))?;
    while !open.is_empty() && Instant::now() < limit {
        match socket.recv(&mut buffer) {
            Ok(len) if len >= 2 => {
                let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                if let Some(index) = open.remove(&id) {
                    outcomes.insert(index, Outcome::of_reply(&buffer[..len]));
                }
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => return Err(error).context("waiting for Unbound"),
        }
    }
    Ok(())
}

/// The configuration that both sides read.
pub(crate) fn whole_conf(conf: &str) -> String {
    format!(
        "server:\n  interface: 127.0.0.1@{PORT}\n  interface: ::1@{PORT}\n  username: \"\"\n  directory: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  \
         use-syslog: no\n  logfile: \"\"\n  verbosity: 1\n  num-threads: 1\n  do-not-query-localhost: no\n  \
         module-config: \"iterator\"\n  rrset-roundrobin: no\n  max-udp-size: 4096\n{conf}\nforward-zone:\n  name: \".\"\n  \
         forward-addr: 127.0.0.1@5301\nremote-control:\n  control-enable: no\n"
    )
}

/// A file that is gone with this value.
struct ConfFile(PathBuf);

impl ConfFile {
    fn new(text: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Relaxed);
        let path = env::temp_dir().join(format!("sluicegate-local-{}-{count}.conf", process::id()));
        fs::File::create_new(&path)?.write_all(text.as_bytes())?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ConfFile {
    fn drop(&mut self) {
        // Nothing is lost if it stays.
        let _ = fs::remove_file(&self.0);
    }
}

/// What Unbound's own check refuses we refuse, and what it takes we take.
pub(crate) fn compare_mistakes() -> Result<()> {
    let mut wrong = Vec::new();
    for lines in MISTAKES
        .iter()
        .chain(TAG_MISTAKES)
        .chain(RESPONSE_MISTAKES)
        .chain(REFUSED_BY_US_ONLY)
    {
        let conf = whole_conf(lines);
        let file = ConfFile::new(&conf)?;
        let output = peers::command("unbound-checkconf")?
            .arg(file.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()?;
        let theirs = output.status.success();
        let loaded = sluicegate_conf::load_text(file.path(), &conf, &LoadOptions::default());
        let ours = loaded.config.as_ref().map(Policy::build);
        let taken = matches!(ours, Some(Ok(_)));
        let stricter = REFUSED_BY_US_ONLY.contains(lines);
        if taken != (theirs && !stricter) || (stricter && !theirs) {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            wrong.push(format!(
                "{lines}\n  unbound: {theirs} {said}\n  we: {taken} {:?}",
                ours.map(Result::err)
            ));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

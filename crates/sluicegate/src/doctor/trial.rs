use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sluicegate_doctor::{Finding, Serving};
use sluicegate_serve::control;

use crate::demo::Host;

/// The name of the check.
pub(super) const CHECK: &str = "trial";

/// Starts a server of its own between two network namespaces, and asks it a question that the fast path must answer.
pub(super) fn trial() -> Finding {
    if !nix::unistd::geteuid().is_root() {
        return Finding::trial_skipped("network namespaces are for root to make");
    }
    let start = Instant::now();
    match run() {
        Ok(reply) => Finding::trial(start.elapsed(), reply),
        Err(error) => Finding::trial_skipped(&format!("{error:#}")),
    }
}

/// How long the server may take to be ready, and to take its first query by AF_XDP.
const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(20);

/// Whether AF_XDP answered; if not, what the server said of it.
fn run() -> Result<Result<(), String>> {
    let (client, server) = (Host::new("client")?, Host::new("server")?);
    server.ip(&format!(
        "link add eth0 type veth peer name eth0 netns {}",
        client.path()
    ))?;
    for (host, address) in [(&server, "198.18.0.1/30"), (&client, "198.18.0.2/30")] {
        host.ip(&format!("addr add {address} dev eth0"))?;
        host.ip("link set eth0 up")?;
    }
    let folder = Folder::new()?;
    let (config, log, socket) = (
        folder.0.join("conf"),
        folder.0.join("log"),
        folder.0.join("control"),
    );
    fs::write(&config, configuration(&socket, &log))?;
    // This very program, whatever has become of its file.
    let program = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    let arguments = [
        "-p",
        "-c",
        config.to_str().context("an odd temporary folder")?,
    ];
    let process = Running(server.spawn(&program, &arguments)?);
    let outcome = ask(&client, &socket, &log)?;
    drop(process);
    if outcome {
        return Ok(Ok(()));
    }
    Ok(Err(refusal(&log).unwrap_or_else(|| {
        "the query was answered, by the kernel's path".to_owned()
    })))
}

/// How the server's log begins to tell that an interface is left to the kernel.
const REFUSED: &str = "XDP not available";

/// Why the server left the interface to the kernel, if that is the last word in its log.
fn refusal(log: &Path) -> Option<String> {
    let said = fs::read_to_string(log).unwrap_or_default();
    let last = said
        .lines()
        .filter(|line| line.contains("interface=eth0"))
        .rfind(|line| line.contains(REFUSED) || line.contains("XDP fast path active"))
        .filter(|line| line.contains(REFUSED))?;
    Some(last.rsplit("reason=").next().unwrap_or(last).to_owned())
}

fn configuration(socket: &Path, log: &Path) -> String {
    format!(
        "server:\n  interface: 198.18.0.1\n  access-control: 198.18.0.0/30 allow\n  num-threads: 1\n  username: \"\"\n  \
         chroot: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"{}\"\n  local-zone: \"test.\" static\n  \
         local-data: \"doctor.test. 60 A 198.18.0.1\"\nremote-control:\n  control-enable: yes\n  control-interface: \
         \"{}\"\nxdp:\n  enable: auto\n  frames: 1024\n  rx-ring: 256\n  tx-ring: 256\n",
        log.display(),
        socket.display()
    )
}

/// Asks until AF_XDP has had a query, or the time is up; whether it had. `Err`: the server does not answer at all.
fn ask(client: &Host, socket: &Path, log: &Path) -> Result<bool> {
    let end = Instant::now() + LIMIT;
    let mut answered = 0;
    while Instant::now() < end {
        answered += u32::from(client.inside(question)?.unwrap_or(false));
        let stats = control::request(socket, "stats").unwrap_or_default();
        let serving = Serving::from_stats(&stats);
        if answered > 0 && serving.fast() > 0 {
            return Ok(true);
        }
        // It has decided against the fast path, and stays with that: waiting longer changes nothing.
        if answered > PATIENCE && refusal(log).is_some() {
            return Ok(false);
        }
        std::thread::sleep(STEP);
    }
    if answered == 0 {
        bail!(
            "a server of its own did not answer within {} s",
            LIMIT.as_secs()
        );
    }
    Ok(false)
}

/// Answers of the kernel's path before the server's word against the fast path is taken for its last.
const PATIENCE: u32 = 100;

/// Asks once for `doctor.test A`; whether an answer came.
fn question() -> std::io::Result<bool> {
    const QUERY: &[u8] =
        b"\x64\x72\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06doctor\x04test\x00\x00\x01\x00\x01";
    let socket = UdpSocket::bind("198.18.0.2:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    socket.connect("198.18.0.1:53")?;
    socket.send(QUERY)?;
    let mut reply = [0; 512];
    let len = socket.recv(&mut reply)?;
    // The question's ID, QR set, no error, one answer.
    Ok(len > QUERY.len()
        && reply[..2] == QUERY[..2]
        && reply[2] & 0x80 != 0
        && reply[3] % 16 == 0
        && reply[7] == 1)
}

/// A folder for this trial alone.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("sluicegate-doctor-{}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

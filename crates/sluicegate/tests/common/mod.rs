//! A server as people run it: the program, a configuration file, loopback addresses, and an upstream that the
//! test plays.

#![allow(dead_code)] // each test program uses its own part
#![allow(clippy::unwrap_used, clippy::print_stderr)] // all of this is test code

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long any test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sluicegate");

/// A folder of one test, removed with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "sluicegate-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server's configuration: what every test needs, and its own lines.
pub(crate) struct Setup {
    pub(crate) folder: Folder,
    pub(crate) address: SocketAddr,
    pub(crate) upstream: Upstream,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self {
            folder: Folder::new(),
            address: free(Ipv4Addr::LOCALHOST),
            upstream: Upstream::start(),
        }
    }

    /// Writes the configuration with these lines in its `server:` clause.
    pub(crate) fn write(&self, lines: &str) {
        let text = format!(
            "server:\n  interface: {ip}@{port}\n  num-threads: 2\n  do-not-query-localhost: no\n  module-config: \"iterator\"\n  \
             pidfile: \"{pid}\"\n  local-data: \"hit.example. 60 A 192.0.2.1\"\n{lines}\n\
             remote-control:\n  control-enable: yes\n  control-interface: \"{control}\"\n\
             forward-zone:\n  name: \".\"\n  forward-addr: 127.0.0.1@{upstream}\n\
             xdp:\n  enable: no\n",
            ip = self.address.ip(),
            port = self.address.port(),
            pid = self.folder.path("pid").display(),
            control = self.control().display(),
            upstream = self.upstream.address.port(),
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path("sluicegate.conf")
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.folder.path("control")
    }

    /// Writes the configuration and starts a server on it.
    pub(crate) fn start(&self, lines: &str) -> Server {
        self.start_as(&mut Command::new(PROGRAM), lines)
    }

    /// The same by a command of the caller's, to which the server's arguments are added.
    pub(crate) fn start_as(&self, command: &mut Command, lines: &str) -> Server {
        self.write(lines);
        let log = self.folder.path("log");
        let mut child = command
            .args(["-d", "-c"])
            .arg(self.config())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let control = self.control();
        wait_for("the server to be ready", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{status}: {}", fs::read_to_string(&log).unwrap());
            }
            sluicegate_serve::control::request(&control, "stats").is_ok()
        });
        Server {
            child,
            control,
            log,
        }
    }
}

/// A running server; killed with the test.
pub(crate) struct Server {
    child: Child,
    control: PathBuf,
    log: PathBuf,
}

impl Server {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stat(&self, name: &str) -> u64 {
        let text = sluicegate_serve::control::request(&self.control, "stats").unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .parse()
            .unwrap()
    }

    /// Waits until a counter has a value: a reply may be here before it is counted there.
    pub(crate) fn expect_stat(&self, name: &str, value: u64) {
        let what = format!("{name}={value}");
        wait_for(&what, || self.stat(name) == value);
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn wait_for_log(&self, words: &str) {
        wait_for(words, || self.log().contains(words));
    }

    /// SIGHUP, and waits until it has been carried out, `n`th in this server's life.
    pub(crate) fn reload(&self) {
        let count = |log: &str| {
            log.matches("configuration reloaded").count() + log.matches("reload failed").count()
        };
        let before = count(&self.log());
        self.signal(Signal::SIGHUP);
        wait_for("the reload", || count(&self.log()) > before);
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the server's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Clock ticks of CPU time used so far.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}", self.log());
        }
    }
}

/// An upstream that answers every A question with 198.51.100.7, TTL 300; names that begin with `slow` after
/// 400 ms, names that begin with `mute` never.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let address = socket.local_addr().unwrap();
        let (asked, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, stopped) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = Some(std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while !stopped.load(Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut buf) else {
                    continue;
                };
                count.fetch_add(1, Relaxed);
                let query = buf[..len].to_vec();
                let reply_to = socket.try_clone().unwrap();
                match &query[13..17].to_ascii_lowercase()[..] {
                    b"mute" => {}
                    b"slow" => drop(std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_millis(400));
                        let _ = reply_to.send_to(&upstream_reply(&query), from);
                    })),
                    _ => drop(reply_to.send_to(&upstream_reply(&query), from)),
                }
            }
        }));
        Self {
            address,
            asked,
            stop,
            thread,
        }
    }

    /// Questions that have come.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

fn upstream_reply(query: &[u8]) -> Vec<u8> {
    let question_end = 12 + query[12..].iter().position(|b| *b == 0).unwrap() + 5;
    let is_a = query[question_end - 4..question_end - 2] == [0, 1];
    let mut reply = query[..question_end].to_vec();
    reply[2] = 0x85;
    reply[3] = 0x80;
    reply[6..12].copy_from_slice(&[0, u8::from(is_a), 0, 0, 0, 0]);
    if is_a {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 198, 51, 100, 7]);
    }
    reply
}

/// A query of type A with RD=1 and no EDNS.
pub(crate) fn query(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// What a reply says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) id: u16,
    pub(crate) rcode: u8,
    /// The question's name, as it came back; empty when there is no question.
    pub(crate) name: Vec<u8>,
    /// TTL and address of the first answer, if it is an A record.
    pub(crate) answer: Option<(u32, Ipv4Addr)>,
}

impl Reply {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        assert!(bytes[2] & 0x80 != 0, "not a reply: {bytes:?}");
        let (id, rcode) = (u16::from_be_bytes([bytes[0], bytes[1]]), bytes[3] & 15);
        if bytes[5] == 0 {
            return Self {
                id,
                rcode,
                name: Vec::new(),
                answer: None,
            };
        }
        let question_end = 12 + bytes[12..].iter().position(|b| *b == 0).unwrap() + 5;
        let answer = (bytes[7] > 0).then(|| {
            let record = &bytes[question_end..];
            assert_eq!(record[..2], [0xc0, 12], "an answer for the asked name");
            let ttl = u32::from_be_bytes(record[6..10].try_into().unwrap());
            (
                ttl,
                Ipv4Addr::from(<[u8; 4]>::try_from(&record[12..16]).unwrap()),
            )
        });
        let name = bytes[12..question_end - 4].to_vec();
        Self {
            id,
            rcode,
            name,
            answer,
        }
    }
}

/// A UDP client; asks and waits for the reply.
pub(crate) fn ask_udp(server: SocketAddr, message: &[u8]) -> Reply {
    try_udp(server, message, PATIENCE).expect("a reply")
}

/// The same, with a limit; `None`: no reply came.
pub(crate) fn try_udp(server: SocketAddr, message: &[u8], limit: Duration) -> Option<Reply> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(limit)).unwrap();
    socket.send(message).unwrap();
    let mut buf = [0; 4096];
    let len = socket.recv(&mut buf).ok()?;
    Some(Reply::parse(&buf[..len]))
}

/// A TCP client; asks and waits for the reply, and leaves the connection open.
pub(crate) fn ask_tcp(server: SocketAddr, message: &[u8]) -> (Reply, TcpStream) {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend(message);
    stream.write_all(&framed).unwrap();
    let mut prefix = [0; 2];
    stream.read_exact(&mut prefix).unwrap();
    let mut reply = vec![0; usize::from(u16::from_be_bytes(prefix))];
    stream.read_exact(&mut reply).unwrap();
    (Reply::parse(&reply), stream)
}

/// An address with a port that was free a moment ago, for UDP and TCP.
pub(crate) fn free(ip: Ipv4Addr) -> SocketAddr {
    loop {
        let udp = UdpSocket::bind((ip, 0)).unwrap();
        let address = udp.local_addr().unwrap();
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Looks again and again until `done`.
pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs the program with these arguments to its end: exit code, standard output, standard error.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

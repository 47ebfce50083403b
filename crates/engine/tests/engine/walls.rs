//! Attempts to break out of the sandbox, each from inside a process of its own that has entered it as the
//! engine does.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;

use libtest_mimic::Trial;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{Resource, Signal};
use rustix::thread::capabilities;
use sluicegate_engine::Sandbox;

use crate::rig::{Rig, options, question};
use crate::trial;
use crate::upstream::Upstream;

/// The argument that makes this program a prisoner; the attempt and a folder follow.
pub(crate) const AS_PRISONER: &str = "--as-a-prisoner-of-a-test";

/// What is tried, how, and how it must end.
const ATTEMPTS: &[Attempt] = &[
    ("resolve", work, End::Fine),
    ("read_a_file", read_a_file, End::Fine),
    ("write_a_file", write_a_file, End::Fine),
    ("write_beside", write_beside_the_folder, End::Fine),
    ("replace_an_anchor_file", replace_a_file, End::Fine),
    ("list_a_folder", list_a_folder, End::Fine),
    ("other_sockets", other_sockets, End::Fine),
    ("listen_on_a_port", listen_on_a_port, End::Fine),
    ("signal_another", signal_another, End::Fine),
    ("too_much_memory", too_much_memory, End::Fine),
    ("run_made_code", run_made_code, End::Fine),
    ("regain_capabilities", regain_capabilities, End::Killed),
    ("execute", execute, End::Killed),
    ("fork", fork, End::Fine),
    ("become_another_user", become_another_user, End::Killed),
    ("trace_the_parent", trace_the_parent, End::Killed),
    ("take_a_file", take_a_file_of_another, End::Killed),
    ("mount", mount, End::Killed),
    ("another_thread", from_another_thread, End::Killed),
];

/// Its name, what the prisoner does with its folder, how that ends.
type Attempt = (&'static str, fn(&Path), End);

#[derive(Clone, Copy, PartialEq)]
enum End {
    /// Whatever was tried was refused, and the process goes on.
    Fine,
    /// By seccomp.
    Killed,
}

pub(crate) fn trials() -> Vec<Trial> {
    let attempts = ATTEMPTS.iter().map(|(name, _, end)| {
        Trial::test(format!("inside_{name}"), move || {
            let folder = Folder::new(name);
            let status = prisoner(name, &folder.0, "with-anchors");
            check(status, *end);
            // Without a writable folder nothing is looser but for the one attempt that needs it.
            if *name != "replace_an_anchor_file" {
                check(prisoner(name, &folder.0, "without"), *end);
            }
            Ok(())
        })
    });
    let engine = [
        trial("the_engine_is_walled_in", the_engine_is_walled_in),
        trial("the_memory_limit_has_room", the_memory_limit_has_room),
    ];
    attempts.chain(engine).collect()
}

fn check(status: ExitStatus, end: End) {
    match end {
        End::Fine => assert!(status.success(), "{status}"),
        End::Killed => assert_eq!(status.signal(), Some(Signal::SYS.as_raw()), "{status}"),
    }
}

fn prisoner(attempt: &str, folder: &Path, anchors: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args([AS_PRISONER, attempt, anchors])
        .arg(folder)
        .env("RUST_BACKTRACE", "0")
        .status()
        .unwrap()
}

/// The prisoner: enters, tries, ends with 0 if it was refused as it should.
pub(crate) fn prisoner_main() -> ! {
    let mut arguments = std::env::args().skip(2);
    let mut next = || arguments.next().unwrap();
    let (attempt, anchors, folder) = (next(), next(), PathBuf::from(next()));
    let (_, act, _) = ATTEMPTS
        .iter()
        .find(|(name, _, _)| *name == attempt)
        .unwrap();
    // What must fail because of the sandbox has to work without it.
    std::fs::read("/etc/hostname")
        .or_else(|_| std::fs::read("/etc/passwd"))
        .unwrap();
    let sandbox = Sandbox {
        writable: if anchors == "without" {
            Vec::new()
        } else {
            vec![folder.clone()]
        },
        memory_bytes: MEMORY_BYTES,
    };
    let walls = sandbox.enter().unwrap();
    assert_eq!(
        walls.missing,
        <[&str; 0]>::default(),
        "on this kernel all of it holds"
    );
    act(&folder);
    std::process::exit(0);
}

const MEMORY_BYTES: u64 = 64 << 20;

/// What the engine does all day works.
fn work(_: &Path) {
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(upstream.local_addr().unwrap()).unwrap();
    socket.send(b"question").unwrap();
    let mut buffer = [0; 16];
    assert_eq!(upstream.recv(&mut buffer).unwrap(), 8);
    UdpSocket::bind("[::1]:0").unwrap();
    let threads: Vec<_> = (0..4_u8)
        .map(|number| {
            thread::Builder::new()
                .name(format!("t{number}"))
                .spawn(move || vec![number; 1 << 20].len())
                .unwrap()
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 1 << 20);
    }
    let random = rustix::rand::getrandom(&mut buffer, rustix::rand::GetRandomFlags::empty());
    assert_eq!(random, Ok(16));
}

fn read_a_file(_: &Path) {
    for path in ["/etc/shadow", "/etc/passwd", "/proc/self/mem"] {
        let error = std::fs::read(path).map(drop).unwrap_err();
        assert!(
            error.kind() == std::io::ErrorKind::PermissionDenied,
            "{path}: {error}"
        );
    }
}

fn write_a_file(_: &Path) {
    let path = std::env::temp_dir().join("sluicegate-prisoner-was-here");
    std::fs::write(&path, "out").unwrap_err();
    std::fs::remove_file("/etc/hostname").unwrap_err();
    std::fs::create_dir("/tmp/sluicegate-prisoner-folder").unwrap_err();
    std::fs::rename("/etc/hosts", "/etc/hosts.taken").unwrap_err();
    std::os::unix::fs::symlink("/etc/shadow", "/tmp/sluicegate-prisoner-link").unwrap_err();
}

fn write_beside_the_folder(folder: &Path) {
    std::fs::write(folder.join("../beside"), "out").unwrap_err();
    std::fs::create_dir(folder.join("inner")).unwrap_err();
    std::os::unix::fs::symlink("/etc/shadow", folder.join("link")).unwrap_err();
}

/// As libunbound does it: a new file is renamed over the old one.
fn replace_a_file(folder: &Path) {
    std::fs::write(folder.join("root.key.new"), "keys").unwrap();
    std::fs::rename(folder.join("root.key.new"), folder.join("root.key")).unwrap();
    assert_eq!(std::fs::read(folder.join("root.key")).unwrap(), b"keys");
    std::fs::remove_file(folder.join("root.key")).unwrap();
}

fn list_a_folder(_: &Path) {
    std::fs::read_dir("/").unwrap_err();
    std::fs::read_dir("/proc/self/fd").unwrap_err();
}

fn other_sockets(_: &Path) {
    for (family, kind) in [
        (AddressFamily::UNIX, SocketType::STREAM),
        (AddressFamily::NETLINK, SocketType::RAW),
        (AddressFamily::PACKET, SocketType::RAW),
        (AddressFamily::INET, SocketType::RAW),
        (AddressFamily::INET6, SocketType::RAW),
        (AddressFamily::from_raw(40), SocketType::STREAM), // vsock
        (AddressFamily::from_raw(38), SocketType::SEQPACKET), // kernel cryptography
        (AddressFamily::from_raw(44), SocketType::RAW),    // AF_XDP
    ] {
        let made = socket(family, kind, None);
        assert_eq!(made.map(drop), Err(Errno::PERM), "{family:?}");
    }
}

fn listen_on_a_port(_: &Path) {
    let error = TcpListener::bind(("127.0.0.1", 53_053)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
}

fn signal_another(_: &Path) {
    let parent = rustix::process::getppid().unwrap();
    let sent = rustix::process::kill_process(parent, Signal::CONT);
    assert_eq!(sent, Err(Errno::PERM));
}

fn too_much_memory(_: &Path) {
    let mut block = Vec::<u8>::new();
    let half = usize::try_from(MEMORY_BYTES / 2).unwrap();
    block.try_reserve_exact(half).unwrap();
    let mut more = Vec::<u8>::new();
    more.try_reserve_exact(half * 2).unwrap_err();
    // Nor bit by bit.
    let mut blocks = Vec::new();
    while blocks.len() < 200 {
        let mut block = Vec::<u8>::new();
        if block.try_reserve_exact(1 << 20).is_err() {
            break;
        }
        blocks.push(block);
    }
    assert!(blocks.len() < 100, "{} MiB", blocks.len());
    let unlimited = rustix::process::Rlimit {
        current: None,
        maximum: None,
    };
    rustix::process::setrlimit(Resource::Data, unlimited).unwrap_err();
}

fn run_made_code(_: &Path) {
    let data = memmap2::MmapMut::map_anon(4096).unwrap();
    let error = data.make_exec().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
}

fn regain_capabilities(_: &Path) {
    let sets = capabilities(None);
    // To look is refused too; `capset` is what ends it.
    assert!(sets.is_err());
    let all = rustix::thread::CapabilitySets {
        effective: rustix::thread::CapabilitySet::all(),
        permitted: rustix::thread::CapabilitySet::all(),
        inheritable: rustix::thread::CapabilitySet::all(),
    };
    let _ = rustix::thread::set_capabilities(None, all);
}

fn execute(_: &Path) {
    use std::os::unix::process::CommandExt as _;
    let _ = Command::new("/bin/true").exec();
}

fn fork(_: &Path) {
    let error = Command::new("/bin/true").status().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
}

fn become_another_user(_: &Path) {
    let _ = rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(1));
}

fn trace_the_parent(_: &Path) {
    let _ = nix::sys::ptrace::attach(nix::unistd::getppid());
}

fn take_a_file_of_another(_: &Path) {
    let flags = rustix::process::PidfdGetfdFlags::empty();
    let _ = rustix::process::pidfd_getfd(std::io::stdin(), 0, flags);
}

fn mount(_: &Path) {
    let _ = rustix::mount::mount_bind("/", "/mnt");
}

/// What a thread made inside tries counts as well.
fn from_another_thread(_: &Path) {
    thread::spawn(|| execute(Path::new("/"))).join().unwrap();
}

/// The engine itself, as the kernel shows it.
fn the_engine_is_walled_in() {
    let upstream = Upstream::start(Ipv4Addr::new(192, 0, 2, 53));
    let mut rig = Rig::start(options(&upstream.conf()));
    assert_eq!(rig.resolve(&question("www.example")).rcode, 0);
    let pid = rig.client.pid().unwrap();
    let mut threads = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
        assert_eq!(
            (field("NoNewPrivs:"), field("Seccomp:")),
            ("1".into(), "2".into())
        );
        assert_eq!(field("Seccomp_filters:"), "3");
        threads += 1;
    }
    assert_eq!(threads, 3);
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let limit = format!("{}", rig.client.summary().memory_bytes);
    let data = limits
        .lines()
        .find(|line| line.starts_with("Max data size"));
    assert!(data.is_some_and(|line| line.contains(&limit)), "{limits}");
    // Nothing of the server's is open in it.
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    for file in files {
        let target = std::fs::read_link(file.unwrap().path()).unwrap();
        let target = target.to_string_lossy();
        let known = ["socket:", "pipe:", "anon_inode:", "/dev/null", "/memfd:"];
        assert!(
            known.iter().any(|kind| target.starts_with(kind)),
            "{target}"
        );
    }
}

/// A thousand questions in flight: the limit is far.
fn the_memory_limit_has_room() {
    let upstream = Upstream::start(Ipv4Addr::new(192, 0, 2, 53));
    let mut options = options(&upstream.conf());
    options.threads = 2;
    let mut rig = Rig::start(options);
    let pid = rig.client.pid().unwrap();
    let before = private_kibibytes(pid);
    for waiter in 0..2000 {
        let asked = question(&format!("silent.zone{waiter}.example"));
        rig.ask(&asked, waiter).unwrap();
    }
    // Before libunbound takes the upstream for dead.
    rig.run_until("the upstream queries", |_| upstream.names() >= 1000);
    let after = private_kibibytes(pid);
    let limit = rig.client.summary().memory_bytes / 1024;
    println!(
        "private memory: {before} KiB idle, {after} KiB with 1000 questions, limit {limit} KiB"
    );
    assert!(after > before && after < limit / 2);
    assert_eq!(rig.client.stats().restarts, 0);
}

fn private_kibibytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .unwrap()
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("sluicegate-walls-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

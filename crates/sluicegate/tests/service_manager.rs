//! The program under a service manager: what it tells, and sockets that it is given.

#![allow(clippy::unwrap_used)] // all of this is test code

mod common;

use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use common::{PATIENCE, PROGRAM, Setup, ask_tcp, ask_udp, free, query};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;

/// Reads messages until one has this line.
fn hear(socket: &UnixDatagram, line: &str) -> String {
    let mut buf = [0; 4096];
    for _ in 0..100 {
        let len = socket.recv(&mut buf).expect("a message in time");
        let message = String::from_utf8(buf[..len].to_vec()).unwrap();
        if message.lines().any(|l| l == line) {
            return message;
        }
    }
    panic!("100 messages without {line}");
}

#[test]
fn each_step_is_told() {
    let setup = Setup::new();
    let path = setup.folder.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000");
    let mut server = setup.start_as(&mut command, "");
    let ready = hear(&socket, "READY=1");
    assert!(ready.contains("STATUS=Serving on 1 address"), "{ready}");
    hear(&socket, "WATCHDOG=1");
    hear(&socket, "WATCHDOG=1");
    server.signal(Signal::SIGHUP);
    assert!(hear(&socket, "RELOADING=1").contains("MONOTONIC_USEC="));
    hear(&socket, "READY=1");
    server.signal(Signal::SIGTERM);
    hear(&socket, "STOPPING=1");
    assert!(server.wait().success());
}

/// A shell puts the sockets where `sd_listen_fds(3)` expects them and becomes the server, whose process ID it
/// so knows.
#[test]
fn given_sockets_are_served() {
    let setup = Setup::new();
    let udp = UdpSocket::bind(setup.address).unwrap();
    let tcp = TcpListener::bind(setup.address).unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let fds = [udp.as_fd(), tcp.as_fd(), stranger.as_fd()];
    for fd in fds {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    }
    // By way of high numbers: a low one may be taken by another of them.
    let [a, b, c] = fds.map(|fd| fd.as_raw_fd());
    let script = format!(
        "exec 103<&{a} 104<&{b} 105<&{c}; exec 3<&103 4<&104 5<&105; exec 103<&- 104<&- 105<&-; \
         LISTEN_FDS=3 LISTEN_PID=$$ exec \"$@\""
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script, "bash", PROGRAM]);
    let server = setup.start_as(&mut command, "");
    // Ours were bound without SO_REUSEPORT: the server can't have opened its own beside them.
    for id in 1..20 {
        assert_eq!(ask_udp(setup.address, &query(id, "hit.example")).rcode, 0);
        assert_eq!(ask_tcp(setup.address, &query(id, "hit.example")).0.rcode, 0);
    }
    // Taken away by a reload and brought back: the service manager still holds the port.
    let config = std::fs::read_to_string(setup.config()).unwrap();
    let elsewhere = free(std::net::Ipv4Addr::LOCALHOST);
    let moved = config.replace(
        &format!("interface: {}@{}", setup.address.ip(), setup.address.port()),
        &format!("interface: {}@{}", elsewhere.ip(), elsewhere.port()),
    );
    std::fs::write(setup.config(), moved).unwrap();
    server.reload();
    assert_eq!(ask_udp(elsewhere, &query(1, "hit.example")).rcode, 0);
    std::fs::write(setup.config(), config).unwrap();
    server.reload();
    assert_eq!(ask_udp(setup.address, &query(2, "hit.example")).rcode, 0);
    assert_eq!(ask_tcp(setup.address, &query(3, "hit.example")).0.rcode, 0);
    let port = stranger.local_addr().unwrap().port();
    server.wait_for_log(&format!(
        "socket for 127.0.0.1:{port}, which the configuration doesn't"
    ));
}

//! Faults of interfaces, addresses and routes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use sluicegate_lab::netns::{Netns, veth_pair};
use sluicegate_lab::wire::{ask_udp, query, rtype};

use crate::patient::{HERE, Patient, THERE};

/// The address is on a bridge's port, and the bridge takes what comes in.
pub(crate) fn port() -> Result<()> {
    let patient = Patient::new()?;
    patient.host.ip("link add br0 type bridge")?;
    patient.host.ip("link set br0 up")?;
    patient.host.ip("link set eth0 master br0")?;
    let said = patient.ask("port")?.expect("warn")?;
    ensure!(
        said.command()? == "ip link set dev eth0 nomaster",
        "{}",
        said.says
    );
    // It interrupts traffic: not unless it is named.
    let all = patient.host.run(&patient.doctor(&["--fix"])?)?;
    ensure!(
        all.stdout
            .contains("left:    ip link set dev eth0 nomaster"),
        "{}",
        all.stdout
    );
    ensure!(
        patient.host.ip("link show eth0")?.contains("master br0"),
        "it was done unasked"
    );
    patient.fix("port")?;
    ensure!(
        !patient.host.ip("link show eth0")?.contains("master"),
        "still a port"
    );
    // Nothing is left to look at, which is another thing than a check that there is not.
    let nothing = patient.host.run(&patient.doctor(&["port"])?)?;
    ensure!(nothing.success(), "{}", nothing.stderr);
    let unknown = patient.host.run(&patient.doctor(&["porth"])?)?;
    ensure!(
        unknown.status.code() == Some(2) && unknown.stderr.contains("no check 'porth'"),
        "{:?}: {}",
        unknown.status.code(),
        unknown.stderr
    );
    patient.undo()?;
    patient.ask("port")?.expect("warn")?;
    patient.type_in(said.command()?)?;
    let shown = patient.host.ip("link show eth0")?;
    ensure!(!shown.contains("master"), "{shown}");
    Ok(())
}

/// Two interfaces answer ARP for one another until each keeps to its own.
pub(crate) fn same_subnet() -> Result<()> {
    let patient = Patient::new()?;
    patient.ask("same-subnet")?.expect("ok")?;
    let (second, _other) = veth_pair(&patient.host, "eth1", &patient.neighbour, "eth1", 1)?;
    second.add_address("10.11.1.9/24")?;
    let said = patient.ask("same-subnet")?.expect("warn")?;
    ensure!(said.commands.len() == 2, "{:?}", said.commands);
    let shown = patient.fix("same-subnet")?;
    ensure!(shown.contains("was 0, is 1"), "{shown}");
    patient.ask("same-subnet")?.expect("ok")?;
    patient.undo()?;
    patient.ask("same-subnet")?.expect("warn")?;
    for command in &said.commands {
        patient.type_in(command)?;
    }
    patient.ask("same-subnet")?.expect("ok")?;
    unequal_prefixes(&patient)
}

/// 10.11.1.1/24 and 10.11.9.9/16: hosts beyond the second interface ask it for the first one's address, and it answers.
fn unequal_prefixes(patient: &Patient) -> Result<()> {
    patient.host.ip("addr flush dev eth1")?;
    patient.host.ip("addr add 10.11.9.9/16 dev eth1")?;
    for knob in ["arp_ignore", "arp_announce"] {
        let key = format!("net/ipv4/conf/all/{knob}");
        patient.host.sysctl(&key, "0")?;
    }
    patient.ask("same-subnet")?.expect("warn")?;
    patient.fix("same-subnet")?;
    patient.ask("same-subnet")?.expect("ok").map(drop)
}

/// What somebody else has set since is theirs: it is left, and said, until it is forced.
pub(crate) fn changed_meanwhile() -> Result<()> {
    let patient = Patient::new()?;
    let (second, _other) = veth_pair(&patient.host, "eth1", &patient.neighbour, "eth1", 1)?;
    second.add_address("10.11.1.9/24")?;
    patient.fix("same-subnet")?;
    let (ignore, announce) = (
        "net/ipv4/conf/all/arp_ignore",
        "net/ipv4/conf/all/arp_announce",
    );
    patient.host.sysctl(ignore, "8")?;
    patient.host.sysctl(announce, "0")?;
    let undone = patient.host.run(&patient.doctor(&["--undo"])?)?;
    ensure!(
        undone.status.code() == Some(1)
            && undone
                .stdout
                .contains("left:     sysctl -w net/ipv4/conf/all/arp_ignore=0")
            && undone.stdout.contains("somebody has set 8 since")
            && undone
                .stdout
                .contains("as it was: sysctl -w net/ipv4/conf/all/arp_announce=0"),
        "{:?}: {}{}",
        undone.status.code(),
        undone.stdout,
        undone.stderr
    );
    let now = |key: &str| patient.type_in(&format!("cat /proc/sys/{key}"));
    ensure!(now(ignore)?.trim() == "8", "somebody's setting was touched");
    let forced = patient.host.run(&patient.doctor(&["--undo", "--force"])?)?;
    ensure!(
        forced.success() && forced.stdout.contains("was 8, is 0"),
        "{}{}",
        forced.stdout,
        forced.stderr
    );
    ensure!(now(ignore)?.trim() == "0", "forced, and not put back");
    ensure!(
        !patient.file("undo.json").exists(),
        "something is left to put back"
    );
    Ok(())
}

/// A far client whose queries come in by `eth0`, while replies would leave by `eth1`: the strict filter drops the queries.
struct Asymmetric {
    patient: Patient,
    client: Netns,
    socket: std::net::UdpSocket,
}

impl Asymmetric {
    fn new() -> Result<Self> {
        let patient = Patient::new()?;
        let client = Netns::new()?;
        let (inside, _) = veth_pair(&patient.neighbour, "far", &client, "eth0", 1)?;
        inside.add_address("198.51.100.1/24")?;
        client.ip("addr add 198.51.100.2/24 dev eth0")?;
        client.ip("route add default via 198.51.100.1")?;
        let (second, other) = veth_pair(&patient.host, "eth1", &patient.neighbour, "eth1", 1)?;
        second.add_address("10.11.2.1/24")?;
        other.add_address("10.11.2.2/24")?;
        patient.host.ip("route add default via 10.11.2.2")?;
        patient.neighbour.sysctl("net/ipv4/ip_forward", "1")?;
        for knob in ["all", "eth0", "eth1", "far"] {
            let key = format!("net/ipv4/conf/{knob}/rp_filter");
            patient.neighbour.sysctl(&key, "0")?;
        }
        patient.host.sysctl("net/ipv4/conf/eth0/rp_filter", "1")?;
        let socket = patient
            .host
            .enter(|| std::net::UdpSocket::bind((HERE, 53)))?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        Ok(Self {
            patient,
            client,
            socket,
        })
    }

    /// Whether the client's query arrives.
    fn heard(&self) -> Result<bool> {
        let asked = query("host.test", rtype::A).build();
        let address: SocketAddr = format!("{HERE}:53").parse()?;
        // Nobody answers.
        self.client
            .enter(|| ask_udp(address, &asked, Duration::from_millis(200)))?;
        Ok(self.socket.recv(&mut [0; 512]).is_ok())
    }
}

/// The filter made loose: queries are heard, and replies go their way.
pub(crate) fn reverse_path() -> Result<()> {
    let site = Asymmetric::new()?;
    let patient = &site.patient;
    ensure!(
        !site.heard()?,
        "the filter lets queries through: the fault is not made"
    );
    let said = patient.ask("rp-filter")?.expect("warn")?;
    patient.ask("return-route")?.expect("warn")?;
    patient.fix("rp-filter")?;
    ensure!(site.heard()?, "mended, and no query comes");
    patient.undo()?;
    patient.ask("rp-filter")?.expect("warn")?;
    patient.type_in(said.command()?)?;
    ensure!(site.heard()?, "mended by hand, and no query comes");
    Ok(())
}

/// The replies sent back the way queries came, by the router that a route names; without one nothing can be typed.
pub(crate) fn return_route() -> Result<()> {
    let site = Asymmetric::new()?;
    let patient = &site.patient;
    let said = patient.ask("return-route")?.expect("warn")?;
    ensure!(
        said.command()?
            .starts_with("# no route here names the router"),
        "{:?}",
        said.commands
    );
    let spare = format!("route add default via {THERE} dev eth0 metric 500");
    patient.host.ip(&spare)?;
    ensure!(!site.heard()?, "the fault is not made");
    let said = patient.ask("return-route")?.expect("warn")?;
    ensure!(
        said.command()?.contains(&format!("via {THERE} dev eth0")),
        "{:?}",
        said.commands
    );
    patient.type_in(said.command()?)?;
    ensure!(site.heard()?, "mended, and no query comes");
    patient.ask("return-route")?.expect("ok")?;
    patient.ask("rp-filter")?.expect("ok")?;
    Ok(())
}

/// The routes disagree, nothing filters, and the kernel looks up no routes for the program: doctor says what the server does
/// about it, and not that the kernel answers.
pub(crate) fn unseen_route() -> Result<()> {
    let site = Asymmetric::new()?;
    let patient = &site.patient;
    for knob in ["all", "eth0", "eth1"] {
        let key = format!("net/ipv4/conf/{knob}/rp_filter");
        patient.host.sysctl(&key, "0")?;
    }
    patient.host.sysctl("net/ipv4/conf/lo/forwarding", "0")?;
    ensure!(site.heard()?, "no query of the far client comes");
    let said = patient.ask("return-route")?.expect("warn")?;
    ensure!(
        said.says.contains("those of the fast path by eth0"),
        "{}",
        said.says
    );
    patient.fix("return-route")?;
    patient.ask("return-route")?.expect("info")?;
    patient.undo()?;
    patient.type_in(said.command()?)?;
    let said = patient.ask("return-route")?.expect("info")?;
    ensure!(
        !said.says.contains("fast path"),
        "it is looked up now: {}",
        said.says
    );
    Ok(())
}

/// Nothing comes in by an interface that is down.
pub(crate) fn down() -> Result<()> {
    let patient = Patient::new()?;
    patient.ask("link")?.expect("ok")?;
    patient.host.ip("link set eth0 down")?;
    let said = patient.ask("link")?.expect("warn")?;
    patient.type_in(said.command()?)?;
    let mut ping = std::process::Command::new("ip");
    ping.args(["route", "get", THERE]);
    ensure!(
        patient.host.run(&ping)?.success(),
        "no route after it is up"
    );
    patient.ask("link")?.expect("ok")?;
    Ok(())
}

/// Frames that fit no buffer, on a driver that takes none in pieces.
pub(crate) fn mtu() -> Result<()> {
    let patient = Patient::new()?;
    patient.host.ip("tuntap add dev tap0 mode tap")?;
    patient.host.ip("addr add 10.11.3.1/24 dev tap0")?;
    patient.host.ip("link set tap0 up mtu 9000")?;
    patient.configure("10.11.3.1", "")?;
    let said = patient.ask("mtu")?.expect("warn")?;
    patient.fix("mtu")?;
    patient.ask("mtu")?.expect("ok")?;
    patient.undo()?;
    ensure!(
        patient.host.ip("link show tap0")?.contains("mtu 9000"),
        "not put back"
    );
    patient.type_in(said.command()?)?;
    patient.ask("mtu")?.expect("ok").map(drop)
}

/// The kernel looks up no route for a program where loopback does not forward.
pub(crate) fn route_look_up() -> Result<()> {
    let patient = Patient::new()?;
    patient.host.sysctl("net/ipv4/conf/lo/forwarding", "0")?;
    patient.ask("route-look-up")?.expect("ok")?;
    let (second, _other) = veth_pair(&patient.host, "eth1", &patient.neighbour, "eth1", 1)?;
    second.add_address("10.11.2.1/24")?;
    let said = patient.ask("route-look-up")?.expect("info")?;
    patient.fix("route-look-up")?;
    patient.ask("route-look-up")?.expect("ok")?;
    patient.undo()?;
    for command in &said.commands {
        patient.type_in(command)?;
    }
    patient.ask("route-look-up")?.expect("ok").map(drop)
}

/// A configuration that leaves no place for the fast path.
pub(crate) fn configuration() -> Result<()> {
    let patient = Patient::new()?;
    patient.configure(HERE, "  enable: no\n")?;
    let said = patient.ask("xdp-enabled")?.expect("info")?;
    ensure!(said.command()?.contains("`enable: auto`"), "{}", said.says);
    patient.configure(HERE, "  enable: auto\n")?;
    patient.ask("xdp-enabled")?.expect("ok")?;
    patient.configure("127.0.0.1", "")?;
    patient.ask("interfaces")?.expect("info")?;
    patient.configure(HERE, "  enable: perhaps\n")?;
    patient.ask("configuration")?.expect("fail")?;
    patient.configure(HERE, "")?;
    patient.ask("configuration")?.expect("ok")?;
    patient.ask("interfaces")?.expect("ok").map(drop)
}

//! Interfaces on one NIC, and one without any: VLAN, two tags, bridge, macvlan, ipvlan, tap.
//!
//! Wherever the server takes their packets, every query is answered, and an interface that is called served by AF_XDP is.

use anyhow::{Context, Result, ensure};
use sluicegate_lab::netns::Process;
use sluicegate_lab::vm::lenient;

use crate::tower::{ASKED, Tower, far};

/// A VLAN on a NIC that leaves its tags alone.
pub(crate) fn vlan(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    tagged(&tower)?;
    let server = tower.start("")?;
    tower.served_at("VLAN, tags left in the frame", &server, &[&tower.nics[0]])
}

/// A VLAN on a NIC that takes tags off: the program can't know where a frame came from, and only the kernel answers with
/// the tag. The reason names the command, and when that has been typed the fast path comes.
pub(crate) fn vlan_stripped(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    tower.strip(true)?;
    tagged(&tower)?;
    let nic = &tower.nics[0];
    let server = tower.start("")?;
    let command = format!("ethtool -K {nic} rxvlan off");
    tower.left_to_kernel("VLAN, tags taken off by the NIC", &server, &command)?;
    tower.strip(false)?;
    tower.served_at("the same after ethtool -K rxvlan off", &server, &[nic])?;
    // And back: what was taken with its tag would now look untagged.
    tower.strip(true)?;
    tower.left_to_kernel("the same after rxvlan on again", &server, &command)
}

/// The server's and the client's `vlan10` on their NICs.
fn tagged(tower: &Tower) -> Result<()> {
    let nic = &tower.nics[0];
    tower.build(&[
        &format!("link add link {nic} name vlan10 type vlan id 10"),
        &format!("addr add {ASKED}/24 dev vlan10"),
        "link set vlan10 up",
    ])?;
    let far = far(nic);
    tower.client_on(
        "vlan10",
        &[&format!("link add link {far} name vlan10 type vlan id 10")],
    )
}

/// Two tags: a customer's VLAN in a provider's.
pub(crate) fn qinq(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = &tower.nics[0];
    let both = |nic: &str| {
        [
            format!("link add link {nic} name outer type vlan proto 802.1ad id 100"),
            "link add link outer name inner type vlan id 10".to_owned(),
            "link set outer up".to_owned(),
        ]
    };
    let near = both(nic);
    tower.build(&near.each_ref().map(String::as_str))?;
    tower.build(&[
        &format!("addr add {ASKED}/24 dev inner"),
        "link set inner up",
    ])?;
    let far = both(&far(nic));
    tower.client_on("inner", &far.each_ref().map(String::as_str))?;
    let server = tower.start("")?;
    tower.served_at("802.1Q in 802.1ad", &server, &[nic])
}

/// A bridge whose one port is the NIC.
pub(crate) fn bridge(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = &tower.nics[0];
    tower.build(&[
        "link add br0 type bridge forward_delay 0",
        &format!("link set {nic} master br0"),
        &format!("addr add {ASKED}/24 dev br0"),
        "link set br0 up",
    ])?;
    tower.client_on(&far(nic), &[])?;
    let server = tower.start("")?;
    tower.served_at("bridge, the NIC its port", &server, &[nic])
}

/// macvlan or ipvlan on the NIC: the kernel's.
pub(crate) fn sharing(wire: &str, kind: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = &tower.nics[0];
    tower.build(&[
        &format!("link add link {nic} name shared0 type {kind}"),
        &format!("addr add {ASKED}/24 dev shared0"),
        "link set shared0 up",
    ])?;
    tower.client_on(&far(nic), &[])?;
    let server = tower.start("")?;
    tower.left_to_kernel(kind, &server, "come in by the interfaces below it")
}

/// A tap whose frames a process carries to a tap of the client's.
pub(crate) fn tap() -> Result<()> {
    let tower = Tower::on(&[])?;
    let cable = cable(&tower)?;
    tower.build(&[&format!("addr add {ASKED}/24 dev tap0"), "link set tap0 up"])?;
    tower.client_on("tap0", &[])?;
    let server = tower.start("")?;
    let outcome = tower.served_at("tap", &server, &["tap0"]);
    cable.kill();
    outcome
}

/// A process that is a cable between `tap0` of both hosts. The calls that make a tap are beyond safe Rust; Perl, which
/// every Debian has, can do them.
fn cable(tower: &Tower) -> Result<Process> {
    let mut perl = std::process::Command::new("perl");
    perl.args(["-e", CABLE]);
    perl.args([tower.server.path(), tower.client.path()]);
    let cable = tower.server.spawn(&perl)?;
    let plugged = cable.wait_for_line("plugged in", lenient(std::time::Duration::from_secs(10)));
    plugged.with_context(|| cable.lines_with("").join("\n"))?;
    for host in [&tower.server, &tower.client] {
        let link = host.ip("link show dev tap0")?;
        ensure!(link.contains("tap0"), "no tap: {link}");
    }
    Ok(cable)
}

/// `setns` has number 308 on x86-64; `TUNSETIFF`, `IFF_TAP` and `IFF_NO_PI` are of `linux/if_tun.h`.
const CABLE: &str = r#"
use strict;
use Fcntl;
my @ends = map {
    open(my $host, '<', $_) or die "$_: $!";
    syscall(308, fileno($host), 0x40000000) == 0 or die "setns: $!";
    sysopen(my $tap, '/dev/net/tun', O_RDWR | O_NONBLOCK) or die "tun: $!";
    my $request = pack('a16 S x22', 'tap0', 0x1002);
    ioctl($tap, 0x400454ca, $request) or die "TUNSETIFF: $!";
    $tap;
} @ARGV;
$| = 1;
print "plugged in\n";
while (1) {
    my $wanted = '';
    vec($wanted, fileno($_), 1) = 1 for @ends;
    select($wanted, undef, undef, undef);
    for my $end (0, 1) {
        while (sysread($ends[$end], my $frame, 65536)) {
            syswrite($ends[1 - $end], $frame);
        }
    }
}
"#;

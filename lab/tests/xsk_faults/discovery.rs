//! What interfaces there are, and that anybody may ask.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sluicegate_xsk::nic::{self, Monitor, Nic, NicError};
use sluicegate_xsk::prog::AttachMode;

use crate::child::{self, READY, Role};
use crate::scene::{Hosts, SERVER, load};

pub(crate) fn unprivileged() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(3)?;
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--",
    ];
    // The program itself may be where nobody can read it.
    let copy = std::env::temp_dir().join(format!("xsk-faults-{}", std::process::id()));
    std::fs::copy(std::env::current_exe()?, &copy)?;
    let mut command = child::command(Role::Nic, &nobody)?;
    let mut moved = std::process::Command::new(command.get_program());
    moved.args(&nobody[1..]).arg(&copy);
    moved.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    std::mem::swap(&mut command, &mut moved);
    let finished = hosts.server.run(&command);
    std::fs::remove_file(&copy)?;
    let said = finished?.stdout;
    for expected in ["queues 3", "driver Some(\"veth\")", "links 2", READY] {
        ensure!(
            said.lines().any(|line| line == expected),
            "no {expected:?} in:\n{said}"
        );
    }
    Ok(())
}

pub(crate) fn caps() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(3)?;
    hosts.server.ip(&format!(
        "link property add dev {SERVER} altname a-rather-long-alternative-name"
    ))?;
    hosts
        .server
        .ip(&format!("link add mac0 link {SERVER} type macvlan"))?;
    hosts.server.ip("link add br0 type bridge")?;
    hosts.server.ip("link add left type veth peer name right")?;
    hosts.server.ip("link set left master br0")?;
    hosts
        .server
        .ip(&format!("addr add fd00:9::1/64 dev {SERVER} nodad"))?;
    hosts.server.enter(|| {
        let nic = Nic::by_name("a-rather-long-alternative-name")?;
        let (link, caps) = (nic.link(), nic.caps());
        ensure!(
            nic.name() == SERVER && link.altnames == ["a-rather-long-alternative-name"],
            "{link:?}"
        );
        ensure!(
            link.kind.as_deref() == Some("veth") && link.up && !link.loopback,
            "{link:?}"
        );
        ensure!(
            link.lower.is_none() && link.master.is_none() && link.xdp.is_none(),
            "{link:?}"
        );
        ensure!(link.mac.is_some() && link.mtu_bytes == 1500, "{link:?}");
        ensure!(caps.rx_queues() == 3, "{caps:?}");
        ensure!(caps.driver.as_deref() == Some("veth"), "{caps:?}");
        if let Some(features) = caps.features {
            ensure!(
                features.basic && features.redirect && !features.zero_copy,
                "{features:?}"
            );
        }
        ensure!(Nic::by_name("mac0")?.link().lower == Some(nic.index()));
        ensure!(Nic::by_name("left")?.link().master == Some(Nic::by_name("br0")?.index()));
        let lo = Nic::by_name("lo")?;
        ensure!(lo.link().loopback && lo.link().mac == Some([0; 6]) || lo.link().mac.is_none());
        for missing in [
            "nosuch0",
            "",
            "much-too-long-even-for-an-alternative-name-\
             much-too-long-even-for-an-alternative-name-much-too-long-even-for-an-alternative-name",
        ] {
            let error = Nic::by_name(missing)
                .err()
                .context("there is no such interface")?;
            ensure!(
                matches!(error, NicError::NotFound { .. }),
                "{missing:?}: {error}"
            );
        }
        ensure!(nic::links()?.len() == 6, "{:?}", nic::links()?);
        has_addresses()?;
        let _attached = load()?.attach(&nic, AttachMode::Native)?;
        ensure!(nic.refresh()?.link().xdp.is_some());
        Ok(())
    })
}

fn has_addresses() -> Result<()> {
    let addresses = nic::addresses()?;
    for (ip, prefix_len) in [("10.11.9.1", 24), ("fd00:9::1", 64), ("127.0.0.1", 8)] {
        let ip: IpAddr = ip.parse()?;
        let is_it = |address: &nic::Address| (address.ip, address.prefix_len) == (ip, prefix_len);
        ensure!(addresses.iter().any(is_it), "no {ip}: {addresses:?}");
    }
    Ok(())
}

pub(crate) fn monitor() -> Result<()> {
    let hosts = Hosts::new()?;
    let ends = hosts.join(1)?;
    let changes: [&str; 4] = [
        "addr add 10.77.0.1/24 dev sluice0",
        "addr del 10.77.0.1/24 dev sluice0",
        "link set sluice0 mtu 1400",
        "link add other type dummy",
    ];
    let mut monitor = hosts.server.enter(Monitor::open)?;
    ensure!(!monitor.wait(Duration::ZERO)?, "nothing has changed yet");
    for change in changes {
        if hosts.server.ip(change).is_err() {
            // Not every kernel has dummy interfaces.
            continue;
        }
        ensure!(
            monitor.wait(Duration::from_secs(2))?,
            "{change}: not noticed"
        );
        while monitor.wait(Duration::from_millis(20))? {}
    }
    // More changes than the socket's buffer holds are one change.
    for round in 0..2000u32 {
        let (a, b) = (round / 250, round % 250 + 1);
        hosts
            .server
            .ip(&format!("addr add 10.88.{a}.{b}/32 dev sluice0"))?;
        if round == 200 {
            break;
        }
    }
    ensure!(monitor.wait(Duration::ZERO)?);
    drop(ends);
    Ok(())
}

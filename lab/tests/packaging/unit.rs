//! The units and their drop-in, at work under systemd.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use sluicegate_lab::machine::Machine;
use sluicegate_lab::netns::{Netns, veth_pair};
use sluicegate_lab::workspace_root;

use super::ground::{LIMIT, answers, bring, install, main_process, wait_active};
use super::package::Packages;

/// Exposure as `systemd-analyze security` counts it, in tenths: what the units may have at most.
const MOST_EXPOSED: u32 = 30;

/// The unit as it is serves on AF_XDP and survives a reload; with its drop-in it serves without XDP; with the socket unit
/// it serves on sockets that systemd opened.
pub(crate) fn serve_as_they_say() -> Result<()> {
    let packages = Packages::make("unit")?;
    let machine = Machine::boot()?;
    let client = Netns::new()?;
    let (gate, other) = veth_pair(machine.netns(), "gate0", &client, "ask0", 2)?;
    gate.add_address("10.53.0.1/24")?;
    other.add_address("10.53.0.2/24")?;
    bring(&machine, &packages.first, "/tmp/first.deb")?;
    install(&machine, "/tmp/first.deb")?;
    wait_active(&machine)?;

    machine.shell(
        "printf 'server:\\n interface: 10.53.0.1\\n access-control: 10.53.0.0/24 allow\\n\
xdp:\\n frames: 1024\\n' \
         >/etc/sluicegate/conf.d/net.conf",
    )?;
    let process = main_process(&machine)?;
    machine.shell("systemctl reload sluicegate")?;
    let log = "journalctl --no-pager -u sluicegate";
    machine.wait_for(log, "XDP fast path active interface=gate0", LIMIT)?;
    answers(&client, "10.53.0.1")?;
    ensure!(main_process(&machine)? == process, "a reload is no restart");
    answered_by_xdp(&machine)?;
    too_little_locked_memory(&machine)?;

    machine.shell("install -D -m 644 /usr/share/doc/sluicegate/examples/no-xdp.conf \
         /etc/systemd/system/sluicegate.service.d/no-xdp.conf && systemctl daemon-reload && systemctl restart sluicegate")?;
    wait_active(&machine)?;
    answers(&client, "10.53.0.1")?;
    let stats = machine.shell("sluicegate stats")?;
    ensure!(
        !stats.contains("xdp.gate0"),
        "XDP in spite of the drop-in:\n{stats}"
    );
    machine.shell("rm -r /etc/systemd/system/sluicegate.service.d && systemctl daemon-reload")?;

    machine.shell("rm /etc/sluicegate/conf.d/net.conf && systemctl stop sluicegate && systemctl start sluicegate.socket")?;
    let waiting = machine.shell("systemctl is-active sluicegate.service || true")?;
    ensure!(
        waiting.trim() == "inactive",
        "started before anybody asked: {waiting}"
    );
    answers(machine.netns(), "127.0.0.1")?;
    wait_active(&machine)
}

/// A service that may lock less than its buffers need: doctor warns, of the running server and of the unit, and its command
/// mends both.
fn too_little_locked_memory(machine: &Machine) -> Result<()> {
    let ask = |verdict: &str| -> Result<String> {
        // The status says how bad it is; what is wanted stands in the text.
        let shown = machine.shell("sluicegate doctor --no-trial --json memlock service || true")?;
        let all: serde_json::Value = serde_json::from_str(&shown).context("doctor's JSON")?;
        let checks = all["checks"].as_array().context("no checks")?;
        ensure!(
            checks.len() == 2 && checks.iter().all(|one| one["verdict"] == verdict),
            "not {verdict}: {shown}"
        );
        let command = checks[0]["mend"][0]["command"].as_str();
        Ok(command.unwrap_or_default().to_owned())
    };
    ask("ok")?;
    machine.shell(
        "mkdir -p /etc/systemd/system/sluicegate.service.d && \
         printf '[Service]\\nLimitMEMLOCK=64K\\n' >/etc/systemd/system/sluicegate.service.d/memlock.conf && \
         systemctl daemon-reload && systemctl restart sluicegate",
    )?;
    wait_active(machine)?;
    let command = ask("warn")?;
    machine.shell(&command)?;
    wait_active(machine)?;
    ask("ok").map(drop)
}

fn answered_by_xdp(machine: &Machine) -> Result<()> {
    // A worker tells its counts now and then.
    let line = "sluicegate stats | awk -F= '/^xdp[.]gate0[.].*[.]tx[.]packets=/ { sum += $2 } END { print \"sent\", (sum > 0) }'";
    machine.wait_for(line, "sent 1", LIMIT).map(drop)
}

/// systemd finds no fault with the units, and counts them as hardly exposed, also with the drop-in.
pub(crate) fn are_hardened() -> Result<()> {
    let machine = Machine::boot()?;
    let units = workspace_root().join("dist/systemd");
    let system = "/etc/systemd/system";
    for unit in ["sluicegate.service", "sluicegate.socket"] {
        bring(&machine, &units.join(unit), &format!("{system}/{unit}"))?;
    }
    // `verify` looks for the program and for the manual pages that the units name.
    machine.shell("install -m 755 /dev/null /usr/sbin/sluicegate && printf '#!/bin/sh\\n' >/usr/local/bin/man && \
         chmod 755 /usr/local/bin/man")?;
    let faults = machine.shell(&format!(
        "systemd-analyze verify --man=no {system}/sluicegate.service {system}/sluicegate.socket"
    ))?;
    ensure!(faults.is_empty(), "{faults}");
    at_most_exposed(&machine)?;
    machine.shell(&format!("mkdir {system}/sluicegate.service.d"))?;
    bring(
        &machine,
        &units.join("no-xdp.conf"),
        &format!("{system}/sluicegate.service.d/no-xdp.conf"),
    )?;
    at_most_exposed(&machine)?;
    every_line_is_explained(&units)
}

fn at_most_exposed(machine: &Machine) -> Result<()> {
    machine
        .shell(&format!(
            "systemctl daemon-reload; systemd-analyze security --no-pager --offline=yes --threshold={MOST_EXPOSED} \
             sluicegate.service"
        ))
        .map(drop)
}

/// Each setting stands right below a comment, or is named in the one above it, or says more of the setting before.
fn every_line_is_explained(units: &Path) -> Result<()> {
    let text = std::fs::read_to_string(units.join("sluicegate.service"))?;
    let service = text.split("[Service]").nth(1).unwrap_or_default();
    let service = service.split("[Install]").next().unwrap_or_default();
    let (mut comment, mut before) = (String::new(), "");
    for line in service.lines() {
        if line.starts_with('#') {
            if !before.is_empty() {
                comment.clear();
            }
            comment.push_str(line);
            before = "";
        } else if line.is_empty() {
            comment.clear();
            before = "";
        } else {
            let key = line.split('=').next().unwrap_or_default();
            let right_below = before.is_empty() && !comment.is_empty();
            ensure!(
                right_below || before == key || comment.contains(&format!("{key}=")),
                "no comment explains: {line}"
            );
            before = key;
        }
    }
    Ok(())
}

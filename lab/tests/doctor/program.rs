//! The fast path itself, and programs in its way.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::netns::Process;
use sluicegate_lab::server::program;
use sluicegate_lab::wire::{ask_udp, query, rtype};

use crate::patient::{HERE, Patient, said};

const PATIENCE: Duration = Duration::from_secs(20);
static REDIRECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/redirect.o"));

/// A server runs, and queries take its fast path: doctor finds it by its control socket and says so.
pub(crate) fn well() -> Result<()> {
    let patient = Patient::new()?;
    patient.ask("server")?.expect("skipped")?;
    let _server = start(&patient)?;
    let asked = query("host.test", rtype::A).build();
    let address: SocketAddr = format!("{HERE}:53").parse()?;
    let end = Instant::now() + PATIENCE;
    loop {
        patient
            .neighbour
            .enter(|| ask_udp(address, &asked, Duration::from_secs(2)))?
            .context("no answer")?;
        let said = patient.ask("fast-path")?;
        if said.verdict == "ok" && !said.says.contains(" 0 packets") {
            break;
        }
        ensure!(Instant::now() < end, "{}: {}", said.verdict, said.says);
    }
    patient.ask("server")?.expect("ok")?;
    patient.ask("xdp-program")?.expect("ok")?;
    patient.ask("driver")?.expect("ok")?;
    Ok(())
}

fn start(patient: &Patient) -> Result<Process> {
    let mut command = Command::new(program()?);
    command.args(["-d", "-d", "-c"]).arg(patient.config());
    let process = patient.host.spawn(&command)?;
    process.wait_for_line("XDP fast path active interface=eth0", PATIENCE)?;
    Ok(process)
}

/// Doctor starts a server of its own; what it lacks, the server lacks.
pub(crate) fn trial() -> Result<()> {
    let patient = Patient::new()?;
    let mut command = Command::new(program()?);
    command
        .args(["doctor", "--json", "trial", "-c"])
        .arg(patient.config());
    said(&patient.host.run(&command)?, "trial")?.expect("ok")?;
    let wrapper = [
        "setpriv",
        "--bounding-set",
        "-net_raw",
        "--inh-caps",
        "-all",
        "--",
    ];
    let command = crate::patient::behind(&wrapper, &command);
    let trial = said(&patient.host.run(&command)?, "trial")?.expect("fail")?;
    ensure!(trial.says.contains("CAP_NET_RAW"), "{}", trial.says);
    Ok(())
}

/// Somebody else's program, in the driver and in the generic hook.
pub(crate) fn foreign() -> Result<()> {
    let patient = Patient::new()?;
    let object = patient.file("redirect.o");
    fs::write(&object, REDIRECT)?;
    patient.ask("xdp-program")?.expect("ok")?;
    for mode in ["xdpdrv", "xdpgeneric"] {
        patient.type_in(&format!(
            "ip link set dev eth0 {mode} obj {} sec xdp",
            object.display()
        ))?;
        let said = patient.ask("xdp-program")?.expect("warn")?;
        ensure!(said.says.contains("name 'redirect'"), "{}", said.says);
        patient.type_in(said.command()?)?;
        patient.ask("xdp-program")?.expect("ok")?;
    }
    Ok(())
}

/// Somebody's program was there first: the server serves all the same, by the kernel, and doctor doesn't call that well.
/// The command takes the program off, and the server goes over to AF_XDP.
pub(crate) fn refused() -> Result<()> {
    let patient = Patient::new()?;
    let object = patient.file("redirect.o");
    fs::write(&object, REDIRECT)?;
    patient.type_in(&format!(
        "ip link set dev eth0 xdpdrv obj {} sec xdp",
        object.display()
    ))?;
    let mut command = Command::new(program()?);
    command.args(["-d", "-d", "-c"]).arg(patient.config());
    let process = patient.host.spawn(&command)?;
    process.wait_for_line("XDP not available", PATIENCE)?;
    let end = Instant::now() + PATIENCE;
    loop {
        let said = patient.ask("fast-path")?.expect("warn")?;
        if said.says.contains("another XDP program is attached") && said.says.contains(HERE) {
            break;
        }
        ensure!(Instant::now() < end, "{}", said.says);
    }
    let program = patient.ask("xdp-program")?.expect("warn")?;
    patient.type_in(program.command()?)?;
    process.wait_for_line("XDP fast path active interface=eth0", PATIENCE)?;
    let end = Instant::now() + PATIENCE;
    while patient.ask("fast-path")?.verdict != "ok" {
        ensure!(Instant::now() < end, "{}", patient.ask("fast-path")?.says);
    }
    Ok(())
}

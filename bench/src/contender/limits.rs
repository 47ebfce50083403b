use std::env;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use sluicegate_lab::scene::LINK;
use sluicegate_packet::{Datagram, reply_in_place};
use sluicegate_xsk::nic::Nic;
use sluicegate_xsk::prog::{AttachMode, LoadOptions, Program};
use sluicegate_xsk::{QueueBuilder, RxPacket};

use super::Running;
use super::kind::Setup;

static PROGRAMS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bench.o"));

/// Sends queries back in the driver.
pub(super) fn reflector(setup: &Setup<'_>) -> Result<Running> {
    setup.site.server.enter(|| {
        let nic = Nic::by_name(LINK)?;
        let program = Program::load(PROGRAMS, "reflect", &LoadOptions::new())?;
        Ok(Running::attached(program.attach(&nic, AttachMode::Native)?))
    })
}

/// Starts this program again, as [`echo`].
pub(super) fn start_echo(setup: &Setup<'_>) -> Result<Running> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["echo", LINK]);
    Running::spawn(setup, &command)?.wait_for("ready")
}

/// Sends queries on the first queue of `interface` back through `AF_XDP`, until it is killed.
pub(crate) fn echo(interface: &str, ready: impl FnOnce()) -> Result<()> {
    let nic = Nic::by_name(interface)?;
    let program = Program::load(PROGRAMS, "redirect", &LoadOptions::new())?;
    let _link = program
        .attach(&nic, AttachMode::Native)
        .context("attaching the XDP program")?;
    let (mut queue, _) = QueueBuilder::new(&nic, 0).open(&program.xskmap("xsks")?)?;
    ready();
    loop {
        if queue.turn(&mut send_back)? == 0 {
            queue.idle(Duration::from_millis(100), None)?;
        }
    }
}

/// The query becomes its own answer: QR is set, nothing else is looked at.
fn send_back(mut packet: RxPacket<'_>) {
    let Ok(datagram) = Datagram::parse(packet.bytes()) else {
        return;
    };
    let payload = datagram.payload();
    let window = packet.window();
    if let Some(flags) = window.get_mut(payload.start + 2) {
        *flags |= 0x80;
    }
    let len = reply_in_place(window, &datagram, payload.len());
    packet.transmit(len);
}

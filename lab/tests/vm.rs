//! Boots the virtual machine and runs test programs of this workspace in it, on NICs that this machine doesn't have.
//!
//! One boot belongs to `make test`; `make test-vm` does them all and shows the table (`VM_SUITE=trixie|bookworm` for
//! older kernels).

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;
use sluicegate_lab::server;
use sluicegate_lab::vm::{Machine, default_suite, table};

fn main() -> ExitCode {
    suite("vm")
        .test("virtio_net", needs![Vm], virtio_net)
        .test("every driver", needs![Vm, VmAll], every_driver)
        .test("bonds of NICs", needs![Vm, VmAll], bonds)
        .test("VLANs of veth", needs![Vm, VmAll], vlans)
        .test("the XDP program", needs![Vm, VmAll], program)
        .test("the fast path on igb", needs![Vm, VmAll], fast_path)
        .run()
}

/// The least that always runs: a real driver, native mode.
fn virtio_net() -> Result<()> {
    let machine = machine()
        .limit_secs(500)
        .wire("virtio", 1, [VIRTIO, VIRTIO]);
    nics(&machine, "virtio_net serves natively")
}

/// Each driver by itself, and what is built on one NIC.
fn every_driver() -> Result<()> {
    let machine = machine()
        .wire("virtio", 1, [VIRTIO, VIRTIO])
        .wire("iommu", 1, [IOMMU, VIRTIO])
        .wire("igb", 1, ["igb", "igb"])
        .wire("vmxnet3", 1, ["vmxnet3", VIRTIO])
        .wire("e1000e", 1, ["e1000e", VIRTIO]);
    nics(&machine, "")
}

/// What is built on two NICs.
fn bonds() -> Result<()> {
    let machine = machine()
        .wire("lag", 1, ["igb", "igb"])
        .wire("lag", 2, ["igb", "igb"])
        .wire("vlag", 1, [VIRTIO, VIRTIO])
        .wire("vlag", 2, [VIRTIO, VIRTIO]);
    nics(&machine, "")
}

/// The tests that this machine's kernel may have to skip, as they are: it need not have VLAN interfaces.
fn vlans() -> Result<()> {
    whole(&machine(), "xdp_path", &["VLAN"]).map(drop)
}

/// The program under this kernel's verifier, frame by frame.
fn program() -> Result<()> {
    let passed = whole(&machine(), "steer_table", &[])?;
    ensure!(passed >= 100, "only {passed} tests");
    Ok(())
}

/// The tests of the fast path, on a card in place of a veth pair.
fn fast_path() -> Result<()> {
    let machine = machine()
        .wire("igb", 1, ["igb", "igb"])
        .instead_of_veth("igb");
    let mut arguments = Vec::new();
    for (part, why) in VETH_ALONE {
        say(&format!("not played on a card: {part}: {why}"));
        arguments.extend(["--skip", part]);
    }
    let passed = whole(&machine, "xdp_path", &arguments)?;
    ensure!(passed >= 30, "only {passed} tests");
    Ok(())
}

/// Tests of `xdp_path` that are not played on a card, by a part of their names, and why.
const VETH_ALONE: [(&str, &str); 9] = [
    (
        "nobody asks",
        "a wake-up of an emulated processor says nothing of a real one",
    ),
    ("tagged", "a card takes tags off; `nics` plays that"),
    ("VLAN", "a card takes tags off; `nics` plays that"),
    ("deleted", "a card is not made and deleted"),
    ("recovery as another user", "a card is not made and deleted"),
    (
        "more queues",
        "the number is set in another way; `nics` has doctor do it",
    ),
    (
        "frames larger",
        "igb takes no XDP program for frames in several pieces",
    ),
    (
        "an MTU",
        "igb takes no XDP program for frames in several pieces",
    ),
    (
        "loses no query",
        "the card resets when a program is attached; `nics` counts what is lost",
    ),
];

/// Runs a test program, of which nothing may fail or be skipped; how many tests passed.
fn whole(machine: &Machine, name: &str, arguments: &[&str]) -> Result<usize> {
    let program = test_program(name)?;
    let ran = machine.run(&program.display().to_string(), arguments)?;
    let words: Vec<&str> = ran
        .output
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "))
        .flat_map(str::split_whitespace)
        .collect();
    let number = |what: &str| {
        let at = words
            .iter()
            .position(|word| word.trim_end_matches(';') == what)?;
        words.get(at.checked_sub(1)?)?.parse::<usize>().ok()
    };
    let (passed, ignored) = (number("passed"), number("ignored"));
    ensure!(
        ran.code == 0 && ignored == Some(0),
        "in the virtual machine (exit {}):\n{}",
        ran.code,
        ran.output
    );
    passed.with_context(|| format!("no result in:\n{}", ran.output))
}

const VIRTIO: &str = "virtio-net-pci";
/// With addresses translated, `virtio_net` has zero-copy (Linux 6.13).
const IOMMU: &str = "virtio-net-pci,iommu_platform=on,disable-legacy=on";

/// Minutes when nothing else runs.
const LIMIT_SECS: u32 = 2400;

fn machine() -> Machine {
    Machine::new(&default_suite()).limit_secs(LIMIT_SECS)
}

/// Runs those tests of the program `nics` whose NICs the machine has and whose name has `part` in it, and shows their
/// table.
fn nics(machine: &Machine, part: &str) -> Result<()> {
    let program = test_program("nics")?;
    let began = Instant::now();
    let ran = machine.run(&program.display().to_string(), &[part])?;
    say(&format!(
        "{}\n{}\n{} s, start and end of the machine included",
        ran.output,
        table(&ran.rows),
        began.elapsed().as_secs()
    ));
    ensure!(
        ran.code == 0,
        "in the virtual machine (exit {}):\n{}",
        ran.code,
        ran.output
    );
    ensure!(!ran.rows.is_empty(), "nothing was tested:\n{}", ran.output);
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "what was seen is what `make test-vm` is for"
)]
fn say(text: &str) {
    println!("{text}");
}

/// Where cargo put the newest test program of that name: beside this one.
fn test_program(name: &str) -> Result<PathBuf> {
    // The guest's tests look for the server beside themselves; better here than there.
    server::program()?;
    let own = std::env::current_exe()?;
    let dir = own.parent().context("tests run from a folder")?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let hash = path
            .file_name()
            .and_then(|file| file.to_str()?.strip_prefix(name)?.strip_prefix('-'));
        if hash.is_some_and(|hash| hash.chars().all(|c| c.is_ascii_hexdigit())) {
            found.push((path.metadata()?.modified()?, path));
        }
    }
    let newest = found.into_iter().max();
    let (_, path) = newest.with_context(|| {
        format!("no test program {name}: cargo test -p sluicegate-lab --no-run")
    })?;
    Ok(path)
}

//! The XDP program against a table of frames, run in the kernel by `BPF_PROG_TEST_RUN`.
//!
//! Each frame must leave by the exit that its row names (exactly one counter goes up, by one), with that
//! exit's action, and unchanged. `XDP_REDIRECT` is seen for real: an `AF_XDP` socket stands in the XSKMAP.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use sluicegate_bpf::Exit;
use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

mod attach;
mod frame;
mod ip;
mod link;
mod message;
mod routes;
mod rows;
mod steer;
mod taken;

use crate::rows::{Row, rows};
use crate::steer::{Action, Steer};

fn main() -> ExitCode {
    let mut suite = suite("steer_table")
        .test("the table is whole", &[], || whole(&rows()))
        .test(
            "cut anywhere, a query is never taken",
            needs![Root],
            cut_anywhere,
        )
        .test(
            "loads with CAP_BPF and CAP_NET_ADMIN alone",
            needs![Root],
            attach::loads_with_two,
        )
        .test(
            "a reply's route decides",
            needs![Root, Netns],
            routes::checked,
        )
        .test(
            "a loopback interface that does not forward",
            needs![Root, Netns],
            routes::not_forwarding,
        )
        .test(
            "a reply's route by a VLAN interface",
            needs![Root, Netns, LinkKind("vlan")],
            routes::vlan,
        )
        .test("routing rules count", needs![Root, Netns], routes::ruled)
        .test(
            "attaches natively and generically",
            needs![Root, Netns],
            attach::both_modes,
        );
    for row in rows() {
        suite = suite.test(row.name, needs![Root], move || check(&row));
    }
    suite.run()
}

fn check(row: &Row) -> Result<()> {
    let mut steer = Steer::shared();
    steer.enter(row.state)?;
    let seen = steer.run(&row.frame)?;
    let action = if row.exit == Exit::Redirected {
        Action::Redirect
    } else {
        Action::Pass
    };
    ensure!(
        seen.exits == [row.exit] && seen.action == action,
        "want {action:?} by {:?}, have {:?} by {:?}",
        row.exit,
        seen.action,
        seen.exits
    );
    ensure!(seen.frame == row.frame, "the program changed the frame");
    Ok(())
}

/// Every exit has a row, but the one that no frame of the test facility can take (it refuses frames that
/// are shorter than an Ethernet header), and there are as many rows as promised, each by its own name.
fn whole(rows: &[Row]) -> Result<()> {
    for exit in Exit::ALL {
        ensure!(
            *exit == Exit::EthernetShort
                || routes::has(*exit)
                || rows.iter().any(|row| row.exit == *exit),
            "no row for {exit:?}"
        );
    }
    let mut names: Vec<_> = rows.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    ensure!(
        names.len() == rows.len(),
        "{} rows have {} names",
        rows.len(),
        names.len()
    );
    ensure!(rows.len() >= 60, "only {} rows", rows.len());
    Ok(())
}

/// Whatever the cut, lengths no longer agree: all goes to the kernel, and by one exit only.
fn cut_anywhere() -> Result<()> {
    let mut steer = Steer::shared();
    steer.enter(rows::State::Serving)?;
    for frame in [
        frame::v4(),
        frame::v6(),
        frame::v4().with(|f| f.tags = vec![(frame::TPID_8021Q, 5)]),
    ] {
        let whole = frame.bytes();
        for len in 14..whole.len() {
            let seen = steer.run(&whole[..len])?;
            ensure!(
                seen.action == Action::Pass
                    && seen.exits.len() == 1
                    && seen.exits[0] != Exit::Redirected,
                "cut to {len}: {:?} by {:?}",
                seen.action,
                seen.exits
            );
        }
    }
    Ok(())
}

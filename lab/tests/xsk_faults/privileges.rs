//! Something is not permitted.

use anyhow::{Result, ensure};

use crate::child::{self, Role};
use crate::scene::Hosts;

/// What this program says when it opens a queue behind `wrapper`.
fn refusal(hosts: &Hosts, wrapper: &[&str]) -> Result<String> {
    let finished = hosts.server.run(&child::command(Role::Open, wrapper)?)?;
    ensure!(
        !finished.success(),
        "{wrapper:?}: it worked: {}",
        finished.stdout
    );
    Ok(finished.stdout)
}

pub(crate) fn memlock() -> Result<()> {
    let hosts = Hosts::new()?;
    let ends = hosts.join(1)?;
    let without = ["setpriv", "--bounding-set", "-ipc_lock", "--"];
    let limit = ["prlimit", "--memlock=65536:65536", "--"];
    let said = refusal(&hosts, &[&limit[..], &without[..]].concat())?;
    ensure!(
        said.contains("open: the queue needs 2097152 bytes of locked memory, the limit is 65536"),
        "{said}"
    );
    ensure!(
        ends.0.xdp_program()?.is_none(),
        "the program was left behind"
    );
    // With the capability the limit doesn't count.
    let finished = hosts.server.run(&child::command(Role::Open, &limit)?)?;
    ensure!(finished.success(), "{}", finished.stdout);
    Ok(())
}

pub(crate) fn capabilities() -> Result<()> {
    let hosts = Hosts::new()?;
    let ends = hosts.join(1)?;
    let cases = [
        (
            "-net_raw",
            "open: socket(AF_XDP): not permitted (missing CAP_NET_RAW)",
        ),
        (
            "-bpf,-sys_admin",
            "load: bpf: not permitted (missing CAP_BPF)",
        ),
        (
            "-net_admin,-sys_admin",
            "load: bpf: not permitted (missing CAP_NET_ADMIN)",
        ),
        (
            "-all",
            "load: bpf: not permitted (missing CAP_BPF, CAP_NET_ADMIN)",
        ),
    ];
    for (taken, expected) in cases {
        let said = refusal(&hosts, &["setpriv", "--bounding-set", taken, "--"])?;
        ensure!(said.contains(expected), "without {taken}: {said}");
        ensure!(
            ends.0.xdp_program()?.is_none(),
            "without {taken} the program was left behind"
        );
    }
    Ok(())
}

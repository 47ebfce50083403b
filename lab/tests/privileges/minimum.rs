//! The capabilities that starting takes, found by taking each away: what then stops, and what the log says of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sluicegate_lab::scene::{PATIENCE, Path, Scene};
use sluicegate_lab::server::{Server, server};
use sluicegate_lab::wire::{query, rtype};

use crate::processes::{USER, expect_none};
use crate::recovery::as_user;

/// How long a test waits for what must come; machines are slow.
const LIMIT: Duration = Duration::from_secs(30);

/// All of them, as `setpriv` writes them.
const ALL: [&str; 4] = ["net_bind_service", "net_raw", "net_admin", "bpf"];

/// Starts the server as a service manager does: as its user, with these capabilities and no others.
fn start_with(scene: &Scene, capabilities: &[&str]) -> Result<Server> {
    let list = capabilities
        .iter()
        .fold("-all".to_owned(), |list, one| list + ",+" + one);
    let sets = [
        format!("--bounding-set={list}"),
        format!("--inh-caps={list}"),
        format!("--ambient-caps={list}"),
    ];
    let user = ["--reuid", USER, "--regid", "nogroup", "--clear-groups"];
    let mut wrapper = vec!["setpriv", "--no-new-privs"];
    wrapper.extend(user);
    wrapper.extend(sets.iter().map(String::as_str));
    wrapper.push("--");
    server(&scene.config(&as_user("")))
        .behind(&wrapper)
        .launch(&scene.server)
}

fn expect_answers(scene: &Scene) -> Result<()> {
    for path in Path::ALL {
        let asked = query("host.local.example", rtype::A).build();
        let answer = scene.ask(path, &asked, PATIENCE)?;
        answer.with_context(|| format!("no answer over {path}"))?;
    }
    Ok(())
}

pub(crate) fn four_are_enough() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = start_with(&scene, &ALL)?;
    server.wait_for_line("XDP fast path active interface=eth0", LIMIT)?;
    server.wait_for_line("start of service", LIMIT)?;
    expect_none(server.process().pid())?;
    expect_answers(&scene)
}

pub(crate) fn none_can_be_spared() -> Result<()> {
    let scene = Scene::new(1)?;
    for (taken, said) in [
        (
            "net_raw",
            "interface=eth0 reason=socket(AF_XDP): not permitted (missing CAP_NET_RAW)",
        ),
        (
            "net_admin",
            "interface=eth0 reason=bpf: not permitted (missing CAP_NET_ADMIN)",
        ),
        (
            "bpf",
            "interface=eth0 reason=bpf: not permitted (missing CAP_BPF)",
        ),
    ] {
        let left: Vec<&str> = ALL.into_iter().filter(|one| *one != taken).collect();
        let server = start_with(&scene, &left)?;
        server
            .wait_for_line(said, LIMIT)
            .with_context(|| format!("without {taken}"))?;
        // The kernel's path needs none of them.
        server.wait_for_line("start of service", LIMIT)?;
        expect_answers(&scene).with_context(|| format!("without {taken}"))?;
        ensure!(
            scene.server_end().xdp_program()?.is_none(),
            "without {taken} the program was left behind"
        );
    }
    let finished = start_with(&scene, &ALL[1..])?.finish(LIMIT)?;
    ensure!(
        !finished.success() && finished.stderr.contains("CAP_NET_BIND_SERVICE"),
        "without net_bind_service: {}",
        finished.stderr
    );
    Ok(())
}

/// Without any it is as without `username`: nothing is given up, since there is nothing, and no process is started.
pub(crate) fn none_at_all() -> Result<()> {
    let scene = Scene::new(1)?;
    scene
        .server
        .sysctl("net/ipv4/ip_unprivileged_port_start", "53")?;
    let server = start_with(&scene, &[])?;
    // The sockets are made first, and there it ends.
    server.wait_for_line(
        "interface=eth0 reason=socket(AF_XDP): not permitted (missing CAP_NET_RAW)",
        LIMIT,
    )?;
    server.wait_for_line("start of service", LIMIT)?;
    expect_answers(&scene)?;
    ensure!(
        crate::processes::privileged(&server).is_err(),
        "there is a privileged process without privileges"
    );
    Ok(())
}

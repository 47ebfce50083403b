//! `sluicegate demo` at work, and what it leaves behind: nothing.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;
use sluicegate_lab::netns::Netns;
use sluicegate_lab::server::{children, program};

fn main() -> ExitCode {
    suite("demo")
        .test(
            "shows_every_path_and_ends",
            needs![Root, Netns],
            shows_every_path_and_ends,
        )
        .test(
            "leaves_nothing_when_killed",
            needs![Root, Netns],
            leaves_nothing_when_killed,
        )
        .test(
            "notices_the_servers_death",
            needs![Root, Netns],
            notices_the_servers_death,
        )
        .test(
            "says_what_it_needs",
            needs![Root, Tool("setpriv")],
            says_what_it_needs,
        )
        .run()
}

const LIMIT: Duration = Duration::from_secs(30);

fn shows_every_path_and_ends() -> Result<()> {
    let netns = Netns::new()?; // so that a demo that touched "the machine's" interfaces would touch this one's
    let links = netns.ip("-o link")?;
    let mut command = Command::new(program()?);
    command.arg("demo").env("DEMO_SECONDS", "2");
    let finished = netns.spawn(&command)?.finish(LIMIT)?;
    let out = &finished.stdout;
    ensure!(
        finished.success(),
        "{}\n{out}{}",
        finished.status,
        finished.stderr
    );
    for expected in [
        "XDP fast path active interface=eth0",
        "XDP program",
        "gate.example A    -> 10.11.1.1",
        "gate.example AAAA -> fc00:dead:cafe:1::1",
        "IPv4  server, cache hit",
        "IPv6  server, first hit",
        "nsenter --net=",
        "its XDP program is gone",
    ] {
        ensure!(out.contains(expected), "no {expected:?} in:\n{out}");
    }
    // The columns are: asked, median, its unit, AF_XDP, kernel UDP, kernel TCP.
    for (path, column) in [
        ("UDP 10.11.1.1", 0),
        ("UDP fc00:", 0),
        ("UDP 127.0.0.1", 1),
        ("TCP 10.11.1.1", 2),
    ] {
        let line = out
            .lines()
            .find(|line| line.trim_start().starts_with(path))
            .context("a line for each path")?;
        let words: Vec<&str> = line.split_whitespace().skip(2).collect();
        let expected: Vec<&str> = (0..3)
            .map(|at| if at == column { words[0] } else { "0" })
            .collect();
        ensure!(
            words[3..] == expected[..],
            "{line:?} is not all in column {column}:\n{out}"
        );
    }
    ensure!(netns.ip("-o link")? == links, "interfaces were changed");
    Ok(())
}

/// The demo started so that its output can be followed, with its end guarded.
struct Running(Child);

impl Running {
    fn start() -> Result<Self> {
        let mut command = Command::new(program()?);
        command
            .arg("demo")
            .env("DEMO_SECONDS", "60")
            .process_group(0);
        Ok(Self(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?,
        ))
    }

    /// Reads on until the live counters begin, and returns the server's process number.
    fn server(&mut self) -> Result<i32> {
        use std::io::{BufRead, BufReader};
        let out = self.0.stdout.take().context("taken only once")?;
        let mut server = None;
        let mut lines = BufReader::new(out).lines();
        for line in lines.by_ref() {
            let line = line?;
            if line.trim_start().starts_with("server ") {
                server = line
                    .split_whitespace()
                    .last()
                    .and_then(|pid| pid.parse().ok());
            }
            if line.starts_with("Replies so far") {
                thread::spawn(move || lines.for_each(drop)); // the demo must not meet a closed pipe
                return server.context("no process number of the server");
            }
        }
        anyhow::bail!("the demo ended before its live counters")
    }

    fn wait(&mut self) -> Result<std::process::ExitStatus> {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < end, "the demo does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until no process has the number any more.
fn is_gone(pid: i32) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(5);
    // A killed process whose new parent has not yet asked for its end still has a folder, but no memory.
    while fs::read_to_string(format!("/proc/{pid}/status"))
        .is_ok_and(|status| status.contains("VmRSS"))
    {
        ensure!(Instant::now() < end, "process {pid} is still there");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn leaves_nothing_when_killed() -> Result<()> {
    let mut demo = Running::start()?;
    let server = demo.server()?;
    let engines = children(server)?;
    ensure!(
        engines.len() == 1,
        "the server's children, its engine alone: {engines:?}"
    );
    demo.0.kill()?;
    demo.0.wait()?;
    is_gone(server)?;
    is_gone(engines[0])?;
    ensure!(
        !fs::exists("/run/sluicegate-demo.conf")?,
        "the configuration is still there"
    );
    Ok(())
}

fn notices_the_servers_death() -> Result<()> {
    let mut demo = Running::start()?;
    let server = demo.server()?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(server),
        nix::sys::signal::Signal::SIGKILL,
    )?;
    let status = demo.wait()?;
    ensure!(status.code() == Some(1), "{status}");
    Ok(())
}

fn says_what_it_needs() -> Result<()> {
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--",
        ])
        .arg(program()?)
        .arg("demo")
        .output()?;
    let err = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(1) && err.contains("needs root"),
        "{}: {err}",
        output.status
    );
    Ok(())
}

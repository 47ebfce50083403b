//! Sluicegate itself, started on a configuration inside a namespace.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::netns::{Finished, Netns, Process};
use crate::private_dir::PrivateDir;
use crate::vm::lenient;

/// A running server. It is killed when the value is dropped.
pub struct Server {
    process: Process,
    dir: PrivateDir,
}

/// A server to be started, see [`server`].
pub struct Builder {
    config: String,
    arguments: Vec<String>,
    wrapper: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What comes first in every test's configuration, so that nothing of the machine's own is touched; the test's text
/// may set the same options again.
const PREAMBLE: &str =
    "server:\n  pidfile: \"\"\n  username: \"\"\n  chroot: \"\"\n  use-syslog: no\n";

/// How long a server may take to be ready, or to stop, on a busy machine.
fn life_limit() -> Duration {
    lenient(Duration::from_secs(20))
}

/// How often a bounded wait looks again.
const POLL: Duration = Duration::from_millis(5);

/// A server on this configuration (`unbound.conf` text). Control socket, user and pid file are already taken care of.
pub fn server(config: &str) -> Builder {
    Builder {
        config: config.to_owned(),
        arguments: Vec::new(),
        wrapper: Vec::new(),
        environment: Vec::new(),
    }
}

/// Where the program under test is: `$SLUICEGATE_BIN`, else beside the test's own program.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = env::var_os("SLUICEGATE_BIN") {
        return Ok(path.into());
    }
    let own = env::current_exe()?;
    let path = own
        .parent()
        .and_then(Path::parent)
        .context("tests run from the deps folder of a build")?
        .join("sluicegate");
    if !path.is_file() {
        bail!(
            "{} is missing: run `cargo build -p sluicegate` first",
            path.display()
        );
    }
    Ok(path)
}

impl Builder {
    /// With one more argument on the command line, as `--no-xdp`.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Behind a command that becomes the server, as `["setpriv", "--bounding-set", "-bpf"]`.
    #[must_use]
    pub fn behind(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// With an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server in the namespace and waits until its control socket answers.
    pub fn start(self, netns: &Netns) -> Result<Server> {
        let mut server = self.launch(netns)?;
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Starts the server and waits for nothing (for one that is expected to give up).
    pub fn launch(self, netns: &Netns) -> Result<Server> {
        let dir = PrivateDir::new()?;
        write_config(&dir, &self.config)?;
        let mut words = self.wrapper;
        words.push(program()?.display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
            .arg("-c")
            .arg(dir.path.join("conf"))
            .arg("-d")
            .args(self.arguments);
        command.envs(self.environment);
        let process = netns.spawn(&command)?;
        Ok(Server { process, dir })
    }
}

impl Server {
    /// The server's process: its log, its number, signals to it.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until the log has a line with `part`, for at most `limit`, and returns the line.
    pub fn wait_for_line(&self, part: &str, limit: Duration) -> Result<String> {
        self.process.wait_for_line(part, limit)
    }

    /// Waits until an interface is served by AF_XDP, and returns the log line that says so.
    pub fn wait_for_xdp(&self) -> Result<String> {
        self.process
            .wait_for_line("XDP fast path active", life_limit())
    }

    /// All statistics, by name.
    pub fn stats(&self) -> Result<BTreeMap<String, u64>> {
        let text = control(&self.control_socket(), "stats\n")?;
        let mut all = BTreeMap::new();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            // Some are text, such as a mode.
            if let Ok(value) = value.trim().parse() {
                all.insert(name.trim().to_owned(), value);
            }
        }
        Ok(all)
    }

    /// The statistics as the server prints them.
    pub fn stats_text(&self) -> Result<String> {
        control(&self.control_socket(), "stats\n")
    }

    /// The sum of all statistics whose name starts and ends like this.
    pub fn sum(&self, start: &str, end: &str) -> Result<u64> {
        let all = self.stats()?;
        let chosen = all
            .iter()
            .filter(|(name, _)| name.starts_with(start) && name.ends_with(end));
        Ok(chosen.map(|(_, value)| value).sum())
    }

    /// Waits until [`Self::sum`] is `expected`: a reply may reach its client before it is counted, and a worker tells
    /// what its queue counts once a second, a little late when it is idle.
    ///
    /// # Errors
    /// If it is another number for three seconds (or [longer](lenient)), with all statistics.
    pub fn expect_sum(&self, start: &str, end: &str, expected: u64) -> Result<()> {
        let limit = Instant::now() + lenient(Duration::from_secs(3));
        loop {
            let sum = self.sum(start, end)?;
            if sum == expected {
                return Ok(());
            }
            if Instant::now() >= limit {
                bail!(
                    "{start}*{end} is {sum}, not {expected}, in:\n{}",
                    self.stats_text()?
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until `done` says so of the statistics.
    pub fn wait_for_stats(
        &self,
        limit: Duration,
        done: impl Fn(&BTreeMap<String, u64>) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            let all = self.stats()?;
            if done(&all) {
                return Ok(());
            }
            if Instant::now() >= end {
                bail!("the statistics are not as expected after {limit:?}: {all:#?}");
            }
            thread::sleep(POLL);
        }
    }

    /// The path of the control socket.
    pub fn control_socket(&self) -> PathBuf {
        self.dir.path.join("ctl")
    }

    /// The path of the configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.dir.path.join("conf")
    }

    /// Puts another configuration into the file and sends SIGHUP; the caller waits for what should follow.
    pub fn reload(&self, config: &str) -> Result<()> {
        write_config(&self.dir, config)?;
        self.process.signal(Signal::SIGHUP)
    }

    /// The numbers of the server's child processes, the engines.
    pub fn children(&self) -> Result<Vec<i32>> {
        children(self.process.pid())
    }

    /// Stops the server with SIGTERM and waits for its end.
    pub fn stop(self) -> Result<Finished> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.finish(life_limit())
    }

    /// Waits for the server's own end.
    pub fn finish(self, limit: Duration) -> Result<Finished> {
        self.process.finish(limit)
    }

    /// Kills the server (SIGKILL) and waits for its end.
    pub fn kill(self) {
        self.process.kill();
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let end = Instant::now() + life_limit();
        while control(&self.control_socket(), "stats\n").is_err() {
            let status = self.process.try_wait()?;
            if status.is_some() || Instant::now() >= end {
                let log = self.process.lines_with("").join("\n");
                bail!("the server isn't ready ({status:?}); it printed:\n{log}");
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

/// The numbers of a process's children, whichever of its threads started them.
pub fn children(pid: i32) -> Result<Vec<i32>> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        children.extend(
            text.split_whitespace()
                .filter_map(|pid| pid.parse::<i32>().ok()),
        );
    }
    Ok(children)
}

/// Sends one line to a control socket and reads all of the answer.
fn control(socket: &Path, line: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(life_limit()))?;
    stream.write_all(line.as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn write_config(dir: &PrivateDir, config: &str) -> Result<()> {
    let control = format!(
        "\nremote-control:\n  control-enable: yes\n  control-interface: \"{}\"\n",
        dir.path.join("ctl").display()
    );
    // Written beside and renamed, so that a reload never reads half a file.
    let new = dir.path.join("conf.new");
    fs::write(&new, format!("{PREAMBLE}{config}{control}"))?;
    fs::rename(&new, dir.path.join("conf"))?;
    Ok(())
}

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns, unshare};

use super::process::{Finished, Process};
use crate::vm::lenient;

/// A network namespace of one's own, with the loopback interface up.
///
/// A resident thread lives in it as long as the value does. Processes are started from that thread, since the kernel's
/// parent-death signal, which ends them when the test dies, follows the thread that started them.
pub struct Netns {
    handle: File,
    jobs: Option<Sender<Job>>,
    resident: Option<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce() + Send>;

/// How long [`Netns::run`] and [`Netns::ip`] wait for a command.
const COMMAND_LIMIT: Duration = Duration::from_mins(1);

impl Netns {
    /// Makes an empty namespace. Needs `CAP_SYS_ADMIN`.
    pub fn new() -> Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, made) = mpsc::channel();
        let resident = thread::Builder::new()
            .name("netns".into())
            .spawn(move || reside(&ready, &inbox))?;
        let handle = made
            .recv()
            .context("the namespace's thread ended before it was ready")??;
        let namespace = Self {
            handle,
            jobs: Some(jobs),
            resident: Some(resident),
        };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Runs `work` in a thread inside the namespace and returns what it returns. Sockets and interfaces that it opens
    /// stay in the namespace.
    ///
    /// # Panics
    /// With the panic of `work`, or if the namespace can't be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let outcome = thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.handle, CloneFlags::CLONE_NEWNET)
                    .expect("a namespace that we hold can be entered");
                work()
            });
            inside.join()
        });
        match outcome {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Starts a thread inside the namespace that may outlive this call (a server of the test's own).
    pub fn spawn_thread<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        let handle = self.handle.try_clone()?;
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            setns(&handle, CloneFlags::CLONE_NEWNET)
                .expect("a namespace that we hold can be entered");
            work()
        })?;
        Ok(thread)
    }

    /// Starts `command` inside the namespace, its output collected. The process is killed when the returned value is
    /// dropped, when the namespace is, and when the test's own process dies.
    ///
    /// Program, arguments, environment and working folder of `command` count; its standard streams are replaced.
    pub fn spawn(&self, command: &Command) -> Result<Process> {
        let mut guarded = guarded(command);
        let (answer, spawned) = mpsc::channel();
        let job: Job = Box::new(move || {
            let _ = answer.send(Process::start(&mut guarded));
        });
        self.jobs
            .as_ref()
            .expect("jobs are taken only by drop")
            .send(job)
            .map_err(|_| anyhow!("the namespace's thread is gone"))?;
        spawned.recv().context("the namespace's thread is gone")?
    }

    /// Runs `command` to its end inside the namespace, for at most a minute.
    pub fn run(&self, command: &Command) -> Result<Finished> {
        self.spawn(command)?.finish(lenient(COMMAND_LIMIT))
    }

    /// Runs iproute2's `ip` with `words`, split at white space, and returns what it printed.
    pub fn ip(&self, words: &str) -> Result<String> {
        self.tool("ip", words)
    }

    /// Runs `ethtool` with `words`, split at white space, and returns what it printed.
    pub fn ethtool(&self, words: &str) -> Result<String> {
        self.tool("ethtool", words)
    }

    /// Sets a sysctl of the namespace, by its path below `/proc/sys` (`net/ipv4/ip_forward`).
    pub fn sysctl(&self, path: &str, value: &str) -> Result<()> {
        let file = PathBuf::from("/proc/sys").join(path);
        self.enter(|| std::fs::write(&file, value))
            .with_context(|| format!("sysctl {path}={value}"))
    }

    /// The path by which any process of this machine can name the namespace, as long as this process lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.handle.as_raw_fd()
        ))
    }

    fn tool(&self, program: &str, words: &str) -> Result<String> {
        let mut command = Command::new(program);
        command.args(words.split_whitespace());
        let finished = self.run(&command)?;
        if !finished.success() {
            bail!(
                "{program} {words}: {}: {}",
                finished.status,
                finished.stderr.trim()
            );
        }
        Ok(finished.stdout)
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(resident) = self.resident.take() {
            let _ = resident.join();
        }
    }
}

fn reside(ready: &Sender<Result<File>>, inbox: &Receiver<Job>) {
    let made = unshare(CloneFlags::CLONE_NEWNET)
        .context("making a network namespace")
        .and_then(|()| {
            File::open("/proc/thread-self/ns/net").context("opening the new network namespace")
        });
    let usable = made.is_ok();
    if ready.send(made).is_err() || !usable {
        return;
    }
    while let Ok(job) = inbox.recv() {
        job();
    }
}

/// `command` behind `setpriv --pdeathsig`, which becomes the program itself (same process) after asking for the signal.
fn guarded(command: &Command) -> Command {
    let mut guarded = Command::new("setpriv");
    guarded.args(["--pdeathsig", "KILL", "--"]);
    guarded.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => guarded.env(name, value),
            None => guarded.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        guarded.current_dir(dir);
    }
    guarded
}

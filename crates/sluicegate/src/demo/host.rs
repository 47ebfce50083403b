//! A host of the demo: a network namespace held by a thread.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, unshare};

/// A host with the loopback interface up. It ends with the process.
///
/// All that happens on the host is done by a thread that lives there as long as the process does. Threads and processes
/// that are started from it are on the same host.
pub(crate) struct Host {
    namespace: File,
    jobs: Sender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Host {
    /// Makes a host.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN`, or where the kernel allows no (more) network namespaces.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, made) = mpsc::channel();
        thread::Builder::new()
            .name(name.into())
            .spawn(move || live(&ready, &inbox))?;
        let namespace = made.recv().context("the host's thread ended")??;
        let host = Self { namespace, jobs };
        host.ip("link set lo up")?;
        Ok(host)
    }

    /// Does `work` on the host and returns what it returns.
    ///
    /// # Errors
    /// If `work` panicked.
    pub(crate) fn inside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (answer, done) = mpsc::channel();
        let job: Job = Box::new(move || {
            // Nobody waits any more only if this process is ending.
            let _ = answer.send(work());
        });
        self.jobs
            .send(job)
            .map_err(|_| anyhow!("the host's thread is gone"))?;
        done.recv().context("the work on the host did not end well")
    }

    /// Runs iproute2's `ip` with `words`, split at white space, and returns what it printed.
    pub(crate) fn ip(&self, words: &str) -> Result<String> {
        let mut command = Command::new("ip");
        command.args(words.split_whitespace());
        let output = self
            .inside(move || command.output())?
            .context("the command `ip` is needed (Debian package iproute2)")?;
        if !output.status.success() {
            bail!(
                "ip {words}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a process on the host; the kernel kills it when this process ends, however that happens. Standard error
    /// can be read from the child.
    pub(crate) fn spawn(&self, program: &std::path::Path, arguments: &[&str]) -> Result<Child> {
        // setpriv asks for the signal and becomes the program. The signal follows the thread that starts the child:
        // the host's own, which lives as long as this process.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        self.inside(move || command.spawn())?
            .context("the command `setpriv` is needed (Debian package util-linux)")
    }

    /// A path by which other processes can enter the host while this process lives.
    pub(crate) fn path(&self) -> String {
        format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.namespace.as_raw_fd()
        )
    }
}

fn live(ready: &Sender<Result<File>>, inbox: &Receiver<Job>) {
    let made = unshare(CloneFlags::CLONE_NEWNET)
        .context("this machine allows no network namespaces to be made")
        .and_then(|()| File::open("/proc/thread-self/ns/net").context("/proc is needed"));
    let usable = made.is_ok();
    if ready.send(made).is_err() || !usable {
        return;
    }
    while let Ok(job) = inbox.recv() {
        job();
    }
}

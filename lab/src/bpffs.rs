//! A BPF file system of a test's own, in a mount namespace of its own.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::private_dir::PrivateDir;

/// A BPF file system that nobody else sees. It goes when the value does and no process is in its namespace any more.
pub struct BpfFs {
    dir: PrivateDir,
    namespace: File,
    jobs: Option<Sender<Job>>,
    resident: Option<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce() + Send>;

impl BpfFs {
    /// Mounts one. Needs `CAP_SYS_ADMIN`.
    pub fn new() -> Result<Self> {
        let dir = PrivateDir::new()?;
        let path = dir.path.clone();
        let (jobs, inbox) = channel::<Job>();
        let (ready, made) = channel();
        let reside = move || {
            let namespace = isolate(&path);
            let usable = namespace.is_ok();
            if ready.send(namespace).is_ok() && usable {
                for job in inbox {
                    job();
                }
            }
        };
        let resident = thread::Builder::new().name("bpffs".into()).spawn(reside)?;
        let namespace = made
            .recv()
            .context("the mount namespace's thread ended before it was ready")??;
        Ok(Self {
            dir,
            namespace,
            jobs: Some(jobs),
            resident: Some(resident),
        })
    }

    /// Where it is mounted, for those inside.
    pub fn path(&self) -> &Path {
        &self.dir.path
    }

    /// Runs `work` inside. Threads that it starts are inside too.
    pub fn enter<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (answer, done) = channel();
        let job: Job = Box::new(move || {
            let _ = answer.send(work());
        });
        self.jobs
            .as_ref()
            .expect("jobs are taken only by drop")
            .send(job)
            .map_err(|_| anyhow!("the mount namespace's thread is gone"))?;
        done.recv().context("the work panicked")
    }

    /// What a command stands behind to run inside.
    pub fn wrapper(&self) -> [String; 3] {
        let namespace = format!(
            "--mount=/proc/{}/fd/{}",
            std::process::id(),
            self.namespace.as_raw_fd()
        );
        ["nsenter".to_owned(), namespace, "--".to_owned()]
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(resident) = self.resident.take() {
            let _ = resident.join();
        }
    }
}

/// Puts the calling thread into a mount namespace of its own, with a BPF file system at `path`.
fn isolate(path: &PathBuf) -> Result<File> {
    const NOTHING: Option<&str> = None;
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).context("unshare")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NOTHING, "/", NOTHING, private, NOTHING).context("mount --make-rprivate /")?;
    mount(Some("bpf"), path, Some("bpf"), MsFlags::empty(), NOTHING).context("mount -t bpf")?;
    File::open("/proc/thread-self/ns/mnt").context("the new mount namespace")
}

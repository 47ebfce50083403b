use std::io::Write as _;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{Resource, Rlimit, Signal};

use super::setup::{self, SetupError};
use super::share;
use super::worker::Worker;
use crate::ffi;
use crate::relay::Relay;
use crate::sandbox::Sandbox;
use crate::wire::{Summary, Verdict};

/// The whole life of the engine process: to be called first thing in `main`, before anything is opened or
/// started, when the program is run as [`crate::EngineOptions::arguments`] say.
///
/// Standard input is the control socket. Takes the configuration from it, answers READY or REFUSED, then
/// serves until the socket closes, whatever the reason: the parent has stopped it, has died, or is gone.
pub fn child_main() -> ExitCode {
    ffi::forget_inherited_files();
    ffi::ignore_signals();
    match run() {
        Ok(()) => ffi::exit_at_once(0),
        Err(error) => {
            // Standard error is the parent's log; if it is gone, so is the parent.
            let _ = writeln!(std::io::stderr(), "error: engine: {error}");
            ffi::exit_at_once(1)
        }
    }
}

fn run() -> Result<(), SetupError> {
    // If the parent dies while a thread of ours is stuck, nobody would see the control socket close.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_name(c"sluicegate-eng")?;
    // Timers to the microsecond; the default lets the kernel be late by 50 us. Threads inherit it.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let open_files = raise_open_files()?;
    let control: OwnedFd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;

    let start = setup::receive_start(&control)?;
    let limit = start.wanted.questions_per_thread;
    let made = setup::relay(&start).and_then(|relay| {
        let reserved = relay.as_ref().map_or(0, Relay::files);
        let open_files = open_files.saturating_sub(reserved);
        let texts = setup::texts(&start, relay.as_ref())?;
        let (contexts, summary) = setup::contexts(&start, &texts, relay.as_ref(), open_files)?;
        Ok((relay, texts, contexts, summary))
    });
    let (relay, texts, contexts, mut summary) = match made {
        Ok(made) => made,
        Err(SetupError::Refused { line, message }) => {
            send(&control, &Verdict::Refused { line, message })?;
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut workers = Vec::with_capacity(start.sockets.len());
    for (context, socket) in contexts.into_iter().zip(start.sockets) {
        workers.push(Worker::new(context, socket, limit)?);
    }
    let interval = Duration::from_millis(start.wanted.probe_interval_ms.into());
    if let Some(keeper) = workers.first_mut() {
        keeper.keep(texts.owners, interval);
    }
    summary.add_notes(texts.notes.iter().map(String::as_str));
    // Everything is open and read; from here on bytes of the Internet come in.
    let mut sandbox = sandbox(&summary, workers.len(), limit);
    sandbox.writable = texts.folders;
    sandbox.memory_bytes += relay.as_ref().map_or(0, Relay::memory_bytes);
    let walls = sandbox.enter()?;
    summary.memory_bytes = walls.memory_bytes;
    summary.add_notes(walls.missing);
    if let Some(relay) = relay {
        let each = summary.outgoing_range + OTHER_FILES;
        relay.start(open_files.min(workers.len() as u64 * each))?;
    }
    for (number, worker) in workers.into_iter().enumerate() {
        thread::Builder::new()
            .name(format!("engine-{number}"))
            .spawn(move || run_worker(worker))?;
    }
    send(&control, &Verdict::Ready(summary))?;
    wait_for_the_end(&control);
    Ok(())
}

fn sandbox(summary: &Summary, contexts: usize, questions_per_thread: u32) -> Sandbox {
    Sandbox {
        writable: Vec::new(),
        memory_bytes: share::memory_bytes(summary, contexts as u64, questions_per_thread.into()),
    }
}

/// More than a thread has open beside its UDP sockets.
const OTHER_FILES: u64 = 2048;

/// A thread that ends, by an error or a panic, ends the process: the parent starts a whole one.
fn run_worker(worker: Worker) {
    struct EndProcess;
    impl Drop for EndProcess {
        fn drop(&mut self) {
            ffi::exit_at_once(2)
        }
    }
    let _end = EndProcess;
    if let Err(error) = worker.run() {
        let _ = writeln!(std::io::stderr(), "error: engine thread: {error}");
    }
}

/// Blocks until the control socket is closed at the other end.
fn wait_for_the_end(control: &OwnedFd) {
    let mut byte = [0];
    loop {
        match rustix::net::recv(control, &mut byte, RecvFlags::empty()) {
            Ok((0, _)) => return,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

fn send(control: &OwnedFd, verdict: &Verdict) -> rustix::io::Result<()> {
    rustix::net::send(control, &verdict.to_bytes(), SendFlags::NOSIGNAL).map(drop)
}

/// Raises the limit of open files to the hard limit, and returns it: each query to an upstream has a
/// socket of its own.
fn raise_open_files() -> rustix::io::Result<u64> {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    rustix::process::setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    Ok(maximum.unwrap_or(u64::MAX))
}

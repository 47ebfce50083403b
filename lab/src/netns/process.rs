use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A child process whose output is collected line by line, and which is killed when this value is dropped.
pub struct Process {
    child: Child,
    name: String,
    transcript: Arc<Transcript>,
}

/// What a process left: its exit status and all that it printed.
pub struct Finished {
    /// The exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Whether the exit code was 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

#[derive(Default)]
struct Transcript {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    out: Vec<String>,
    err: Vec<String>,
    open_streams: usize,
}

/// The most lines of each stream that are kept; what comes after is read and thrown away.
const MAX_LINES: usize = 100_000;

/// How often a bounded wait looks again when nothing can wake it.
const POLL: Duration = Duration::from_millis(5);

impl Process {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        // The name is for messages: the program behind the guard, see `guarded`.
        let name = command
            .get_args()
            .nth(3)
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let transcript = Arc::new(Transcript::default());
        transcript.lock().open_streams = 2;
        let out = child.stdout.take().expect("piped above");
        let err = child.stderr.take().expect("piped above");
        transcript.collect(out, |lines| &mut lines.out)?;
        transcript.collect(err, |lines| &mut lines.err)?;
        Ok(Self {
            child,
            name,
            transcript,
        })
    }

    /// The process number.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("Linux process numbers are positive i32")
    }

    /// Waits until a line of either stream contains `part`, also one that was printed before, and returns it.
    pub fn wait_for_line(&self, part: &str, limit: Duration) -> Result<String> {
        self.wait_for_line_after(0, part, limit)
    }

    /// As [`Self::wait_for_line`], but skips the first `skip` matching lines.
    pub fn wait_for_line_after(&self, skip: usize, part: &str, limit: Duration) -> Result<String> {
        let end = Instant::now() + limit;
        let mut lines = self.transcript.lock();
        loop {
            let found = lines
                .both()
                .filter(|line| line.contains(part))
                .nth(skip)
                .cloned();
            if let Some(line) = found {
                return Ok(line);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || lines.open_streams == 0 {
                let all = lines.both().cloned().collect::<Vec<_>>().join("\n");
                bail!(
                    "{}: no line with {part:?} within {limit:?}; it printed:\n{all}",
                    self.name
                );
            }
            lines = self
                .transcript
                .changed
                .wait_timeout(lines, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// All lines so far that contain `part`, those of standard output first.
    pub fn lines_with(&self, part: &str) -> Vec<String> {
        let lines = self.transcript.lock();
        lines
            .both()
            .filter(|line| line.contains(part))
            .cloned()
            .collect()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid()), signal)
            .with_context(|| format!("{signal} to {}", self.name))
    }

    /// The exit status, if the process has ended.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the end of the process and of its output; kills it and fails when `limit` is over.
    pub fn finish(mut self, limit: Duration) -> Result<Finished> {
        let end = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() >= end {
                let _ = self.child.kill();
                let all = self
                    .transcript
                    .lock()
                    .both()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("\n");
                bail!(
                    "{} did not end within {limit:?}; it printed:\n{all}",
                    self.name
                );
            }
            thread::sleep(POLL);
        };
        // A grandchild may hold the streams open for longer: what is there by then has to do.
        let mut lines = self.transcript.lock();
        let end = Instant::now() + Duration::from_secs(2);
        while lines.open_streams > 0 && Instant::now() < end {
            lines = self
                .transcript
                .changed
                .wait_timeout(lines, POLL)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(Finished {
            status,
            stdout: joined(&lines.out),
            stderr: joined(&lines.err),
        })
    }

    /// Kills the process at once (SIGKILL) and waits for its end.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

impl Transcript {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(
        self: &Arc<Self>,
        stream: impl Read + Send + 'static,
        which: fn(&mut Lines) -> &mut Vec<String>,
    ) -> Result<()> {
        let transcript = Arc::clone(self);
        thread::Builder::new()
            .name("output".into())
            .spawn(move || {
                let mut reader = BufReader::new(stream);
                let mut line = Vec::new();
                while reader
                    .read_until(b'\n', &mut line)
                    .is_ok_and(|length| length > 0)
                {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    let mut lines = transcript.lock();
                    let kept = which(&mut lines);
                    if kept.len() < MAX_LINES {
                        kept.push(text);
                    }
                    transcript.changed.notify_all();
                    line.clear();
                }
                transcript.lock().open_streams -= 1;
                transcript.changed.notify_all();
            })?;
        Ok(())
    }
}

impl Lines {
    fn both(&self) -> impl Iterator<Item = &String> {
        self.out.iter().chain(&self.err)
    }
}

fn joined(lines: &[String]) -> String {
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

//! From the parent's START to contexts that are ready to resolve.

use std::ffi::CString;
use std::io::{self, IoSliceMut, Read as _, Seek as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::keeper::Texts;
use super::share::{Share, divide, number};
use crate::EngineOptions;
use crate::ffi::{Context, ContextError};
use crate::relay::Relay;
use crate::sandbox::SandboxError;
use crate::wire::{self, Garbled, Summary};

/// What the parent wants.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) wanted: wire::Start,
    /// The configuration, as a file without a name.
    conf: OwnedFd,
    /// A socket for each thread.
    pub(super) sockets: Vec<OwnedFd>,
}

/// Why the engine can't start.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("configuration refused: line {line}: {message}")]
    Refused { line: u32, message: String },
    #[error("no start message: the engine is started by sluicegate, not by hand")]
    NoStart,
    #[error(transparent)]
    Garbled(#[from] Garbled),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error("sandbox: {0}")]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Errno(#[from] Errno),
}

/// Unbound's own defaults, where its library has smaller or other ones. The user's text comes after it.
const BASE_CONF: &str = "\
server:
    outgoing-range: 4096
    outgoing-num-tcp: 10
    num-queries-per-thread: 2048
    msg-cache-size: 4m
    rrset-cache-size: 4m
    key-cache-size: 4m
    neg-cache-size: 1m
    infra-cache-numhosts: 10000
    do-not-query-localhost: yes
    minimal-responses: yes
";

/// How soon upstreams that were away are asked again; the user's text comes after it.
///
/// By Unbound's own defaults (120,000 ms and 900 s) servers that were silent for a minute are left alone for up to 15
/// minutes after they are back, and until then a question may be stuck in libunbound for longer than its client waits.
/// With these a dead server is tried again every 3 or 4 s, by one query, and nothing else is sent to it. The price:
/// what is known of round-trip times lasts 3 s, so that a zone that is seldom asked for, with a dead server among
/// good ones, now and then costs a first try of 376 ms.
///
/// libunbound before 1.16 does not know the first; it is done without then.
const AFTER_OUTAGES: [(&str, &str); 2] = [("infra-cache-max-rtt", "3000"), ("infra-host-ttl", "3")];

/// What must hold whatever the user's text says. The built-in local zones are answered before a question
/// gets here, or were switched off by the user; the log goes to standard error, which the parent reads; one
/// slab, since one thread uses a context; `val-log-level` 2 makes libunbound tell why data is bogus (its
/// library does not log the same: the server does, as the user asked).
const FINAL_CONF: &str = concat!(
    "server:\n",
    "    unblock-lan-zones: yes\n",
    "    local-zone: \"localhost.\" nodefault\n",
    "    local-zone: \"127.in-addr.arpa.\" nodefault\n",
    "    local-zone: \"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.\" nodefault\n",
    "    local-zone: \"home.arpa.\" nodefault\n",
    "    local-zone: \"resolver.arpa.\" nodefault\n",
    "    local-zone: \"service.arpa.\" nodefault\n",
    "    local-zone: \"onion.\" nodefault\n",
    "    local-zone: \"test.\" nodefault\n",
    "    local-zone: \"invalid.\" nodefault\n",
    "    local-zone: \"ready.engine.sluicegate.invalid.\" static\n",
    "    num-threads: 1\n",
    "    msg-cache-slabs: 1\n",
    "    rrset-cache-slabs: 1\n",
    "    key-cache-slabs: 1\n",
    "    infra-cache-slabs: 1\n",
    "    ratelimit-slabs: 1\n",
    "    use-syslog: no\n",
    "    logfile: \"\"\n",
    "    log-queries: no\n",
    "    log-replies: no\n",
    "    val-log-level: 2\n",
);

/// The question that makes libunbound finish a context: answered at once by the local zone in
/// [`FINAL_CONF`], so that nothing is sent, and what is wrong shows now and not at a client's question.
const PROBE: &std::ffi::CStr = c"ready.engine.sluicegate.invalid.";

/// Waits for the parent's START.
pub(super) fn receive_start(control: &OwnedFd) -> Result<Start, SetupError> {
    let mut bytes = [0; 64];
    let mut space =
        [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1 + EngineOptions::MAX_THREADS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        control,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    );
    let length = match received {
        Ok(message) if message.bytes > 0 => message.bytes,
        Ok(_) | Err(Errno::NOTSOCK) => return Err(SetupError::NoStart),
        Err(errno) => return Err(errno.into()),
    };
    let mut files = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    let mut files = files.next().ok_or(SetupError::NoStart)?;
    let conf = files.next().ok_or(SetupError::NoStart)?;
    Ok(Start {
        wanted: wire::Start::read(&bytes[..length])?,
        conf,
        sockets: files.collect(),
    })
}

/// Opens what carries questions to upstreams over TLS, if the configuration names any.
///
/// # Errors
/// [`SetupError::Refused`] when that can't be had as it is configured.
pub(super) fn relay(start: &Start) -> Result<Option<Relay>, SetupError> {
    let text = std::fs::read_to_string(path_of(&start.conf))?;
    Relay::open(&text).map_err(|error| SetupError::Refused {
        line: error.line(),
        message: error.to_string(),
    })
}

/// The configuration as the contexts get it.
///
/// # Errors
/// The system's.
pub(super) fn texts(start: &Start, relay: Option<&Relay>) -> Result<Texts, SetupError> {
    let keep = start.wanted.keep_anchors;
    Ok(match relay {
        Some(relay) => Texts::of(&relay.conf_text, keep),
        None => Texts::of(&std::fs::read_to_string(path_of(&start.conf))?, keep),
    })
}

/// Makes a finished context for each thread, one after the other: libunbound's configuration parser is not
/// made for several threads.
///
/// # Errors
/// [`SetupError::Refused`] in libunbound's own words when it does not like the configuration.
pub(super) fn contexts(
    start: &Start,
    texts: &Texts,
    relay: Option<&Relay>,
    open_files: u64,
) -> Result<(Vec<Context>, Summary), SetupError> {
    let threads = u64::from(start.wanted.threads);
    let files = [file_with(&texts.keeper)?, file_with(&texts.others)?];
    let keeper_path = path_of(&files[0]);
    let base = file_with(BASE_CONF)?;
    let last = file_with(FINAL_CONF)?;
    let log = LogCapture::start()?;
    let mut summary = Summary {
        threads: start.wanted.threads,
        open_files,
        ..Summary::default()
    };
    let mut wanted_range = 0;
    let shares = Share::of_all(threads, start.sockets.len() as u64);
    let made: Result<Vec<Context>, SetupError> = shares
        .enumerate()
        .map(|(index, share)| {
            let conf_path = path_of(&files[index.min(1)]);
            let mut context = Context::new()?;
            context.configure(&c_path(&path_of(&base)))?;
            for (option, value) in AFTER_OUTAGES {
                let _ = context.set_option(option, value);
            }
            context.configure(&c_path(&conf_path))?;
            if let Some(relay) = relay {
                let closed = context.option("do-not-query-localhost")?.trim() == "yes";
                let file = file_with(&relay.closing_conf(closed))?;
                context.configure(&c_path(&path_of(&file)))?;
            }
            summary.val_log_level = number(&context, "val-log-level")?;
            context.configure(&c_path(&path_of(&last)))?;
            let wanted = divide(&mut context, share, &mut summary)?;
            wanted_range = wanted.max(wanted_range);
            context.resolve(PROBE, 1, 1, 0)?;
            context.outbox().borrow_mut().clear();
            Ok(context)
        })
        .collect();
    let mut said = log.finish()?;
    match made {
        Ok(contexts) => {
            if summary.outgoing_range < wanted_range {
                let (got, files) = (summary.outgoing_range, summary.open_files);
                said.push(format!(
                    "warning: outgoing-range {wanted_range} cut to {got}: {files} files may be open, \
                     for {threads} threads"
                ));
            }
            summary.notes = said.join("\n");
            Ok((contexts, summary))
        }
        Err(SetupError::Context(ContextError::Library(error))) => {
            Err(refusal(&said, &keeper_path, error))
        }
        Err(error) => Err(error),
    }
}

/// What libunbound said about the configuration at `path`, as an error with its line.
fn refusal(said: &[String], path: &str, error: &str) -> SetupError {
    let here = format!("{path}:");
    for text in said {
        if let Some((line, message)) = text
            .strip_prefix(&here)
            .and_then(|rest| rest.split_once(':'))
            && let Ok(line) = line.parse()
        {
            let message = message.trim();
            let message = message.strip_prefix("error:").unwrap_or(message).trim();
            return SetupError::Refused {
                line,
                message: message.to_owned(),
            };
        }
    }
    // Errors explain; what else it said while it started does not.
    let mut errors: Vec<&str> = said
        .iter()
        .map(String::as_str)
        .filter(|text| text.contains("error: "))
        .collect();
    if errors.is_empty() {
        errors = said.iter().map(String::as_str).collect();
    }
    let message = if errors.is_empty() {
        error.to_owned()
    } else {
        errors.join("; ")
    };
    SetupError::Refused { line: 0, message }
}

/// Standard error turned into a file while libunbound reads its configuration: that is where its parser
/// writes.
struct LogCapture {
    file: std::fs::File,
    standard_error: OwnedFd,
}

impl LogCapture {
    fn start() -> io::Result<Self> {
        let file = std::fs::File::from(rustix::fs::memfd_create(c"log", MemfdFlags::CLOEXEC)?);
        let standard_error = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?;
        rustix::stdio::dup2_stderr(&file)?;
        Ok(Self {
            file,
            standard_error,
        })
    }

    /// The lines written, without time stamps, each once (every context says the same).
    fn finish(mut self) -> io::Result<Vec<String>> {
        rustix::stdio::dup2_stderr(self.standard_error.as_fd())?;
        let mut text = Vec::new();
        self.file.rewind()?;
        self.file.take(MAX_LOG_BYTES).read_to_end(&mut text)?;
        let mut lines: Vec<String> = Vec::new();
        for line in String::from_utf8_lossy(&text).lines() {
            let line = crate::client::strip_log_prefix(line).to_owned();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        Ok(lines)
    }
}

/// What libunbound says beyond this is dropped.
const MAX_LOG_BYTES: u64 = 16 << 10;

fn file_with(text: &str) -> io::Result<OwnedFd> {
    let mut file = std::fs::File::from(rustix::fs::memfd_create(c"conf", MemfdFlags::CLOEXEC)?);
    io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(file.into())
}

fn path_of(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn c_path(path: &str) -> CString {
    CString::new(path).expect("a path of digits and letters has no NUL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_syntax_error_keeps_its_line() {
        let lines = said(&[
            "/proc/self/fd/5:12: error: syntax error",
            "read /proc/self/fd/5 failed: 1 errors",
        ]);
        let SetupError::Refused { line, message } =
            refusal(&lines, "/proc/self/fd/5", "syntax error")
        else {
            panic!("not refused")
        };
        assert_eq!((line, message.as_str()), (12, "syntax error"));
    }

    #[test]
    fn other_errors_come_whole() {
        let lines = said(&[
            "notice: init",
            "error: trust anchor bad",
            "error: initialization failed",
        ]);
        let SetupError::Refused { line, message } = refusal(&lines, "/proc/self/fd/5", "init")
        else {
            panic!("not refused")
        };
        assert_eq!(
            (line, message.as_str()),
            (0, "error: trust anchor bad; error: initialization failed")
        );
        let SetupError::Refused { message, .. } = refusal(&[], "/proc/self/fd/5", "init") else {
            panic!("not refused")
        };
        assert_eq!(message, "init");
    }
}

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use nix::syslog::{Facility, LogFlags, Priority, Severity, openlog, syslog};
use tracing::Level;

use super::format;

/// Where the log goes.
#[derive(Debug)]
pub(super) enum Sink {
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(File),
    /// The system's log, facility daemon.
    Syslog,
}

impl Sink {
    /// Opens a log file.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map(Self::File)
    }

    /// Opens the system's log.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn syslog() -> io::Result<Self> {
        openlog(
            Some(c"sluicegate"),
            LogFlags::LOG_PID | LogFlags::LOG_NDELAY,
            Facility::LOG_DAEMON,
        )?;
        Ok(Self::Syslog)
    }

    /// Writes one event, each line of it on its own.
    pub(super) fn write(&mut self, level: Level, ascii_time: bool, text: &str) {
        let origin = format::origin(level);
        if let Self::Syslog = self {
            for line in text.lines() {
                let _ = syslog(Priority::new(severity(level), Facility::LOG_DAEMON), line);
            }
            return;
        }
        let time = format::timestamp(ascii_time);
        let mut lines = String::new();
        for line in text.lines() {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{time} {origin}{line}");
        }
        // In one write, so that lines of different processes do not mix. A log that can't be written to is
        // no reason to end.
        let _ = match self {
            Self::File(file) => file.write_all(lines.as_bytes()),
            Self::Stderr | Self::Syslog => io::stderr().write_all(lines.as_bytes()),
        };
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::LOG_ERR,
        Level::WARN => Severity::LOG_WARNING,
        Level::INFO => Severity::LOG_INFO,
        Level::DEBUG | Level::TRACE => Severity::LOG_DEBUG,
    }
}

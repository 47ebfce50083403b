//! What the engine writes on standard error: libunbound's log, and its own last words.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use tracing::Level;

/// The reading end of the engine's standard error. The engine's end does not block: when nobody reads, lines
/// are lost, not time.
#[derive(Debug)]
pub(super) struct LogPipe {
    reader: OwnedFd,
    partial: Vec<u8>,
    tail: VecDeque<String>,
}

/// Longer lines are cut.
const MAX_LINE_BYTES: usize = 2048;
/// Lines kept to explain why the engine ended.
const TAIL_LINES: usize = 8;
/// Reads in one turn; the rest waits in the pipe.
const READS_PER_TURN: usize = 4;

impl LogPipe {
    pub(super) fn new(reader: OwnedFd) -> Self {
        Self {
            reader,
            partial: Vec::new(),
            tail: VecDeque::new(),
        }
    }

    /// Reads what is there and logs it, line by line. False when the other end is closed.
    pub(super) fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        for _ in 0..READS_PER_TURN {
            match rustix::io::read(&self.reader, &mut buffer) {
                Ok(0) => return false,
                Ok(length) => self.take(&buffer[..length]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// The last lines.
    pub(super) fn tail(&self) -> String {
        self.tail
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else if self.partial.len() < MAX_LINE_BYTES {
                self.partial.push(byte);
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.partial);
        let text = strip_prefix(&line).to_owned();
        self.partial.clear();
        emit(&text);
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(text);
    }
}

impl AsFd for LogPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// Logs one of libunbound's lines at the level it names, which the log says itself.
pub(super) fn emit(line: &str) {
    const TARGET: &str = "sluicegate_engine::libunbound";
    match levelled(line) {
        (Level::ERROR, text) => tracing::error!(target: TARGET, "{text}"),
        (Level::WARN, text) => tracing::warn!(target: TARGET, "{text}"),
        (Level::INFO, text) => tracing::info!(target: TARGET, "{text}"),
        (_, text) => tracing::debug!(target: TARGET, "{text}"),
    }
}

/// A line's level, and what it says behind that.
fn levelled(line: &str) -> (Level, &str) {
    let (word, text) = line.split_once(": ").unwrap_or(("", line));
    let level = match word {
        "error" | "fatal error" => Level::ERROR,
        "warning" => Level::WARN,
        "notice" | "info" => Level::INFO,
        "debug" => Level::DEBUG,
        _ => return (Level::INFO, line),
    };
    (level, text)
}

/// libunbound's log line without its own time stamp and name: `[1700000000] libunbound[123:0] error: text`.
pub(crate) fn strip_prefix(line: &str) -> &str {
    let without_time = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    let Some((_, rest)) = without_time else {
        return line;
    };
    match rest
        .strip_prefix("libunbound[")
        .and_then(|rest| rest.split_once("] "))
    {
        Some((_, text)) => text,
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_stripped_only_where_they_are() {
        assert_eq!(
            strip_prefix("[1700000000] libunbound[12:0] error: bad [thing] here"),
            "error: bad [thing] here"
        );
        assert_eq!(
            strip_prefix("/a/b:12: error: syntax error"),
            "/a/b:12: error: syntax error"
        );
        assert_eq!(strip_prefix("[odd"), "[odd");
        assert_eq!(strip_prefix(""), "");
    }

    #[test]
    fn a_level_is_not_said_twice() {
        for (line, level, text) in [
            ("warning: no luck: none", Level::WARN, "no luck: none"),
            ("fatal error: bad", Level::ERROR, "bad"),
            ("notice: init module 0", Level::INFO, "init module 0"),
            (
                "example.com. A IN: bogus",
                Level::INFO,
                "example.com. A IN: bogus",
            ),
            ("debug: x", Level::DEBUG, "x"),
            ("", Level::INFO, ""),
        ] {
            assert_eq!(levelled(line), (level, text));
        }
    }

    #[test]
    fn lines_are_put_together_and_cut() {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let mut log = LogPipe::new(reader);
        rustix::io::write(&writer, b"first line\nsec").unwrap();
        assert!(log.read());
        assert_eq!(log.tail(), "first line");
        rustix::io::write(&writer, b"ond\n").unwrap();
        rustix::io::write(&writer, &[b'x'; 3000]).unwrap();
        rustix::io::write(&writer, b"\n").unwrap();
        assert!(log.read());
        let tail = log.tail();
        assert!(tail.starts_with("first line; second; xxx") && tail.len() < 2100);
        drop(writer);
        assert!(!log.read());
    }
}

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a server may take to answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Why there is no answer from a running server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody listens there.
    #[error("no server answers on {}: {source}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the server on {} did not answer: {source}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The server said no.
    #[error("{0}")]
    Refused(String),
}

/// Asks a running server, for example `stats`.
///
/// # Errors
/// See [`ControlError`].
pub fn request(path: &Path, command: &str) -> Result<String, ControlError> {
    let mut stream = UnixStream::connect(path).map_err(|source| ControlError::NotRunning {
        path: path.to_owned(),
        source,
    })?;
    let text = exchange(&mut stream, command).map_err(|source| ControlError::Broken {
        path: path.to_owned(),
        source,
    })?;
    match text.strip_prefix("error ") {
        Some(reason) => Err(ControlError::Refused(reason.trim_end().to_owned())),
        None => Ok(text),
    }
}

fn exchange(stream: &mut UnixStream, command: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(format!("{command}\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

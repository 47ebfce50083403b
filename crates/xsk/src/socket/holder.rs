use std::fmt;
use std::fs;

/// A process with AF_XDP sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its command name.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Processes looked at, at most; on a larger machine some may be missed.
const PROCESSES: usize = 32_768;
/// Holders named, at most.
const HOLDERS: usize = 8;

/// The processes, as far as `/proc` shows them, that have a socket's rings mapped.
///
/// The kernel tells who holds a queue only to `ss --xdp`, and only where it was built with socket diagnosis. Mapped
/// sockets show up in `/proc/PID/maps`, and hardly anything but AF_XDP and packet sockets is ever mapped.
pub(super) fn find() -> Vec<Holder> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .take(PROCESSES)
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| maps_socket(pid))
        .map(|pid| Holder {
            pid,
            name: fs::read_to_string(format!("/proc/{pid}/comm"))
                .map_or_else(|_| "?".to_owned(), |comm| comm.trim().to_owned()),
        })
        .take(HOLDERS)
        .collect()
}

fn maps_socket(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.contains("socket:["))
}

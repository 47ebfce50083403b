use super::Root;

/// What a process may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Whose process this is.
    pub kind: ProcessKind,
    /// Its number; 0 for this one.
    pub pid: u32,
    /// Its effective user.
    pub user: u32,
    /// Effective capabilities, one bit each.
    pub effective: u64,
    /// The most it can ever have.
    pub bounding: u64,
    /// Memory that it may lock.
    pub memlock: Option<Limit>,
    /// How far it may raise that limit by itself.
    pub memlock_hard: Option<Limit>,
    /// Seccomp: 0 none, 1 strict, 2 a filter.
    pub seccomp: u64,
    /// Whether a service manager started it.
    pub under_systemd: bool,
    /// Whether it is in a user namespace of its own, where capabilities count less.
    pub user_namespace: bool,
    /// The `AppArmor` profile or `SELinux` context that confines it.
    pub confined_by: Option<String>,
}

/// Whose process was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessKind {
    /// The running server's.
    Server,
    /// This one, since no server was found.
    #[default]
    Own,
}

/// A resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// In bytes.
    Bytes(u64),
    /// None.
    Unlimited,
}

impl Process {
    /// Looks at a process; `None`: at this one.
    pub(super) fn gather(root: &Root, server: Option<u32>) -> Self {
        let folder = server.map_or_else(|| "proc/self".to_owned(), |pid| format!("proc/{pid}"));
        let read = |file: &str| root.text(&format!("{folder}/{file}"));
        let status = read("status").unwrap_or_default();
        let hex =
            |field| field_of(&status, field).and_then(|text| u64::from_str_radix(text, 16).ok());
        let limits = read("limits").unwrap_or_default();
        let uids = field_of(&status, "Uid:").unwrap_or_default();
        Self {
            kind: if server.is_some() {
                ProcessKind::Server
            } else {
                ProcessKind::Own
            },
            pid: server.unwrap_or(0),
            user: uids
                .split_whitespace()
                .nth(1)
                .and_then(|uid| uid.parse().ok())
                .unwrap_or(0),
            effective: hex("CapEff:").unwrap_or(0),
            bounding: hex("CapBnd:").unwrap_or(0),
            memlock: memlock(&limits, 0),
            memlock_hard: memlock(&limits, 1),
            seccomp: field_of(&status, "Seccomp:")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            under_systemd: read("cgroup").is_some_and(|cgroup| is_service(&cgroup)),
            user_namespace: read("uid_map").is_some_and(|map| !is_whole(&map)),
            confined_by: read("attr/current")
                .map(|label| label.trim_end_matches('\0').to_owned())
                .filter(|label| !label.is_empty() && label != "unconfined"),
        }
    }

    /// Whether it has a capability of `linux/capability.h`.
    pub const fn can(&self, capability: u32) -> bool {
        self.effective & (1 << capability) != 0
    }
}

fn field_of<'a>(status: &'a str, field: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .map(str::trim)
}

/// A limit in the line `Max locked memory  8388608  8388608  bytes`: 0 the soft one, 1 the hard one.
fn memlock(limits: &str, which: usize) -> Option<Limit> {
    let line = field_of(limits, "Max locked memory")?;
    match line.split_whitespace().nth(which)? {
        "unlimited" => Some(Limit::Unlimited),
        bytes => bytes.parse().ok().map(Limit::Bytes),
    }
}

/// Whether a control group belongs to a service: `0::/system.slice/sluicegate.service`. A person's session has a
/// `.scope` behind the `user@1000.service` that it is in.
fn is_service(cgroup: &str) -> bool {
    cgroup
        .lines()
        .any(|line| line.trim_end().ends_with(".service"))
}

/// Whether all users are mapped to themselves.
fn is_whole(uid_map: &str) -> bool {
    let numbers: Vec<&str> = uid_map.split_whitespace().collect();
    matches!(numbers[..], ["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let line = "Max locked memory         8388608              unlimited            bytes\n";
        assert_eq!(memlock(line, 0), Some(Limit::Bytes(8_388_608)));
        assert_eq!(memlock(line, 1), Some(Limit::Unlimited));
        assert_eq!(memlock("", 0), None);
    }

    #[test]
    fn services_are_told_from_sessions() {
        assert!(is_service("0::/system.slice/sluicegate.service\n"));
        assert!(!is_service("0::/user.slice/user-0.slice/session-1.scope\n"));
        assert!(!is_service("0::/\n"));
    }

    #[test]
    fn user_namespaces_map_less_than_everybody() {
        assert!(is_whole("         0          0 4294967295"));
        assert!(!is_whole("         0     100000      65536"));
    }
}

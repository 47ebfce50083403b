use std::fmt;

/// A capability of `capabilities(7)` that AF_XDP needs somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// `CAP_NET_ADMIN`: attaching XDP programs, busy polling.
    NetAdmin,
    /// `CAP_NET_RAW`: AF_XDP sockets.
    NetRaw,
    /// `CAP_BPF`: maps and programs.
    Bpf,
}

impl Capability {
    /// The name in `capabilities(7)`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::Bpf => "CAP_BPF",
        }
    }

    /// The number in `linux/capability.h`.
    const fn bit(self) -> u32 {
        match self {
            Self::NetAdmin => 12,
            Self::NetRaw => 13,
            Self::Bpf => 39,
        }
    }
}

/// The capabilities that the calling thread lacks of those that an operation needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingCapabilities(Vec<Capability>);

impl MissingCapabilities {
    /// Of `needed`, those that this thread lacks.
    pub(crate) fn of(needed: &[Capability]) -> Self {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        Self(missing(needed, effective(&status).unwrap_or(0)))
    }

    /// What is missing; empty if it must be something else that forbids the operation: a user namespace that doesn't own
    /// the network namespace, a seccomp filter, a security module.
    pub fn as_slice(&self) -> &[Capability] {
        &self.0
    }
}

impl fmt::Display for MissingCapabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(
                "no capability is missing: look for a seccomp filter, a security module, or a user namespace that \
                 doesn't own the network namespace",
            );
        }
        f.write_str("missing ")?;
        for (i, capability) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(capability.name())?;
        }
        Ok(())
    }
}

/// The set of effective capabilities in the text of `/proc/PID/status`.
fn effective(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing(needed: &[Capability], effective: u64) -> Vec<Capability> {
    let lacks = |capability: &Capability| effective & (1 << capability.bit()) == 0;
    needed.iter().copied().filter(lacks).collect()
}

#[cfg(test)]
mod tests {
    use super::{Capability, MissingCapabilities, effective, missing};

    #[test]
    fn names_what_is_missing() {
        let needed = [Capability::NetAdmin, Capability::NetRaw, Capability::Bpf];
        let effective = effective("Name:\tx\nCapEff:\t0000000000002000\n").expect("a set");
        let missing = MissingCapabilities(missing(&needed, effective));
        assert_eq!(missing.to_string(), "missing CAP_NET_ADMIN, CAP_BPF");
    }

    #[test]
    fn says_so_when_nothing_is_missing() {
        let none = MissingCapabilities(missing(&[Capability::NetRaw], u64::MAX));
        assert!(none.to_string().contains("seccomp"));
    }
}

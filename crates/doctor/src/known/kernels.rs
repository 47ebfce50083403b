use std::fmt;

/// A kernel's version: the numbers that its release begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion(pub u32, pub u32, pub u32);

/// A kernel with a known fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    first: KernelVersion,
    last: KernelVersion,
    /// What is wrong with it.
    pub(crate) what: &'static str,
    /// Where that is told.
    pub(crate) source: &'static str,
}

/// The first kernel that takes the server's program, which asks it how long a frame is (`bpf_xdp_get_buff_len`).
pub(crate) const NEEDED: KernelVersion = KernelVersion(5, 18, 0);

/// Faults by version. Distributions take fixes (and faults) over into other versions: a row is a warning, never a reason to
/// refuse.
const TROUBLES: &[Trouble] = &[
    Trouble {
        first: KernelVersion(6, 17, 0),
        last: KernelVersion(6, 17, u32::MAX),
        what: "generic mode may panic, or refuse to transmit",
        source: "reports: xsk-rs issue 49, Quilkin's CI; not confirmed by a test of ours",
    },
    Trouble {
        first: KernelVersion(6, 12, 57),
        last: KernelVersion(6, 12, 57),
        what: "generic mode may panic: it took over the change of 6.17",
        source: "report: xsk-rs issue 49; not confirmed by a test of ours",
    },
];

/// What is known to be wrong with a kernel.
pub(crate) fn troubles(version: KernelVersion) -> impl Iterator<Item = &'static Trouble> {
    TROUBLES
        .iter()
        .filter(move |row| (row.first..=row.last).contains(&version))
}

impl KernelVersion {
    /// Of a release as `6.12.57+deb13-amd64`; what is missing is 0. `None` if it doesn't begin with a number.
    pub fn of_release(release: &str) -> Option<Self> {
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map_while(|digits| digits.parse::<u32>().ok());
        let first = numbers.next()?;
        let rest = release.split(['-', '+', ' ']).next().unwrap_or_default();
        let mut parts = rest
            .split('.')
            .skip(1)
            .map(|part| part.parse().unwrap_or(0));
        Some(Self(
            first,
            parts.next().unwrap_or(0),
            parts.next().unwrap_or(0),
        ))
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)?;
        if self.2 > 0 {
            write!(f, ".{}", self.2)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_begin_with_their_version() {
        let of = KernelVersion::of_release;
        assert_eq!(of("6.12.57+deb13-amd64"), Some(KernelVersion(6, 12, 57)));
        assert_eq!(of("6.1.0-57-amd64"), Some(KernelVersion(6, 1, 0)));
        assert_eq!(of("6.17-rc3"), Some(KernelVersion(6, 17, 0)));
        assert_eq!((of(""), of("next-1")), (None, None));
    }

    #[test]
    fn faults_hit_their_versions_alone() {
        let count = |release| troubles(KernelVersion::of_release(release).unwrap()).count();
        for release in ["6.17.12-generic", "6.17.0-rc3+", "6.12.57+deb13-amd64"] {
            assert_eq!(count(release), 1, "{release}");
        }
        for release in ["6.18.44", "6.12.58", "6.12.5", "6.1.0-57-amd64", "5.17.0"] {
            assert_eq!(count(release), 0, "{release}");
        }
    }
}

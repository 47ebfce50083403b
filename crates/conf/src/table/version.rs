use std::fmt;
use std::str::FromStr;

/// A version of Unbound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// `1` in 1.26.0.
    pub major: u8,
    /// `26` in 1.26.0.
    pub minor: u8,
    /// `0` in 1.26.0.
    pub patch: u8,
}

/// Text that names no version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version of Unbound")]
pub struct VersionError(String);

impl Version {
    /// Older than any in use.
    pub const ANY: Self = Self::new(0, 0, 0);

    /// A version by its parts.
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `1.17.1`; what follows the numbers, such as `rc1` or a distribution's suffix, is passed over.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let mut parts = text.trim().splitn(3, '.').map(|part| {
            let digits = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            part[..digits].parse::<u8>().ok()
        });
        let mut next = || parts.next().flatten();
        let (Some(major), Some(minor)) = (next(), next()) else {
            return Err(VersionError(text.to_owned()));
        };
        Ok(Self {
            major,
            minor,
            patch: next().unwrap_or(0),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

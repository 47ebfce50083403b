#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fmt;

/// An error number of the kernel (`errno(3)`), shown with its symbolic meaning.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

impl Errno {
    /// From a positive error number.
    pub const fn new(number: i32) -> Self {
        Self(number)
    }

    /// The number that the last failed system call of this thread left.
    pub(crate) fn last() -> Self {
        Self(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    /// The positive error number, to compare with the constants of `libc`.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// Turns the result of a system call (-1 on failure) into a `Result`.
    pub(crate) fn check(result: libc::c_long) -> Result<libc::c_long, Self> {
        if result < 0 {
            Err(Self::last())
        } else {
            Ok(result)
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 128];
        // SAFETY: the buffer is writable for the length given, which leaves room for the terminating zero that
        // strerror_r (POSIX form, as libc binds it) always writes.
        let failed = unsafe { libc::strerror_r(self.0, text.as_mut_ptr().cast(), text.len()) };
        match CStr::from_bytes_until_nul(&text) {
            Ok(text) if failed == 0 => write!(f, "{} (errno {})", text.to_string_lossy(), self.0),
            _ => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;

    #[test]
    fn shows_name_and_number() {
        assert_eq!(
            Errno::new(libc::EBUSY).to_string(),
            "Device or resource busy (errno 16)"
        );
        assert!(Errno::new(4000).to_string().contains("4000"));
    }
}

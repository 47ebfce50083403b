use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::error::AttachError;
use super::program::Program;
use crate::nic::Nic;
use crate::privileges::{Capability, MissingCapabilities};
use crate::sys::{self, AttachFlags, Errno};

/// Where a program is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttachMode {
    /// In the driver.
    Native,
    /// In the kernel's generic hook, on any interface; slow.
    Generic,
}

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// A program on an interface. Dropping it, or ending the process in any way, takes the program off.
#[derive(Debug)]
#[must_use = "the program is taken off the interface when this is dropped"]
pub struct AttachedLink {
    fd: OwnedFd,
    mode: AttachMode,
}

impl AttachedLink {
    pub(super) fn create(
        program: BorrowedFd<'_>,
        ifindex: u32,
        mode: AttachMode,
    ) -> Result<Self, AttachError> {
        let flags = match mode {
            AttachMode::Native => AttachFlags::Native,
            AttachMode::Generic => AttachFlags::Generic,
        };
        let fd = sys::link_create_xdp(program, ifindex, flags)
            .map_err(|errno| attach_error(ifindex, errno))?;
        let info =
            sys::link_info(fd.as_fd()).map_err(|errno| AttachError::Os { call: "bpf", errno })?;
        if !info.is_xdp || info.ifindex != ifindex {
            return Err(AttachError::NotALink);
        }
        Ok(Self { fd, mode })
    }

    /// A link that somebody else made, on this interface. From now on it is this value that holds it.
    ///
    /// # Errors
    /// [`AttachError::NotALink`], or [`AttachError::Gone`] if it is on another interface, or on none any more.
    pub fn from_fd(fd: OwnedFd, nic: &Nic, mode: AttachMode) -> Result<Self, AttachError> {
        let info = sys::link_info(fd.as_fd()).map_err(|_| AttachError::NotALink)?;
        if !info.is_xdp {
            return Err(AttachError::NotALink);
        }
        if info.ifindex != nic.index() {
            return Err(AttachError::Gone);
        }
        Ok(Self { fd, mode })
    }

    /// Where the program runs.
    pub const fn mode(&self) -> AttachMode {
        self.mode
    }

    /// Puts another program into this one's place. No packet in between goes without.
    ///
    /// # Errors
    /// [`AttachError::Os`]; the old program stays.
    pub fn update(&mut self, program: &Program) -> Result<(), AttachError> {
        sys::link_update(self.fd.as_fd(), program.as_fd()).map_err(|errno| AttachError::Os {
            call: "bpf(BPF_LINK_UPDATE)",
            errno,
        })
    }

    /// Whether the program is still on an interface: a link outlives its interface, without effect. It goes along when the
    /// interface is moved to another network namespace.
    pub fn is_live(&self) -> bool {
        sys::link_info(self.fd.as_fd()).is_ok_and(|info| info.ifindex != 0)
    }

    /// The number of the link, as `bpftool link` shows it.
    ///
    /// # Errors
    /// [`AttachError::Os`].
    pub fn id(&self) -> Result<u32, AttachError> {
        sys::link_info(self.fd.as_fd())
            .map(|info| info.id)
            .map_err(|errno| AttachError::Os { call: "bpf", errno })
    }

    /// The number of the attached program.
    ///
    /// # Errors
    /// [`AttachError::Os`].
    pub fn program_id(&self) -> Result<u32, AttachError> {
        sys::link_info(self.fd.as_fd())
            .map(|info| info.program_id)
            .map_err(|errno| AttachError::Os { call: "bpf", errno })
    }
}

impl From<AttachedLink> for OwnedFd {
    fn from(link: AttachedLink) -> Self {
        link.fd
    }
}

impl AsFd for AttachedLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn attach_error(ifindex: u32, errno: Errno) -> AttachError {
    match errno.number() {
        // Another link or program in the same place is EBUSY; one in the other place is EEXIST.
        libc::EBUSY | libc::EEXIST => foreign(ifindex),
        libc::EPERM | libc::EACCES => AttachError::NotPermitted {
            missing: MissingCapabilities::of(&[Capability::NetAdmin, Capability::Bpf]),
        },
        libc::ENODEV => AttachError::Gone,
        libc::EOPNOTSUPP | libc::EINVAL | libc::ERANGE | libc::ENOMEM | libc::ENOSPC => {
            AttachError::Unsupported { errno }
        }
        _ => AttachError::Os {
            call: "bpf(BPF_LINK_CREATE)",
            errno,
        },
    }
}

fn foreign(ifindex: u32) -> AttachError {
    let attached = Nic::by_index(ifindex).ok().and_then(|nic| nic.link().xdp);
    AttachError::Foreign {
        id: attached.map(|attached| attached.program_id),
        name: attached.and_then(|attached| sys::program_name(attached.program_id).ok()),
        mode: attached.map(|attached| attached.mode),
    }
}

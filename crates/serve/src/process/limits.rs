use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// Open files wanted: sockets for each address and worker, TCP connections, the engine's outgoing ports.
const OPEN_FILES: u64 = 65_536;

/// Raises this process's own limits as far as it may: open files, and locked memory, which AF_XDP's
/// buffers count against on old kernels. The engine process inherits them.
pub(crate) fn raise_limits() {
    raise(Resource::RLIMIT_NOFILE, OPEN_FILES, "open files");
    raise(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, "locked memory");
}

fn raise(resource: Resource, wanted: u64, what: &str) {
    let Ok((soft, hard)) = getrlimit(resource) else {
        return;
    };
    if soft >= wanted {
        return;
    }
    // Beyond the hard limit only with CAP_SYS_RESOURCE; up to it always.
    let raised = setrlimit(resource, wanted, hard.max(wanted))
        .or_else(|_| setrlimit(resource, hard.min(wanted), hard));
    match raised {
        Ok(()) => tracing::debug!("limit of {what} raised from {soft}"),
        Err(error) => tracing::debug!("limit of {what} stays at {soft}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_reaches_the_hard_one_or_what_is_wanted() {
        raise_limits();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert!(soft >= OPEN_FILES.min(hard));
    }
}

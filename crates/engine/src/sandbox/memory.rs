//! No more memory than the caches and the questions in flight explain.

use rustix::process::{Resource, Rlimit, setrlimit};

use super::{SandboxError, system};

/// Lets private memory grow by `more` bytes, and forbids core dumps, which would hold the caches. Returns the
/// limit.
///
/// `RLIMIT_DATA` counts what can be written (heap, stacks of threads), not what is merely reserved: the C
/// library reserves 64 MiB for each thread, which would make `RLIMIT_AS` meaningless.
pub(super) fn limit(more: u64) -> Result<u64, SandboxError> {
    let limit = private_bytes().saturating_add(more);
    set(Resource::Data, limit).map_err(system("setrlimit(RLIMIT_DATA)"))?;
    set(Resource::Core, 0).map_err(system("setrlimit(RLIMIT_CORE)"))?;
    Ok(limit)
}

fn set(resource: Resource, bytes: u64) -> rustix::io::Result<()> {
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    setrlimit(resource, limit)
}

/// `VmData` of this process, in bytes; 0 when the kernel does not tell.
fn private_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kibibytes = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    kibibytes
        .and_then(|number| number.trim().parse::<u64>().ok())
        .unwrap_or(0)
        .saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_known() {
        let before = private_bytes();
        let block = vec![1_u8; 64 << 20];
        let after = private_bytes();
        assert!(before > 0 && after >= before + (block.len() as u64) / 2);
    }
}

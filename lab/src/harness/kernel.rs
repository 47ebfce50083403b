use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;
use std::{env, fs, thread};

/// Why this kernel can't be asked anything about network interfaces, if it can't: its lock for that (RTNL) is never given.
/// Whoever asks then waits for ever and can't be killed, so that nothing may be tried out.
///
/// `$SLUICEGATE_RTNL` is what `scripts/rtnl.sh` said of it, to a runner that starts many processes.
pub(super) fn silent() -> Option<String> {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    let said = || {
        match env::var("SLUICEGATE_RTNL") {
        Ok(said) => (!said.is_empty()).then_some(said),
        Err(_) => (!answers()).then(|| {
            "the kernel doesn't answer questions about network interfaces (RTNL is locked for good: see dmesg)"
                .to_owned()
        }),
    }
    };
    REASON.get_or_init(said).clone()
}

/// A read that waits for the lock, and that a process's end interrupts.
const ASKED: &str = "/sys/class/net/lo/carrier";
const LIMIT: Duration = Duration::from_mins(2);

fn answers() -> bool {
    if !Path::new(ASKED).exists() {
        return true;
    }
    let (done, answer) = mpsc::channel();
    thread::spawn(move || done.send(fs::read(ASKED).map(drop)));
    answer.recv_timeout(LIMIT).is_ok()
}

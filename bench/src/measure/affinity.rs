use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::processors::{threads, tree};

/// Binds the calling thread to these processors.
pub(crate) fn pin_thread(cores: &[usize]) -> Result<()> {
    sched_setaffinity(Pid::from_raw(0), &set(cores)?)?;
    Ok(())
}

/// Binds all threads of this program's children, and of theirs, to these processors, and waits until they stay there:
/// Knot DNS binds each of its workers to a processor itself when the worker starts.
pub(crate) fn pin_children(cores: &[usize]) -> Result<()> {
    let set = set(cores)?;
    let own = i32::try_from(std::process::id()).context("a process number")?;
    let mut at_rest = 0;
    for _ in 0..LOOKS {
        let mut moved = false;
        for process in tree(own).into_iter().filter(|process| *process != own) {
            let numbers = threads(process).into_iter().filter_map(|thread| {
                let number = thread.file_name()?.to_str()?.parse().ok()?;
                Some(Pid::from_raw(number))
            });
            // One that has ended meanwhile is where it should be.
            for thread in
                numbers.filter(|thread| sched_getaffinity(*thread).is_ok_and(|is| is != set))
            {
                moved = true;
                let _ = sched_setaffinity(thread, &set);
            }
        }
        at_rest = if moved { 0 } else { at_rest + 1 };
        if at_rest == LOOKS_AT_REST {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    bail!("some thread of a child doesn't stay on its processor")
}

/// How often it looks at most, and how often in a row all must have been in their places.
const LOOKS: usize = 200;
const LOOKS_AT_REST: usize = 5;
const LOOK: Duration = Duration::from_millis(20);

fn set(cores: &[usize]) -> Result<CpuSet> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core)?;
    }
    Ok(set)
}

use std::fmt::Display;
use std::io::{self, Write};

/// Does a thread's work and ends the process, whatever ends the work, a panic too: with one of its two threads alone the
/// privileged process would open sockets and no programs, and nobody would be told.
pub(super) fn exit_after<E: Display>(work: impl FnOnce() -> Result<(), E>) -> ! {
    let mut exit = Exit(1);
    match work() {
        Ok(()) => exit.0 = 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "sluicegate: privileged process: {error}");
        }
    }
    std::process::exit(exit.0)
}

/// Ends the process when it goes, with this status.
struct Exit(i32);

impl Drop for Exit {
    fn drop(&mut self) {
        std::process::exit(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::Read;
    use std::process::{Child, Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// How the work ends, for this test's own child.
    const ENDS_BY: &str = "SLUICEGATE_TEST_WORK_ENDS_BY";
    /// Longer than a process may take on the slowest machine.
    const LIMIT: Duration = Duration::from_mins(2);

    /// As in the privileged process: the work in a thread of its own, while the first thread has no reason to end.
    fn work(ends_by: &str) -> ! {
        let ends_by = ends_by.to_owned();
        thread::spawn(move || {
            exit_after(|| match ends_by.as_str() {
                "success" => Ok(()),
                "an error" => Err("the line is dead"),
                _ => panic!("on purpose"),
            })
        });
        loop {
            thread::park();
        }
    }

    struct Killed(Child);

    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn whatever_ends_one_thread_ends_the_process() {
        if let Ok(ends_by) = env::var(ENDS_BY) {
            work(&ends_by);
        }
        for (ends_by, code, says) in [
            ("success", 0, ""),
            ("an error", 1, "privileged process: the line is dead"),
            ("a panic", 1, "on purpose"),
        ] {
            let name = format!(
                "{}::whatever_ends_one_thread_ends_the_process",
                module_path!()
            );
            let (_, name) = name.split_once("::").unwrap();
            let mut child = Command::new(env::current_exe().unwrap());
            child.args(["--exact", name, "--nocapture"]);
            child.env(ENDS_BY, ends_by).stdout(Stdio::null());
            let mut child = Killed(child.stderr(Stdio::piped()).spawn().unwrap());
            let until = Instant::now() + LIMIT;
            let status = loop {
                match child.0.try_wait().unwrap() {
                    Some(status) => break status,
                    None => assert!(Instant::now() < until, "{ends_by}: the process lives on"),
                }
                thread::sleep(Duration::from_millis(5));
            };
            let mut said = String::new();
            let mut stderr = child.0.stderr.take().unwrap();
            stderr.read_to_string(&mut said).unwrap();
            assert_eq!(status.code(), Some(code), "{ends_by}: {status}: {said}");
            assert!(said.contains(says), "{ends_by}: {said}");
        }
    }
}

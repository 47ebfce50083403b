use rustix::thread::{capabilities, set_capabilities};

/// Makes effective what this process is permitted. A program file may carry capabilities that it is permitted only
/// (`setcap ...=p`), as in a container image: so it starts everywhere, also where the container is given fewer of them,
/// and has those that it is given. Must be called before any thread is started.
///
/// Where the kernel refuses, what needs a capability says so itself.
pub fn raise_permitted() {
    if let Ok(mut sets) = capabilities(None)
        && sets.effective != sets.permitted
    {
        sets.effective = sets.permitted;
        let _ = set_capabilities(None, sets);
    }
}

#[cfg(test)]
mod tests {
    use rustix::thread::CapabilitySet;

    use super::*;

    #[test]
    fn what_was_lowered_is_raised_again() {
        // Capabilities belong to threads: the other tests keep theirs.
        std::thread::spawn(|| {
            let before = capabilities(None).unwrap();
            let mut lowered = before;
            lowered.effective = CapabilitySet::empty();
            set_capabilities(None, lowered).unwrap();
            raise_permitted();
            assert_eq!(capabilities(None).unwrap().effective, before.permitted);
        })
        .join()
        .unwrap();
    }
}

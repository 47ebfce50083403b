//! `sluicegate health` beside a server that runs, and one that doesn't.

#![allow(clippy::unwrap_used)] // all of this is test code

mod common;

use common::{Setup, run, text};
use nix::sys::signal::Signal;

#[test]
fn health_is_what_a_client_sees() {
    let setup = Setup::new();
    let mut server = setup.start("");
    let health = || run(&["health", "-c", &text(&setup.config())]);
    let (code, out, err) = health();
    assert_eq!(
        (code, out),
        (0, format!("serving: {} answers\n", setup.address)),
        "{err}"
    );
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    let (code, out, err) = health();
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains(&format!("no answer: {}: ", setup.address)),
        "{err}"
    );
}

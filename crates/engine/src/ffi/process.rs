//! Three system calls that no safe crate wraps.

use std::ffi::c_int;

/// Closes every descriptor but standard input, output and error: what the server holds (AF_XDP sockets,
/// BPF links) must not live on in the engine, whoever forgot `O_CLOEXEC`.
///
/// To be called before the process has opened anything itself.
pub(crate) fn forget_inherited_files() {
    // SAFETY: close_range(2) touches no memory; the caller opened no descriptor above 2, so none that
    // Rust code owns is closed.
    unsafe { libc::close_range(3, u32::MAX, 0) };
}

/// Ignores the signals by which a terminal or a service manager stops the server: the engine ends when its
/// control socket closes, after the server has drained.
pub(crate) fn ignore_signals() {
    for signal in [
        libc::SIGINT,
        libc::SIGTERM,
        libc::SIGHUP,
        libc::SIGQUIT,
        libc::SIGPIPE,
    ] {
        // SAFETY: SIG_IGN installs no handler; signal(2) touches no memory of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Ends the process without running exit handlers: other threads are still inside libunbound, and tearing
/// down its libraries under them would crash.
pub(crate) fn exit_at_once(code: c_int) -> ! {
    // SAFETY: _exit(2) does not return and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

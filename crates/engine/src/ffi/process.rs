//! System calls that no safe crate wraps, or only for descriptors that are known to be open.

use std::ffi::c_int;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Closes every descriptor but standard input, output and error: what the server holds (AF_XDP sockets,
/// BPF links) must not live on in the engine, whoever forgot `O_CLOEXEC`.
///
/// To be called before the process has opened anything itself.
pub fn forget_inherited_files() {
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

/// Whether this process holds, as a descriptor below `limit`, the TCP socket with this address of its own and this
/// other end.
///
/// That is how a service on a loopback port knows its own process from all others. Descriptors may be opened and
/// closed by other threads meanwhile: they are only looked at. Behind a long gap there are none, since a new one gets
/// the lowest free number: so a stranger's connection costs no more than the descriptors that are open.
pub(crate) fn holds_socket(own: SocketAddr, other: SocketAddr, limit: c_int) -> bool {
    let mut gap = 0;
    for number in 0..limit {
        let found = socket_address(number, libc::getsockname);
        if found == Some(own) && socket_address(number, libc::getpeername) == Some(other) {
            return true;
        }
        let is_free = || io::Error::last_os_error().raw_os_error() == Some(libc::EBADF);
        gap = if found.is_none() && is_free() {
            gap + 1
        } else {
            0
        };
        if gap > LONGEST_GAP {
            break;
        }
    }
    false
}

/// Descriptors that may have been closed in a row since the highest was opened.
const LONGEST_GAP: u32 = 4096;

type AddressCall = unsafe extern "C" fn(c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> c_int;

/// What one of the two calls says of a descriptor; `None` if it is no socket, or none of IPv4 or IPv6.
fn socket_address(number: c_int, call: AddressCall) -> Option<SocketAddr> {
    let mut bytes = [0_u8; size_of::<libc::sockaddr_in6>()];
    let mut length = bytes.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, and the length; any number will do as a descriptor.
    let failed = unsafe { call(number, bytes.as_mut_ptr().cast(), &raw mut length) } != 0;
    if failed {
        return None;
    }
    // The layouts are those of ip(7) and ipv6(7): family, port, (flow,) address.
    let family = c_int::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
    let address: IpAddr = match family {
        libc::AF_INET => <[u8; 4]>::try_from(&bytes[4..8]).ok()?.into(),
        libc::AF_INET6 => <[u8; 16]>::try_from(&bytes[8..24]).ok()?.into(),
        _ => return None,
    };
    Some(SocketAddr::new(
        address,
        u16::from_be_bytes([bytes[2], bytes[3]]),
    ))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn own_sockets_are_known_by_both_ends() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let local = listener.local_addr().unwrap();
            let stream = TcpStream::connect(local).unwrap();
            let own = stream.local_addr().unwrap();
            assert!(holds_socket(own, local, 4096), "{address}");
            assert!(!holds_socket(own, own, 4096), "{address}");
            assert!(!holds_socket(own, local, 0), "{address}");
            drop(stream);
            let (accepted, _) = listener.accept().unwrap();
            // What is left has the ends the other way round.
            assert!(!holds_socket(own, local, 4096), "{address}");
            assert!(holds_socket(local, own, 4096), "{address}");
            drop(accepted);
        }
    }
}

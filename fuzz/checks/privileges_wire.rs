//! What must hold for every datagram that claims to be of the server's or of its privileged process. Run by the fuzz
//! target, and over its corpus and generated datagrams by `cargo test`.

use sluicegate_serve::privileges::protocol::{
    Company, Hook, MAX_NAMES, MAX_REPLY_BYTES, MAX_SOCKETS, REQUEST_BYTES, Reply, Request,
};

/// Panics if a datagram is read otherwise than it would have been written.
pub(crate) fn check(bytes: &[u8]) {
    if let Ok(request) = Request::read(bytes) {
        assert_eq!(request.to_bytes()[..], *bytes, "{request:?}");
        assert_eq!(bytes.len(), REQUEST_BYTES);
        judge(&request, bytes);
    }
    if let Ok(reply) = Reply::read(bytes) {
        let written = reply.to_bytes();
        assert_eq!(written, bytes, "{reply:?}");
        assert!(written.len() <= MAX_REPLY_BYTES);
        if let Reply::Done { names } = &reply {
            assert!(names.len() <= MAX_NAMES);
        }
    }
}

/// A second reading of a request, by the table in the protocol's documentation.
fn judge(request: &Request, bytes: &[u8]) {
    let rest_is_zero = |from: usize| bytes[from..].iter().all(|byte| *byte == 0);
    match (bytes[0], request) {
        (
            1,
            Request::Udp {
                address,
                count,
                company,
            },
        ) => {
            assert!((1..=MAX_SOCKETS).contains(count) && *count == bytes[1]);
            assert_eq!(address.port().to_be_bytes()[..], bytes[4..6]);
            assert_eq!(*company == Company::Alone, bytes[2] == 1);
        }
        (2, Request::Tcp { address, company }) => {
            assert_eq!(address.is_ipv4(), bytes[3] == 4);
            assert_eq!(*company == Company::Own, bytes[2] == 0);
        }
        (3, Request::XdpSocket) | (5, Request::Configuration) => assert!(rest_is_zero(1)),
        (4, Request::Program { ifindex, hook }) => {
            assert_eq!(ifindex.to_be_bytes()[..], bytes[8..12]);
            let expected = [Hook::Native, Hook::Generic, Hook::Proven];
            assert_eq!(Some(hook), expected.get(usize::from(bytes[1])));
            assert!(rest_is_zero(12));
        }
        other => panic!("{other:?}"),
    }
}

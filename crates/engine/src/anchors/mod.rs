//! Trust anchors that follow key rollovers: `auto-trust-anchor-file` (RFC 5011).
//!
//! Unbound's server probes such an anchor by a timer; its library has no timer, and looks at the keys only when
//! it primes the anchor: at the first question below it, and again whenever the DNSKEY set has expired. So the
//! engine asks for the DNSKEY set of each such anchor once an hour, which primes it whenever that is due. That is
//! at least as often as RFC 5011, 2.3 wants, which allows half of the set's TTL or 15 days.
//!
//! Only one context, the keeper, has the file: libunbound writes the keys' states back to it, and ends the process
//! when it can't. The other contexts get the keys the file says are trusted as plain `trust-anchor`s. The server
//! looks at the file now and then; when the trusted keys have changed, a new engine takes over.
//!
//! A file that is missing or empty is made of the distribution's root key file or of the built-in keys. One whose
//! folder can't be written is taken as it stands: its keys are trusted, but rollovers are not followed.

mod conf;
mod file;
mod told;

pub(crate) use conf::{files_in, rewrite};
pub(crate) use file::{Anchors, KeyId, Source};
pub use told::trust_anchors;

/// The root's key-signing keys, as DS records: KSK-2017 (20326) and KSK-2024 (38696), from
/// <https://data.iana.org/root-anchors/root-anchors.xml>.
pub const ROOT_ANCHORS: [&str; 2] = [
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
];

/// Where Debian's package `dns-root-data` keeps the root's keys.
const DISTRIBUTION_ROOT_KEY: &str = "/usr/share/dns/root.key";

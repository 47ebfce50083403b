use std::fmt::Write;
use std::net::Ipv4Addr;

/// A zone of the world. Made with [`Zone::new`] and the methods that say how it differs from a plain, unsigned one.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Its name, with a dot at the end.
    pub name: String,
    /// Its records in presentation format, relative to its name; without SOA, name servers, keys and delegations, which
    /// the generator adds.
    pub records: String,
    /// How it is signed, if it is.
    pub signing: Option<Signing>,
}

/// How a zone is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signing {
    /// With which kind of keys.
    pub algorithm: Algorithm,
    /// How it proves that something does not exist.
    pub denial: Denial,
    /// When the signatures hold.
    pub period: Period,
}

/// A DNSSEC algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with SHA-256, 2048 bits (RFC 5702).
    RsaSha256,
    /// ECDSA with curve P-256 (RFC 6605).
    EcdsaP256,
    /// ECDSA with curve P-384 (RFC 6605).
    EcdsaP384,
    /// Ed25519 (RFC 8080).
    Ed25519,
}

/// How a zone proves that something does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// NSEC (RFC 4034).
    Nsec,
    /// NSEC3 (RFC 5155) with that many additional iterations.
    Nsec3(u16),
    /// NSEC3 with opt-out: insecure delegations have no record.
    OptOut,
}

/// When the signatures of a zone hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Since an hour, for a month.
    Now,
    /// Not any more, for a week.
    Past,
    /// Not before tomorrow.
    Future,
}

/// TTL of everything the generator writes, in seconds.
const TTL_SECS: u32 = 3600;
/// TTL of negative answers, in seconds.
const NEGATIVE_TTL_SECS: u32 = 900;

impl Zone {
    /// An unsigned zone with these records; one name server, which behaves.
    pub fn new(name: &str, records: &str) -> Self {
        Self {
            name: name.to_owned(),
            records: records.to_owned(),
            signing: None,
        }
    }

    /// Signed with this algorithm, with signatures that hold.
    #[must_use]
    pub fn signed(mut self, algorithm: Algorithm, denial: Denial) -> Self {
        self.signing = Some(Signing {
            algorithm,
            denial,
            period: Period::Now,
        });
        self
    }

    /// With signatures of another time.
    #[must_use]
    pub fn period(mut self, period: Period) -> Self {
        if let Some(signing) = &mut self.signing {
            signing.period = period;
        }
        self
    }

    /// Whether this is `other` or stands above it.
    pub(super) fn holds(&self, other: &str) -> bool {
        self.name == "."
            || other == self.name
            || other
                .strip_suffix(self.name.as_str())
                .is_some_and(|rest| rest.ends_with('.'))
    }

    /// `label` below this zone, as an absolute name.
    pub(super) fn below(&self, label: &str) -> String {
        if self.name == "." {
            format!("{label}.")
        } else {
            format!("{label}.{}", self.name)
        }
    }
}

/// The head of a zone file and the zone's own name server.
pub(super) fn apex(zone: &Zone, address: Ipv4Addr) -> String {
    let name_server = zone.below("ns");
    format!(
        "$ORIGIN {}\n$TTL {TTL_SECS}\n@ SOA {name_server} hostmaster.{name_server} 1 7200 3600 86400 {NEGATIVE_TTL_SECS}\n\
         @ NS {name_server}\n{name_server} A {address}\n{}\n",
        zone.name, zone.records
    )
}

/// What a parent says of its child: name servers, their addresses, and the DS records, if any.
pub(super) fn delegation(child: &Zone, address: Ipv4Addr, ds: &str) -> String {
    let name_server = child.below("ns");
    let mut text = String::new();
    let _ = writeln!(text, "{} {TTL_SECS} NS {name_server}", child.name);
    let _ = writeln!(text, "{name_server} {TTL_SECS} A {address}");
    text.push_str(ds);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_holds_what_ends_with_its_labels() {
        let zone = Zone::new("alpha.", "");
        assert!(zone.holds("alpha."));
        assert!(zone.holds("good.alpha."));
        assert!(!zone.holds("notalpha."));
        assert!(!zone.holds("beta."));
        assert!(Zone::new(".", "").holds("beta."));
    }
}

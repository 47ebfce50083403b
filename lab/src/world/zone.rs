use super::Manners;

/// A zone of the world. Made with [`Zone::new`] and the methods that say how it differs from a plain one.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Its name, with a dot at the end.
    pub name: String,
    /// Its records in presentation format, relative to its name; without SOA, name servers, keys and delegations, which
    /// the generator adds. `<ZONE>` stands for the IPv4 address of that zone's first server.
    pub records: String,
    /// How it is signed, if it is.
    pub signing: Option<Signing>,
    /// What its parent says of its keys.
    pub ds: Ds,
    /// A text of the signed zone and what it is changed to, so that a signature fails.
    pub tampering: Option<(String, String)>,
    /// How its name servers behave: `ns`, `ns2` and so on below its name.
    pub servers: Vec<Manners>,
    /// A name elsewhere instead of `ns`: whose owner has to give it the address of this zone.
    pub name_server: Option<String>,
    /// How its name servers can be reached.
    pub family: Family,
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
    /// Not for ten days: validators forgive clocks that are a day off.
    Future,
}

/// What a parent says of the keys of a signed zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ds {
    /// The truth.
    Right,
    /// Nothing: a signed island in an unsigned sea.
    Missing,
    /// The digest of another key.
    Wrong,
    /// A key of an algorithm that nobody knows (private use, RFC 4034, A.1.1).
    Unknown,
}

/// How a zone's servers can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Over IPv4.
    V4,
    /// Over IPv6.
    V6,
    /// Over both.
    Both,
}

impl Zone {
    /// An unsigned zone with these records; one name server, which behaves, over IPv4.
    pub fn new(name: &str, records: &str) -> Self {
        Self {
            name: name.to_owned(),
            records: records.to_owned(),
            signing: None,
            ds: Ds::Right,
            tampering: None,
            servers: vec![Manners::Good],
            name_server: None,
            family: Family::V4,
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

    /// With a parent that says this of its keys.
    #[must_use]
    pub fn ds(mut self, ds: Ds) -> Self {
        self.ds = ds;
        self
    }

    /// With one text changed to another after it was signed.
    #[must_use]
    pub fn tampered(mut self, from: &str, to: &str) -> Self {
        self.tampering = Some((from.to_owned(), to.to_owned()));
        self
    }

    /// With one name server for each of these.
    #[must_use]
    pub fn served(mut self, servers: &[Manners]) -> Self {
        self.servers = servers.to_vec();
        self
    }

    /// With a name server that has a name elsewhere, so that its parent gives no address.
    #[must_use]
    pub fn name_server(mut self, name: &str) -> Self {
        self.name_server = Some(name.to_owned());
        self
    }

    /// With servers that can be reached so.
    #[must_use]
    pub fn over(mut self, family: Family) -> Self {
        self.family = family;
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

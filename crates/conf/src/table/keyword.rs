use std::fmt;
use std::str::FromStr;

/// One row of the table.
#[derive(Debug)]
pub struct Keyword {
    /// The name, without its colon.
    pub name: &'static str,
    /// The name whose meaning this one shares; its own name but for aliases.
    pub canonical: &'static str,
    /// The clauses it may stand in; none for the names that open a clause.
    pub clauses: Clauses,
    /// What follows it, one for each value. Empty for the names that open a clause.
    pub args: &'static [Arg],
    /// The clause it opens.
    pub opens: Option<Clause>,
    /// What becomes of it.
    pub status: Status,
    /// What holds when it is not written, as `-o` prints it; empty when nothing does.
    pub default: &'static str,
    /// The first Unbound that knows it. [`Version::ANY`] for those older than any that is still in use.
    pub since: Version,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done here.
    Honoured,
    /// Done here, and handed to libunbound too, since it concerns both sides.
    Shared,
    /// Handed to libunbound unchanged.
    Engine,
    /// Accepted without effect.
    Inert {
        /// Why none is needed.
        why: &'static str,
    },
    /// Handed to libunbound, which does only a part of it without the server around it.
    Partly {
        /// The value with which nothing is missed; it raises no warning.
        acts_as: &'static str,
        /// What is missing.
        missing: &'static str,
    },
    /// Known, but not built.
    NotBuilt {
        /// The value with which nothing is missed; it raises no warning.
        acts_as: &'static str,
        /// What happens instead.
        instead: &'static str,
    },
}

impl Status {
    /// Whether libunbound gets it.
    pub fn reaches_engine(self) -> bool {
        matches!(self, Self::Shared | Self::Engine | Self::Partly { .. })
    }
}

/// The clauses of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the keywords")]
#[repr(u16)]
pub enum Clause {
    Server = 1,
    StubZone = 1 << 1,
    ForwardZone = 1 << 2,
    AuthZone = 1 << 3,
    Rpz = 1 << 4,
    View = 1 << 5,
    RemoteControl = 1 << 6,
    Python = 1 << 7,
    Dynlib = 1 << 8,
    Cachedb = 1 << 9,
    Dnstap = 1 << 10,
    Dnscrypt = 1 << 11,
    Ipset = 1 << 12,
    Xdp = 1 << 13,
}

impl Clause {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Server,
        Self::StubZone,
        Self::ForwardZone,
        Self::AuthZone,
        Self::Rpz,
        Self::View,
        Self::RemoteControl,
        Self::Python,
        Self::Dynlib,
        Self::Cachedb,
        Self::Dnstap,
        Self::Dnscrypt,
        Self::Ipset,
        Self::Xdp,
    ];

    /// The name, without its colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::StubZone => "stub-zone",
            Self::ForwardZone => "forward-zone",
            Self::AuthZone => "auth-zone",
            Self::Rpz => "rpz",
            Self::View => "view",
            Self::RemoteControl => "remote-control",
            Self::Python => "python",
            Self::Dynlib => "dynlib",
            Self::Cachedb => "cachedb",
            Self::Dnstap => "dnstap",
            Self::Dnscrypt => "dnscrypt",
            Self::Ipset => "ipset",
            Self::Xdp => "xdp",
        }
    }
}

/// A set of clauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clauses(u16);

impl Clauses {
    /// The set of these.
    pub(crate) const fn of(clauses: &[Clause]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < clauses.len() {
            bits |= clauses[i] as u16;
            i += 1;
        }
        Self(bits)
    }

    /// Whether `clause` is in it.
    pub fn contains(self, clause: Clause) -> bool {
        self.0 & clause as u16 != 0
    }

    /// Those in it.
    pub fn iter(self) -> impl Iterator<Item = Clause> {
        Clause::ALL
            .into_iter()
            .filter(move |clause| self.contains(*clause))
    }
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// `yes` or `no`, in small letters.
    Bool,
    /// A whole number.
    Number,
    /// A whole number, or nothing for 0.
    NumberOrNothing,
    /// A whole number that is not 0.
    Positive,
    /// A whole number in these bounds.
    Within {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A power of two.
    PowerOfTwo,
    /// A number of bytes: a whole number, with `k`, `m` or `g` behind it or none.
    Bytes,
    /// A port number.
    Port,
    /// A port number or a range of them, `low-high`.
    PortRange,
    /// Port numbers with blanks between them.
    Ports,
    /// Any text.
    Text,
    /// A domain name.
    Name,
    /// An address.
    Address,
    /// An address with `@port` or none.
    AddressPort,
    /// An address or the name of an interface, with `@port` or none.
    Interface,
    /// An address, `@port` or none, `#name` for authentication or none.
    Upstream,
    /// A host name, `@port` or none, `#name` for authentication or none.
    UpstreamHost,
    /// An address with `/length` or none.
    Netblock,
    /// A file; nothing for none.
    Path,
    /// A file that must be there and readable.
    ReadFile,
    /// Files that must be there and readable; wildcards allowed.
    ReadFiles,
    /// A directory; nothing for none.
    Directory,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Words out of these, with blanks between them.
    WordsOf(&'static [&'static str]),
    /// A resource record in presentation format.
    Record,
    /// An address, a TTL or none, and a name.
    Reverse,
    /// Hexadecimal digits, or text behind `ascii_`; nothing for none.
    Nsid,
}

impl Arg {
    /// What it is called where a user reads it.
    pub fn describe(self) -> String {
        match self {
            Self::Bool => "yes or no".into(),
            Self::Number | Self::NumberOrNothing => "a whole number".into(),
            Self::Positive => "a whole number above 0".into(),
            Self::Within { min, max } => format!("a whole number from {min} to {max}"),
            Self::PowerOfTwo => "a power of two".into(),
            Self::Bytes => "a size, such as 4m".into(),
            Self::Port => "a port number".into(),
            Self::PortRange => "a port number or a range low-high".into(),
            Self::Ports => "port numbers".into(),
            Self::Text => "a text".into(),
            Self::Name => "a domain name".into(),
            Self::Address => "an IP address".into(),
            Self::AddressPort => "an IP address with @port or none".into(),
            Self::Interface => "an IP address or interface name, with @port or none".into(),
            Self::Upstream => "an IP address with @port and #name or none".into(),
            Self::UpstreamHost => "a host name with @port and #name or none".into(),
            Self::Netblock => "a netblock, such as 192.0.2.0/24".into(),
            Self::Path | Self::ReadFile | Self::ReadFiles => "a file name".into(),
            Self::Directory => "a directory".into(),
            Self::OneOf(words) | Self::WordsOf(words) => words.join(", "),
            Self::Record => "a resource record".into(),
            Self::Reverse => "an IP address and a host name".into(),
            Self::Nsid => "hexadecimal digits, or text behind ascii_".into(),
        }
    }
}

/// A version of Unbound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// `1` in 1.26.0.
    pub major: u8,
    /// `26` in 1.26.0.
    pub minor: u8,
    /// `0` in 1.26.0.
    pub patch: u8,
}

/// Text that names no version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version of Unbound")]
pub struct VersionError(String);

impl Version {
    /// Older than any in use.
    pub const ANY: Self = Self::new(0, 0, 0);

    /// A version by its parts.
    pub const fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `1.17.1`; what follows the numbers, such as `rc1` or a distribution's suffix, is passed over.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let mut parts = text.trim().splitn(3, '.').map(|part| {
            let digits = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            part[..digits].parse::<u8>().ok()
        });
        let mut next = || parts.next().flatten();
        let (Some(major), Some(minor)) = (next(), next()) else {
            return Err(VersionError(text.to_owned()));
        };
        Ok(Self {
            major,
            minor,
            patch: next().unwrap_or(0),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

// The constructors below keep a row on a line.

/// A row of the server clause.
const fn row(
    name: &'static str,
    args: &'static [Arg],
    default: &'static str,
    status: Status,
) -> Keyword {
    let clauses = Clauses::of(&[Clause::Server]);
    Keyword {
        name,
        canonical: name,
        clauses,
        args,
        opens: None,
        status,
        default,
        since: Version::ANY,
    }
}

pub(super) const fn honoured(
    name: &'static str,
    args: &'static [Arg],
    default: &'static str,
) -> Keyword {
    row(name, args, default, Status::Honoured)
}

pub(super) const fn shared(
    name: &'static str,
    args: &'static [Arg],
    default: &'static str,
) -> Keyword {
    row(name, args, default, Status::Shared)
}

pub(super) const fn engine(
    name: &'static str,
    args: &'static [Arg],
    default: &'static str,
) -> Keyword {
    row(name, args, default, Status::Engine)
}

pub(super) const fn inert(
    name: &'static str,
    args: &'static [Arg],
    default: &'static str,
    why: &'static str,
) -> Keyword {
    row(name, args, default, Status::Inert { why })
}

pub(super) const fn later(
    name: &'static str,
    args: &'static [Arg],
    (default, acts_as): (&'static str, &'static str),
    instead: &'static str,
) -> Keyword {
    row(name, args, default, Status::NotBuilt { acts_as, instead })
}

pub(super) const fn partly(
    name: &'static str,
    args: &'static [Arg],
    (default, acts_as): (&'static str, &'static str),
    missing: &'static str,
) -> Keyword {
    row(name, args, default, Status::Partly { acts_as, missing })
}

pub(super) const fn clause(opens: Clause, name: &'static str, status: Status) -> Keyword {
    let row = row(name, &[], "", status);
    Keyword {
        clauses: Clauses::of(&[]),
        opens: Some(opens),
        ..row
    }
}

impl Keyword {
    /// The name with its colon.
    pub(crate) fn written(&self) -> String {
        format!("`{}:`", self.name)
    }

    pub(super) const fn within(self, clauses: &[Clause]) -> Self {
        Self {
            clauses: Clauses::of(clauses),
            ..self
        }
    }

    pub(super) const fn means(self, canonical: &'static str) -> Self {
        Self { canonical, ..self }
    }

    pub(super) const fn since(self, minor: u8, patch: u8) -> Self {
        Self {
            since: Version::new(1, minor, patch),
            ..self
        }
    }
}

impl Keyword {
    /// Whether each line adds to those before it; else the last one wins.
    pub fn accumulates(&self) -> bool {
        self.args.len() > 1 || LISTS.contains(&self.canonical)
    }
}

/// Options of one value that may be given again, each time for another thing.
const LISTS: &[&str] = &[
    "allow-notify",
    "auto-trust-anchor-file",
    "caps-exempt",
    "client-subnet-zone",
    "control-interface",
    "define-tag",
    "dns64-ignore-aaaa",
    "do-not-query-address",
    "domain-insecure",
    "dynlib-file",
    "forward-addr",
    "forward-host",
    "interface",
    "ipsecmod-allow",
    "local-data",
    "local-data-ptr",
    "name",
    "outgoing-interface",
    "outgoing-port-avoid",
    "outgoing-port-permit",
    "primary",
    "private-address",
    "private-domain",
    "proxy-protocol-port",
    "python-script",
    "root-hints",
    "send-client-subnet",
    "stub-addr",
    "stub-host",
    "tls-additional-port",
    "tls-session-ticket-keys",
    "trust-anchor",
    "trust-anchor-file",
    "trusted-keys-file",
    "url",
];

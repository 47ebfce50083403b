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

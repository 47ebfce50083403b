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
    /// A time as 14 digits, year to second, or a whole number; nothing for none.
    Date,
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
            Self::Date => "a time as YYYYMMDDHHMMSS, or a whole number".into(),
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
            Self::OneOf(words @ [_, _, _, _, _, ..]) => {
                format!(
                    "{}, ... or {}",
                    words[..2].join(", "),
                    words[words.len() - 1]
                )
            }
            Self::OneOf(words) => words.join(", "),
            Self::WordsOf(_) => "words".into(),
            Self::Record => "a resource record".into(),
            Self::Reverse => "an IP address and a host name".into(),
            Self::Nsid => "hexadecimal digits, or text behind ascii_".into(),
        }
    }
}

use super::encode_name;
use super::rtype::OPT;

/// A query to be built; the fields are public so that tests can set just what they care for.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the bits of the header")]
pub struct QuerySpec {
    /// The message ID.
    pub id: u16,
    /// The name, written with dots, case kept.
    pub name: String,
    /// The RR type.
    pub qtype: u16,
    /// The class; 1 is IN, 3 is CH.
    pub qclass: u16,
    /// Recursion desired.
    pub rd: bool,
    /// Checking disabled.
    pub cd: bool,
    /// Authentic data wanted.
    pub ad: bool,
    /// Whether there is an OPT record, and with which UDP payload size.
    pub udp_size: Option<u16>,
    /// The DO bit, if there is an OPT record.
    pub dnssec_ok: bool,
    /// The EDNS version, if there is an OPT record.
    pub version: u8,
    /// The RDATA of the OPT record: its options in wire form.
    pub options: Vec<u8>,
}

/// A plain query: class IN, RD set, no EDNS.
pub fn query(name: &str, qtype: u16) -> QuerySpec {
    QuerySpec {
        id: 0x5347,
        name: name.to_owned(),
        qtype,
        qclass: 1,
        rd: true,
        cd: false,
        ad: false,
        udp_size: None,
        dnssec_ok: false,
        version: 0,
        options: Vec::new(),
    }
}

impl QuerySpec {
    /// With this message ID.
    #[must_use]
    pub fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// With an OPT record that announces `udp_size`, and the DO bit as given.
    #[must_use]
    pub fn edns(mut self, udp_size: u16, dnssec_ok: bool) -> Self {
        self.udp_size = Some(udp_size);
        self.dnssec_ok = dnssec_ok;
        self
    }

    /// With this class.
    #[must_use]
    pub fn class(mut self, qclass: u16) -> Self {
        self.qclass = qclass;
        self
    }

    /// With RD and CD as given.
    #[must_use]
    pub fn flags(mut self, rd: bool, cd: bool) -> Self {
        self.rd = rd;
        self.cd = cd;
        self
    }

    /// The message.
    pub fn build(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(64);
        message.extend_from_slice(&self.id.to_be_bytes());
        message.push(u8::from(self.rd));
        message.push(u8::from(self.ad) << 5 | u8::from(self.cd) << 4);
        message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(self.udp_size.is_some())]);
        message.extend_from_slice(&encode_name(&self.name));
        message.extend_from_slice(&self.qtype.to_be_bytes());
        message.extend_from_slice(&self.qclass.to_be_bytes());
        if let Some(size) = self.udp_size {
            message.push(0);
            message.extend_from_slice(&OPT.to_be_bytes());
            message.extend_from_slice(&size.to_be_bytes());
            message.extend_from_slice(&[0, self.version, u8::from(self.dnssec_ok) << 7, 0]);
            let length = u16::try_from(self.options.len()).expect("options of a test are short");
            message.extend_from_slice(&length.to_be_bytes());
            message.extend_from_slice(&self.options);
        }
        message
    }
}

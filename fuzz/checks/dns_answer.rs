//! What must hold for every message that is to be stored, and for the replies made of it. Run by the fuzz target,
//! over its corpus by `cargo test`, and on messages that two other implementations of DNS have built.
//!
//! ```text
//! 0        1    3      5
//! | control | age | limit | message ...
//! ```
//! Control: the bits of [`Control`]. Age in units of 7 seconds; limit in octets, raised to 512.

use domain::base::name::ToName;
use domain::base::record::ParsedRecord;
use domain::base::{Message, Name as DomainName, ParsedName};
use domain::rdata::AllRecordData;
use sluicegate_dns::{
    CompileError, CompileOptions, Ede, HEADER_BYTES, Query, RenderOptions, Rendered, Stored,
    StoredInfo, compile, render,
};

/// Panics if a message and the replies made of it don't hold the same records.
pub(crate) fn check(data: &[u8]) {
    let Some((head, msg)) = data.split_first_chunk::<5>() else {
        return;
    };
    let [bits, age_high, age_low, limit_high, limit_low] = *head;
    let control = Control {
        bits,
        age_secs: u32::from(u16::from_be_bytes([age_high, age_low])) * 7,
        limit_bytes: usize::from(u16::from_be_bytes([limit_high, limit_low])).max(512),
    };
    let options = control.compile_options();
    let mut out = vec![0xee; 3];
    let info = match compile(msg, &options, &mut out) {
        Ok(info) => info,
        Err(error) => {
            assert_eq!(out, [0xee; 3], "nothing is left behind by an error");
            assert!(
                error == CompileError::TooLong || !is_plain(msg),
                "refused: {msg:x?}"
            );
            return;
        }
    };
    let stored = Stored::new(&out[3..]).expect("what compile wrote");
    assert_eq!(stored.as_bytes().len(), out.len() - 3);
    let original = Message::from_slice(msg).expect("at least a header");
    let expected = Expected::of(original, &options);
    expected.check_info(&info);
    let reply = Reply::make(stored, original, &control);
    reply.check_header(stored, &control);
    reply.check_records(&expected, &control);
}

/// What the input's first octets say.
struct Control {
    bits: u8,
    age_secs: u32,
    limit_bytes: usize,
}

impl Control {
    const KEEP_DNSSEC: u8 = 1;
    const SECURE: u8 = 2;
    const EDNS: u8 = 4;
    const DNSSEC_OK: u8 = 8;
    const AD: u8 = 0x10;
    const SHOUT: u8 = 0x20;
    const EDE: u8 = 0x40;
    const TTL_LIMITS: u8 = 0x80;

    fn has(&self, bit: u8) -> bool {
        self.bits & bit != 0
    }

    fn compile_options(&self) -> CompileOptions {
        let limits = self.has(Self::TTL_LIMITS);
        CompileOptions {
            keep_dnssec: self.has(Self::KEEP_DNSSEC),
            secure: self.has(Self::SECURE),
            min_ttl_secs: if limits { 60 } else { 0 },
            max_ttl_secs: if limits { 3600 } else { u32::MAX },
            min_negative_ttl_secs: if limits { 10 } else { 0 },
            max_negative_ttl_secs: if limits { 900 } else { u32::MAX },
        }
    }

    /// A query for the message's question.
    fn query(&self, question: &[u8]) -> Vec<u8> {
        let flags = 0x0100 | if self.has(Self::AD) { 0x20 } else { 0 };
        let counts = [0x4321, flags, 1, 0, 0, u16::from(self.has(Self::EDNS))];
        let mut query: Vec<u8> = counts
            .iter()
            .flat_map(|word: &u16| word.to_be_bytes())
            .collect();
        query.extend(question);
        if self.has(Self::SHOUT) {
            let name_len = question.len() - 4;
            query[HEADER_BYTES..HEADER_BYTES + name_len].make_ascii_uppercase();
        }
        if self.has(Self::EDNS) {
            let dnssec_ok = if self.has(Self::DNSSEC_OK) { 0x80 } else { 0 };
            query.extend([0, 0, 41, 0xff, 0xff, 0, 0, dnssec_ok, 0, 0, 0]);
        }
        query
    }

    fn render_options(&self, limit_bytes: usize) -> RenderOptions<'static> {
        RenderOptions {
            age_secs: self.age_secs,
            limit_bytes,
            udp_size: 1232,
            recursion_available: true,
            ede: self.has(Self::EDE).then_some(Ede {
                code: 3,
                text: "old",
            }),
            keepalive: None,
            nsid: None,
        }
    }
}

/// A record as `domain` reads it.
struct Record<'a> {
    section: usize,
    owner: DomainName<Vec<u8>>,
    rtype: u16,
    class: u16,
    ttl_secs: u32,
    data: Data<'a>,
    /// The data's octets, names compressed as they are in this message.
    raw: &'a [u8],
}

enum Data<'a> {
    /// No names in it that may be written in another way.
    Opaque,
    /// With names.
    Names(AllRecordData<&'a [u8], ParsedName<&'a [u8]>>),
    /// Of a type with names that `domain` does not know, or not what its type should have.
    Unread,
}

impl<'a> Record<'a> {
    fn read(section: usize, record: &ParsedRecord<'a, [u8]>, raw: &'a [u8]) -> Self {
        let rtype = record.rtype().to_int();
        let data = match rtype {
            2..=9 | 12 | 14 | 15 | 17 | 33 | 35 | 39 | 46 | 47 => match record.to_any_record() {
                Ok(record) => Data::Names(record.into_data()),
                Err(_) => Data::Unread,
            },
            18 | 21 | 24 | 26 | 30 | 36 => Data::Unread,
            _ => Data::Opaque,
        };
        Self {
            section,
            owner: record.owner().to_vec(),
            rtype,
            class: record.class().to_int(),
            ttl_secs: record.ttl().as_secs(),
            data,
            raw,
        }
    }

    /// All records but OPT, in order; `None`: not all can be read.
    fn all(message: &'a Message<[u8]>) -> Option<Vec<Self>> {
        let mut all = Vec::new();
        let mut next = message.answer().ok();
        for section in 0..3 {
            let mut records = next?;
            while let Some(record) = records.next() {
                let (record, end) = (record.ok()?, records.pos());
                let raw = &message.as_slice()[end - usize::from(record.rdlen())..end];
                all.push(Self::read(section, &record, raw));
            }
            next = records.next_section().ok().flatten();
        }
        all.retain(|record| record.rtype != 41);
        Some(all)
    }

    /// The same record, its TTL aside: names may differ in case.
    fn is_same(&self, other: &Self) -> bool {
        let data = match (&self.data, &other.data) {
            (Data::Opaque, Data::Opaque) => self.raw == other.raw,
            (Data::Names(ours), Data::Names(theirs)) => ours == theirs,
            (Data::Unread, _) => true,
            _ => false,
        };
        data && self.owner == other.owner
            && (self.section, self.rtype, self.class) == (other.section, other.rtype, other.class)
    }
}

/// What has to come out of a message: its records with the TTLs they shall have at age 0.
struct Expected<'a> {
    rcode: u8,
    negative: bool,
    has_dnssec: bool,
    records: Vec<Record<'a>>,
}

impl<'a> Expected<'a> {
    fn of(message: &'a Message<[u8]>, options: &CompileOptions) -> Self {
        let qtype = message
            .sole_question()
            .expect("compiled, so there is one")
            .qtype()
            .to_int();
        let rcode = message.header().rcode().to_int();
        let mut records = Record::all(message).expect("compiled, so all can be read");
        let is_answer =
            |record: &Record<'_>| record.section == 0 && (record.rtype == qtype || qtype == 255);
        let negative = rcode == 3 || rcode == 0 && !records.iter().any(is_answer);
        let for_validators =
            |record: &Record<'_>| [46, 47, 50].contains(&record.rtype) && !is_answer(record);
        let has_dnssec = records.iter().any(for_validators);
        if !options.keep_dnssec {
            records.retain(|record| !for_validators(record));
        }
        for record in &mut records {
            record.ttl_secs = limited_ttl(record, negative, options);
        }
        Self {
            rcode,
            negative,
            has_dnssec,
            records,
        }
    }

    fn check_info(&self, info: &StoredInfo) {
        assert_eq!(info.rcode, u16::from(self.rcode));
        assert_eq!(
            (info.negative, info.has_dnssec),
            (self.negative, self.has_dnssec)
        );
        assert_eq!(
            info.ttl_secs,
            self.records.iter().map(|record| record.ttl_secs).min()
        );
    }
}

/// RFC 2181, 8; RFC 2308, 3 and 5; and what the operator says.
fn limited_ttl(record: &Record<'_>, negative: bool, options: &CompileOptions) -> u32 {
    let mut ttl_secs = if record.ttl_secs < 1 << 31 {
        record.ttl_secs
    } else {
        0
    };
    let negative = negative && record.section == 1;
    if let (true, 6, Some(minimum)) = (negative, record.rtype, record.raw.last_chunk::<4>()) {
        ttl_secs = ttl_secs.min(u32::from_be_bytes(*minimum));
    }
    ttl_secs = ttl_secs.max(options.min_ttl_secs).min(options.max_ttl_secs);
    if negative {
        ttl_secs = ttl_secs
            .max(options.min_negative_ttl_secs)
            .min(options.max_negative_ttl_secs);
    }
    ttl_secs
}

/// A reply made of the stored answer, in full and within the limit.
struct Reply {
    query: Vec<u8>,
    parsed: Query,
    full: Vec<u8>,
    cut: Vec<u8>,
    cut_short: Rendered,
}

impl Reply {
    fn make(stored: Stored<'_>, original: &Message<[u8]>, control: &Control) -> Self {
        let question = original.sole_question().expect("compiled, so there is one");
        let mut octets = question.qname().to_vec().into_octets();
        octets.extend(question.qtype().to_int().to_be_bytes());
        octets.extend(question.qclass().to_int().to_be_bytes());
        let query = control.query(&octets);
        let parsed = Query::parse(&query).expect("a good query");
        let write = |limit_bytes| {
            let mut buf = query.clone();
            buf.resize(70_000, 0xa5);
            let rendered = render(
                stored,
                &parsed,
                &mut buf,
                &control.render_options(limit_bytes),
            );
            assert!(
                rendered.len <= limit_bytes,
                "{} > {limit_bytes}",
                rendered.len
            );
            assert!(
                buf[rendered.len.max(query.len())..]
                    .iter()
                    .all(|octet| *octet == 0xa5)
            );
            buf.truncate(rendered.len);
            (rendered, buf)
        };
        let (whole, full) = write(65_535);
        assert!(!whole.truncated, "a stored answer fits a message");
        let (cut_short, cut) = write(control.limit_bytes);
        Self {
            query,
            parsed,
            full,
            cut,
            cut_short,
        }
    }

    fn check_header(&self, stored: Stored<'_>, control: &Control) {
        for (octets, truncated) in [(&self.full, false), (&self.cut, self.cut_short.truncated)] {
            let reply = Message::from_slice(octets).expect("at least a header");
            let header = reply.header();
            assert_eq!((header.id(), header.opcode().to_int()), (self.parsed.id, 0));
            assert_eq!(u16::from(header.rcode().to_int()), stored.rcode());
            assert_eq!(
                (header.qr(), header.rd(), header.ra(), header.tc()),
                (true, true, true, truncated)
            );
            assert_eq!(
                (header.aa(), header.z(), header.cd()),
                (stored.is_authoritative(), false, false)
            );
            let asked = control.has(Control::AD)
                || control.has(Control::EDNS) && control.has(Control::DNSSEC_OK);
            assert_eq!(
                header.ad(),
                control.has(Control::SECURE) && asked && !truncated
            );
            let question = HEADER_BYTES..HEADER_BYTES + self.parsed.question_len;
            assert_eq!(
                octets[question.clone()],
                self.query[question],
                "the client's own spelling"
            );
            self.check_opt(reply, control);
        }
    }

    fn check_opt(&self, reply: &Message<[u8]>, control: &Control) {
        let opt = reply.opt();
        assert_eq!(
            opt.is_some(),
            control.has(Control::EDNS),
            "OPT if and only if there was one"
        );
        if let Some(opt) = opt {
            assert_eq!((opt.udp_payload_size(), opt.version()), (1232, 0));
            assert_eq!(opt.dnssec_ok(), self.parsed.dnssec_ok());
            let ede = if control.has(Control::EDE) {
                &b"\0\x0f\0\x05\0\x03old"[..]
            } else {
                &[]
            };
            assert!(reply.as_slice().ends_with(ede) && opt.opt().len() == ede.len());
        }
    }

    fn check_records(&self, expected: &Expected<'_>, control: &Control) {
        let full = Message::from_slice(&self.full).expect("at least a header");
        let all = Record::all(full).unwrap_or_else(|| panic!("can't be read: {:x?}", self.full));
        assert_eq!(all.len(), expected.records.len());
        for (ours, theirs) in all.iter().zip(&expected.records) {
            assert!(
                theirs.is_same(ours),
                "{} {} is not the same",
                theirs.owner,
                theirs.rtype
            );
            assert_eq!(
                ours.ttl_secs,
                theirs.ttl_secs.saturating_sub(control.age_secs)
            );
        }
        let cut = Message::from_slice(&self.cut).expect("at least a header");
        let left = Record::all(cut).unwrap_or_else(|| panic!("can't be read: {:x?}", self.cut));
        if self.full.len() <= control.limit_bytes {
            assert_eq!(self.cut, self.full, "what fits is not cut");
        } else if self.cut_short.truncated {
            assert!(left.is_empty());
        } else {
            let kept = all.iter().filter(|record| record.section < 2);
            assert!(kept.clone().count() < all.len() && kept.count() == left.len());
            assert!(
                left.iter()
                    .zip(&all)
                    .all(|(left, whole)| whole.is_same(left) && left.ttl_secs == whole.ttl_secs)
            );
        }
    }
}

/// Whether both other implementations can read all of it, so that it must not be refused. They follow pointers into
/// the header, too.
fn is_plain(msg: &[u8]) -> bool {
    let Ok(message) = Message::from_slice(msg) else {
        return false;
    };
    if message.sole_question().is_err() {
        return false;
    }
    let Some(records) = Record::all(message) else {
        return false;
    };
    let into_header = |pair: &[u8]| pair[0] == 0xc0 && usize::from(pair[1]) < HEADER_BYTES;
    !msg.windows(2).any(into_header)
        && records
            .iter()
            .all(|record| !matches!(record.data, Data::Unread))
        && hickory_proto::op::Message::from_vec(msg).is_ok()
}

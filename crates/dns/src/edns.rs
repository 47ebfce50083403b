use crate::query::QueryError;

/// What the OPT record of a query says (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The largest UDP reply that the client takes, in octets; sizes below 512 are raised to 512 (6.2.3).
    pub udp_size: u16,
    /// EDNS version.
    pub version: u8,
    /// DO: the client wants DNSSEC records (RFC 3225).
    pub dnssec_ok: bool,
    /// A DNS cookie (RFC 7873).
    pub cookie: Option<Cookie>,
    /// The client asks for the server's identifier (RFC 5001).
    pub nsid: bool,
    /// The client speaks of keeping its TCP connection (RFC 7828).
    pub keepalive: bool,
}

/// A DNS cookie as sent by a client (RFC 7873, 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The client's part.
    pub client: [u8; 8],
    /// The server's part, if the client has one: octets and how many of them count (0, or 8 to 32).
    pub server: ([u8; 32], u8),
}

/// An extended DNS error (RFC 8914) to be told to a client that speaks EDNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ede<'a> {
    /// The INFO-CODE.
    pub code: u16,
    /// Extra text, may be empty; cut to 128 octets when written.
    pub text: &'a str,
}

const OPTION_NSID: u16 = 3;
const OPTION_COOKIE: u16 = 10;
const OPTION_KEEPALIVE: u16 = 11;
const OPTION_EDE: u16 = 15;
/// Root name, type, class, TTL and length of an OPT record.
const OPT_BYTES: usize = 11;
const MAX_EDE_TEXT_BYTES: usize = 128;
const MAX_NSID_BYTES: usize = 128;
const SMALLEST_UDP_SIZE: u16 = 512;
const DNSSEC_OK: u16 = 0x8000;

impl Edns {
    /// Reads the OPT record at the start of `record`; whatever follows it is ignored, as Unbound does.
    ///
    /// A record that is no OPT, has an owner other than the root, or is cut off, is an error. So is a cookie
    /// of a length that RFC 7873 forbids, or an option longer than the record.
    #[inline(never)]
    pub(crate) fn parse(record: &[u8]) -> Result<Self, QueryError> {
        let (head, rest) = record
            .split_first_chunk::<OPT_BYTES>()
            .ok_or(QueryError::Format)?;
        let [
            0,
            0,
            41,
            size_high,
            size_low,
            _rcode,
            version,
            flags_high,
            flags_low,
            len_high,
            len_low,
        ] = *head
        else {
            return Err(QueryError::Format);
        };
        let len = usize::from(u16::from_be_bytes([len_high, len_low]));
        let options = rest.get(..len).ok_or(QueryError::Format)?;
        let mut edns = Self {
            udp_size: u16::from_be_bytes([size_high, size_low]).max(SMALLEST_UDP_SIZE),
            version,
            dnssec_ok: u16::from_be_bytes([flags_high, flags_low]) & DNSSEC_OK != 0,
            cookie: None,
            nsid: false,
            keepalive: false,
        };
        if !options.is_empty() && version == 0 {
            edns.parse_options(options)?;
        }
        Ok(edns)
    }

    fn parse_options(&mut self, mut options: &[u8]) -> Result<(), QueryError> {
        while let Some((&[code_high, code_low, len_high, len_low], rest)) =
            options.split_first_chunk::<4>()
        {
            let len = usize::from(u16::from_be_bytes([len_high, len_low]));
            let (value, tail) = rest.split_at_checked(len).ok_or(QueryError::Format)?;
            match u16::from_be_bytes([code_high, code_low]) {
                // Only the first counts (RFC 7873, 5.2).
                OPTION_COOKIE if self.cookie.is_none() => self.cookie = Some(Cookie::parse(value)?),
                OPTION_NSID => self.nsid = true,
                OPTION_KEEPALIVE => self.keepalive = true,
                _ => {}
            }
            options = tail;
        }
        if options.is_empty() {
            Ok(())
        } else {
            Err(QueryError::Format)
        }
    }
}

impl Cookie {
    fn parse(value: &[u8]) -> Result<Self, QueryError> {
        let (client, server) = value.split_first_chunk::<8>().ok_or(QueryError::Format)?;
        if !matches!(server.len(), 0 | 8..=32) {
            return Err(QueryError::Format);
        }
        let mut bytes = [0; 32];
        bytes[..server.len()].copy_from_slice(server);
        Ok(Self {
            client: *client,
            server: (bytes, server.len() as u8),
        })
    }
}

/// What goes into the OPT record of a reply.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OptReply<'a> {
    pub(crate) udp_size: u16,
    /// Bits 4 to 11 of the response code.
    pub(crate) rcode_high: u8,
    pub(crate) dnssec_ok: bool,
    pub(crate) ede: Option<Ede<'a>>,
    /// Time-out to announce, in units of 100 ms (RFC 7828).
    pub(crate) keepalive: Option<u16>,
    /// The server's identifier (RFC 5001).
    pub(crate) nsid: Option<&'a [u8]>,
}

impl OptReply<'_> {
    fn ede_text(&self) -> &[u8] {
        let text = self.ede.map_or("", |ede| ede.text);
        &text.as_bytes()[..text.floor_char_boundary(MAX_EDE_TEXT_BYTES)]
    }

    fn nsid(&self) -> &[u8] {
        let nsid = self.nsid.unwrap_or_default();
        &nsid[..nsid.len().min(MAX_NSID_BYTES)]
    }

    /// How long the record will be, in octets.
    pub(crate) fn len(&self) -> usize {
        let ede = self.ede.map_or(0, |_| 6 + self.ede_text().len());
        let nsid = self.nsid.map_or(0, |_| 4 + self.nsid().len());
        OPT_BYTES + ede + self.keepalive.map_or(0, |_| 6) + nsid
    }

    /// Writes the record to the start of `buf`, which is at least [`OptReply::len`] long.
    pub(crate) fn write(&self, buf: &mut [u8]) {
        let [size_high, size_low] = self.udp_size.to_be_bytes();
        let options = (self.len() - OPT_BYTES) as u16;
        let [len_high, len_low] = options.to_be_bytes();
        let flags = if self.dnssec_ok { 0x80 } else { 0 };
        let head = [
            0,
            0,
            41,
            size_high,
            size_low,
            self.rcode_high,
            0,
            flags,
            0,
            len_high,
            len_low,
        ];
        buf[..OPT_BYTES].copy_from_slice(&head);
        let mut at = OPT_BYTES;
        let mut put = |code: u16, number: u16, text: &[u8]| {
            let len = 2 + text.len() as u16;
            let parts = [code.to_be_bytes(), len.to_be_bytes(), number.to_be_bytes()];
            buf[at..at + 6].copy_from_slice(parts.as_flattened());
            buf[at + 6..at + 6 + text.len()].copy_from_slice(text);
            at += 6 + text.len();
        };
        if let Some(ede) = self.ede {
            put(OPTION_EDE, ede.code, self.ede_text());
        }
        if let Some(units) = self.keepalive {
            put(OPTION_KEEPALIVE, units, &[]);
        }
        if self.nsid.is_some() {
            let len = self.nsid().len();
            let head = [OPTION_NSID.to_be_bytes(), (len as u16).to_be_bytes()];
            buf[at..at + 4].copy_from_slice(head.as_flattened());
            buf[at + 4..at + 4 + len].copy_from_slice(self.nsid());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opt(size: u16, version: u8, options: &[u8]) -> Vec<u8> {
        let mut record = vec![0, 0, 41];
        record.extend(size.to_be_bytes());
        record.extend([0, version, 0x80, 0]);
        record.extend((options.len() as u16).to_be_bytes());
        record.extend(options);
        record
    }

    #[test]
    fn reads_what_is_there() {
        let edns = Edns::parse(&opt(
            100,
            0,
            &[0, 3, 0, 0, 0xff, 0xff, 0, 1, 9, 0, 11, 0, 0],
        ))
        .unwrap();
        assert_eq!(
            (edns.udp_size, edns.dnssec_ok, edns.nsid, edns.keepalive),
            (512, true, true, true)
        );
        assert_eq!(edns.cookie, None);
        assert_eq!(Edns::parse(&opt(1232, 7, &[1])).unwrap().version, 7);
    }

    #[test]
    fn cookies_have_the_lengths_of_the_rfc() {
        for len in 0..=41u8 {
            let mut option = vec![0, 10, 0, len];
            option.extend(vec![5; usize::from(len)]);
            let ok = matches!(len, 8 | 16..=40);
            assert_eq!(Edns::parse(&opt(1232, 0, &option)).is_ok(), ok, "{len}");
        }
    }

    #[test]
    fn only_the_first_cookie_counts() {
        let first = [&[0, 10, 0, 8][..], b"12345678"].concat();
        for second in [&b"\0\x0a\0\x08abcdefgh"[..], b"\0\x0a\0\x03abc"] {
            let edns = Edns::parse(&opt(1232, 0, &[&first, second].concat())).unwrap();
            assert_eq!(edns.cookie.unwrap().client, *b"12345678");
        }
    }

    #[test]
    fn refuses_what_is_broken() {
        let good = opt(1232, 0, &[0, 3, 0, 1, 7]);
        for cut in 0..good.len() {
            assert_eq!(Edns::parse(&good[..cut]), Err(QueryError::Format), "{cut}");
        }
        assert_eq!(
            Edns::parse(&opt(1232, 0, &[0, 3, 0])),
            Err(QueryError::Format)
        );
        assert_eq!(
            Edns::parse(&opt(1232, 0, &[0, 3, 0, 2, 7])),
            Err(QueryError::Format)
        );
        let mut owned = opt(1232, 0, &[]);
        owned.splice(0..1, *b"\x01a\0");
        assert_eq!(Edns::parse(&owned), Err(QueryError::Format));
    }

    #[test]
    fn written_opt_has_the_length_it_says() {
        let text = "é".repeat(100);
        let reply = OptReply {
            udp_size: 1232,
            ede: Some(Ede {
                code: 23,
                text: &text,
            }),
            keepalive: Some(300),
            nsid: Some(&[7; 200]),
            ..OptReply::default()
        };
        let mut buf = vec![0xaa; 400];
        reply.write(&mut buf);
        let options = usize::from(u16::from_be_bytes([buf[9], buf[10]]));
        assert_eq!(OPT_BYTES + options, reply.len());
        assert!(reply.len() <= OPT_BYTES + 6 + 128 + 6 + 4 + 128);
        assert!(buf[reply.len()..].iter().all(|octet| *octet == 0xaa));
        let read = Edns::parse(&buf).unwrap();
        assert!(read.keepalive && read.nsid);
    }
}

use sluicegate_dns::{
    HEADER_BYTES, Name, Query, RenderOptions, Rendered, Stored, rcode, rtype, write_rcode,
};

/// A CNAME of a redirect zone: what it points to is resolved, and the two are joined into one answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alias<'a> {
    pub(crate) ttl_secs: u32,
    /// Wire form as configured. `*.zone` stands for the question's name put in place of the asterisk; such
    /// a CNAME is made up and has TTL 0, as in Unbound.
    pub(crate) target: &'a [u8],
    /// The target is what it says, with or without an asterisk.
    pub(crate) literal: bool,
}

impl Alias<'_> {
    /// The target in two parts, the second empty but for a name put in place of an asterisk.
    fn parts<'b>(&'b self, question: &'b Name) -> [&'b [u8]; 2] {
        match self.target {
            [1, b'*', zone @ ..] if !self.literal => {
                let name = question.as_bytes();
                [&name[..name.len() - 1], zone]
            }
            whole => [whole, &[]],
        }
    }

    /// Whether the target is a name for this question.
    pub(crate) fn fits(&self, question: &Name) -> bool {
        let [front, back] = self.parts(question);
        front.len() + back.len() <= MAX_NAME_BYTES
    }

    /// What is to be resolved for this question; `None`: the name would be too long.
    pub(crate) fn target(&self, question: &Name) -> Option<Name> {
        let [front, back] = self.parts(question);
        let mut wire = [0; MAX_NAME_BYTES];
        let whole = wire.get_mut(..front.len() + back.len())?;
        whole[..front.len()].copy_from_slice(front);
        whole[front.len()..].copy_from_slice(back);
        Name::from_wire(whole).ok()
    }

    /// Writes the joined answer: the CNAME, then what is stored for its target. AA is set as the CNAME is
    /// ours, AD is not as nobody signed it. An error of the target's is passed on without the CNAME.
    pub(crate) fn render(
        &self,
        stored: Stored<'_>,
        query: &Query,
        buf: &mut [u8],
        options: &RenderOptions<'_>,
    ) -> Rendered {
        let opt_end = write_rcode(buf, query, stored.rcode(), options);
        let cut = Rendered {
            len: opt_end,
            truncated: true,
        };
        if !matches!(stored.rcode(), rcode::NOERROR | rcode::NXDOMAIN) {
            return Rendered {
                truncated: false,
                ..cut
            };
        }
        buf[2] |= AA;
        // The OPT record is moved from behind the question to behind the records.
        let start = HEADER_BYTES + query.question_len;
        let mut opt = [0; MAX_OPT_BYTES];
        let opt_len = opt_end - start;
        let room = options.limit_bytes.min(buf.len());
        let written = opt.get_mut(..opt_len).and_then(|opt| {
            opt.copy_from_slice(&buf[start..opt_end]);
            let end = self.write_records(
                stored,
                query,
                buf.get_mut(..room.checked_sub(opt_len)?)?,
                options.age_secs,
            )?;
            buf[end..end + opt_len].copy_from_slice(opt);
            Some(end + opt_len)
        });
        let Some(len) = written else {
            // What was written behind the question is overwritten; the counts still say that there is none.
            buf[start..opt_end].copy_from_slice(&opt[..opt_len]);
            buf[2] |= TC;
            return cut;
        };
        let [answers, authority, additional] = stored.counts();
        let counts =
            [answers + 1, authority, additional + u16::from(opt_len > 0)].map(u16::to_be_bytes);
        buf[6..HEADER_BYTES].copy_from_slice(counts.as_flattened());
        Rendered {
            len,
            truncated: false,
        }
    }

    /// Writes the CNAME and the stored records behind the question; where they end, or `None` when they
    /// do not fit.
    fn write_records(
        &self,
        stored: Stored<'_>,
        query: &Query,
        buf: &mut [u8],
        age_secs: u32,
    ) -> Option<usize> {
        let [first, second] = self.parts(&query.name);
        let ttl_secs = if second.is_empty() { self.ttl_secs } else { 0 };
        let target_len = first.len() + second.len();
        let start = HEADER_BYTES + query.question_len;
        let target_at = start + CNAME_FRONT_BYTES;
        let body_at = target_at + target_len;
        let end = body_at + stored.body().len();
        let front = buf.get_mut(start..target_at)?;
        front[..6].copy_from_slice(&[
            0xc0,
            HEADER_BYTES as u8,
            0,
            rtype::CNAME as u8,
            0,
            query.qclass as u8,
        ]);
        front[6..10].copy_from_slice(&ttl_secs.to_be_bytes());
        front[10..].copy_from_slice(&(target_len as u16).to_be_bytes());
        buf.get_mut(target_at..target_at + first.len())?
            .copy_from_slice(first);
        buf.get_mut(target_at + first.len()..body_at)?
            .copy_from_slice(second);
        buf.get_mut(body_at..end)?.copy_from_slice(stored.body());
        let moved = Moved {
            // In the stored body, pointers go to the question for the target, or into the body behind it.
            question: HEADER_BYTES..HEADER_BYTES + target_len,
            target_at,
            body_shift: body_at - (HEADER_BYTES + target_len + 4),
        };
        let records = stored
            .counts()
            .iter()
            .map(|count| usize::from(*count))
            .sum();
        moved.repair(&mut buf[body_at..end], records, age_secs)?;
        Some(end)
    }
}

/// How far names have moved: those of the question, and those of the body.
struct Moved {
    question: std::ops::Range<usize>,
    target_at: usize,
    body_shift: usize,
}

impl Moved {
    /// Turns every pointer in the records to where its name now stands, and ages the TTLs. `None`: a name
    /// has moved out of a pointer's reach.
    fn repair(&self, body: &mut [u8], records: usize, age_secs: u32) -> Option<()> {
        let mut at = 0;
        for _ in 0..records {
            at = self.name(body, at)?;
            let front = body.get(at..)?.first_chunk::<10>()?;
            let rtype = u16::from_be_bytes([front[0], front[1]]);
            let ttl_secs = u32::from_be_bytes([front[4], front[5], front[6], front[7]]);
            let len = usize::from(u16::from_be_bytes([front[8], front[9]]));
            body[at + 4..at + 8].copy_from_slice(&ttl_secs.saturating_sub(age_secs).to_be_bytes());
            at += 10;
            let names = match rtype {
                rtype::NS
                | rtype::CNAME
                | rtype::PTR
                | rtype::MB
                | rtype::MD
                | rtype::MF
                | rtype::MG
                | rtype::MR => (at, 1),
                rtype::SOA | rtype::MINFO => (at, 2),
                rtype::MX => (at + 2, 1),
                // No other type has compressed names in stored form (RFC 3597, 4).
                _ => (at, 0),
            };
            let mut name_at = names.0;
            for _ in 0..names.1 {
                name_at = self.name(body, name_at)?;
            }
            at += len;
        }
        Some(())
    }

    /// Goes over one name, turning the pointer at its end; where the name ends.
    fn name(&self, body: &mut [u8], mut at: usize) -> Option<usize> {
        loop {
            match *body.get(at)? {
                0 => return Some(at + 1),
                len @ 1..=63 => at += 1 + usize::from(len),
                high => {
                    let pointer = body.get_mut(at..at + 2)?;
                    let old = usize::from(u16::from_be_bytes([high & 0x3f, pointer[1]]));
                    let new = if self.question.contains(&old) {
                        old - self.question.start + self.target_at
                    } else {
                        old + self.body_shift
                    };
                    if new > MAX_POINTER {
                        return None;
                    }
                    pointer.copy_from_slice(&(0xc000 | new as u16).to_be_bytes());
                    return Some(at + 2);
                }
            }
        }
    }
}

const AA: u8 = 0x04;
const TC: u8 = 0x02;
const MAX_NAME_BYTES: usize = 255;
const MAX_POINTER: usize = 0x3fff;
/// Pointer to the question, type, class, TTL and length.
const CNAME_FRONT_BYTES: usize = 12;
/// An OPT record with an extended error and a keep-alive is shorter.
const MAX_OPT_BYTES: usize = 256;

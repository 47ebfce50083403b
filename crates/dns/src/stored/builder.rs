use super::compile::CompileError;
use super::layout::Section;
use super::message::{Reader, Record};
use super::writer::Writer;
use crate::name::Name;

/// The owner of a record that is built.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// The name that is asked for, whichever it is.
    Question,
    /// This name.
    Name(&'a Name),
}

/// Builds a stored answer from records of our own.
pub struct StoredBuilder {
    writer: Writer,
    rcode: u8,
    authoritative: bool,
    last: Section,
}

impl StoredBuilder {
    /// An answer with this response code (0 to 15) and AA flag, still without records.
    ///
    /// With `question`, the answer is good for that question only, and names are compressed against it. Without, it
    /// is good for any, and names stand in full.
    pub fn new(question: Option<&Name>, rcode: u16, authoritative: bool) -> Self {
        Self {
            writer: Writer::new(question.map(Name::as_bytes)),
            rcode: (rcode & 0xf) as u8,
            authoritative,
            last: Section::Answer,
        }
    }

    /// Gives the answer another response code (0 to 15).
    pub fn set_rcode(&mut self, rcode: u16) {
        self.rcode = (rcode & 0xf) as u8;
    }

    /// Adds a record of type and class `[rtype, class]`. `rdata` is on the wire, with names in full; `ttl_secs` is in seconds.
    ///
    /// # Errors
    ///
    /// [`CompileError::Malformed`] if the data does not hold the names that its type has, or if sections come out
    /// of order; [`CompileError::TooLong`] if it does not fit any more. The builder is of no use then.
    #[expect(clippy::too_many_arguments, reason = "a record has five parts")]
    pub fn push(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        [rtype, class]: [u16; 2],
        ttl_secs: u32,
        rdata: &[u8],
    ) -> Result<(), CompileError> {
        if section < self.last {
            return Err(CompileError::Malformed);
        }
        self.last = section;
        // The root's place: the record's own owner is given apart.
        let nobody = Reader::new(&[0], 0).name()?;
        let record = Record {
            section,
            owner: nobody,
            rtype,
            class,
            ttl_secs,
            rdata,
            rdata_at: 0,
        };
        let owner = match owner {
            Owner::Question => None,
            Owner::Name(name) => Some(name.as_bytes()),
        };
        Ok(self.writer.push(owner, &record, ttl_secs, rdata)?)
    }

    /// Adds a record of the message `msg`.
    pub(super) fn push_record(
        &mut self,
        record: &Record<'_>,
        ttl_secs: u32,
        msg: &[u8],
    ) -> Result<(), CompileError> {
        let owner = Some(record.owner.as_bytes());
        Ok(self.writer.push(owner, record, ttl_secs, msg)?)
    }

    /// Appends the stored form to `out`.
    pub fn finish(self, out: &mut Vec<u8>) {
        self.writer
            .finish(self.rcode, self.authoritative, false, out);
    }
}

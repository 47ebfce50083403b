/// Where in the configuration something stands.
///
/// `source` numbers the file in the order of reading, `start..end` are byte offsets in it. Values that
/// come from no file (defaults) have [`Span::NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Index of the file, as kept by the source map.
    pub source: u32,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span of what stands in no file.
    pub const NONE: Self = Self {
        source: u32::MAX,
        start: 0,
        end: 0,
    };

    /// From the start of this to the end of `other`, when both stand in one file; else this alone.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        if self.source == other.source && other.end >= self.start {
            Self {
                end: other.end,
                ..self
            }
        } else {
            self
        }
    }
}

/// A value with the place it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub at: Span,
}

use std::ops::Range;

/// How a UMEM is cut into chunks: one chunk, one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    frames: u32,
    chunk_shift: u32,
    headroom_bytes: u32,
}

/// Why a geometry is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GeometryError {
    Chunk,
    Frames,
    Headroom,
}

impl GeometryError {
    /// The reason in words.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Chunk => "a frame must be 2048 or 4096 bytes long",
            Self::Frames => "there must be 8 to 1,048,576 frames",
            Self::Headroom => "the headroom leaves no room for a packet",
        }
    }
}

/// What the kernel leaves free before a received packet, beside the headroom: `XDP_PACKET_HEADROOM`.
pub(crate) const XDP_HEADROOM_BYTES: u32 = 256;
const FRAMES: Range<u32> = 8..(1 << 20) + 1;
/// Room for the largest unfragmented packet of the smallest MTU worth having.
const MIN_WINDOW_BYTES: u32 = 256;

impl Geometry {
    pub(crate) fn new(
        frames: u32,
        chunk_bytes: u32,
        headroom_bytes: u32,
    ) -> Result<Self, GeometryError> {
        if !matches!(chunk_bytes, 2048 | 4096) {
            return Err(GeometryError::Chunk);
        }
        if !FRAMES.contains(&frames) {
            return Err(GeometryError::Frames);
        }
        let used_bytes = headroom_bytes.saturating_add(XDP_HEADROOM_BYTES + MIN_WINDOW_BYTES);
        if used_bytes > chunk_bytes {
            return Err(GeometryError::Headroom);
        }
        Ok(Self {
            frames,
            chunk_shift: chunk_bytes.trailing_zeros(),
            headroom_bytes,
        })
    }

    pub(crate) const fn frames(&self) -> u32 {
        self.frames
    }

    pub(crate) const fn chunk_bytes(&self) -> u32 {
        1 << self.chunk_shift
    }

    pub(crate) const fn headroom_bytes(&self) -> u32 {
        self.headroom_bytes
    }

    /// Where in its chunk a received packet starts.
    pub(crate) const fn rx_offset(&self) -> u32 {
        XDP_HEADROOM_BYTES + self.headroom_bytes
    }

    pub(crate) const fn len_bytes(&self) -> usize {
        (self.frames as usize) << self.chunk_shift
    }

    /// The UMEM address of a byte of a frame.
    pub(crate) const fn address(&self, frame: u32, offset: u32) -> u64 {
        ((frame as u64) << self.chunk_shift) + offset as u64
    }

    /// The frame and the offset in it that an address from the kernel means, if there is such a frame.
    pub(crate) fn locate(&self, address: u64) -> Option<(u32, u32)> {
        let frame = u32::try_from(address >> self.chunk_shift).ok()?;
        let offset = address as u32 & (self.chunk_bytes() - 1);
        (frame < self.frames).then_some((frame, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::{Geometry, GeometryError};

    #[test]
    fn addresses_and_frames_agree() {
        let geometry = Geometry::new(16, 2048, 0).expect("a small geometry");
        assert_eq!(
            geometry.locate(geometry.address(15, 2047)),
            Some((15, 2047))
        );
        assert_eq!(geometry.locate(geometry.address(15, 2047) + 1), None);
        assert_eq!(geometry.locate(u64::MAX), None);
        assert_eq!(geometry.locate(0), Some((0, 0)));
        assert_eq!(geometry.len_bytes(), 16 * 2048);
    }

    #[test]
    fn impossible_geometries_are_refused() {
        assert_eq!(Geometry::new(16, 3072, 0), Err(GeometryError::Chunk));
        assert_eq!(Geometry::new(0, 2048, 0), Err(GeometryError::Frames));
        assert_eq!(
            Geometry::new((1 << 20) + 1, 2048, 0),
            Err(GeometryError::Frames)
        );
        assert_eq!(Geometry::new(16, 2048, 1800), Err(GeometryError::Headroom));
        assert_eq!(
            Geometry::new(16, 2048, u32::MAX),
            Err(GeometryError::Headroom)
        );
    }
}

use super::outlet::Outlet;
use crate::umem::Frame;

/// A received packet, in the frame that it was received into.
///
/// It lives no longer than the call of the handler that it is given to. Dropping it frees the frame; transmitting it
/// consumes it, so that its bytes can't be touched afterwards.
#[derive(Debug)]
#[must_use = "a packet that is dropped goes unanswered"]
pub struct RxPacket<'q> {
    outlet: &'q mut Outlet,
    /// Taken exactly once: by `transmit`, or by `drop`.
    frame: Option<Frame>,
    offset: u32,
    len: u32,
}

impl<'q> RxPacket<'q> {
    pub(super) fn new(outlet: &'q mut Outlet, frame: Frame, offset: u32, len: u32) -> Self {
        Self {
            outlet,
            frame: Some(frame),
            offset,
            len,
        }
    }

    /// The packet's length in bytes, from the Ethernet header on. The Ethernet frame check sequence is not part of it.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Always `false`: the kernel delivers no empty packets, and one would not be believed.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The packet, from the Ethernet header on.
    ///
    /// # Panics
    /// Never: a packet holds its frame until it is consumed.
    pub fn bytes(&self) -> &[u8] {
        let frame = self.frame.as_ref().expect(HOLDS_FRAME);
        self.outlet
            .bytes(frame, self.offset..self.offset + self.len)
    }

    /// The room from the packet's first byte to the end of its frame, larger than the packet: a reply is written here.
    /// Bytes behind the packet are left over from whatever the frame held before.
    ///
    /// # Panics
    /// Never: a packet holds its frame until it is consumed.
    pub fn window(&mut self) -> &mut [u8] {
        let frame = self.frame.as_mut().expect(HOLDS_FRAME);
        self.outlet.window(frame, self.offset)
    }

    /// Sends the first `len` bytes of the window; they leave when the queue's turn ends.
    ///
    /// `false` if the packet is lost, which is counted: the TX ring is full, or the length is no Ethernet packet's or more
    /// than [`Queue::max_frame_bytes`](super::Queue::max_frame_bytes). Nothing waits for room: clients ask again.
    pub fn transmit(mut self, len: usize) -> bool {
        match self.frame.take() {
            Some(frame) => self.outlet.transmit(frame, self.offset, len),
            None => false,
        }
    }
}

const HOLDS_FRAME: &str = "a packet holds its frame until it is consumed";

impl Drop for RxPacket<'_> {
    fn drop(&mut self) {
        if let Some(frame) = self.frame.take() {
            self.outlet.recycle(frame);
        }
    }
}

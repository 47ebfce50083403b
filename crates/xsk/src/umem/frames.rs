#![allow(unsafe_code)]

use std::ops::Range;

use super::geometry::Geometry;
use super::region::Region;

/// Who owns a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum FrameState {
    /// On the stack of free frames.
    Free,
    /// The kernel's: in the fill ring, in the driver, or received and not yet looked at.
    Fill,
    /// Held as a [`Frame`].
    User,
    /// The kernel's: in the TX ring, in the driver, or completed and not yet looked at.
    Tx,
    /// Given to the kernel for transmission and not heard of since.
    Quarantine,
}

/// A frame that user space owns. Neither `Clone` nor `Copy`: it ends by being given away.
#[derive(Debug)]
#[must_use = "a frame that is not given back is lost to the queue"]
pub(crate) struct Frame(u32);

/// How many frames are where. The sum never changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Free for any use.
    pub free: u32,
    /// With the kernel, to be received into.
    pub fill: u32,
    /// Held by a handler.
    pub user: u32,
    /// With the kernel, to be transmitted.
    pub tx: u32,
    /// With the kernel for so long that no completion is waited for.
    pub quarantine: u32,
}

impl Census {
    /// All frames of the queue.
    pub const fn total(&self) -> u32 {
        self.free + self.fill + self.user + self.tx + self.quarantine
    }
}

/// Why an RX descriptor is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RxFault {
    /// No such frame, or one that the kernel was not given to receive into.
    Foreign,
    /// The packet doesn't lie inside its frame. The frame is free again.
    Malformed,
}

/// What a completion meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completed {
    /// The frame is free again.
    Expected,
    /// The frame had been given up, and is free again.
    Late,
    /// No such frame, or one that was not in transmission. Nothing has changed.
    Unexpected,
}

/// Memory and ownership of all frames of one queue.
#[derive(Debug)]
pub(crate) struct Umem {
    region: Region,
    states: Box<[FrameState]>,
    /// The epoch in which a frame was given to the TX ring, wrapping.
    sent: Box<[u8]>,
    /// Indices of free frames, the one last used on top (its bytes are the likeliest to be in a cache).
    free: Vec<u32>,
    in_tx: u32,
    quarantined: u32,
}

impl Umem {
    pub(crate) fn new(region: Region) -> Self {
        let frames = region.geometry().frames();
        Self {
            region,
            states: vec![FrameState::Free; frames as usize].into(),
            sent: vec![0; frames as usize].into(),
            free: (0..frames).rev().collect(),
            in_tx: 0,
            quarantined: 0,
        }
    }

    pub(crate) const fn geometry(&self) -> &Geometry {
        self.region.geometry()
    }

    /// Frames on the stack of free ones.
    pub(crate) fn free(&self) -> u32 {
        self.free.len() as u32
    }

    /// Frames whose completion is waited for.
    pub(crate) const fn in_tx(&self) -> u32 {
        self.in_tx
    }

    /// Frames given up.
    pub(crate) const fn quarantined(&self) -> u32 {
        self.quarantined
    }

    /// Takes a free frame.
    pub(crate) fn take(&mut self) -> Option<Frame> {
        let index = self.free.pop()?;
        self.states[index as usize] = FrameState::User;
        Some(Frame(index))
    }

    /// Frees a frame.
    pub(crate) fn put_back(&mut self, Frame(index): Frame) {
        debug_assert_eq!(self.states[index as usize], FrameState::User);
        self.states[index as usize] = FrameState::Free;
        // Never grows: a frame is on the stack only while it is free.
        self.free.push(index);
    }

    /// Gives a frame to the kernel to receive into; what is returned belongs into the fill ring.
    pub(crate) fn give_to_fill(&mut self, Frame(index): Frame) -> u64 {
        debug_assert_eq!(self.states[index as usize], FrameState::User);
        self.states[index as usize] = FrameState::Fill;
        self.geometry().address(index, 0)
    }

    /// The bytes of a received packet whose frame is still to be taken over by [`Umem::receive`].
    pub(crate) fn received(&self, address: u64, len: u32) -> Option<&[u8]> {
        let (index, offset) = self.geometry().locate(address)?;
        let end = offset.checked_add(len)?;
        if self.states[index as usize] != FrameState::Fill
            || len == 0
            || end > self.geometry().chunk_bytes()
        {
            return None;
        }
        // SAFETY: whoever asks has read the address from the RX ring, by whose protocol the kernel has given the frame
        // back. No Frame of it exists, since its state is not User, and none can be made while self is borrowed: there
        // is no mutable reference to its bytes.
        Some(unsafe { self.region.bytes(index, offset..end) })
    }

    /// Takes a received packet's frame over from the kernel; also tells where in it the packet starts.
    pub(crate) fn receive(&mut self, address: u64, len: u32) -> Result<(Frame, u32), RxFault> {
        let (index, offset) = self.geometry().locate(address).ok_or(RxFault::Foreign)?;
        if self.states[index as usize] != FrameState::Fill {
            return Err(RxFault::Foreign);
        }
        self.states[index as usize] = FrameState::User;
        let frame = Frame(index);
        let end = u64::from(offset) + u64::from(len);
        if len == 0 || end > u64::from(self.geometry().chunk_bytes()) {
            self.put_back(frame);
            return Err(RxFault::Malformed);
        }
        Ok((frame, offset))
    }

    /// Gives a frame to the kernel for transmission; what is returned, the address of the byte at `offset`, belongs into
    /// the TX ring.
    pub(crate) fn give_to_tx(&mut self, Frame(index): Frame, offset: u32, epoch: u8) -> u64 {
        debug_assert_eq!(self.states[index as usize], FrameState::User);
        self.states[index as usize] = FrameState::Tx;
        self.sent[index as usize] = epoch;
        self.in_tx += 1;
        self.geometry().address(index, offset)
    }

    /// Takes a frame back whose transmission the kernel says is over.
    pub(crate) fn complete(&mut self, address: u64) -> Completed {
        let Some((index, _)) = self.geometry().locate(address) else {
            return Completed::Unexpected;
        };
        let outcome = match self.states[index as usize] {
            FrameState::Tx => {
                self.in_tx -= 1;
                Completed::Expected
            }
            FrameState::Quarantine => {
                self.quarantined -= 1;
                Completed::Late
            }
            FrameState::Free | FrameState::Fill | FrameState::User => return Completed::Unexpected,
        };
        self.states[index as usize] = FrameState::Free;
        self.free.push(index);
        outcome
    }

    /// Gives up frames that have been in transmission for `age` epochs or more; returns how many.
    pub(crate) fn quarantine(&mut self, epoch: u8, age: u8) -> u32 {
        let mut moved = 0;
        for (state, sent) in self.states.iter_mut().zip(&self.sent) {
            if *state == FrameState::Tx && epoch.wrapping_sub(*sent) >= age {
                *state = FrameState::Quarantine;
                moved += 1;
            }
        }
        self.in_tx -= moved;
        self.quarantined += moved;
        moved
    }

    /// The bytes `range` of a frame, counted from the start of its chunk.
    pub(crate) fn bytes_mut(&mut self, frame: &mut Frame, range: Range<u32>) -> &mut [u8] {
        debug_assert_eq!(self.states[frame.0 as usize], FrameState::User);
        // SAFETY: whoever holds a Frame owns it: it is made only by `take` and `receive`, when the kernel has given the
        // frame back by the ring protocol, and ended by giving it away. Frame and Umem are both borrowed for as long as
        // the bytes are, so there is no second reference. A Frame of another Umem can't come here: each queue has one,
        // and keeps its frames to itself.
        unsafe { self.region.bytes_mut(frame.0, range) }
    }

    /// The bytes `range` of a frame, counted from the start of its chunk, to be read.
    pub(crate) fn bytes(&self, frame: &Frame, range: Range<u32>) -> &[u8] {
        debug_assert_eq!(self.states[frame.0 as usize], FrameState::User);
        // SAFETY: as in `bytes_mut`; the shared borrows of Frame and Umem keep mutable references away.
        unsafe { self.region.bytes(frame.0, range) }
    }

    /// Counts the frames by their state, one by one.
    pub(crate) fn census(&self) -> Census {
        let mut census = Census::default();
        for state in &self.states {
            let count = match state {
                FrameState::Free => &mut census.free,
                FrameState::Fill => &mut census.fill,
                FrameState::User => &mut census.user,
                FrameState::Tx => &mut census.tx,
                FrameState::Quarantine => &mut census.quarantine,
            };
            *count += 1;
        }
        census
    }

    /// Whether stack, states and counts tell the same story, with no frame twice.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_consistent(&self) -> bool {
        let census = self.census();
        let mut on_stack = vec![false; self.states.len()];
        let each_once = self.free.iter().all(|&index| {
            let free = self.states[index as usize] == FrameState::Free;
            free && !std::mem::replace(&mut on_stack[index as usize], true)
        });
        each_once
            && census.free == self.free()
            && census.tx == self.in_tx
            && census.quarantine == self.quarantined
            && census.total() == self.geometry().frames()
    }
}

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::batch::{Each, Handler, receive};
use super::counters::{QueueCounters, XdpStatistics};
use super::error::QueueError;
use super::kernel::{Kernel, KernelRings};
use super::outlet::Outlet;
use super::packet::RxPacket;
use super::slot::MapSlot;
use super::wake::Kick;
use crate::ring::{Consumer, Producer, SharedRing};
use crate::sys::Descriptor;
use crate::umem::{Census, Frame, Umem};

/// An AF_XDP socket bound to one queue of one interface, with memory of its own.
///
/// It belongs to one thread at a time: it can be sent to another, but not shared.
///
/// ```no_run
/// # fn serve(mut queue: sluicegate_xsk::Queue) -> Result<(), sluicegate_xsk::QueueError> {
/// loop {
///     let received = queue.turn(&mut |mut packet| {
///         let len = packet.len();
///         packet.window()[..12].rotate_left(6); // swap the MAC addresses
///         packet.transmit(len);
///     })?;
///     if received == 0 {
///         queue.idle(std::time::Duration::from_millis(100), None)?;
///     }
/// }
/// # }
/// ```
///
/// # Ending
/// Dropping it empties its XSKMAP slot, takes what was still received, and closes the socket before the memory goes. Some
/// zero-copy drivers don't stand sockets being closed under an attached program: call [`Queue::retire`] on all queues,
/// drop the program's link, and then drop the queues.
///
/// After an error nothing works any more but [`Queue::counters`] and [`Queue::census`]; drop it and open a new one.
#[derive(Debug)]
pub struct Queue {
    // Dropped in this order: the map slot first, the outlet with socket and memory last.
    slot: Option<MapSlot>,
    pub(super) rx: Consumer<Descriptor, SharedRing<Descriptor>>,
    fill: Producer<u64, SharedRing<u64>>,
    pub(super) outlet: Outlet,
    limits: QueueLimits,
    failed: Option<QueueError>,
    empty_turns: u32,
    swept: Instant,
}

/// What a queue is told at its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimits {
    /// Frames that never go into the fill ring.
    pub(crate) tx_reserve: u32,
    /// Entries that the fill ring is kept filled with.
    pub(crate) fill_target: u32,
    /// The longest packet that is transmitted.
    pub(crate) max_frame_bytes: u32,
    /// Whether each turn drives the device by itself.
    pub(crate) busy_poll: bool,
}

/// What a queue is made of.
pub(crate) struct QueueParts {
    pub(crate) slot: Option<MapSlot>,
    pub(crate) rings: KernelRings,
    pub(crate) kernel: Box<dyn Kernel>,
    pub(crate) umem: Umem,
    pub(crate) limits: QueueLimits,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Woken {
    /// Packets wait in the RX ring.
    pub rx: bool,
    /// The other descriptor can be read.
    pub wake: bool,
}

/// The longest that a wait lasts: a socket whose interface is gone wakes nobody.
const IDLE_LIMIT: Duration = Duration::from_secs(1);
/// The longest that a wait lasts while packets wait in the TX ring.
const IDLE_LIMIT_TX: Duration = Duration::from_millis(1);
/// Turns without a packet after which the socket is asked whether it is still bound: some workers never wait.
const EMPTY_TURNS_PER_PROBE: u32 = 4096;
/// Impossible ring indices after which a queue is given up.
const CORRUPT_LIMIT: u64 = 1024;
/// How often overdue frames are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Sweeps that found the TX ring empty, after which a frame is overdue.
const OVERDUE_EPOCHS: u8 = 5;
/// Rounds, and the wait between them, for what is received while a queue retires.
const RETIRE_ROUNDS: u32 = 5;
const RETIRE_WAIT: Duration = Duration::from_millis(1);

impl Queue {
    /// Puts a queue together.
    pub(crate) fn new(parts: QueueParts) -> Self {
        let rings = parts.rings;
        Self {
            slot: parts.slot,
            rx: rings.rx,
            fill: rings.fill,
            outlet: Outlet {
                tx: rings.tx,
                completion: rings.completion,
                kernel: parts.kernel,
                umem: parts.umem,
                counters: QueueCounters::default(),
                max_frame_bytes: parts.limits.max_frame_bytes,
                epoch: 0,
            },
            limits: parts.limits,
            failed: None,
            empty_turns: 0,
            swept: Instant::now(),
        }
    }

    /// Hands up to 64 received packets to `handler`, sends what it transmitted, takes back what was sent, and gives the
    /// kernel new frames. Returns the number of packets handed over. Never waits.
    ///
    /// If the handler panics, the frame of its packet is freed, the packets before it are sent with the next turn, those
    /// behind it stay in the ring, and the panic goes on.
    ///
    /// # Errors
    /// [`QueueError`]; the packets of this turn have been handed over, but what was transmitted may be lost.
    pub fn turn(&mut self, handler: &mut impl FnMut(RxPacket<'_>)) -> Result<usize, QueueError> {
        self.turn_ahead(&mut Each(handler))
    }

    /// As [`Queue::turn`], but looks ahead: up to [`Queue::LOOK_AHEAD`] packets are looked at before the first of them is
    /// taken, so that what their answers need can be fetched from memory together.
    ///
    /// # Errors
    /// As [`Queue::turn`].
    pub fn turn_ahead(&mut self, handler: &mut impl Handler) -> Result<usize, QueueError> {
        self.check()?;
        let received = receive(self, handler);
        if received > 0 {
            self.empty_turns = 0;
        } else {
            self.empty_turns += 1;
            if self.empty_turns == EMPTY_TURNS_PER_PROBE {
                self.empty_turns = 0;
                self.guarded(|queue| queue.outlet.probe())?;
                self.sweep(Instant::now())?;
            }
        }
        self.service()?;
        Ok(received)
    }

    /// Makes a packet of one's own: `fill` writes it into a free frame and returns its length, or `None` to give up.
    ///
    /// `true` if the packet is in the TX ring; it leaves with the next [`Queue::turn`] or [`Queue::flush`]. `false` if
    /// `fill` gave up, no frame was free, the TX ring was full, or the length is not a packet's; the latter three are
    /// counted. The room is at least [`Queue::max_frame_bytes`].
    ///
    /// # Errors
    /// [`QueueError`], if the queue has failed before.
    pub fn transmit_with(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<bool, QueueError> {
        self.check()?;
        if self.outlet.tx.free(1) == 0 || self.outlet.umem.free() == 0 {
            self.outlet.tx.publish();
            self.guarded(|queue| queue.outlet.kick(Kick::IfAsked))?;
            self.outlet.harvest();
        }
        let outlet = &mut self.outlet;
        if outlet.tx.free(1) == 0 {
            outlet.counters.tx_full += 1;
            return Ok(false);
        }
        let Some(frame) = outlet.umem.take() else {
            outlet.counters.tx_no_frame += 1;
            return Ok(false);
        };
        let offset = outlet.umem.geometry().headroom_bytes();
        let mut local = LocalFrame {
            outlet,
            frame: Some(frame),
        };
        Ok(local.fill_and_send(offset, fill))
    }

    /// Sends what is in the TX ring, takes back what was sent, and gives the kernel new frames.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn flush(&mut self) -> Result<(), QueueError> {
        self.check()?;
        self.service()
    }

    /// Waits until packets arrive, `wake` can be read, or `timeout` is over; 100 ms at most, and less while packets wait
    /// to be sent. Then asks the kernel whether the socket is still bound, and wakes it if anything is outstanding.
    ///
    /// While packets wait already it returns at once, without a look at `wake`.
    ///
    /// # Errors
    /// [`QueueError`]; [`QueueError::Gone`] within 100 ms of the interface's end.
    pub fn idle(
        &mut self,
        timeout: Duration,
        wake: Option<BorrowedFd<'_>>,
    ) -> Result<Woken, QueueError> {
        self.flush()?;
        if self.rx.available(1) > 0 {
            return Ok(Woken {
                rx: true,
                wake: false,
            });
        }
        let limit = if self.outlet.tx.outstanding() > 0 {
            IDLE_LIMIT_TX
        } else {
            IDLE_LIMIT
        };
        let ready = self.outlet.kernel.wait(wake, timeout.min(limit));
        let (_, wake) = ready.or_else(|errno| {
            self.fail(QueueError::Os {
                call: "poll",
                errno,
            })
        })?;
        let rx = self.rx.available(1) > 0;
        if !rx {
            self.guarded(|queue| {
                queue.outlet.probe()?;
                queue.outlet.kick(Kick::Always)
            })?;
            self.sweep(Instant::now())?;
        }
        Ok(Woken { rx, wake })
    }

    /// Enters the socket into its XSKMAP slot again: repairs a slot that was emptied, and finds out whether another
    /// socket has taken it (packets of this queue are then lost, since the kernel doesn't deliver them across queues).
    /// `true` if the slot is this socket's.
    ///
    /// # Errors
    /// [`QueueError::Os`], which here is not final.
    pub fn reclaim_slot(&self) -> Result<bool, QueueError> {
        let Some(slot) = &self.slot else {
            return Ok(false);
        };
        match slot.reclaim(self) {
            Ok(()) => Ok(true),
            Err(errno) if errno.number() == libc::EEXIST => Ok(false),
            Err(errno) => Err(QueueError::Os { call: "bpf", errno }),
        }
    }

    /// Ends reception: empties the XSKMAP slot, drops what is still received (for at most 5 ms), and takes back what was
    /// sent. Packets go on to the kernel's own sockets from here on.
    pub fn retire(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.release(&self.outlet.kernel.fd());
        }
        for _ in 0..RETIRE_ROUNDS {
            let received = receive(self, &mut Each(&mut |packet: RxPacket<'_>| drop(packet)));
            let sent = self.failed.is_some() || self.outlet.kick(Kick::IfAsked).is_err();
            self.outlet.harvest();
            if received == 0 && (sent || self.outlet.umem.in_tx() == 0) {
                break;
            }
            // Redirects that had passed the slot already arrive within the kernel's current batch.
            let _ = self.outlet.kernel.wait(None, RETIRE_WAIT);
        }
    }

    /// The kernel's counts of this socket.
    ///
    /// # Errors
    /// [`QueueError::Os`], which here is not final.
    pub fn statistics(&self) -> Result<XdpStatistics, QueueError> {
        self.outlet
            .kernel
            .statistics()
            .map_err(|errno| QueueError::Os {
                call: "getsockopt",
                errno,
            })
    }

    /// Whether busy polling, if asked for, drives the device: known once a packet has been received. Devices without a
    /// NAPI instance of their own have no effect to show.
    pub fn polls_device(&self) -> bool {
        self.limits.busy_poll && self.outlet.kernel.napi_id() != 0
    }

    /// This queue's own counts.
    pub fn counters(&self) -> &QueueCounters {
        &self.outlet.counters
    }

    /// Where all frames are. Looks at each: not for every packet.
    pub fn census(&self) -> Census {
        self.outlet.umem.census()
    }

    /// The longest packet that can be transmitted, in bytes from the Ethernet header on: as much as the frame holds and
    /// the interface's MTU, as it was at the start, allows (with two VLAN tags).
    pub fn max_frame_bytes(&self) -> usize {
        self.outlet.max_frame_bytes as usize
    }

    /// Whether the books agree with each other: no frame in two places, and every sum right (feature `testing`).
    #[cfg(any(test, feature = "testing"))]
    pub fn is_consistent(&self) -> bool {
        self.outlet.umem.is_consistent()
    }

    /// Packets that wait in the TX ring for the next turn.
    #[cfg(test)]
    pub(crate) fn unpublished(&self) -> u32 {
        self.outlet.tx.unpublished()
    }

    /// Everything that a turn does beside handling packets.
    fn service(&mut self) -> Result<(), QueueError> {
        self.outlet.tx.publish();
        self.guarded(|queue| queue.outlet.kick(Kick::IfAsked))?;
        self.outlet.harvest();
        self.refill();
        if self.limits.busy_poll || self.fill.needs_wakeup() {
            self.guarded(|queue| queue.outlet.probe())?;
        }
        let corrupt = self.rx.corrupt()
            + self.fill.corrupt()
            + self.outlet.tx.corrupt()
            + self.outlet.completion.corrupt();
        self.outlet.counters.ring_corrupt = corrupt;
        if corrupt > CORRUPT_LIMIT {
            return self.fail(QueueError::Poisoned);
        }
        Ok(())
    }

    fn refill(&mut self) {
        if refill(&mut self.fill, &mut self.outlet.umem, &self.limits) == Refilled::Starved {
            self.outlet.counters.fill_starved += 1;
        }
    }

    /// Once a second gives up frames whose completion never came; if the kernel keeps most of them, the queue is done.
    fn sweep(&mut self, now: Instant) -> Result<(), QueueError> {
        if now.duration_since(self.swept) < SWEEP_INTERVAL {
            return Ok(());
        }
        self.swept = now;
        self.age_frames()
    }

    /// One epoch passes. Packets that still wait in the TX ring (the interface may be down) are not overdue.
    pub(crate) fn age_frames(&mut self) -> Result<(), QueueError> {
        if self.outlet.tx.outstanding() > 0 {
            return Ok(());
        }
        self.outlet.epoch = self.outlet.epoch.wrapping_add(1);
        let moved = self
            .outlet
            .umem
            .quarantine(self.outlet.epoch, OVERDUE_EPOCHS);
        self.outlet.counters.tx_quarantined += u64::from(moved);
        if self.outlet.umem.quarantined() > self.outlet.umem.geometry().frames() / 2 {
            return self.fail(QueueError::Poisoned);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), QueueError> {
        self.failed.map_or(Ok(()), Err)
    }

    fn guarded(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), QueueError>,
    ) -> Result<(), QueueError> {
        work(self).or_else(|error| self.fail(error))
    }

    /// Remembers that the queue is done.
    fn fail<T>(&mut self, error: QueueError) -> Result<T, QueueError> {
        self.failed = Some(error);
        Err(error)
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.outlet.kernel.fd()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.slot.is_some() {
            self.retire();
        }
    }
}

/// How a refill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refilled {
    /// The fill ring is at its target.
    Full,
    /// There were too few free frames for that.
    Starved,
}

/// Gives the kernel frames to receive into, but never those kept for transmission.
pub(crate) fn refill(
    fill: &mut Producer<u64, SharedRing<u64>>,
    umem: &mut Umem,
    limits: &QueueLimits,
) -> Refilled {
    let missing = limits.fill_target.saturating_sub(fill.outstanding());
    let room = fill.free(missing).min(missing);
    let spare = umem.free().saturating_sub(limits.tx_reserve);
    for _ in 0..room.min(spare) {
        let Some(frame) = umem.take() else { break };
        let pushed = fill.push(umem.give_to_fill(frame));
        debug_assert!(pushed, "there was room, and we are the only producer");
    }
    fill.publish();
    if spare < room {
        Refilled::Starved
    } else {
        Refilled::Full
    }
}

/// A free frame that a packet is being written into; freed again if that ends early.
struct LocalFrame<'q> {
    outlet: &'q mut Outlet,
    frame: Option<Frame>,
}

impl LocalFrame<'_> {
    fn fill_and_send(
        &mut self,
        offset: u32,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let Some(frame) = self.frame.as_mut() else {
            return false;
        };
        let Some(len) = fill(self.outlet.window(frame, offset)) else {
            return false;
        };
        match self.frame.take() {
            Some(frame) => self.outlet.transmit(frame, offset, len),
            None => false,
        }
    }
}

impl Drop for LocalFrame<'_> {
    fn drop(&mut self) {
        if let Some(frame) = self.frame.take() {
            self.outlet.umem.put_back(frame);
        }
    }
}

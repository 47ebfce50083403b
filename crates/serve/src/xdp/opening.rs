use sluicegate_bpf::{MAX_BROADCAST, MAX_LISTEN, MAX_QUEUES};
use sluicegate_conf::XdpConfig;
use sluicegate_xsk::nic::{Nic, NicCaps};

use super::facts::Target;
use super::{Reason, Rung};

/// How an interface is to be opened, as far as it can be known before anything is touched.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    /// Queues 0 to this, exclusive, get a worker.
    pub(super) served_queues: u32,
    /// RX and TX queues there are.
    pub(super) queues: (u32, u32),
    caps: NicCaps,
}

/// Size of a UMEM frame. Larger ones would take the memory of two pages for queries of 60 bytes.
pub(super) const CHUNK_BYTES: u32 = 2048;
/// What of a UMEM frame is left for a packet: the kernel keeps `XDP_PACKET_HEADROOM` bytes in front.
pub(super) const MAX_FRAME_BYTES: u32 = CHUNK_BYTES - 256;
/// Ethernet header and two VLAN tags.
const LINK_BYTES: u32 = 14 + 8;

impl Opening {
    /// Asks the interface what it has and compares that with what is wanted.
    ///
    /// # Errors
    /// Why there can be no fast path, on any rung.
    pub(super) fn plan(nic: &Nic, xdp: &XdpConfig, target: &Target) -> Result<Self, Reason> {
        fits(target)?;
        let caps = nic.caps().clone();
        let queues = Self::queues(&caps);
        // A socket on a queue without a TX queue of its own can't send: its packets stay with the kernel.
        let both = queues.0.min(queues.1);
        let served_queues = both
            .min(xdp.queues.unwrap_or(MAX_QUEUES))
            .clamp(1, MAX_QUEUES);
        Ok(Self {
            served_queues,
            queues,
            caps,
        })
    }

    /// RX and TX queues in use.
    pub(super) fn queues(caps: &NicCaps) -> (u32, u32) {
        let rx = caps.rx_queues();
        let tx = caps
            .channels
            .map_or(rx, |channels| channels.tx.saturating_add(channels.combined));
        (rx, tx)
    }

    /// Why a rung need not be tried.
    pub(super) fn unfit(&self, rung: Rung) -> Option<&'static str> {
        // A kernel too old to tell its features is asked by trying.
        let features = self.caps.features?;
        match rung {
            Rung::ZeroCopy if !features.zero_copy => Some("the driver has no zero-copy"),
            Rung::ZeroCopy | Rung::Copy if !features.basic || !features.redirect => {
                Some("the driver has no native XDP with redirects")
            }
            _ => None,
        }
    }
}

fn fits(target: &Target) -> Result<(), Reason> {
    let mtu_bytes = target.link.mtu_bytes;
    let frame_bytes = mtu_bytes.saturating_add(LINK_BYTES);
    if frame_bytes > MAX_FRAME_BYTES {
        return Err(Reason::Mtu {
            mtu_bytes,
            frame_bytes,
            max_bytes: MAX_FRAME_BYTES,
        });
    }
    for (count, max) in [
        (target.listen.len(), MAX_LISTEN),
        (target.broadcast.len(), MAX_BROADCAST),
    ] {
        if count > max {
            return Err(Reason::TooManyAddresses { count, max });
        }
    }
    Ok(())
}

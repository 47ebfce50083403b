/// What a queue has done and met with since it was opened. All are sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueCounters {
    /// Packets handed to a handler.
    pub rx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Packets that the handler dropped (its frame went back to the free ones).
    pub rx_recycled: u64,
    /// Packets put into the TX ring.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Frames that the kernel gave back after transmission. It doesn't say whether the packet left.
    pub tx_completed: u64,
    /// Packets lost since the TX ring was full.
    pub tx_full: u64,
    /// Local packets not made since no frame was free.
    pub tx_no_frame: u64,
    /// Packets refused for their length: shorter than an Ethernet header, or larger than frame or MTU allow.
    pub tx_bad_length: u64,

    /// `sendto` calls.
    pub kicks_tx: u64,
    /// `recvfrom` calls, probes included.
    pub kicks_rx: u64,
    /// Kicks answered by `EAGAIN` or `ENOBUFS`: a budget was spent, or the driver's queue was full.
    pub kicks_again: u64,
    /// Kicks answered by `EBUSY`: in copy mode the device dropped a packet (its peer has no carrier, for one).
    pub kicks_busy: u64,
    /// Kicks answered by `ENETDOWN`: the interface is down.
    pub kicks_down: u64,

    /// Turns that ended with too few free frames to fill the fill ring to its target.
    pub fill_starved: u64,
    /// RX descriptors of frames that the kernel was not given to receive into.
    pub rx_foreign: u64,
    /// RX descriptors of packets that don't lie inside their frame.
    pub rx_malformed: u64,
    /// Completions of frames that were not in transmission: duplicates, or forged.
    pub tx_unexpected: u64,
    /// Frames given up since no completion came for seconds.
    pub tx_quarantined: u64,
    /// Frames given up that were completed later.
    pub tx_late: u64,
    /// Ring indices of the kernel that could not be true.
    pub ring_corrupt: u64,
}

impl QueueCounters {
    /// Things that a right kernel and a right driver never do.
    pub const fn anomalies(&self) -> u64 {
        self.rx_foreign
            + self.rx_malformed
            + self.tx_unexpected
            + self.tx_quarantined
            + self.ring_corrupt
    }
}

/// The kernel's own counts of a socket (`XDP_STATISTICS`), without its double counting. All are sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct XdpStatistics {
    /// Packets dropped since the fill ring had no frame for them. The kernel also counts them as dropped "for other
    /// reasons"; here they are not.
    pub rx_fill_ring_empty: u64,
    /// Packets dropped since the RX ring was full.
    pub rx_ring_full: u64,
    /// Packets dropped for other reasons: larger than a frame, for one.
    pub rx_dropped_otherwise: u64,
    /// Fill ring entries that named no frame.
    pub rx_invalid_descriptors: u64,
    /// TX descriptors that the kernel found invalid.
    pub tx_invalid_descriptors: u64,
    /// Times the kernel found the TX ring empty. Not a fault.
    pub tx_ring_empty: u64,
}

impl XdpStatistics {
    /// Packets that were redirected to this socket and lost.
    pub const fn rx_lost(&self) -> u64 {
        self.rx_fill_ring_empty + self.rx_ring_full + self.rx_dropped_otherwise
    }
}

impl From<libc::xdp_statistics> for XdpStatistics {
    fn from(raw: libc::xdp_statistics) -> Self {
        Self {
            rx_fill_ring_empty: raw.rx_fill_ring_empty_descs,
            rx_ring_full: raw.rx_ring_full,
            rx_dropped_otherwise: raw.rx_dropped.saturating_sub(raw.rx_fill_ring_empty_descs),
            rx_invalid_descriptors: raw.rx_invalid_descs,
            tx_invalid_descriptors: raw.tx_invalid_descs,
            tx_ring_empty: raw.tx_ring_empty_descs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::XdpStatistics;

    #[test]
    fn starved_packets_are_counted_once() {
        let statistics = XdpStatistics::from(libc::xdp_statistics {
            rx_dropped: 7,
            rx_invalid_descs: 1,
            tx_invalid_descs: 2,
            rx_ring_full: 3,
            rx_fill_ring_empty_descs: 5,
            tx_ring_empty_descs: 4,
        });
        assert_eq!(statistics.rx_fill_ring_empty, 5);
        assert_eq!(statistics.rx_dropped_otherwise, 2);
        assert_eq!(statistics.rx_lost(), 7 + 3);
    }
}

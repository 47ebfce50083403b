use sluicegate_bpf::{MAX_BROADCAST, MAX_LISTEN, MAX_QUEUES};
use sluicegate_conf::{XdpConfig, XdpMode};
use sluicegate_xsk::nic::{Nic, NicCaps, zero_copy_sound_since};

use super::Target;
use super::{Reason, Rung};

/// How an interface is to be opened, as far as it can be known before anything is touched.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    /// Queues 0 to this, exclusive, get a worker.
    pub(super) served_queues: u32,
    /// RX and TX queues there are.
    pub(super) queues: (u32, u32),
    caps: NicCaps,
    /// The longest frame of the interface, if it doesn't fit a UMEM frame.
    large_bytes: Option<u32>,
    /// Rungs to be left alone, unless the operator asks for them: on this kernel, or with this driver, they are broken.
    avoided: Vec<(Rung, &'static str)>,
    /// Whether the operator left the mode open.
    auto: bool,
    /// No packet for us comes in now, so that generic mode can't be tested.
    untested: bool,
    /// The longest that our TX ring, and the frames, let a queue of packets to be sent grow.
    tx_packets: u32,
}

/// Size of a UMEM frame. Larger ones would take the memory of two pages for queries of 60 bytes.
pub(super) const CHUNK_BYTES: u32 = 2048;
/// What of a UMEM frame is left for a packet: the kernel keeps `XDP_PACKET_HEADROOM` bytes in front.
pub(super) const MAX_FRAME_BYTES: u32 = CHUNK_BYTES - 256;
/// Generic mode on an interface that nothing for us comes in by.
const STANDS_BY: &str = "it stands by, and is tested when packets for us come in there";
/// Ethernet header and two VLAN tags.
const LINK_BYTES: u32 = 14 + 8;

impl Opening {
    /// Asks the interface what it has and compares that with what is wanted.
    ///
    /// # Errors
    /// Why there can be no fast path, on any rung.
    pub(super) fn plan(nic: &Nic, xdp: &XdpConfig, target: &Target) -> Result<Self, Reason> {
        let caps = nic.caps().clone();
        let frags = takes_frags(&caps);
        // Of a program of somebody else's we hope that it leaves large frames to the kernel.
        let bears = frags || xdp.mode == XdpMode::Generic || xdp.pinned_maps.is_some();
        let large_bytes = fits(target, bears)?;
        let queues = Self::queues(&caps);
        // A socket on a queue without a TX queue of its own can't send: its packets stay with the kernel.
        let both = queues.0.min(queues.1);
        let served_queues = both
            .min(xdp.queues.unwrap_or(MAX_QUEUES))
            .clamp(1, MAX_QUEUES);
        Ok(Self {
            served_queues,
            queues,
            large_bytes,
            avoided: avoided(caps.driver.as_deref(), &kernel_release()),
            auto: xdp.mode == XdpMode::Auto,
            untested: target.listen.is_empty() && xdp.pinned_maps.is_none(),
            tx_packets: xdp.tx_ring.clamp(64, 32_768).min(xdp.frames / 2),
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

    /// Whether the interface waits for its turn to carry packets for us, and generic mode for the test that it then has.
    pub(super) fn stands_by(&self) -> bool {
        self.unfit(Rung::Generic) == Some(STANDS_BY)
    }

    /// Packets that may wait to be completed in a queue that is well: half of the larger of our TX ring and the device's.
    /// Some drivers (ice, i40e of old) complete in quarters of theirs, and with few queries that takes long.
    pub(super) fn tx_batch(&self, rung: Rung) -> u32 {
        let device = self.caps.rings.map_or(0, |rings| rings.tx);
        let device = if rung == Rung::ZeroCopy { device } else { 0 };
        (device.max(self.tx_packets) / 2).min(self.tx_packets)
    }

    /// Why a rung need not be tried.
    pub(super) fn unfit(&self, rung: Rung) -> Option<&'static str> {
        match rung {
            Rung::ZeroCopy if self.large_bytes.is_some() => {
                return Some("its MTU makes frames that are larger than a UMEM frame");
            }
            // Each large frame that is not for us would be copied into one piece, or dropped where there is none.
            Rung::Generic if self.large_bytes.is_some() && self.auto => {
                return Some(
                    "its MTU makes frames that the kernel would have to copy; `mode: generic` tries it all the same",
                );
            }
            _ => {}
        }
        let broken = self.avoided.iter().find(|(avoided, _)| *avoided == rung);
        if let Some((_, why)) = broken.filter(|_| self.auto) {
            return Some(why);
        }
        // Untested it might swallow what else comes in there.
        if rung == Rung::Generic && self.untested && self.auto {
            return Some(STANDS_BY);
        }
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

/// The longest frame, if it doesn't fit a UMEM frame and such ones `may_be` there all the same: they are left to the
/// kernel.
fn fits(target: &Target, may_be: bool) -> Result<Option<u32>, Reason> {
    let mtu_bytes = target.link.mtu_bytes;
    let frame_bytes = mtu_bytes.saturating_add(LINK_BYTES);
    let large_bytes = (frame_bytes > MAX_FRAME_BYTES).then_some(frame_bytes);
    if large_bytes.is_some() && !may_be {
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
    Ok(large_bytes)
}

/// The running kernel's release, as `uname -r` prints it; empty where /proc is missing.
fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default()
}

/// Rungs that are known to fail with a driver on a kernel, and what to say of them.
fn avoided(driver: Option<&str>, release: &str) -> Vec<(Rung, &'static str)> {
    let mut avoided = Vec::new();
    if breaks_zero_copy(driver, release) {
        avoided.push((
            Rung::ZeroCopy,
            "this driver's is reported to panic on kernels as old as this one; `mode: zero-copy` tries it all the same",
        ));
    }
    if breaks_generic_transmit(release) {
        avoided.push((
            Rung::Generic,
            "known to fail on this kernel's release; `mode: generic` tries it all the same",
        ));
    }
    avoided
}

/// Whether a kernel's generic AF_XDP is reported to panic or to refuse transmission: 6.17, and 6.12.57 which
/// took over the same change (reports: xsk-rs 49 and Quilkin's CI). Not confirmed by a test of ours.
fn breaks_generic_transmit(release: &str) -> bool {
    matches!(version(release), [6, 17, _] | [6, 12, 57])
}

/// Whether a driver's zero-copy is reported to bring down a kernel as old as this one.
fn breaks_zero_copy(driver: Option<&str>, release: &str) -> bool {
    let sound = driver.and_then(zero_copy_sound_since);
    sound.is_some_and(|first| version(release) < first)
}

/// Whether a program for frames in several pieces can be used: the driver takes it, and what is small enough in such
/// pieces reaches our sockets whole.
pub(crate) fn takes_frags(caps: &NicCaps) -> bool {
    caps.features.is_some_and(|features| features.rx_sg) && copies_frags(&kernel_release())
}

/// Whether a kernel's AF_XDP copies all pieces of a frame that a driver received in several (6.6 and later), and not just
/// the first.
fn copies_frags(release: &str) -> bool {
    version(release) >= [6, 6, 0]
}

fn version(release: &str) -> [u32; 3] {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use sluicegate_places::{Plan, Topology};
    use sluicegate_xsk::nic::{Address, Link, RingSizes};

    use super::*;

    /// An interface with an address, which nothing for us comes in by if it stands by.
    fn opening(xdp: &XdpConfig, stands_by: bool) -> Opening {
        let mut link = Link::default();
        (link.index, link.name, link.up) = (2, "eth0".to_owned(), true);
        link.mac = Some([2, 0, 0, 0, 0, 1]);
        let address = Address {
            ifindex: 2,
            ip: [192, 0, 2, 1].into(),
            prefix_len: 24,
        };
        let topology = Topology::new(vec![link], vec![address]);
        let mut plan = Plan::of(&topology, &["0.0.0.0:53".parse().unwrap()]);
        let mut target = plan.places.remove(&2).unwrap();
        assert!(!target.listen.is_empty());
        if stands_by {
            target.listen.clear();
        }
        // Any that is there: its facts are set where they matter.
        let nic = Nic::by_name("lo").unwrap();
        let mut opening = Opening::plan(&nic, xdp, &target).unwrap();
        opening.avoided.clear();
        opening
    }

    /// A bond's backup, a port that spanning tree blocks, the card below a VLAN that is down.
    #[test]
    fn generic_mode_waits_for_packets_to_be_tested_with() {
        let auto = XdpConfig::default();
        assert!(opening(&auto, true).stands_by());
        assert_eq!(opening(&auto, false).unfit(Rung::Generic), None);
        // Who asks for it by name gets it without a test.
        let generic = XdpConfig {
            mode: XdpMode::Generic,
            ..auto.clone()
        };
        assert!(!opening(&generic, true).stands_by());
        assert_eq!(opening(&generic, true).unfit(Rung::Generic), None);
        let mut broken = opening(&auto, true);
        broken.avoided = avoided(None, "6.17.0");
        assert!(!broken.stands_by(), "that won't pass");
    }

    #[test]
    fn half_a_ring_may_wait_to_be_completed() {
        let with = |rung, tx| {
            let mut opening = opening(&XdpConfig::default(), false);
            let mut rings = RingSizes::default();
            rings.tx = tx;
            opening.caps.rings = Some(rings);
            opening.tx_batch(rung)
        };
        assert_eq!(with(Rung::ZeroCopy, 2048), 1024);
        assert_eq!(with(Rung::ZeroCopy, 512), 1024, "our own ring's");
        // More than our ring can't wait where the device takes nothing.
        assert_eq!(with(Rung::ZeroCopy, 8192), 2048);
        assert_eq!(with(Rung::Copy, 8192), 1024, "the device has none of them");
    }

    #[test]
    fn zero_copy_that_panics_is_left_alone() {
        let zero_copy = |mode, driver: &str, release| {
            let xdp = XdpConfig {
                mode,
                ..XdpConfig::default()
            };
            let mut opening = opening(&xdp, false);
            opening.caps.features = None;
            opening.avoided = avoided(Some(driver), release);
            opening.unfit(Rung::ZeroCopy)
        };
        let auto = XdpMode::Auto;
        for release in ["6.1.0-50-amd64", "6.10.3", "5.18"] {
            let why = zero_copy(auto, "ice", release);
            assert!(why.is_some_and(|why| why.contains("panic")), "{release}");
        }
        // A kernel whose release can't be read is not old for sure, and is not trusted either.
        assert!(zero_copy(auto, "ice", "").is_some());
        assert_eq!(zero_copy(auto, "ice", "6.10.4"), None);
        assert_eq!(zero_copy(auto, "ice", "6.12.107+deb13-amd64"), None);
        assert_eq!(zero_copy(auto, "igb", "6.1.0-50-amd64"), None);
        // Who asks for it by name gets it.
        assert_eq!(zero_copy(XdpMode::ZeroCopy, "ice", "6.1.0"), None);
    }

    #[test]
    fn kernels_with_a_broken_generic_mode() {
        for release in [
            "6.17.12-generic",
            "6.17",
            "6.17.0-rc3+",
            "6.12.57+deb13-amd64\n",
        ] {
            assert!(breaks_generic_transmit(release), "{release}");
        }
        for release in [
            "6.18.44-fc",
            "6.12.58",
            "6.12.5",
            "6.1.0-57-amd64",
            "5.17.0",
            "",
            "next",
        ] {
            assert!(!breaks_generic_transmit(release), "{release}");
        }
    }

    #[test]
    fn kernels_that_copy_all_pieces() {
        for release in ["6.6.0", "6.6", "6.18.44-fc", "7.2.1+deb14-amd64\n", "10.0"] {
            assert!(copies_frags(release), "{release}");
        }
        for release in ["6.5.13", "6.1.0-57-amd64", "5.18", "", "next"] {
            assert!(!copies_frags(release), "{release}");
        }
    }
}

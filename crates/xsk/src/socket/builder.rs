use std::fmt;
use std::os::fd::AsFd;
use std::time::Duration;

use super::bind;
use super::error::BindError;
use super::unbound::UnboundSocket;
use crate::nic::Nic;
use crate::queue::Queue;
use crate::umem::{HugePages, MemoryReport};

/// How packets get between device and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Zero-copy if it can be had, copying otherwise.
    #[default]
    Auto,
    /// The device reads and writes the frames itself.
    ZeroCopy,
    /// The kernel copies. Whether the program runs in the driver or in the generic hook is up to how it was attached.
    Copy,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
        })
    }
}

/// Busy polling: the queue's thread drives the device instead of an interrupt. Needs `CAP_NET_ADMIN`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BusyPoll {
    /// Interrupts, as usual.
    #[default]
    Off,
    /// Each turn polls the device.
    On {
        /// For how long a call may poll, in microseconds.
        usecs: u32,
        /// How many packets a call may take; more than 64 needs privileges.
        budget: u32,
    },
}

/// How a queue is to be opened.
///
/// ```no_run
/// # fn open(nic: &sluicegate_xsk::nic::Nic, xsks: &impl std::os::fd::AsFd) -> Result<(), sluicegate_xsk::BindError> {
/// use sluicegate_xsk::{Mode, QueueBuilder};
/// let (queue, report) = QueueBuilder::new(nic, 0).frames(4096).mode(Mode::Copy).open(xsks)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct QueueBuilder {
    pub(super) interface: String,
    pub(super) ifindex: u32,
    pub(super) mtu_bytes: u32,
    pub(super) zero_copy_offered: Option<bool>,
    pub(super) nic_queues: u32,
    pub(super) nic_rx_ring: u32,
    pub(super) numa_node: Option<u32>,
    pub(super) queue: u32,
    pub(super) frames: u32,
    pub(super) chunk_bytes: u32,
    pub(super) headroom_bytes: u32,
    pub(super) rx_entries: u32,
    pub(super) tx_entries: u32,
    pub(super) tx_reserve: Option<u32>,
    pub(super) mode: Mode,
    pub(super) huge_pages: HugePages,
    pub(super) busy_poll: BusyPoll,
    pub(super) patience: Duration,
}

/// What was opened, and why nothing better.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BindReport {
    /// What the socket does: zero-copy or copy.
    pub mode: Mode,
    /// The modes tried before, each with its reason for not working.
    pub failed: Vec<(Mode, BindError)>,
    /// How long the queue was busy: the kernel releases sockets asynchronously.
    pub waited: Duration,
    /// The memory.
    pub memory: MemoryReport,
    /// Frames.
    pub frames: u32,
    /// Entries of the RX, TX, fill and completion rings.
    pub ring_entries: [u32; 4],
    /// Whether one system call may send a whole batch in copy mode (`XDP_MAX_TX_SKB_BUDGET`); 32 packets otherwise.
    pub tx_budget: bool,
    /// Whether the kernel took the options for busy polling (it wants `CAP_NET_ADMIN`); `None` if it wasn't asked for.
    /// Whether it has an effect is known after the first packet: [`Queue::polls_device`].
    pub busy_poll: Option<bool>,
}

const DEFAULT_FRAMES: u32 = 8192;
const DEFAULT_RING_ENTRIES: u32 = 2048;
const DEFAULT_PATIENCE: Duration = Duration::from_secs(2);

impl QueueBuilder {
    /// Queue `queue` of `nic`, with 8192 frames of 2048 bytes and rings of 2048 entries, in the best mode.
    pub fn new(nic: &Nic, queue: u32) -> Self {
        let caps = nic.caps();
        Self {
            interface: nic.name().to_owned(),
            ifindex: nic.index(),
            mtu_bytes: caps.mtu_bytes,
            zero_copy_offered: caps.features.map(|features| features.zero_copy),
            nic_queues: caps.rx_queues(),
            nic_rx_ring: caps.rings.map_or(0, |rings| rings.rx),
            numa_node: caps.numa_node,
            queue,
            frames: DEFAULT_FRAMES,
            chunk_bytes: 2048,
            headroom_bytes: 0,
            rx_entries: DEFAULT_RING_ENTRIES,
            tx_entries: DEFAULT_RING_ENTRIES,
            tx_reserve: None,
            mode: Mode::Auto,
            huge_pages: HugePages::Try,
            busy_poll: BusyPoll::Off,
            patience: DEFAULT_PATIENCE,
        }
    }

    /// The number of frames, 8 to 1,048,576.
    #[must_use]
    pub const fn frames(mut self, frames: u32) -> Self {
        self.frames = frames;
        self
    }

    /// Bytes of a frame: 2048 or 4096. Packets have 256 bytes (and the headroom) less.
    #[must_use]
    pub const fn chunk(mut self, chunk_bytes: u32) -> Self {
        self.chunk_bytes = chunk_bytes;
        self
    }

    /// Bytes kept free before each received packet, beside the 256 that the kernel keeps.
    #[must_use]
    pub const fn headroom(mut self, headroom_bytes: u32) -> Self {
        self.headroom_bytes = headroom_bytes;
        self
    }

    /// Entries of the RX and TX rings, rounded up to powers of two, 64 to 32,768.
    #[must_use]
    pub const fn rings(mut self, rx_entries: u32, tx_entries: u32) -> Self {
        self.rx_entries = rx_entries;
        self.tx_entries = tx_entries;
        self
    }

    /// Frames that are never given to the kernel to receive into, so that transmission always has some; an eighth of all
    /// if not set.
    #[must_use]
    pub const fn tx_reserve(mut self, frames: u32) -> Self {
        self.tx_reserve = Some(frames);
        self
    }

    /// The mode.
    #[must_use]
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Where the memory comes from.
    #[must_use]
    pub const fn huge_pages(mut self, huge_pages: HugePages) -> Self {
        self.huge_pages = huge_pages;
        self
    }

    /// The NUMA node to take memory from; the interface's own if not set. `None`: wherever the calling thread runs.
    #[must_use]
    pub const fn numa_node(mut self, node: Option<u32>) -> Self {
        self.numa_node = node;
        self
    }

    /// Busy polling.
    #[must_use]
    pub const fn busy_poll(mut self, busy_poll: BusyPoll) -> Self {
        self.busy_poll = busy_poll;
        self
    }

    /// How long to try a queue that is busy; 2 s if not set. A queue whose socket was just closed stays busy for tens of
    /// milliseconds.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The queue that this is about.
    pub const fn queue(&self) -> u32 {
        self.queue
    }

    /// Opens the queue, and enters it into its slot of `xskmap` once it is bound. The program that redirects into the map
    /// should be attached before: some drivers set their queues up anew when that happens.
    ///
    /// May sleep for [`QueueBuilder::patience`]. Call it from the thread that will run the queue, or one near it: the
    /// memory is first touched here.
    ///
    /// # Errors
    /// [`BindError`], of the last mode tried.
    pub fn open(&self, xskmap: impl AsFd) -> Result<(Queue, BindReport), BindError> {
        self.open_with(xskmap, || UnboundSocket::create(self.busy_poll))
    }

    /// The same, with sockets that somebody else makes: one for each mode that is tried.
    ///
    /// # Errors
    /// [`BindError`], of the last mode tried, or of `sockets`.
    pub fn open_with(
        &self,
        xskmap: impl AsFd,
        mut sockets: impl FnMut() -> Result<UnboundSocket, BindError>,
    ) -> Result<(Queue, BindReport), BindError> {
        bind::open(self, xskmap.as_fd(), &mut sockets)
    }
}

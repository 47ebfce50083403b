use super::mock::MockKernel;
use crate::queue::{KernelRings, Queue, QueueLimits, QueueParts, refill};
use crate::ring::{Consumer, Producer, SharedRing};
use crate::umem::{Geometry, HugePages, MemoryOptions, Region, Umem};

/// A queue to be made over a [`MockKernel`]. Ring sizes are powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MockOptions {
    /// Frames of 2048 bytes.
    pub frames: u32,
    /// Frames never given to the fill ring.
    pub tx_reserve: u32,
    /// Entries of the RX and fill rings.
    pub rx_entries: u32,
    /// Entries of the TX and completion rings.
    pub tx_entries: u32,
    /// Where all ring indices start.
    pub start_index: u32,
}

impl Default for MockOptions {
    /// 64 frames, 16 of them in reserve, rings of 16; the indices wrap soon.
    fn default() -> Self {
        Self {
            frames: 64,
            tx_reserve: 16,
            rx_entries: 16,
            tx_entries: 16,
            start_index: u32::MAX - 3,
        }
    }
}

impl MockOptions {
    /// The queue, and its kernel.
    ///
    /// # Panics
    /// If the sizes are impossible, or there is no memory.
    pub fn open(self) -> (Queue, MockKernel) {
        let geometry = Geometry::new(self.frames, 2048, 0).expect("possible sizes");
        let memory = MemoryOptions {
            huge_pages: HugePages::Never,
            numa_node: None,
        };
        let (region, _) = Region::new(geometry, memory).expect("memory for the frames");
        let (rx, kernel_rx) = SharedRing::heap(self.rx_entries, self.start_index);
        let (tx, kernel_tx) = SharedRing::heap(self.tx_entries, self.start_index);
        let (fill, kernel_fill) = SharedRing::heap(self.rx_entries, self.start_index);
        let (completion, kernel_completion) = SharedRing::heap(self.tx_entries, self.start_index);
        let kernel = MockKernel::new(
            geometry,
            Producer::new(kernel_rx),
            Consumer::new(kernel_tx),
            Consumer::new(kernel_fill),
            Producer::new(kernel_completion),
        );
        let limits = QueueLimits {
            tx_reserve: self.tx_reserve,
            fill_target: self.rx_entries,
            max_frame_bytes: geometry.chunk_bytes() - geometry.rx_offset(),
            busy_poll: false,
        };
        let mut rings = KernelRings {
            rx: Consumer::new(rx),
            tx: Producer::new(tx),
            fill: Producer::new(fill),
            completion: Consumer::new(completion),
        };
        let mut umem = Umem::new(region);
        let _ = refill(&mut rings.fill, &mut umem, &limits);
        let queue = Queue::new(QueueParts {
            slot: None,
            rings,
            kernel: Box::new(kernel.clone()),
            umem,
            limits,
        });
        (queue, kernel)
    }
}

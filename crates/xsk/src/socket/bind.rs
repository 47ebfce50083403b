use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use super::builder::{BindReport, BusyPoll, Mode, QueueBuilder};
use super::error::BindError;
use super::holder;
use super::unbound::UnboundSocket;
use crate::privileges::{Capability, MissingCapabilities};
use crate::queue::{KernelRings, MapSlot, Queue, QueueLimits, QueueParts, refill};
use crate::ring::{Consumer, Producer, SharedRing};
use crate::sys::{
    BindFlags, BpfMap, Errno, RingKind, RingLayout, UmemRegistration, XdpSocket,
    memlock_limit_bytes,
};
use crate::umem::{Geometry, MemoryOptions, MemoryReport, Region, Umem};

/// The sizes that follow from the options.
#[derive(Clone, Copy, Debug)]
struct Plan {
    geometry: Geometry,
    rx: u32,
    tx: u32,
    fill: u32,
    completion: u32,
    tx_reserve: u32,
}

const RING_ENTRIES_MIN: u32 = 64;
const RING_ENTRIES_MAX: u32 = 32_768;
const BACKOFF_FIRST: Duration = Duration::from_millis(1);
const BACKOFF_LAST: Duration = Duration::from_millis(50);
/// Ethernet header and two VLAN tags, beside the MTU.
const LINK_HEADER_BYTES: u32 = 14 + 2 * 4;
/// Packets that one `sendto` shall take in copy mode, where the kernel lets it.
const TX_BUDGET: u32 = 256;

impl Plan {
    fn new(options: &QueueBuilder) -> Result<Self, BindError> {
        let geometry = Geometry::new(options.frames, options.chunk_bytes, options.headroom_bytes)
            .map_err(|error| BindError::Options(error.reason()))?;
        let tx_reserve = options.tx_reserve.unwrap_or(options.frames / 8);
        if tx_reserve >= options.frames {
            return Err(BindError::Options(
                "the TX reserve leaves no frame to receive into",
            ));
        }
        let rx = entries(options.rx_entries);
        let tx = entries(options.tx_entries);
        // Drivers in zero-copy mode fill their own ring from the fill ring: it should hold both rings' worth.
        let fill = entries(options.nic_rx_ring.clamp(rx, RING_ENTRIES_MAX) + rx);
        Ok(Self {
            geometry,
            rx,
            tx,
            fill,
            completion: tx,
            tx_reserve,
        })
    }

    fn limits(&self, options: &QueueBuilder) -> QueueLimits {
        let window_bytes = self.geometry.chunk_bytes() - self.geometry.rx_offset();
        QueueLimits {
            tx_reserve: self.tx_reserve,
            fill_target: self.fill,
            max_frame_bytes: window_bytes.min(options.mtu_bytes.saturating_add(LINK_HEADER_BYTES)),
            busy_poll: options.busy_poll != BusyPoll::Off,
        }
    }
}

/// A ring size that the kernel accepts. Some drivers report sizes of 0, or that are no powers of two.
fn entries(wanted: u32) -> u32 {
    wanted
        .clamp(RING_ENTRIES_MIN, RING_ENTRIES_MAX)
        .next_power_of_two()
}

/// Makes the socket of one try.
type Sockets<'a> = &'a mut dyn FnMut() -> Result<UnboundSocket, BindError>;

pub(super) fn open(
    options: &QueueBuilder,
    xskmap: BorrowedFd<'_>,
    sockets: Sockets<'_>,
) -> Result<(Queue, BindReport), BindError> {
    let plan = Plan::new(options)?;
    let map = BpfMap::from_fd(xskmap).map_err(|errno| BindError::Os { call: "bpf", errno })?;
    if !map.is_xskmap() {
        return Err(BindError::NotXskMap);
    }
    if options.queue >= map.max_entries() {
        return Err(BindError::NoSlot {
            queue: options.queue,
            slots: map.max_entries(),
        });
    }
    let modes: &[Mode] = match options.mode {
        Mode::Auto => &[Mode::ZeroCopy, Mode::Copy],
        Mode::ZeroCopy => &[Mode::ZeroCopy],
        Mode::Copy => &[Mode::Copy],
    };
    let mut failed: Vec<(Mode, BindError)> = Vec::new();
    for &mode in modes {
        // Socket and memory are made anew for each mode: a failed zero-copy bind leaves them in a state in which other
        // binds have been seen to hang or fail.
        match open_in(options, &plan, (mode, &map), sockets) {
            Ok((queue, mut report)) => {
                report.failed = failed;
                return Ok((queue, report));
            }
            Err(error) if matches!(error, BindError::ModeUnsupported { .. }) => {
                failed.push((mode, error));
            }
            Err(error) => return Err(error),
        }
    }
    let last = failed.pop().map(|(_, error)| error);
    Err(last.unwrap_or(BindError::Options("no mode to try")))
}

fn open_in(
    options: &QueueBuilder,
    plan: &Plan,
    (mode, map): (Mode, &BpfMap),
    sockets: Sockets<'_>,
) -> Result<(Queue, BindReport), BindError> {
    let zero_copy = mode == Mode::ZeroCopy;
    if zero_copy && options.zero_copy_offered == Some(false) {
        return Err(BindError::ModeUnsupported { mode, errno: None });
    }
    let (socket, busy_poll) = sockets()?.into_parts();
    let (mut umem, memory) = register(options, plan, &socket)?;
    let mut rings = map_rings(plan, &socket).map_err(|errno| BindError::Os {
        call: "AF_XDP ring set-up",
        errno,
    })?;
    let tx_budget = !zero_copy && socket.set_tx_budget(TX_BUDGET.min(plan.tx)).is_ok();
    let limits = plan.limits(options);
    // Several drivers want to find frames in the fill ring at bind, even for transmission alone.
    let _ = refill(&mut rings.fill, &mut umem, &limits);
    let waited = bind(options, mode, &socket)?;
    let bound_mode = if socket.is_zero_copy().unwrap_or(zero_copy) {
        Mode::ZeroCopy
    } else {
        Mode::Copy
    };
    let map = BpfMap::from_fd(map.as_fd()).map_err(|errno| BindError::Os { call: "bpf", errno })?;
    // Only a bound socket may be in the map: packets redirected to another vanish.
    let slot = MapSlot::claim(map, options.queue, &socket)
        .map_err(|errno| slot_error(options.queue, errno))?;
    let report = BindReport {
        mode: bound_mode,
        failed: Vec::new(),
        waited,
        memory,
        frames: plan.geometry.frames(),
        ring_entries: [plan.rx, plan.tx, plan.fill, plan.completion],
        tx_budget,
        busy_poll,
    };
    let queue = Queue::new(QueueParts {
        slot: Some(slot),
        rings,
        kernel: Box::new(socket),
        umem,
        limits,
    });
    Ok((queue, report))
}

fn register(
    options: &QueueBuilder,
    plan: &Plan,
    socket: &XdpSocket,
) -> Result<(Umem, MemoryReport), BindError> {
    let wanted = MemoryOptions {
        huge_pages: options.huge_pages,
        numa_node: options.numa_node,
    };
    let (region, report) = Region::new(plan.geometry, wanted).map_err(|errno| BindError::Os {
        call: "mmap",
        errno,
    })?;
    let registration = UmemRegistration {
        chunk_bytes: plan.geometry.chunk_bytes(),
        headroom_bytes: plan.geometry.headroom_bytes(),
    };
    socket
        .register_umem(region.mapping(), registration)
        .map_err(|errno| match errno.number() {
            libc::ENOBUFS => BindError::MemLock {
                needed_bytes: report.len_bytes as u64,
                limit_bytes: memlock_limit_bytes(),
            },
            libc::EINVAL => {
                BindError::Options("the kernel refuses this combination of frame size and headroom")
            }
            _ => BindError::Os {
                call: "setsockopt(XDP_UMEM_REG)",
                errno,
            },
        })?;
    Ok((Umem::new(region), report))
}

fn map_rings(plan: &Plan, socket: &XdpSocket) -> Result<KernelRings, Errno> {
    socket.size_ring(RingKind::Fill, plan.fill)?;
    socket.size_ring(RingKind::Completion, plan.completion)?;
    socket.size_ring(RingKind::Rx, plan.rx)?;
    socket.size_ring(RingKind::Tx, plan.tx)?;
    let offsets = socket.ring_offsets()?;
    let layout = RingLayout::from_kernel;
    let fd = socket.as_fd();
    Ok(KernelRings {
        rx: Consumer::new(SharedRing::map(
            fd,
            RingKind::Rx,
            &layout(&offsets.rx),
            plan.rx,
        )?),
        tx: Producer::new(SharedRing::map(
            fd,
            RingKind::Tx,
            &layout(&offsets.tx),
            plan.tx,
        )?),
        fill: Producer::new(SharedRing::map(
            fd,
            RingKind::Fill,
            &layout(&offsets.fr),
            plan.fill,
        )?),
        completion: Consumer::new(SharedRing::map(
            fd,
            RingKind::Completion,
            &layout(&offsets.cr),
            plan.completion,
        )?),
    })
}

/// Binds, again and again while the queue is busy, and returns how long that took.
fn bind(options: &QueueBuilder, mode: Mode, socket: &XdpSocket) -> Result<Duration, BindError> {
    let flags = if mode == Mode::ZeroCopy {
        BindFlags::ZeroCopy
    } else {
        BindFlags::Copy
    };
    let start = Instant::now();
    let mut pause = BACKOFF_FIRST;
    loop {
        let Err(errno) = socket.bind(options.ifindex, options.queue, flags) else {
            return Ok(start.elapsed());
        };
        let waited = start.elapsed();
        if errno.number() != libc::EBUSY || waited >= options.patience {
            return Err(bind_error(options, mode, errno, waited));
        }
        thread::sleep(pause.min(options.patience.saturating_sub(waited)));
        pause = (pause * 2).min(BACKOFF_LAST);
    }
}

fn bind_error(options: &QueueBuilder, mode: Mode, errno: Errno, waited: Duration) -> BindError {
    let interface = options.interface.clone();
    match errno.number() {
        libc::EBUSY => BindError::QueueBusy {
            interface,
            queue: options.queue,
            waited,
            holders: holder::find(),
        },
        libc::EINVAL if options.queue >= options.nic_queues => BindError::NoSuchQueue {
            interface,
            queue: options.queue,
            queues: options.nic_queues,
        },
        libc::EOPNOTSUPP | libc::EPROTONOSUPPORT => BindError::ModeUnsupported {
            mode,
            errno: Some(errno),
        },
        // Zero-copy set-up runs through the driver, which may say anything: too few descriptors, a queue that is not
        // configured for it, no memory of the right kind. Copy mode is still worth a try.
        libc::EINVAL | libc::ENOMEM | libc::EIO if mode == Mode::ZeroCopy => {
            BindError::ModeUnsupported {
                mode,
                errno: Some(errno),
            }
        }
        libc::ENODEV | libc::ENXIO => BindError::Gone { interface },
        libc::EPERM | libc::EACCES => BindError::NotPermitted {
            call: "bind",
            missing: MissingCapabilities::of(&[Capability::NetRaw]),
        },
        _ => BindError::Os {
            call: "bind",
            errno,
        },
    }
}

fn slot_error(queue: u32, errno: Errno) -> BindError {
    match errno.number() {
        libc::EEXIST => BindError::SlotTaken { queue },
        libc::EPERM | libc::EACCES => BindError::NotPermitted {
            call: "bpf(BPF_MAP_UPDATE_ELEM)",
            missing: MissingCapabilities::of(&[Capability::Bpf]),
        },
        _ => BindError::Os {
            call: "bpf(BPF_MAP_UPDATE_ELEM)",
            errno,
        },
    }
}

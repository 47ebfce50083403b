//! Reflects UDP packets in place: what AF_XDP costs when nothing is computed.
//!
//! ```text
//! echo IFACE --object FILE [--program NAME] [--port P] [--generic] [--zero-copy] [--busy-poll] [--seconds N]
//! ```
//!
//! FILE is a compiled BPF object with an XSKMAP called `xsks` and an XDP program (called `steer` unless NAME is given) that
//! redirects into it. Three more maps are filled in if the object has them; each is that of Sluicegate's `steer.o`:
//! - `queues`: `u32` queue to `u32`, 1 for each queue that is served;
//! - `link`: one entry of the interface's MAC address (6 bytes), the longest frame that fits (`u16`), 1 (`u32`);
//! - `listen`: address (16 bytes, IPv4 mapped), port (`u16`, network order) and 6 zero bytes, for each address of the
//!   interface, to `u32`.
//!
//! One thread serves each queue. Packets to other ports than P (53 if not given) are dropped, so the program should not
//! redirect them. Once a second the packets of the last second are printed; at the end (Ctrl-C takes the program off the
//! interface all the same) the counts of each queue.
#![forbid(unsafe_code)]

use std::env;
use std::io::Write;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sluicegate_xsk::nic::{self, Nic};
use sluicegate_xsk::prog::{LoadOptions, Map, Program};
use sluicegate_xsk::{
    BusyPoll, Ladder, Queue, QueueBuilder, QueueError, Rung, RxPacket, negotiate,
};

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "usage: echo IFACE --object FILE [--program NAME] [--port P] [--generic] [--zero-copy] \
                     [--busy-poll] [--seconds N]";

struct Arguments {
    interface: String,
    object: String,
    program: String,
    port: u16,
    ladder: Ladder,
    busy_poll: BusyPoll,
    seconds: u64,
}

/// What all threads share.
#[derive(Default)]
struct Totals {
    packets: AtomicU64,
    done: AtomicBool,
}

fn main() -> ExitCode {
    let outcome = Arguments::parse(env::args().skip(1))
        .ok_or_else(|| USAGE.into())
        .and_then(|arguments| run(&arguments));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("echo: {error}"));
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self {
            interface: words.next().filter(|word| !word.starts_with('-'))?,
            object: String::new(),
            program: "steer".to_owned(),
            port: 53,
            ladder: Ladder::default(),
            busy_poll: BusyPoll::Off,
            seconds: u64::MAX,
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--object" => arguments.object = words.next()?,
                "--program" => arguments.program = words.next()?,
                "--port" => arguments.port = words.next()?.parse().ok()?,
                "--seconds" => arguments.seconds = words.next()?.parse().ok()?,
                "--generic" => arguments.ladder.top = Rung::Generic,
                "--zero-copy" => arguments.ladder.bottom = Rung::ZeroCopy,
                "--busy-poll" => {
                    arguments.busy_poll = BusyPoll::On {
                        usecs: 20,
                        budget: 64,
                    };
                }
                _ => return None,
            }
        }
        (!arguments.object.is_empty()).then_some(arguments)
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let nic = Nic::by_name(&arguments.interface)?;
    let object = std::fs::read(&arguments.object)?;
    let program = Program::load(&object, &arguments.program, &LoadOptions::new())?;
    let xsks = program.xskmap("xsks")?;
    let builders: Vec<QueueBuilder> = (0..nic.caps().rx_queues().min(xsks.slots()))
        .map(|queue| QueueBuilder::new(&nic, queue).busy_poll(arguments.busy_poll))
        .collect();
    let negotiated = negotiate(&program, &xsks, &nic, arguments.ladder, &builders)?;
    for (rung, why) in &negotiated.failed {
        say(&format!("{rung}: {why}"));
    }
    say(&format!(
        "{}: {}, {} queues",
        nic.name(),
        negotiated.rung,
        negotiated.queues.len()
    ));
    let mut queues = negotiated.queues;
    fill_maps(&program, &nic, arguments.port, &queues)?;
    let totals = Totals::default();
    thread::scope(|scope| {
        for queue in &mut queues {
            scope.spawn(|| {
                if let Err(error) = serve(queue, arguments.port, &totals) {
                    say(&format!("echo: {error}"));
                }
                totals.done.store(true, Ordering::Relaxed);
            });
        }
        report(&totals, arguments.seconds);
    });
    for (index, queue) in queues.iter_mut().enumerate() {
        queue.retire();
        say(&format!(
            "queue {index}: {:?} {:?}",
            queue.counters(),
            queue.statistics()?
        ));
    }
    drop(negotiated.link);
    Ok(())
}

/// Tells the program what to redirect, through the maps that it has.
fn fill_maps(program: &Program, nic: &Nic, port: u16, queues: &[Queue]) -> Result<(), Failure> {
    let has = |name: &str, key_bytes: usize, value_bytes: usize| -> Option<Map> {
        let fits = |map: &Map| (map.key_bytes(), map.value_bytes()) == (key_bytes, value_bytes);
        program.map(name).ok().filter(fits)
    };
    let one = 1u32.to_ne_bytes();
    if let Some(listen) = has("listen", 24, 4) {
        for address in nic::addresses()?
            .iter()
            .filter(|address| address.ifindex == nic.index())
        {
            let ip = match address.ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            let mut key = [0; 24];
            key[..16].copy_from_slice(&ip.octets());
            key[16..18].copy_from_slice(&port.to_be_bytes());
            listen.set(&key, &one)?;
        }
    }
    if let Some(queue_map) = has("queues", 4, 4) {
        for queue in 0..queues.len() as u32 {
            queue_map.set(&queue.to_ne_bytes(), &one)?;
        }
    }
    if let Some(link) = has("link", 4, 12) {
        let limit = queues.first().map_or(0, Queue::max_frame_bytes) as u16;
        let mut value = [0; 12];
        value[..6].copy_from_slice(&nic.link().mac.unwrap_or_default());
        value[6..8].copy_from_slice(&limit.to_ne_bytes());
        value[8..].copy_from_slice(&one);
        link.set(&0u32.to_ne_bytes(), &value)?;
    }
    Ok(())
}

fn serve(queue: &mut Queue, port: u16, totals: &Totals) -> Result<(), QueueError> {
    while !totals.done.load(Ordering::Relaxed) {
        let received = queue.turn(&mut |packet| reflect(packet, port))?;
        if received == 0 {
            queue.idle(Duration::from_millis(100), None)?;
        } else {
            totals.packets.fetch_add(received as u64, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Prints the packets of each second, until the time is over or a queue has failed.
fn report(totals: &Totals, seconds: u64) {
    let start = Instant::now();
    let mut before = 0;
    for second in 1..=seconds {
        let end = Duration::from_secs(second);
        while start.elapsed() < end && !totals.done.load(Ordering::Relaxed) {
            thread::sleep(
                end.saturating_sub(start.elapsed())
                    .min(Duration::from_millis(100)),
            );
        }
        let now = totals.packets.load(Ordering::Relaxed);
        say(&format!("{} packets/s", now - before));
        before = now;
        if totals.done.load(Ordering::Relaxed) {
            break;
        }
    }
    totals.done.store(true, Ordering::Relaxed);
}

/// Sends a UDP packet to `port` back to where it came from, its checksum made anew.
fn reflect(mut packet: RxPacket<'_>, port: u16) {
    let len = packet.len();
    let Some(frame) = packet.window().get_mut(..len) else {
        return;
    };
    if turn_around(frame, port).is_some() {
        packet.transmit(len);
    }
}

fn turn_around(frame: &mut [u8], port: u16) -> Option<()> {
    let (ethernet, ip) = frame.split_at_mut_checked(14)?;
    ethernet[..12].rotate_left(6);
    // Where the addresses are, and their length; where UDP starts, and ends.
    let (addresses, address_bytes, udp, end) = match (ethernet[12], ethernet[13]) {
        (0x08, 0x00) if ip.first() == Some(&0x45) && ip.get(9) == Some(&17) => {
            (12, 4, 20, usize::from(word(ip, 2)?))
        }
        (0x86, 0xdd) if ip.get(6) == Some(&17) => (8, 16, 40, 40 + usize::from(word(ip, 4)?)),
        _ => return None,
    };
    let datagram = ip.get_mut(..end)?;
    if datagram.len() < udp + 8 || word(datagram, udp + 2)? != port {
        return None;
    }
    datagram[addresses..addresses + 2 * address_bytes].rotate_left(address_bytes);
    datagram[udp..udp + 4].rotate_left(2);
    datagram[udp + 6..udp + 8].fill(0);
    let udp_bytes = (end - udp) as u32;
    let pseudo = sum(&datagram[addresses..addresses + 2 * address_bytes]) + 17 + udp_bytes;
    let checksum = fold(pseudo + sum(&datagram[udp..]));
    datagram[udp + 6..udp + 8].copy_from_slice(&checksum.to_be_bytes());
    Some(())
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_be_bytes)
}

/// The sum of 16-bit words; a frame is too short for it to overflow.
fn sum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<2>();
    let words: u32 = words
        .iter()
        .map(|&word| u32::from(u16::from_be_bytes(word)))
        .sum();
    words + rest.first().map_or(0, |&byte| u32::from(byte) << 8)
}

/// The checksum of a sum; 0 would mean that there is none.
fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    match !(twice as u16) {
        0 => 0xffff,
        checksum => checksum,
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use sluicegate_telemetry::Counter;
use tokio::runtime::Builder;

use super::connection::{Connection, IN_FLIGHT};
use super::limits::Limits;
use super::service::{Peers, Service};
use super::{Command, TcpHandle, TcpSettings};
use crate::listen::open_tcp;
use crate::testing::{FakeEngine, PATIENCE, free, query, remember, reply, shared};
use crate::{ANSWER_DEADLINE, DRAIN_LIMIT, Shared};

struct Fixture {
    shared: Arc<Shared>,
    tcp: TcpHandle,
    address: SocketAddr,
    engine: FakeEngine,
}

impl Fixture {
    fn new(connections: usize, idle: Duration) -> Self {
        let (shared, end) = shared();
        let engine = FakeEngine::start(end);
        let address = free(Ipv4Addr::LOCALHOST.into());
        let tcp = TcpHandle::start(&shared, TcpSettings { connections, idle }).unwrap();
        tcp.send(Command::Open(address, open_tcp(address).unwrap()));
        Self {
            shared,
            tcp,
            address,
            engine,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn end(self) {
        self.tcp.send(Command::Drain);
        assert!(self.tcp.join());
    }
}

/// A connection without a thread of its own, so that what it allocates can be counted.
#[test]
fn a_hit_allocates_nothing_on_its_way_through_the_connection() {
    let (shared, _end) = shared();
    remember(&shared, "cached.example");
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let limits = Limits::new(10, IDLE);
    let service = Service::new(Arc::clone(&shared), shared.task_port(16), limits);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (stream, address) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let peers = Peers {
        client: address,
        local: listener.local_addr().unwrap(),
        keepalive: false,
    };
    let mut connection = {
        let _inside = runtime.enter();
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        Connection::new(service, stream, peers).unwrap()
    };
    for (round, name) in ["cached.example", "hit.example", "cached.example"]
        .iter()
        .enumerate()
    {
        client.write_all(&framed(round as u16, name)).unwrap();
        // The query comes, then the reply goes.
        let turn = async {
            for _ in 0..2 {
                assert!(connection.step().await.unwrap());
            }
        };
        let made = measure(|| runtime.block_on(turn));
        assert!(round == 0 || made.count_total == 0, "{name}: {made:?}");
        assert_eq!(receive(&mut client), (round as u16, 0));
    }
    assert_eq!(shared.registry.total().value(Counter::CacheHits), 2);
}

fn framed(id: u16, name: &str) -> Vec<u8> {
    let message = query(id, name);
    let mut bytes = (message.len() as u16).to_be_bytes().to_vec();
    bytes.extend(message);
    bytes
}

fn receive(stream: &mut TcpStream) -> (u16, u8) {
    let mut prefix = [0; 2];
    stream.read_exact(&mut prefix).expect("a reply");
    let mut message = vec![0; usize::from(u16::from_be_bytes(prefix))];
    stream.read_exact(&mut message).unwrap();
    reply(&message)
}

#[test]
fn who_could_be_told_what_has_expired_waits_on_when_it_is_gone() {
    let fixture = Fixture::new(10, IDLE);
    let mut client = fixture.connect();
    client.write_all(&framed(5, "late.example")).unwrap();
    assert_eq!(receive(&mut client), (5, 0));
    fixture.end();
}

/// Whether the server has closed the connection (or closes it within the test's patience).
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

const IDLE: Duration = Duration::from_secs(30);

#[test]
fn pipelined_queries_are_all_answered() {
    let fixture = Fixture::new(10, IDLE);
    let mut client = fixture.connect();
    let burst: Vec<u8> = (0..300)
        .flat_map(|id| {
            framed(
                id,
                if id % 3 == 0 {
                    "miss.example"
                } else {
                    "hit.example"
                },
            )
        })
        .collect();
    client.write_all(&burst).unwrap();
    let mut ids: Vec<_> = (0..300).map(|_| receive(&mut client).0).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..300).collect::<Vec<_>>());
    fixture.end();
}

#[test]
fn answers_come_as_they_are_ready() {
    let fixture = Fixture::new(10, IDLE);
    let mut client = fixture.connect();
    client.write_all(&framed(1, "hold.example")).unwrap();
    client.write_all(&framed(2, "hit.example")).unwrap();
    assert_eq!(receive(&mut client), (2, 0));
    fixture.engine.release();
    assert_eq!(receive(&mut client), (1, 2));
    fixture.end();
}

#[test]
fn who_waits_in_vain_is_told_so() {
    let fixture = Fixture::new(10, IDLE);
    let mut client = fixture.connect();
    let limit = ANSWER_DEADLINE + PATIENCE;
    client.set_read_timeout(Some(limit)).unwrap();
    let start = Instant::now();
    // The first to wait: whoever looks after deadlines sleeps without one until then.
    client.write_all(&framed(1, "hold.example")).unwrap();
    assert_eq!(receive(&mut client), (1, 2));
    assert!(start.elapsed() >= ANSWER_DEADLINE, "{:?}", start.elapsed());
    fixture.end();
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let fixture = Fixture::new(10, IDLE);
    let mut client = fixture.connect();
    for byte in framed(5, "hit.example") {
        client.write_all(&[byte]).unwrap();
    }
    assert_eq!(receive(&mut client), (5, 0));
    fixture.end();
}

#[test]
fn a_half_closed_client_gets_its_answers() {
    let fixture = Fixture::new(10, IDLE);
    let mut client = fixture.connect();
    client.write_all(&framed(1, "hold.example")).unwrap();
    client.write_all(&framed(2, "hit.example")).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive(&mut client).0, 2);
    fixture.engine.release();
    assert_eq!(receive(&mut client).0, 1);
    assert!(is_closed(&mut client));
    fixture.end();
}

#[test]
fn more_than_may_wait_at_a_time_are_served_in_turn() {
    let fixture = Fixture::new(10, IDLE);
    let mut client = fixture.connect();
    let count = IN_FLIGHT as u16 * 3;
    let burst: Vec<u8> = (0..count)
        .flat_map(|id| framed(id, "hold.example"))
        .collect();
    client.write_all(&burst).unwrap();
    // The server reads no further than it may: another connection is served meanwhile.
    let mut other = fixture.connect();
    other.write_all(&framed(9, "hit.example")).unwrap();
    assert_eq!(receive(&mut other), (9, 0));
    assert!(fixture.shared.registry.total().value(Counter::HandedOff) <= IN_FLIGHT as u64);
    fixture.engine.release();
    let mut ids: Vec<_> = (0..count).map(|_| receive(&mut client).0).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..count).collect::<Vec<_>>());
    fixture.end();
}

#[test]
fn an_idle_connection_is_closed_and_no_sooner() {
    let idle = Duration::from_millis(400);
    let fixture = Fixture::new(10, idle);
    let (mut silent, mut partial, mut busy) =
        (fixture.connect(), fixture.connect(), fixture.connect());
    let start = Instant::now();
    busy.write_all(&framed(1, "hold.example")).unwrap();
    partial.write_all(&framed(2, "hit.example")[..7]).unwrap();
    assert!(is_closed(&mut silent));
    assert!(
        start.elapsed() >= idle.mul_f32(0.9),
        "{:?}",
        start.elapsed()
    );
    assert!(is_closed(&mut partial), "half a message keeps nothing open");
    fixture.engine.release();
    assert_eq!(
        receive(&mut busy),
        (1, 2),
        "a client that waits is not idle"
    );
    fixture.end();
}

#[test]
fn the_longest_idle_connection_makes_room() {
    let fixture = Fixture::new(2, IDLE);
    let (mut first, mut second) = (fixture.connect(), fixture.connect());
    for (client, id) in [(&mut first, 1), (&mut second, 2)] {
        client.write_all(&framed(id, "hit.example")).unwrap();
        assert_eq!(receive(client).0, id);
    }
    let mut third = fixture.connect();
    third.write_all(&framed(3, "hit.example")).unwrap();
    assert_eq!(receive(&mut third), (3, 0));
    assert!(is_closed(&mut first));
    second.write_all(&framed(4, "hit.example")).unwrap();
    assert_eq!(receive(&mut second), (4, 0));
    fixture.end();
}

#[test]
fn busy_connections_are_not_closed_for_others() {
    let fixture = Fixture::new(1, IDLE);
    let mut busy = fixture.connect();
    busy.write_all(&framed(1, "hold.example")).unwrap();
    let mut waiting = fixture.connect();
    waiting.write_all(&framed(2, "hit.example")).unwrap();
    waiting
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let early = waiting.read(&mut [0; 1]).unwrap_err();
    assert!(
        matches!(early.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{early}"
    );
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    fixture.engine.release();
    assert_eq!(receive(&mut busy), (1, 2));
    assert_eq!(receive(&mut waiting), (2, 0), "once the first is idle");
    fixture.end();
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let fixture = Fixture::new(10, IDLE);
    let mut client = fixture.connect();
    let count = 20_000_u32;
    let mut writer = client.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        for id in 0..count {
            writer.write_all(&framed(id as u16, "hit.example")).unwrap();
        }
    });
    // Another client is served all the while.
    let mut other = fixture.connect();
    other.write_all(&framed(7, "hit.example")).unwrap();
    assert_eq!(receive(&mut other), (7, 0));
    for id in 0..count {
        assert_eq!(receive(&mut client), (id as u16, 0));
    }
    writing.join().unwrap();
    fixture.end();
}

#[test]
fn rubbish_closes_the_connection_and_harms_no_other() {
    let fixture = Fixture::new(10, IDLE);
    let mut good = fixture.connect();
    let mut bad = fixture.connect();
    bad.write_all(&[0, 3, 1, 2, 3]).unwrap();
    assert!(is_closed(&mut bad));
    good.write_all(&framed(1, "hit.example")).unwrap();
    assert_eq!(receive(&mut good), (1, 0));
    assert_eq!(fixture.shared.registry.total().value(Counter::DropShort), 1);
    fixture.end();
}

#[test]
fn the_end_answers_those_who_wait() {
    let fixture = Fixture::new(10, IDLE);
    let mut client = fixture.connect();
    client.write_all(&framed(2, "hit.example")).unwrap();
    client.write_all(&framed(1, "hold.example")).unwrap();
    assert_eq!(receive(&mut client).0, 2);
    let start = Instant::now();
    fixture.tcp.send(Command::Drain);
    fixture.engine.release();
    assert_eq!(receive(&mut client), (1, 2));
    assert!(is_closed(&mut client));
    assert!(fixture.tcp.join());
    assert!(start.elapsed() < DRAIN_LIMIT);
}

#[test]
fn the_end_answers_queries_that_found_no_room_yet() {
    let fixture = Fixture::new(10, IDLE);
    let mut client = fixture.connect();
    let behind = 20;
    let burst: Vec<u8> = (0..IN_FLIGHT + behind)
        .flat_map(|id| {
            framed(
                id as u16,
                if id < IN_FLIGHT {
                    "hold.example"
                } else {
                    "hit.example"
                },
            )
        })
        .collect();
    client.write_all(&burst).unwrap();
    let handed_off = || fixture.shared.registry.total().value(Counter::HandedOff);
    let until = Instant::now() + PATIENCE;
    while handed_off() < IN_FLIGHT as u64 {
        assert!(Instant::now() < until, "{} are waiting", handed_off());
        std::thread::yield_now();
    }
    fixture.tcp.send(Command::Drain);
    // The listener is closed when the order has arrived.
    while TcpStream::connect(fixture.address).is_ok() {
        assert!(Instant::now() < until, "still listening");
    }
    fixture.engine.release();
    let mut ids: Vec<u16> = (0..IN_FLIGHT + behind)
        .map(|_| receive(&mut client).0)
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..(IN_FLIGHT + behind) as u16).collect::<Vec<_>>());
    assert!(is_closed(&mut client));
    assert!(fixture.tcp.join());
}

#[test]
fn a_client_that_goes_before_its_answer_is_counted() {
    let fixture = Fixture::new(10, IDLE);
    let mut client = fixture.connect();
    client.write_all(&framed(1, "hold.example")).unwrap();
    client.write_all(&framed(2, "hit.example")).unwrap();
    assert_eq!(receive(&mut client).0, 2);
    // A reset: the server must notice although it waits for the engine, not for the client.
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    let total = || fixture.shared.registry.total();
    let end = Instant::now() + PATIENCE;
    while total().value(Counter::DropSend) == 0 {
        assert!(Instant::now() < end, "the reset went unnoticed");
        std::thread::yield_now();
    }
    fixture.engine.release();
    fixture.end();
}

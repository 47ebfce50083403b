use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use sluicegate_telemetry::{Counter, Snapshot};

use super::ready::POLLED;
use super::worker::UdpWorker;
use super::{Command, Endpoint, WorkerHandle};
use crate::listen::open_udp;
use crate::testing::{FakeEngine, free, query, remember, reply, shared, udp_client};
use crate::{DRAIN_LIMIT, Shared};

/// Two workers on one address, and an engine that always fails.
struct Fixture {
    shared: Arc<Shared>,
    workers: Vec<WorkerHandle>,
    address: SocketAddr,
    engine: FakeEngine,
}

impl Fixture {
    fn on(ip: impl Into<IpAddr>) -> Self {
        let (shared, end) = shared();
        let engine = FakeEngine::start(end);
        let address = free(ip.into());
        let workers: Vec<_> = (0..2)
            .map(|i| WorkerHandle::start(&shared, i, 1232).unwrap())
            .collect();
        for (worker, socket) in workers.iter().zip(open_udp(address, 2).unwrap()) {
            worker.send(Command::Open(Endpoint::new(address, socket)));
        }
        Self {
            shared,
            workers,
            address,
            engine,
        }
    }

    fn ask(to: SocketAddr, message: &[u8]) -> (u16, u8) {
        let client = udp_client(to);
        client.send(message).unwrap();
        let mut buf = [0; 4096];
        let len = client.recv(&mut buf).unwrap();
        reply(&buf[..len])
    }

    /// What was counted by then: a reply reaches its client a little before it is counted.
    fn end(self) -> Snapshot {
        self.shared.start_draining();
        for worker in self.workers {
            worker.wake();
            assert!(worker.join());
        }
        self.shared.registry.total()
    }
}

#[test]
fn answers_over_both_families() {
    for ip in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        let fixture = Fixture::on(ip);
        assert_eq!(
            Fixture::ask(fixture.address, &query(7, "hit.example")),
            (7, 0)
        );
        assert_eq!(
            Fixture::ask(fixture.address, &query(8, "HIT.eXample")),
            (8, 0)
        );
        assert_eq!(fixture.end().value(Counter::Received), 2);
    }
}

#[test]
fn more_addresses_than_are_polled_are_all_served_and_all_closed() {
    let (shared, end) = shared();
    let _engine = FakeEngine::start(end);
    let worker = WorkerHandle::start(&shared, 0, 1232).unwrap();
    let port = free(Ipv4Addr::UNSPECIFIED.into()).port();
    let addresses: Vec<_> = (1..=3 * POLLED as u8)
        .map(|last| SocketAddr::new([127, 0, 3, last].into(), port))
        .collect();
    for address in &addresses {
        let socket = open_udp(*address, 1).unwrap().remove(0);
        worker.send(Command::Open(Endpoint::new(*address, socket)));
    }
    for (id, address) in addresses.iter().enumerate() {
        let name = if id % 2 == 0 {
            "hit.example"
        } else {
            "miss.example"
        };
        let rcode = 2 * (id as u8 % 2);
        let id = id as u16;
        assert_eq!(Fixture::ask(*address, &query(id, name)), (id, rcode));
    }
    let (kept, closed) = addresses.split_first().unwrap();
    for address in closed {
        worker.send(Command::Close(*address));
    }
    // They are closed in turn, and then nobody has their port.
    let client = udp_client(*closed.last().unwrap());
    // What comes to a socket while it is being closed is lost: ask again soon.
    client
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let is_refused = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
    let mut buf = [0; 4096];
    while !(client.send(&query(1, "hit.example"))).is_err_and(is_refused)
        && !client.recv(&mut buf).is_err_and(is_refused)
    {}
    assert_eq!(Fixture::ask(*kept, &query(1, "hit.example")), (1, 0));
    shared.start_draining();
    worker.wake();
    assert!(worker.join());
}

#[test]
fn wildcard_replies_leave_from_the_address_that_was_asked() {
    let fixture = Fixture::on(Ipv4Addr::UNSPECIFIED);
    // The client's socket is connected: it takes nothing from any other address.
    for (id, last) in [(1, 1), (2, 7), (3, 200)] {
        let to = SocketAddr::new([127, 0, 0, last].into(), fixture.address.port());
        assert_eq!(Fixture::ask(to, &query(id, "hit.example")), (id, 0));
        assert_eq!(
            Fixture::ask(to, &query(id, "miss.example")),
            (id, 2),
            "also after waiting"
        );
    }
    fixture.end();
    let fixture = Fixture::on(Ipv6Addr::UNSPECIFIED);
    let to = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), fixture.address.port());
    assert_eq!(Fixture::ask(to, &query(9, "hit.example")), (9, 0));
    assert_eq!(Fixture::ask(to, &query(9, "miss.example")), (9, 2));
    fixture.end();
}

#[test]
fn who_could_be_told_what_has_expired_waits_on_when_it_is_gone() {
    let fixture = Fixture::on(Ipv4Addr::LOCALHOST);
    assert_eq!(
        Fixture::ask(fixture.address, &query(3, "late.example")),
        (3, 0)
    );
    let counts = fixture.end();
    assert_eq!(counts.value(Counter::Resolved), 1);
    assert_eq!(counts.value(Counter::Failed), 0);
}

#[test]
fn every_query_of_a_burst_is_answered_once() {
    let fixture = Fixture::on(Ipv4Addr::LOCALHOST);
    let clients: Vec<_> = (0..8).map(|_| udp_client(fixture.address)).collect();
    for round in 0..20_u16 {
        // Fewer than a socket's receive buffer holds.
        for (i, client) in clients.iter().enumerate() {
            for id in 0..40 {
                let name = if (id + i) % 4 == 0 {
                    "miss.example"
                } else {
                    "hit.example"
                };
                client.send(&query(round * 40 + id as u16, name)).unwrap();
            }
        }
        for client in &clients {
            let mut ids: Vec<_> = (0..40).map(|_| receive(client).0).collect();
            ids.sort_unstable();
            assert_eq!(ids, (round * 40..round * 40 + 40).collect::<Vec<_>>());
        }
    }
    let queries = 8 * 40 * 20;
    let total = fixture.end();
    assert_eq!(total.value(Counter::Received), queries);
    assert_eq!(total.value(Counter::Replied), queries);
    assert_eq!(total.value(Counter::Failed), queries / 4);
}

#[test]
fn rubbish_is_counted_and_the_next_query_answered() {
    let fixture = Fixture::on(Ipv4Addr::LOCALHOST);
    let client = udp_client(fixture.address);
    let mut response = query(1, "hit.example");
    response[2] |= 0x80;
    for rubbish in [&[][..], &[0; 3], &response, &[0xff; 5000]] {
        client.send(rubbish).unwrap();
    }
    client.send(&query(2, "hit.example")).unwrap();
    assert_eq!(receive(&client), (2, 0));
    let total = fixture.end();
    assert_eq!(total.value(Counter::DropShort), 2);
    assert_eq!(total.value(Counter::DropResponse), 1);
    assert_eq!(
        total.value(Counter::DropMalformed),
        1,
        "longer than the buffer"
    );
}

#[test]
fn who_asks_by_broadcast_is_not_answered() {
    let address = free(Ipv4Addr::UNSPECIFIED.into());
    let mut worker = lone_worker(address);
    let to = |last| SocketAddr::new([127, 255, 255, last].into(), address.port());
    let client = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    client.set_broadcast(true).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    client.send_to(&query(1, "hit.example"), to(255)).unwrap();
    client.send_to(&query(2, "hit.example"), to(254)).unwrap();
    let counts = |worker: &UdpWorker| worker.counters.snapshot();
    let end = Instant::now() + Duration::from_secs(10);
    while counts(&worker).value(Counter::Received) < 2 && Instant::now() < end {
        worker.serve(0, 1);
    }
    assert_eq!(receive(&client), (2, 0));
    assert_eq!(counts(&worker).value(Counter::DropMalformed), 1);
    assert_eq!(counts(&worker).value(Counter::Replied), 1);
}

#[test]
fn a_client_that_has_gone_harms_nobody() {
    let fixture = Fixture::on(Ipv4Addr::LOCALHOST);
    for id in 0..40 {
        let client = udp_client(fixture.address);
        client.send(&query(id, "hold.example")).unwrap();
    }
    // The replies to closed ports come back as ICMP errors.
    fixture.engine.release();
    for id in 0..40 {
        assert_eq!(
            Fixture::ask(fixture.address, &query(id, "hit.example")),
            (id, 0)
        );
    }
    let total = fixture.end();
    assert_eq!(total.value(Counter::Received), 80);
    assert_eq!(total.value(Counter::Replied), 80);
    assert_eq!(total.value(Counter::DropSend), 0);
}

#[test]
fn closing_an_address_answers_what_it_has() {
    let fixture = Fixture::on(Ipv4Addr::LOCALHOST);
    let client = udp_client(fixture.address);
    for id in 0..50 {
        client
            .send(&query(
                id,
                if id % 2 == 0 {
                    "hold.example"
                } else {
                    "hit.example"
                },
            ))
            .unwrap();
    }
    for worker in &fixture.workers {
        worker.send(Command::Close(fixture.address));
    }
    let mut ids: Vec<_> = (0..25).map(|_| receive(&client).0).collect();
    fixture.engine.release();
    ids.extend((0..25).map(|_| receive(&client).0));
    ids.sort_unstable();
    assert_eq!(ids, (0..50).collect::<Vec<_>>());
    fixture.end();
}

#[test]
fn the_end_comes_in_time_and_leaves_nobody_without_a_reply() {
    let fixture = Fixture::on(Ipv4Addr::LOCALHOST);
    let client = udp_client(fixture.address);
    client.send(&query(1, "hold.example")).unwrap();
    let start = Instant::now();
    fixture.end();
    assert!(start.elapsed() < DRAIN_LIMIT * 2);
    assert_eq!(receive(&client), (1, 2));
}

/// A worker without a thread, so that what it allocates can be counted.
fn lone_worker(address: SocketAddr) -> UdpWorker {
    let (shared, _end) = shared();
    remember(&shared, "cached.example");
    let counters = shared.registry.counters("udp.0");
    let port = shared.handoff_port(16).unwrap();
    let (_commands, receiver) = channel();
    let mut worker = UdpWorker::new(shared, counters, port, receiver, 4224).unwrap();
    let socket = open_udp(address, 1).unwrap().remove(0);
    worker.open(Endpoint::new(address, socket));
    worker
}

#[test]
fn a_hit_allocates_nothing_on_its_way_through_the_worker() {
    const BURST: u16 = 20;
    let (v4, v6) = (
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    );
    let wildcards = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    for (bound, asked) in [(v4, v4), (v6, v6), (wildcards[0], v4), (wildcards[1], v6)] {
        let address = free(bound);
        let mut worker = lone_worker(address);
        let client = udp_client(SocketAddr::new(asked, address.port()));
        for (round, name) in ["cached.example", "hit.example", "cached.example"]
            .iter()
            .enumerate()
        {
            // One alone, and a batch: they are sent by different calls.
            for burst in [1, BURST] {
                for id in 0..burst {
                    client.send(&query(id, name)).unwrap();
                }
                let made = measure(|| worker.serve(0, 1));
                assert!(round == 0 || made.count_total == 0, "{bound}: {made:?}");
                for id in 0..burst {
                    assert_eq!(receive(&client), (id, 0));
                }
            }
        }
        assert_eq!(
            worker.counters.snapshot().value(Counter::CacheHits),
            2 * u64::from(BURST + 1)
        );
    }
}

fn receive(client: &std::net::UdpSocket) -> (u16, u8) {
    let mut buf = [0; 4096];
    let len = client.recv(&mut buf).expect("a reply");
    reply(&buf[..len])
}

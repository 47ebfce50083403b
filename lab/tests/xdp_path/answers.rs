//! Queries that the fast path answers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use sluicegate_bpf::{ListenKey, Owner, Tag as KeyTag, Vlans};
use sluicegate_lab::peers;
use sluicegate_lab::server::Server;
use sluicegate_lab::upstream::Upstream;
use sluicegate_lab::vm::{inside, wire};
use sluicegate_lab::wire::{
    FrameSpec, Message, RawSocket, Tag, ask_udp, query, rtype, udp_frame, udp_payload,
};

use crate::site::{
    CLIENT4, CLIENT6, Path, SERVER4, SERVER6, Site, forward_to, patience, replied, resume, which,
};

/// `dig` itself checks ID, source address and checksum of what comes back.
pub(crate) fn dig() -> Result<()> {
    let site = Site::joined(1)?;
    let server = site.start()?;
    for address in [SERVER4, SERVER6] {
        let before = replied(&server)?;
        let mut dig = peers::command("dig")?;
        dig.args([
            "+short",
            "+tries=1",
            &format!("+timeout={}", patience().as_secs()),
            "+nocookie",
            &format!("@{address}"),
            "host.test",
            "A",
        ]);
        let finished = site.here.run(&dig)?;
        ensure!(
            finished.success() && finished.stdout.trim() == "192.0.2.7",
            "dig: {}",
            finished.stdout
        );
        ensure!(
            which(&server, before)? == Path::Xdp,
            "{address} was not answered by AF_XDP"
        );
    }
    let all = server.stats()?;
    let redirected = || Ok::<_, anyhow::Error>(server.sum("xdp.eth0.redirected", "")? >= 2);
    ensure!(
        all.contains_key("xdp.eth0.pass.not-listening"),
        "the program's exits are not shown"
    );
    ensure!(
        all.contains_key("xdp.eth0.0.rx.drop.fill-empty"),
        "XDP_STATISTICS are not shown"
    );
    until(patience(), redirected).context("the program's counter does not show the redirects")?;
    Ok(())
}

/// Clients from many ports: the interface spreads them over the queues, and each queue's own worker replies.
pub(crate) fn every_queue() -> Result<()> {
    let site = Site::joined(2)?;
    if wire().is_some() {
        // Cards leave the ports out of it until they are told.
        site.there.ethtool("-N eth0 rx-flow-hash udp4 sdfn")?;
    }
    let server = site.start()?;
    server.wait_for_line("queues=2", resume())?;
    let asked = query("host.test", rtype::A).build();
    let mut served = BTreeSet::new();
    for _ in 0..200 {
        let address = SocketAddr::new(SERVER4.parse()?, 53);
        site.here
            .enter(|| ask_udp(address, &asked, patience()))?
            .context("no answer")?;
        let all = server.stats()?;
        for queue in 0..2 {
            if all
                .get(&format!("xdp.eth0.{queue}.replied"))
                .is_some_and(|replied| *replied > 0)
            {
                served.insert(queue);
            }
        }
        if served.len() == 2 {
            return Ok(());
        }
    }
    anyhow::bail!("200 questions reached only the queues {served:?}")
}

/// What has to be fetched, more of it at once than a batch holds, and then again from the cache.
pub(crate) fn misses() -> Result<()> {
    let site = Site::joined(1)?;
    let upstream = Upstream::start(&site.there, "127.0.0.1:5300".parse()?)?;
    let server = Site::server(&forward_to(&upstream)).start(&site.there)?;
    site.wait_for_start(&server)?;
    let before = replied(&server)?;
    for round in 0..2 {
        for address in [SERVER4, SERVER6] {
            let address = SocketAddr::new(address.parse()?, 53);
            let asked = |n: u32| {
                query(&format!("delay50.n{n}.upstream.example"), rtype::A)
                    .id(n as u16)
                    .build()
            };
            let answers: Vec<Result<Option<Vec<u8>>>> = site.here.enter(|| {
                std::thread::scope(|scope| {
                    let waiting: Vec<_> = (0..100)
                        .map(|n| {
                            let asked = asked(n);
                            scope.spawn(move || ask_for_it(address, &asked))
                        })
                        .collect();
                    waiting
                        .into_iter()
                        .map(|thread| thread.join().expect("asking does not panic"))
                        .collect()
                })
            });
            for (n, answer) in answers.into_iter().enumerate() {
                let answer = answer?
                    .with_context(|| format!("round {round}, {address}: no answer to {n}"))?;
                let answer = Message::parse(&answer)?;
                ensure!(
                    answer.id == n as u16 && answer.answer.len() == 1,
                    "wrong answer to {n}: {answer:?}"
                );
            }
        }
    }
    let after = replied(&server)?;
    ensure!(
        after.0 - before.0 >= 400 && after.1 == before.1,
        "not all by AF_XDP: {before:?} {after:?}"
    );
    ensure!(
        server.sum("xdp.eth0.", ".resolved")? >= 100,
        "nothing came from the engine"
    );
    Ok(())
}

/// Asks once; in the virtual machine, where an upstream server may be too slow for the resolver, again after SERVFAIL.
fn ask_for_it(address: SocketAddr, asked: &[u8]) -> Result<Option<Vec<u8>>> {
    const SERVFAIL: u8 = 2;
    let until = Instant::now() + patience();
    loop {
        let answer = ask_udp(address, asked, patience())?;
        let failed = answer
            .as_ref()
            .is_some_and(|answer| answer.get(3).is_some_and(|flags| flags & 15 == SERVFAIL));
        if !failed || !inside() || Instant::now() > until {
            return Ok(answer);
        }
        // A failure is remembered for some seconds.
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Two addresses on one interface, also for answers that had to be fetched: connected sockets accept no
/// answer from the other one.
pub(crate) fn own_address() -> Result<()> {
    let site = Site::joined(1)?;
    site.eth0().add_address("10.11.1.7/24")?;
    site.eth0().add_address("fc00:dead:cafe:1::7/64")?;
    let server = site.start()?;
    for address in [SERVER4, "10.11.1.7", SERVER6, "fc00:dead:cafe:1::7"] {
        site.expect(&server, address, Path::Xdp)?;
    }
    Ok(())
}

pub(crate) fn generic() -> Result<()> {
    let site = Site::joined(2)?;
    let server = Site::server("xdp:\n  mode: generic").start(&site.there)?;
    let line = server.wait_for_xdp()?;
    ensure!(line.contains("mode=generic queues=2"), "{line}");
    site.expect(&server, SERVER4, Path::Xdp)?;
    site.expect(&server, SERVER6, Path::Xdp)
}

/// Two tags in the frame itself, as from a NIC that leaves them there: the reply carries them back. What is
/// listened on in that VLAN is written into the running program's map here, as the server does where the
/// kernel has VLAN interfaces.
pub(crate) fn tagged() -> Result<()> {
    let site = Site::joined(1)?;
    let server = site.start()?;
    let mut listen = listen_map(&site)?;
    let owner = Owner {
        mac: site.eth0().mac()?,
        reply_ifindex: 0,
    };
    for address in [SERVER4, SERVER6] {
        let key = ListenKey {
            local: SocketAddr::new(address.parse()?, 53),
            vlans: Vlans {
                outer: KeyTag::service(100),
                inner: KeyTag::customer(200),
            },
        };
        listen.insert(key.to_bytes(), owner.to_bytes(), 0)?;
    }
    ask_tagged(&site, &server, (CLIENT4, SERVER4), Path::Xdp)?;
    ask_tagged(&site, &server, (CLIENT6, SERVER6), Path::Xdp)?;
    // Who asks without a tag is still served.
    site.expect(&server, SERVER4, Path::Xdp)
}

/// The same with VLAN interfaces, whose addresses the server finds by itself.
pub(crate) fn vlans() -> Result<()> {
    let site = Site::joined(1)?;
    site.there
        .ip("link add link eth0 name outer type vlan proto 802.1ad id 100")?;
    site.there
        .ip("link add link outer name inner type vlan id 200")?;
    site.there.ip("addr add 10.11.2.1/24 dev inner")?;
    site.there
        .ip("addr add fc00:dead:cafe:2::1/64 dev inner nodad")?;
    site.there.ip("link set outer up")?;
    site.there.ip("link set inner up")?;
    let server = site.start()?;
    ask_tagged(&site, &server, ("10.11.2.2", "10.11.2.1"), Path::Xdp)?;
    ask_tagged(
        &site,
        &server,
        ("fc00:dead:cafe:2::2", "fc00:dead:cafe:2::1"),
        Path::Xdp,
    )
}

/// Asks in VLAN 200 within the service VLAN 100; the reply must come back there, right in all its parts.
fn ask_tagged(site: &Site, server: &Server, (from, to): (&str, &str), path: Path) -> Result<()> {
    let raw = RawSocket::open(&site.here, "eth0")?;
    let spec = FrameSpec {
        source_mac: raw.mac(),
        destination_mac: site.eth0().mac()?,
        tags: vec![
            Tag {
                ethertype: TPID_8021AD,
                id: 100,
            },
            Tag {
                ethertype: TPID_8021Q,
                id: 200,
            },
        ],
        source: SocketAddr::new(from.parse()?, 4000),
        destination: SocketAddr::new(to.parse()?, 53),
        hop_limit: 1,
    };
    let before = replied(server)?;
    let query = udp_frame(&spec, &query("host.test", rtype::A).build());
    raw.send(&query)?;
    // The receiving kernel takes the outer tag out of the frame before it shows it: what is left of a
    // reply with both tags is the inner one.
    let tagged = |frame: &[u8]| frame.get(12..16) == Some(&query[16..20]);
    let reply = raw
        .receive(patience(), tagged)?
        .with_context(|| format!("no tagged reply from {to}"))?;
    ensure!(
        reply[..6] == raw.mac() && reply[6..12] == site.eth0().mac()?,
        "MAC addresses {:02x?}",
        &reply[..12]
    );
    let (source, destination, payload) = udp_payload(&reply)?.context("not UDP")?;
    ensure!(
        source == spec.destination && destination == spec.source,
        "{source} to {destination}"
    );
    ensure!(
        Message::parse(&payload)?.answer.len() == 1,
        "no answer in the reply"
    );
    let seen = which(server, before)?;
    ensure!(seen == path, "answered by {seen:?}");
    Ok(())
}

const TPID_8021Q: u16 = 0x8100;
const TPID_8021AD: u16 = 0x88a8;

type ListenMap = HashMap<MapData, [u8; ListenKey::BYTES], [u8; Owner::BYTES]>;

/// The map of what is listened on, of the program that is on the server's interface.
fn listen_map(site: &Site) -> Result<ListenMap> {
    Ok(Map::HashMap(map_of(site, sluicegate_bpf::MAP_LISTEN)?).try_into()?)
}

/// A map of the program that is on the server's interface.
pub(crate) fn map_of(site: &Site, name: &str) -> Result<MapData> {
    let id = site
        .eth0()
        .xdp_program()?
        .context("no program on the interface")?;
    let program =
        aya::programs::loaded_programs().find_map(|info| info.ok().filter(|info| info.id() == id));
    let maps = program
        .context("the program is not to be found")?
        .map_ids()?
        .context("no maps")?;
    for id in maps {
        let map = MapData::from_id(id)?;
        if map.info()?.name_as_str() == Some(name) {
            return Ok(map);
        }
    }
    anyhow::bail!("the program has no such map")
}

/// Waits until `done`.
fn until(limit: Duration, done: impl Fn() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + limit;
    while !done()? {
        ensure!(Instant::now() < end, "not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

//! What a miss costs. Figures are printed; asserted is only what holds on a busy machine too.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::rig::{Rig, cpu_of_engine, options, question};
use crate::trial;
use crate::upstream::{Upstream, name};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_lone_miss_waits_for_no_millisecond",
            a_lone_miss_waits_for_no_millisecond,
        ),
        trial("many_misses_are_batched", many_misses_are_batched),
    ]
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

/// A loop that rounds timers up to milliseconds makes every miss take more than one; so the best tenth
/// tells, however busy the machine is.
fn a_lone_miss_waits_for_no_millisecond() {
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    let direct = UdpSocket::bind("127.0.0.1:0").unwrap();
    direct.connect(("127.0.0.1", upstream.port)).unwrap();
    let (mut misses, mut directs) = (Vec::new(), Vec::new());
    for number in 0..300 {
        let question = question(&format!("lone{number}.example"));
        let start = Instant::now();
        rig.resolve(&question);
        misses.push(start.elapsed());
        let start = Instant::now();
        ask_directly(&direct, number);
        directs.push(start.elapsed());
    }
    misses.sort_unstable();
    directs.sort_unstable();
    println!(
        "lone miss: best tenth {:?}, median {:?}; the upstream asked directly: {:?}, {:?}",
        misses[30], misses[150], directs[30], directs[150]
    );
    // Where waking up alone takes long, that is what the way there and back takes too.
    let limit = Duration::from_millis(1).max(4 * directs[30]);
    assert!(misses[30] < limit, "{:?} of {limit:?}", misses[30]);
}

fn ask_directly(socket: &UdpSocket, number: u16) {
    let mut query = number.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    query.extend(name(&format!("direct{number}.example")));
    query.extend([0, 1, 0, 1]);
    socket.send(&query).unwrap();
    let mut buffer = [0; 512];
    socket.recv(&mut buffer).unwrap();
}

fn many_misses_are_batched() {
    const MISSES: u32 = 20_000;
    const WINDOW: u64 = 500;
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    let (start, cpu) = (Instant::now(), cpu_of_engine(&rig));
    let mut asked = 0;
    rig.run_until("all misses", |rig| {
        let answered = rig.client.stats().answered;
        while asked < MISSES && u64::from(asked) < answered + WINDOW {
            rig.ask(
                &question(&format!("many{asked}.zone{}.example", asked % 100)),
                asked,
            )
            .unwrap();
            asked += 1;
        }
        rig.outcomes.clear();
        answered == u64::from(MISSES)
    });
    let (took, cpu) = (
        start.elapsed(),
        cpu_of_engine(&rig).checked_sub(cpu).unwrap(),
    );
    println!(
        "{MISSES} misses in {took:?}: {:.0}/s, engine CPU {:?} a miss",
        f64::from(MISSES) / took.as_secs_f64(),
        cpu / MISSES
    );
    assert_eq!(rig.client.stats().failed + rig.client.stats().expired, 0);
}

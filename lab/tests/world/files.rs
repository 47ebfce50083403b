use std::cell::Cell;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::scene::{PATIENCE, Path};
use sluicegate_lab::wire::{Message, QuerySpec, query, rcode, rtype};

use crate::attacks::small_world;
use crate::site::Site;

/// Nobody answers there.
const DEAD_HINTS: &str = ". 3600 IN NS nowhere.\nnowhere. 3600 IN A 192.0.2.251\n";
/// A key that the root does not have.
const WRONG_KEY: &str =
    ". IN DS 4711 13 2 0000000000000000000000000000000000000000000000000000000000000000\n";
const AD: u16 = 0x20;

/// The configuration stays, the files that it names change: what they say counts after SIGHUP, and not before.
pub(crate) fn changed_files_count_after_a_reload() -> Result<()> {
    let world = small_world(&["good.alpha."])?;
    let (hints, key) = (world.root_hints(), world.key(".").context("it is signed")?);
    let [right_hints, right_key] = [fs::read(&hints)?, fs::read(key)?];
    fs::write(&hints, DEAD_HINTS)?;
    let site = Site::sluicegate(&world, "")?;
    let asked = Cell::new(0);
    let ask = |cd: bool| {
        asked.set(asked.get() + 1);
        // Nobody has asked for this one.
        let name = format!("none{}.good.alpha.", asked.get());
        let query = query(&name, rtype::A).edns(1232, true);
        site.ask(Path::Xdp, &QuerySpec { cd, ..query })
    };
    let (secure, bogus) = (
        || Ok(is_secure(&ask(false)?)),
        || Ok(fails(&ask(false)?) && !fails(&ask(true)?)),
    );
    ensure!(fails(&ask(true)?), "the dead hints are not used");
    fs::write(&hints, right_hints)?;
    ensure!(fails(&ask(true)?), "the hints count before anybody said so");
    site.hang_up()?;
    wait("the right hints", secure)?;
    fs::write(key, WRONG_KEY)?;
    ensure!(secure()?, "the key counts before anybody said so");
    site.hang_up()?;
    wait("the wrong key", bogus)?;
    fs::write(key, right_key)?;
    site.hang_up()?;
    wait("the right key", secure)
}

fn is_secure(answer: &Message) -> bool {
    answer.rcode() == rcode::NXDOMAIN && answer.flags & AD != 0
}

fn fails(answer: &Message) -> bool {
    answer.rcode() == rcode::SERVFAIL
}

fn wait(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + PATIENCE * 2;
    while !is_so()? {
        ensure!(Instant::now() < end, "{what}: no effect");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

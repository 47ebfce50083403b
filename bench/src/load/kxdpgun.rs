use std::collections::BTreeMap;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use sluicegate_lab::netns::Netns;
use sluicegate_lab::peers;
use sluicegate_lab::scene::{CLIENT_V4, CLIENT_V6, LINK};

use super::Target;
use crate::measure::{Figure, Load, Processors, Round};
use crate::plan::PACED_PER_SEC;
use crate::site::{CLIENT_CORE, Site};

/// The rate that no server here can answer.
const FLAT_PER_SEC: u32 = 3_000_000;
/// How long a generator runs before what is measured: queues fill.
pub(super) const MARGIN: Duration = Duration::from_millis(300);
/// How long it would run if it were not stopped.
const GENERATOR_SECS: u64 = 60;
/// So many packets say that it has begun.
const BEGUN_PACKETS: u64 = 1000;
/// How long it may take to read its queries, and then to begin.
const READ_LIMIT: Duration = Duration::from_mins(1);

/// What kxdpgun says at its end.
#[derive(Debug, PartialEq)]
struct Said {
    queries: u64,
    replies: u64,
}

/// Asks for `secs` seconds, flat out or paced.
pub(crate) fn kxdpgun(target: &Target<'_>, load: Load, secs: u64) -> Result<Round> {
    let rate = if load == Load::Paced {
        PACED_PER_SEC
    } else {
        FLAT_PER_SEC
    };
    let command = command(target, rate)?;
    let outcome = run(target, &command, Duration::from_secs(secs));
    // It leaves its program on the interface, and the kernel's sockets without packets.
    target.site.client.ip(&format!("link set {LINK} xdp off"))?;
    let (said, figures) = outcome?;
    ensure!(said.replies > 0, "{} got no answer", command_line(&command));
    Ok(Round {
        load,
        figures,
        command: command_line(&command),
    })
}

fn run(
    target: &Target<'_>,
    command: &Command,
    measured: Duration,
) -> Result<(Said, BTreeMap<Figure, f64>)> {
    let generator = target.site.client.spawn(command)?;
    wait_for_packets(target.site)?;
    thread::sleep(MARGIN);
    let before = Processors::look(target.server.pid())?;
    let first = packets(&target.site.client, Way::Received)?;
    thread::sleep(measured);
    let last = packets(&target.site.client, Way::Received)?;
    let spent = Processors::look(target.server.pid())?.since(&before);
    // It would go on, and then wait for late answers for two seconds.
    generator.signal(Signal::SIGINT)?;
    let finished = generator.finish(READ_LIMIT)?;
    if !finished.success() {
        bail!("kxdpgun: {}", finished.stderr);
    }
    let said =
        read(&finished.stdout).with_context(|| format!("kxdpgun said {:?}", finished.stdout))?;
    #[expect(clippy::cast_precision_loss, reason = "numbers of packets are small")]
    let (answers, answered) = (
        (last - first) as f64,
        said.replies as f64 * 100.0 / said.queries as f64,
    );
    let each = |time: Duration| time.as_secs_f64() * 1e6 / answers;
    let figures = [
        (Figure::Rate, answers / spent.elapsed.as_secs_f64()),
        (Figure::AnsweredPercent, answered),
        (Figure::CpuUs, each(spent.busy)),
        (Figure::ServerUs, each(spent.server)),
        (Figure::SoftirqUs, each(spent.softirq)),
    ];
    Ok((said, figures.into()))
}

/// Waits until the generator sends. It reads its queries first, and sleeps for a second once its sockets are open.
pub(super) fn wait_for_packets(site: &Site) -> Result<()> {
    let end = Instant::now() + READ_LIMIT;
    let sent = || packets(&site.client, Way::Sent);
    let before = sent()?;
    while sent()? < before + BEGUN_PACKETS {
        ensure!(Instant::now() < end, "kxdpgun sends nothing");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[derive(Clone, Copy)]
pub(super) enum Way {
    Received,
    Sent,
}

/// The packets of the interface, XDP's included.
pub(super) fn packets(host: &Netns, way: Way) -> Result<u64> {
    let text = host.enter(|| std::fs::read_to_string("/proc/thread-self/net/dev"))?;
    // Eight columns of what came, the packets second; then those of what went.
    let column = match way {
        Way::Received => 1,
        Way::Sent => 9,
    };
    text.lines()
        .find_map(|line| line.trim().strip_prefix(LINK)?.strip_prefix(':'))
        .and_then(|counters| counters.split_whitespace().nth(column)?.parse().ok())
        .context("the interface's counters")
}

fn command(target: &Target<'_>, rate: u32) -> Result<Command> {
    let v6 = target.case.v6;
    let mut command = peers::command("kxdpgun")?;
    let secs = GENERATOR_SECS.to_string();
    command.args(["-t", &secs, "-Q", &rate.to_string()]);
    command.args(["-F", &format!("{CLIENT_CORE}s0"), "-I", LINK]);
    // It looks up both MAC addresses itself. If it is told them (-L, -R), its IPv6 queries come from `::`, which nobody
    // may answer (RFC 4291, section 2.5.2); seen with 3.2.6.
    let local = if v6 { CLIENT_V6 } else { CLIENT_V4 }.to_string();
    command
        .args(["-l", &local, "-i"])
        .arg(&target.queries.kxdpgun);
    command.arg(Site::address(v6).to_string());
    Ok(command)
}

/// The command as a person would write it: paths without their folders, and without `taskset`.
pub(super) fn command_line(command: &Command) -> String {
    let all = std::iter::once(command.get_program()).chain(command.get_args());
    let words = all.skip_while(|word| !word.to_string_lossy().contains('/'));
    let words = words.map(|word| {
        let word = word.to_string_lossy();
        let name = word.rsplit('/').next().unwrap_or_default();
        if word.starts_with('/') { name } else { &word }.to_owned()
    });
    words.collect::<Vec<_>>().join(" ")
}

fn read(text: &str) -> Option<Said> {
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let queries = line("total queries:")?;
    let replies = line("total replies:")?;
    let first = |line: &str| line.split_whitespace().next()?.parse().ok();
    Some(Said {
        queries: first(queries)?,
        replies: first(replies)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_summary_is_understood() {
        let text = "using interface eth0, XDP threads 1, UDP, native mode
total queries:     449280 (149760 pps)
total replies:     449279 (149759 pps) (99%)
average DNS reply size: 70 B
";
        let said = Said {
            queries: 449_280,
            replies: 449_279,
        };
        assert_eq!(read(text), Some(said));
    }
}

//! What the demo shows, in its order.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};

use super::asker::{A, AAAA, Question, Transport, ask};
use super::host::Host;
use super::measure::{Comparison, Targets, ask_cached, compare};
use super::picture::{bars, milliseconds, table};
use super::responder::DELAY;
use super::stage::{
    CONTROL_SOCKET, INTERFACE, LOCAL_NAME, SERVER_LOOPBACK, SERVER_V4, SERVER_V6, Stage,
    UPSTREAM_V4, UPSTREAM_V6, XdpState, address, private_run,
};
use super::watch;

type Scene = fn(&Stage, &mut dyn Write) -> Result<()>;

/// How often each path is asked.
const PATH_QUESTIONS: u16 = 50;

/// Runs the demo on standard output until Ctrl-C, or for `DEMO_SECONDS` seconds of live counters.
///
/// To be called before any thread is started.
///
/// # Errors
/// Without root or network namespaces, when the server does not start, or when an answer is wrong.
pub(crate) fn run() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the demo needs root, to make network namespaces of its own: sudo sluicegate demo");
    }
    let seconds = watch::seconds(std::env::var("DEMO_SECONDS").ok().as_deref())?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    private_run()?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "Sluicegate's demo: three hosts on this machine, joined by veth; nothing else is touched.\n"
    )?;
    let mut stage = Stage::build()?;
    let scenes: [Scene; 5] = [cast, local_data, latency, paths, second_terminal];
    for scene in scenes {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        scene(&stage, &mut out)?;
    }
    let survived = watch::live(&mut stage, &mut out, seconds, &stop)?;
    end(&mut stage, &mut out, survived)
}

/// Who is who, and whether AF_XDP is at work.
fn cast(stage: &Stage, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "  client    10.11.1.2  fc00:dead:cafe:1::2")?;
    writeln!(
        out,
        "  server    10.11.1.1  fc00:dead:cafe:1::1   process {}",
        stage.server_pid()
    )?;
    writeln!(
        out,
        "  upstream  answers every name, each answer held back for {} ms on purpose\n",
        DELAY.as_millis()
    )?;
    match stage.xdp_line()? {
        XdpState::Active(line) => {
            writeln!(out, "The server says:   {line}")?;
            let program = stage
                .xdp_program()?
                .context("but there is no XDP program on the interface")?;
            writeln!(
                out,
                "The kernel says:   XDP program {program} on {INTERFACE}\n"
            )?;
        }
        XdpState::Missing(line) => writeln!(
            out,
            "The server says:   {line}\nSo all that follows goes by the kernel.\n"
        )?,
    }
    Ok(())
}

/// Local data over both families.
fn local_data(stage: &Stage, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "Local data, from the server's own configuration:")?;
    for (server, qtype, text) in [(SERVER_V4, A, "A"), (SERVER_V6, AAAA, "AAAA")] {
        let question = Question {
            name: LOCAL_NAME.to_owned(),
            qtype,
        };
        let answer = stage
            .client
            .inside(move || ask(address(server), Transport::Udp, &question, 1))??;
        let found = answer.addresses.first().context("there is no local data")?;
        let time = milliseconds(answer.took);
        writeln!(
            out,
            "  {server:<26} {LOCAL_NAME} {text:<4} -> {found:<20} {time}"
        )?;
    }
    writeln!(out)?;
    Ok(())
}

/// First hit and cache hit beside asking the upstream directly.
fn latency(stage: &Stage, out: &mut dyn Write) -> Result<()> {
    let both = [
        ("IPv4", SERVER_V4, UPSTREAM_V4),
        ("IPv6", SERVER_V6, UPSTREAM_V6),
    ];
    let mut comparisons: Vec<Comparison> = Vec::new();
    for (family, server, upstream) in both {
        let targets = Targets {
            family,
            server: address(server),
            upstream: address(upstream),
        };
        comparisons.push(compare(&stage.client, targets)?);
    }
    writeln!(
        out,
        "The same names asked three ways, over UDP, as the client sees it:"
    )?;
    writeln!(
        out,
        "{}\nMedians:\n{}",
        table(&comparisons),
        bars(&comparisons)
    )?;
    Ok(())
}

/// Which path carried which answers, by the server's counters before and after.
fn paths(stage: &Stage, out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "Cached names over every path, and whose counters moved:"
    )?;
    writeln!(
        out,
        "                                asked   median       AF_XDP  kernel UDP  kernel TCP"
    )?;
    let rows: [(&str, &Host, &str, Transport); 5] = [
        ("UDP 10.11.1.1", &stage.client, SERVER_V4, Transport::Udp),
        (
            "UDP fc00:dead:cafe:1::1",
            &stage.client,
            SERVER_V6,
            Transport::Udp,
        ),
        (
            "UDP 127.0.0.1",
            &stage.server,
            SERVER_LOOPBACK,
            Transport::Udp,
        ),
        ("TCP 10.11.1.1", &stage.client, SERVER_V4, Transport::Tcp),
        (
            "TCP fc00:dead:cafe:1::1",
            &stage.client,
            SERVER_V6,
            Transport::Tcp,
        ),
    ];
    for (what, host, server, transport) in rows {
        let before = stage.stats_at_rest()?;
        let times = ask_cached(host, address(server), transport, PATH_QUESTIONS)?;
        let after = stage.stats_at_rest()?;
        let moved = ["xdp.", "udp.", "tcp"]
            .map(|path| replies(&after, path).saturating_sub(replies(&before, path)));
        let median = milliseconds(times.median());
        writeln!(
            out,
            "  {what:<28} {:>6}  {median}  {:>9}  {:>10}  {:>10}",
            times.count(),
            moved[0],
            moved[1],
            moved[2]
        )?;
    }
    writeln!(out)?;
    Ok(())
}

/// How to ask from elsewhere.
fn second_terminal(stage: &Stage, out: &mut dyn Write) -> Result<()> {
    let client = stage.client.path();
    let mounts = format!("/proc/{}/ns/mnt", std::process::id());
    let program = std::env::current_exe()?;
    writeln!(
        out,
        "From a second terminal, as root (dig is in the Debian package bind9-dnsutils):"
    )?;
    writeln!(
        out,
        "  nsenter --net={client} dig @10.11.1.1 www.example.org"
    )?;
    writeln!(
        out,
        "  nsenter --net={client} dig @fc00:dead:cafe:1::1 www.example.org AAAA"
    )?;
    writeln!(
        out,
        "  nsenter --net={client} dig @10.11.1.1 +tcp {LOCAL_NAME}"
    )?;
    writeln!(
        out,
        "  nsenter --mount={mounts} {} stats -s {CONTROL_SOCKET}",
        program.display()
    )?;
    writeln!(
        out,
        "  kill -9 {}      # the server: the kernel takes the XDP program with it\n",
        stage.server_pid()
    )?;
    Ok(())
}

/// The end: what is left of it all.
fn end(stage: &mut Stage, out: &mut dyn Write, survived: bool) -> Result<()> {
    let ended_well = !survived || stage.stop_server()?;
    let program = stage.xdp_program()?;
    match program {
        None => writeln!(
            out,
            "The server has ended and its XDP program is gone; the hosts end with this process."
        )?,
        Some(id) => bail!("the server has ended, but XDP program {id} is still there"),
    }
    if !survived {
        bail!("the server was ended from outside");
    }
    if !ended_well {
        bail!("the server did not end by itself");
    }
    Ok(())
}

/// The replies of all workers whose name starts so.
pub(super) fn replies(stats: &BTreeMap<String, u64>, path: &str) -> u64 {
    sum(stats, path, ".replied")
}

/// The sum of the statistics whose names start and end so.
pub(super) fn sum(stats: &BTreeMap<String, u64>, start: &str, end: &str) -> u64 {
    let chosen = stats
        .iter()
        .filter(|(name, _)| name.starts_with(start) && name.ends_with(end));
    chosen.map(|(_, value)| value).sum()
}

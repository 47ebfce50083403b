use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sluicegate_lab::peers;

use super::kxdpgun::{MARGIN, Way, command_line, packets, wait_for_packets};
use super::{Target, Wait, single};
use crate::measure::{Figure, Load, Processors, Round};
use crate::site::Site;

/// What dnsperf says at its end.
#[derive(Debug, PartialEq)]
pub(crate) struct DnsPerf {
    pub(crate) per_sec: f64,
    pub(crate) mean_us: f64,
    pub(crate) completed: f64,
    pub(crate) sent: f64,
}

/// How long dnsperf may take beyond its time.
const LIMIT: Duration = Duration::from_mins(1);

/// Round trips of single queries while dnsperf asks at half of the rate that it gets flat out.
pub(crate) fn half_load(target: &Target<'_>, secs: u64, singles: usize) -> Result<Round> {
    let command = |rate, secs: u64| {
        let limit = [
            "-l".to_owned(),
            secs.to_string(),
            "-q".to_owned(),
            "64".to_owned(),
        ];
        command(target, &target.queries.dnsperf, &limit, rate)
    };
    let flat = command(None, secs)?;
    let flat = said(&target.site.client.run(&flat)?.stdout)?;
    let half = command(Some(flat.per_sec / 2.0), secs + 1)?;
    let generator = target.site.client.spawn(&half)?;
    let round = single(target, Load::Half, Wait::Blocking, singles / 10);
    let finished = generator.finish(LIMIT)?;
    let said = said(&finished.stdout)?;
    let mut round = round?;
    round.figures.insert(Figure::Rate, said.per_sec);
    round.figures.insert(Figure::MeanUs, said.mean_us);
    round.command = format!("{}; beside it {}", command_line(&half), round.command);
    Ok(round)
}

/// As many queries as dnsperf can send for so many seconds.
///
/// Answers and processors are looked at while it sends: at its end it waits for seconds, not idly, for what was lost.
pub(crate) fn flows(target: &Target<'_>, secs: u64) -> Result<Round> {
    let limit = [
        "-l".to_owned(),
        (secs + 2).to_string(),
        "-q".to_owned(),
        "512".to_owned(),
    ];
    let command = command(target, &target.queries.dnsperf, &limit, None)?;
    let client = &target.site.client;
    let generator = client.spawn(&command)?;
    wait_for_packets(target.site)?;
    thread::sleep(MARGIN);
    let before = Processors::look(target.server.pid())?;
    let first = packets(client, Way::Received)?;
    thread::sleep(Duration::from_secs(secs));
    let last = packets(client, Way::Received)?;
    let spent = Processors::look(target.server.pid())?.since(&before);
    let said = said(&generator.finish(LIMIT)?.stdout)?;
    #[expect(clippy::cast_precision_loss, reason = "numbers of packets are small")]
    let answers = (last - first) as f64;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / answers;
    let figures = [
        (Figure::Rate, answers / spent.elapsed.as_secs_f64()),
        (Figure::CpuUs, each(spent.busy)),
        (Figure::ServerUs, each(spent.server)),
        (Figure::MeanUs, said.mean_us),
    ];
    Ok(Round {
        load: Load::Flows,
        figures: figures.into(),
        command: command_line(&command),
    })
}

/// What dnsperf says when it has asked for each name of a file once, many at a time.
pub(super) fn each_once(target: &Target<'_>, file: &Path) -> Result<(DnsPerf, String)> {
    let limit = ["-n", "1", "-q", "100", "-t", "3"].map(str::to_owned);
    let command = command(target, file, &limit, None)?;
    let said = said(&target.site.client.run(&command)?.stdout)?;
    Ok((said, command_line(&command)))
}

fn command(
    target: &Target<'_>,
    file: &Path,
    limit: &[String],
    rate: Option<f64>,
) -> Result<Command> {
    let dnsperf = peers::command("dnsperf")?;
    let mut command = Command::new("taskset");
    command
        .args(["-c", &target.site.client_cores()])
        .arg(dnsperf.get_program());
    for (name, value) in dnsperf.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.args(["-s", &Site::address(target.case.v6).to_string(), "-d"]);
    // It makes one socket for each client, and serves each with one of its threads.
    let threads = target.site.queues;
    let clients = if threads > 1 { "32" } else { "8" };
    command
        .arg(file)
        .args(["-c", clients, "-T", &threads.to_string()]);
    command.args(limit);
    if let Some(rate) = rate {
        command.args(["-Q", &format!("{rate:.0}")]);
    }
    Ok(command)
}

fn said(text: &str) -> Result<DnsPerf> {
    let value = |label: &str| -> Option<f64> {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(label))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let (Some(per_sec), Some(mean), Some(sent), Some(completed)) = (
        value("Queries per second:"),
        value("Average Latency (s):"),
        value("Queries sent:"),
        value("Queries completed:"),
    ) else {
        bail!("dnsperf said {text:?}");
    };
    Some(DnsPerf {
        per_sec,
        mean_us: mean * 1e6,
        completed,
        sent,
    })
    .filter(|said| said.per_sec > 0.0)
    .context("dnsperf got no answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_summary_is_understood() {
        let text = "Statistics:\n\n  Queries sent:         10\n  Queries completed:    9 (90.00%)\n  Queries per second:   5000.5\n\n  Average Latency (s):  0.000250 (min 0.1, max 0.2)\n";
        let said = said(text).unwrap();
        assert!((said.per_sec - 5000.5).abs() < 1e-9);
        assert!((said.mean_us - 250.0).abs() < 1e-6);
        assert!(super::said("nothing").is_err());
    }
}

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::Entry;
use super::lines::{Lines, without_comment};
use super::record::Defaults;

/// A scenario file.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it says it tests.
    pub title: String,
    /// The configuration; [`File`]s are named `{dir}/name` in it.
    pub config: String,
    /// What the configuration names.
    pub files: Vec<File>,
    /// What authoritative servers answer.
    pub ranges: Vec<Range>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// A file that the server reads or writes.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name inside the folder of the run.
    pub name: String,
    /// What is in it at the start; other files are included as `{dir}/name`.
    pub text: String,
}

/// What servers answer while the step is from `first` to `last`.
#[derive(Clone, Debug)]
pub struct Range {
    /// The first step.
    pub first: u32,
    /// The last step.
    pub last: u32,
    /// The servers; all when there are none.
    pub addresses: Vec<IpAddr>,
    /// What they answer: the first that matches.
    pub entries: Vec<Entry>,
}

/// What happens at one moment.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number in the scenario.
    pub number: u32,
    /// What happens.
    pub event: Event,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// Nothing.
    Nothing,
    /// A client asks, from 127.0.0.1 unless it says otherwise.
    Query(Option<IpAddr>, Entry),
    /// An answer that matches has come.
    CheckAnswer(Option<IpAddr>, Entry),
    /// The server has asked something that matches.
    CheckOutQuery(Option<IpAddr>, Entry),
    /// The server gets an answer to what it asked last.
    Reply(Option<IpAddr>, Entry),
    /// Time passes.
    TimePasses(Duration),
    /// The server goes on until it has nothing more to ask.
    Traffic,
    /// A file has these lines.
    CheckFile(String, Vec<String>),
    /// What real sockets can't show, with the reason.
    Impossible(String),
}

impl Scenario {
    /// Reads a file's text.
    ///
    /// # Errors
    /// With the number of the line that isn't understood.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = Lines::new(text);
        let scenario = read(&mut lines);
        scenario.with_context(|| format!("line {}", lines.number()))
    }

    /// Whether other ranges hold at one step than at another.
    pub(super) fn turns(&self, from: u32, to: u32) -> bool {
        let holds = |range: &Range, step| (range.first..=range.last).contains(&step);
        let mut ranges = self.ranges.iter();
        ranges.any(|range| holds(range, from) != holds(range, to))
    }

    /// Whether the server transfers zones.
    pub(super) fn transfers(&self) -> bool {
        self.config.contains("master:")
    }

    /// The time that passes in it.
    pub fn waits(&self) -> Duration {
        let passes = self.steps.iter().map(|step| match step.event {
            Event::TimePasses(time) => time,
            _ => Duration::ZERO,
        });
        passes.sum()
    }
}

impl Range {
    /// Whether it says what the server at `address` answers at a step.
    pub fn covers(&self, step: u32, address: IpAddr) -> bool {
        (self.first..=self.last).contains(&step)
            && (self.addresses.is_empty() || self.addresses.contains(&address))
    }
}

fn read(lines: &mut Lines<'_>) -> Result<Scenario> {
    let mut scenario = Scenario {
        title: String::new(),
        config: String::new(),
        files: Vec::new(),
        ranges: Vec::new(),
        steps: Vec::new(),
    };
    read_config(lines, &mut scenario)?;
    let mut defaults = Defaults::default();
    let begin = lines.said()?;
    let title = begin.strip_prefix("SCENARIO_BEGIN");
    title
        .context("no SCENARIO_BEGIN")?
        .trim()
        .clone_into(&mut scenario.title);
    loop {
        let line = without_comment(lines.said()?);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["RANGE_BEGIN", first, last] => {
                let (first, last) = (first.parse()?, last.parse()?);
                scenario
                    .ranges
                    .push(read_range(lines, first, last, &mut defaults)?);
            }
            ["STEP", number, ref event @ ..] => scenario.steps.push(Step {
                number: number.parse()?,
                event: read_event(lines, event, &mut defaults)?,
            }),
            ["SCENARIO_END"] => return Ok(scenario),
            _ => bail!("not understood: {line}"),
        }
    }
}

fn read_config(lines: &mut Lines<'_>, scenario: &mut Scenario) -> Result<()> {
    loop {
        let line = lines.raw()?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["CONFIG_END", ..] => return Ok(()),
            ["TEMPFILE_NAME", name] => {
                scenario.config += &["\"{dir}/", name, "\"\n"].concat();
            }
            ["TEMPFILE_CONTENTS", name] => {
                let text = read_file(lines, "TEMPFILE_END")?;
                scenario.add_file(name, text);
            }
            ["AUTOTRUST_FILE", name] => {
                let text = read_file(lines, "AUTOTRUST_END")?;
                let option = ["server: auto-trust-anchor-file: \"{dir}/", name, ".key\"\n"];
                scenario.config += &option.concat();
                scenario.add_file(&format!("{name}.key"), text);
            }
            ["COMMANDLINE", ..] => bail!("command lines aren't known"),
            [first, ..] if first.starts_with(';') => {}
            _ => {
                scenario.config.push_str(line);
                scenario.config.push('\n');
            }
        }
    }
}

impl Scenario {
    fn add_file(&mut self, name: &str, text: String) {
        let name = name.to_owned();
        self.files.push(File { name, text });
    }
}

fn read_file(lines: &mut Lines<'_>, end: &str) -> Result<String> {
    let mut text = String::new();
    loop {
        let line = lines.raw()?;
        if line.trim() == end {
            return Ok(text);
        }
        match line.trim().strip_prefix("$INCLUDE_TEMPFILE") {
            Some(name) => text += &["$INCLUDE {dir}/", name.trim()].concat(),
            None => text.push_str(line),
        }
        text.push('\n');
    }
}

fn read_range(
    lines: &mut Lines<'_>,
    first: u32,
    last: u32,
    defaults: &mut Defaults,
) -> Result<Range> {
    let mut range = Range {
        first,
        last,
        addresses: Vec::new(),
        entries: Vec::new(),
    };
    loop {
        let line = without_comment(lines.said()?);
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["ADDRESS", address] => range.addresses.push(address.parse()?),
            ["ENTRY_BEGIN"] => range.entries.push(Entry::read(lines, defaults)?),
            ["RANGE_END"] => return Ok(range),
            _ => bail!("not understood in a range: {line}"),
        }
    }
}

fn read_event(lines: &mut Lines<'_>, words: &[&str], defaults: &mut Defaults) -> Result<Event> {
    let (kind, arguments) = words.split_first().context("a step without event")?;
    Ok(match (*kind, arguments) {
        // A variable of the program's clock concerns only steps that can't be played.
        ("NOTHING" | "ASSIGN", _) => Event::Nothing,
        ("TIMEOUT", _) => {
            Event::Impossible("needs a clock of its own: a server's time-outs pass at once".into())
        }
        ("TRAFFIC", _) => Event::Traffic,
        ("TIME_PASSES", ["ELAPSE", time]) => {
            Event::TimePasses(Duration::from_secs_f64(time.parse()?))
        }
        ("CHECK_TEMPFILE", [name]) => {
            ensure!(lines.said()? == "FILE_BEGIN", "no FILE_BEGIN");
            let text = read_file(lines, "FILE_END")?;
            Event::CheckFile(
                (*name).to_owned(),
                text.lines().map(str::to_owned).collect(),
            )
        }
        ("CHECK_AUTOTRUST", _) => {
            ensure!(lines.said()? == "FILE_BEGIN", "no FILE_BEGIN");
            read_file(lines, "FILE_END")?;
            Event::Impossible("its clock's times are compared with a file".to_owned())
        }
        ("ERROR", _) => Event::Impossible("a socket's error at one step".to_owned()),
        ("QUERY", _) => Event::Query(address(arguments)?, entry(lines, defaults)?),
        ("CHECK_ANSWER", _) => Event::CheckAnswer(address(arguments)?, entry(lines, defaults)?),
        ("CHECK_OUT_QUERY", _) => {
            Event::CheckOutQuery(address(arguments)?, entry(lines, defaults)?)
        }
        ("REPLY", _) => Event::Reply(address(arguments)?, entry(lines, defaults)?),
        _ => bail!("STEP {kind} isn't known"),
    })
}

fn address(arguments: &[&str]) -> Result<Option<IpAddr>> {
    match arguments {
        [] => Ok(None),
        ["ADDRESS", address, ..] => Ok(Some(address.parse()?)),
        _ => bail!("not understood: {arguments:?}"),
    }
}

fn entry(lines: &mut Lines<'_>, defaults: &mut Defaults) -> Result<Entry> {
    ensure!(lines.said()?.starts_with("ENTRY_BEGIN"), "no ENTRY_BEGIN");
    Entry::read(lines, defaults)
}

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::*;

    const TEXT: &str = "; a comment
server:
\tverbosity: 2
auth-zone:
\tzonefile:
TEMPFILE_NAME zone
TEMPFILE_CONTENTS zone
@ SOA
$INCLUDE_TEMPFILE other
TEMPFILE_END
CONFIG_END
SCENARIO_BEGIN A title

RANGE_BEGIN 0 10
\tADDRESS 192.0.2.1
ENTRY_BEGIN
MATCH opcode qtype qname ; a comment
ADJUST copy_id
REPLY QR REFUSED
ENTRY_END
RANGE_END
STEP 1 QUERY ADDRESS 20.1.2.3
ENTRY_BEGIN
REPLY RD
SECTION QUESTION
www.example.com. IN A
ENTRY_END
STEP 2 TIME_PASSES ELAPSE 2.5
STEP 3 CHECK_ANSWER
ENTRY_BEGIN
MATCH all ede=6
ENTRY_END
SCENARIO_END
";

    #[test]
    fn a_scenario_is_read() {
        let scenario = Scenario::parse(TEXT).unwrap();
        assert_eq!(scenario.title, "A title");
        assert!(scenario.config.contains("zonefile:\n\"{dir}/zone\"\n"));
        assert_eq!(scenario.files[0].text, "@ SOA\n$INCLUDE {dir}/other\n");
        assert_eq!(scenario.ranges[0].entries[0].rules.len(), 3);
        assert!(scenario.ranges[0].covers(10, "192.0.2.1".parse().unwrap()));
        assert!(!scenario.ranges[0].covers(11, "192.0.2.1".parse().unwrap()));
        assert!(!scenario.ranges[0].covers(10, "192.0.2.2".parse().unwrap()));
        assert_eq!(scenario.waits(), Duration::from_millis(2500));
        let [query, _, check] = &scenario.steps[..] else {
            panic!("three steps: {:?}", scenario.steps);
        };
        assert!(matches!(&query.event, Event::Query(Some(from), _) if from.is_ipv4()));
        assert!(matches!(&check.event, Event::CheckAnswer(None, entry) if entry.has(Rule::Ede(6))));
    }

    #[test]
    fn what_is_not_understood_is_an_error_with_its_line() {
        let wrong = TEXT.replace("copy_id", "copy_nothing");
        let error = format!("{:#}", Scenario::parse(&wrong).unwrap_err());
        assert_eq!(error, "line 18: ADJUST copy_nothing isn't known");
    }
}

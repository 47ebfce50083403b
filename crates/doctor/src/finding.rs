use std::fmt;

use crate::Change;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check's name; it never changes, so that scripts can rely on it.
    pub check: &'static str,
    /// What the check is about.
    pub group: Group,
    /// The interface or address that was looked at, where there are several.
    pub subject: Option<String>,
    /// What was probed: names and raw values.
    pub probed: Vec<(&'static str, Value)>,
    /// How it stands.
    pub verdict: Verdict,
    /// How it stands, in one line; for [`Verdict::Skipped`], why nothing could be said.
    pub says: String,
    /// Why it matters; empty if all is well.
    pub why: String,
    /// What mends it, in this order; empty if nothing needs to be or nothing does.
    pub mend: Vec<Mend>,
}

/// How something stands, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Skipped,
    /// Worth knowing; nothing is wrong.
    Info,
    /// It costs speed or will do harm one day.
    Warn,
    /// The fast path, or the answer, fails on it.
    Fail,
}

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The configuration and the running server.
    Server,
    /// The kernel and its settings.
    Kernel,
    /// What the process may do.
    Privileges,
    /// One interface.
    Interface,
    /// How interfaces, addresses and routes hang together.
    Network,
}

/// A raw value that was probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A count or a size; the name tells the unit.
    Number(u64),
    /// Anything else.
    Text(String),
    /// Several.
    List(Vec<String>),
    /// The system did not tell.
    Unknown,
}

/// What mends a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// A runtime setting; `--fix` makes the change and `--undo` puts it back.
    Change(Change),
    /// A command (or several lines of them) for people: what lasts beyond a restart is theirs to decide.
    ByHand(String),
}

impl Finding {
    /// A check that has not been judged yet: all is well.
    pub(crate) fn new(check: &'static str, group: Group) -> Self {
        Self {
            check,
            group,
            subject: None,
            probed: Vec::new(),
            verdict: Verdict::Ok,
            says: String::new(),
            why: String::new(),
            mend: Vec::new(),
        }
    }

    pub(crate) fn on(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    pub(crate) fn probed(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.probed.push((name, value.into()));
        self
    }

    /// The judgement, and how it stands in one line.
    pub(crate) fn is(mut self, verdict: Verdict, says: impl Into<String>) -> Self {
        self.verdict = verdict;
        self.says = says.into();
        self
    }

    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    pub(crate) fn mended_by(mut self, mend: Mend) -> Self {
        self.mend.push(mend);
        self
    }

    pub(crate) fn mend(self, change: Change) -> Self {
        self.mended_by(Mend::Change(change))
    }

    pub(crate) fn by_hand(self, command: impl Into<String>) -> Self {
        self.mended_by(Mend::ByHand(command.into()))
    }
}

impl Verdict {
    /// The word in reports and in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Group {
    /// The word in reports and in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Kernel => "kernel",
            Self::Privileges => "privileges",
            Self::Interface => "interface",
            Self::Network => "network",
        }
    }
}

impl Mend {
    /// The command, as it can be copied into a shell.
    pub fn command(&self) -> String {
        match self {
            Self::Change(change) => change.command().to_string(),
            Self::ByHand(command) => command.clone(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(yes) => f.write_str(if *yes { "yes" } else { "no" }),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::List(all) => f.write_str(&all.join(" ")),
            Self::Unknown => f.write_str("?"),
        }
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Flag(yes)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<String>> for Value {
    fn from(all: Vec<String>) -> Self {
        Self::List(all)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Unknown, Into::into)
    }
}

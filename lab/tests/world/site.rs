use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sluicegate_lab::netns::{Netns, Process};
use sluicegate_lab::peers;
use sluicegate_lab::scene::{LINK, PATIENCE, Path, SERVER_V4, client_beside};
use sluicegate_lab::server::{Server, server};
use sluicegate_lab::wire::{Message, QuerySpec};
use sluicegate_lab::world::World;

use crate::ask::{ask_in_turn, ask_together};

/// A resolver in the world: its own host, and a client's beside it. Both resolvers have the same addresses.
pub(crate) struct Site {
    // Fields are dropped in this order: the server before its namespace.
    resolver: Resolver,
    host: Netns,
    client: Netns,
}

enum Resolver {
    Sluicegate(Server),
    Unbound(Process),
}

/// How long Unbound may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What both resolvers are told. Servers that don't answer are given up sooner than by default, for the test's sake.
const CONF: &str = "
  ede: yes
  val-log-level: 1
  unknown-server-time-limit: 50
  infra-cache-max-rtt: 400
  outbound-msg-retry: 3
  rrset-roundrobin: no
  num-threads: 1
  do-not-query-localhost: no
";

impl Site {
    /// A Sluicegate on AF_XDP.
    pub(crate) fn sluicegate(world: &World, more: &str) -> Result<Self> {
        Self::with(world, |host| {
            let server = server(&conf(world, more)).start(host)?;
            server.wait_for_line(&format!("XDP fast path active interface={LINK}"), PATIENCE)?;
            Ok(Resolver::Sluicegate(server))
        })
    }

    /// Debian's Unbound.
    pub(crate) fn unbound(world: &World, more: &str) -> Result<Self> {
        Self::with(world, |host| {
            start_unbound(host, &conf(world, more)).map(Resolver::Unbound)
        })
    }

    fn with(world: &World, start: impl FnOnce(&Netns) -> Result<Resolver>) -> Result<Self> {
        let host = Netns::new()?;
        let client = client_beside(&host, 1)?;
        world.join(&host, "eth1")?;
        let resolver = start(&host)?;
        Ok(Self {
            resolver,
            host,
            client,
        })
    }

    /// Asks over `path`, over TCP one after the other, else many at once; the answers in the order of the questions.
    ///
    /// # Errors
    /// If one isn't answered at all.
    pub(crate) fn ask_all(&self, path: Path, queries: &[QuerySpec]) -> Result<Vec<Message>> {
        let link = (SERVER_V4, 53).into();
        let loopback = ([127, 0, 0, 1], 53).into();
        let answers = match path {
            Path::Xdp => self.client.enter(|| ask_together(link, queries)),
            Path::Udp => self.host.enter(|| ask_together(loopback, queries)),
            Path::Tcp => self.client.enter(|| ask_in_turn(link, queries)),
        };
        answers.with_context(|| format!("{path}: {}", self.log()))
    }

    pub(crate) fn ask(&self, path: Path, query: &QuerySpec) -> Result<Message> {
        let mut answers = self.ask_all(path, std::slice::from_ref(query))?;
        answers.pop().context("one question, one answer")
    }

    /// Checks that the fast path has answered, and the kernel's.
    pub(crate) fn expect_all_paths(&self) -> Result<()> {
        if let Resolver::Sluicegate(server) = &self.resolver {
            for path in Path::ALL {
                let replied = server.sum(path.counters(), "replied")?;
                ensure!(replied > 0, "nothing was answered over {path}");
            }
        }
        Ok(())
    }

    /// Sends SIGHUP.
    pub(crate) fn hang_up(&self) -> Result<()> {
        self.process().signal(Signal::SIGHUP)
    }

    /// What the resolver has printed.
    pub(crate) fn log(&self) -> String {
        self.process().lines_with("").join("\n")
    }

    fn process(&self) -> &Process {
        match &self.resolver {
            Resolver::Sluicegate(server) => server.process(),
            Resolver::Unbound(process) => process,
        }
    }
}

fn conf(world: &World, more: &str) -> String {
    format!(
        "server:\n  interface: {SERVER_V4}\n  interface: 127.0.0.1\n  access-control: 10.11.1.0/24 allow\n{CONF}{}{more}\n",
        world.resolver_conf()
    )
}

/// Debian's Unbound with this configuration, which must not mind a few lines more at its start.
pub(crate) fn start_unbound(host: &Netns, conf: &str) -> Result<Process> {
    let file = ConfFile::new(&format!(
        "server:\n  username: \"\"\n  directory: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  \
         logfile: \"\"\n  verbosity: 1\n{conf}remote-control:\n  control-enable: no\n"
    ))?;
    let mut command = peers::command("unbound")?;
    command.args(["-d", "-d", "-c"]).arg(&file.0);
    let process = host.spawn(&command)?;
    process.wait_for_line("start of service", START_LIMIT)?;
    Ok(process)
}

/// A file that is gone with this value.
struct ConfFile(PathBuf);

impl ConfFile {
    fn new(text: &str) -> Result<Self> {
        let path = env::temp_dir().join(format!("sluicegate-world-{}.conf", process::id()));
        fs::write(&path, text)?;
        Ok(Self(path))
    }
}

impl Drop for ConfFile {
    fn drop(&mut self) {
        // Nothing is lost if it stays.
        let _ = fs::remove_file(&self.0);
    }
}

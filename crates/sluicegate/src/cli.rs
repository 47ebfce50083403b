use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{ArgAction, Args, Parser, Subcommand};
use sluicegate_doctor::Undo;

/// A DNS server that answers at the speed of the network card.
///
/// Without a subcommand it serves, in the foreground. SIGHUP reloads the configuration; SIGTERM answers those
/// who wait and ends; a second SIGTERM ends at once.
#[derive(Debug, Parser)]
#[command(name = "sluicegate", version = VERSION.as_str())]
pub(crate) struct Cli {
    /// The configuration file, in the form of unbound.conf
    #[arg(
        short = 'c',
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/sluicegate/sluicegate.conf"
    )]
    pub(crate) config: PathBuf,

    /// Stay in the foreground (always so: give the process to systemd or another supervisor). Twice: log to
    /// standard error, whatever the configuration says
    #[arg(short = 'd', action = ArgAction::Count)]
    pub(crate) debug: u8,

    /// More words in the log; may be given several times
    #[arg(short = 'v', action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Write no pid file
    #[arg(short = 'p')]
    pub(crate) no_pid_file: bool,

    /// Never use AF_XDP, whatever the configuration says
    #[arg(long)]
    pub(crate) no_xdp: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What else the command can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a configuration file with the server's own code: exit 0 if it can be used, 1 if not
    Checkconf(CheckconfArgs),
    /// Look for what keeps this machine from its best, and say what to type to mend it
    ///
    /// Looks at the kernel, at what the process may do, at the interfaces that carry the configuration's addresses and
    /// those below them, and at the running server if there is one. Changes nothing unless told to by --fix.
    ///
    /// Exit status: 0 nothing to mend, 1 warnings, 2 failures (or doctor itself failed: wrong arguments).
    Doctor(DoctorArgs),
    /// Print the counters of a running server
    Stats(StatsArgs),
    /// Ask the running server as a client would: exit 0 if it answers, 1 if not (for containers and watchers)
    Health,
    /// Show the server at work on AF_XDP, on network namespaces of its own (needs root)
    Demo,
    /// Write manual pages and shell completions into a folder
    #[command(hide = true)]
    Generate(GenerateArgs),
    // `engine` and `privileges` are handled before clap: they are no commands for people.
}

/// Arguments of `checkconf`.
#[derive(Debug, Args)]
pub(crate) struct CheckconfArgs {
    /// With -o: print file names whole. There is no chroot, so they always are
    #[arg(short = 'f')]
    pub(crate) full_path: bool,

    /// Print nothing when the file can be used
    #[arg(short = 'q')]
    pub(crate) quiet: bool,

    /// Print the value of one option instead
    #[arg(short = 'o', value_name = "OPTION")]
    pub(crate) option: Option<String>,

    /// The file; default as for the server
    pub(crate) file: Option<PathBuf>,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct DoctorArgs {
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Change the runtime settings that warnings and failures name, and write down what they were. What interrupts
    /// traffic is changed only if its CHECK is named
    #[arg(long, conflicts_with = "undo")]
    pub(crate) fix: bool,

    /// Put back what --fix has changed, and do nothing else: exit 0, or 1 if something could not be, or was left since
    /// somebody has changed it in the meantime
    #[arg(long, conflicts_with_all = ["json", "checks"])]
    pub(crate) undo: bool,

    /// With --undo: put back also what somebody has changed in the meantime
    #[arg(long, requires = "undo")]
    pub(crate) force: bool,

    /// Where --fix writes down what was changed
    #[arg(long, value_name = "FILE", default_value = Undo::DEFAULT_FILE)]
    pub(crate) state: PathBuf,

    /// Start no server of its own between two network namespaces to try AF_XDP out
    #[arg(long)]
    pub(crate) no_trial: bool,

    /// Only these checks, by name
    #[arg(value_name = "CHECK")]
    pub(crate) checks: Vec<String>,
}

/// Arguments of `stats`.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// The control socket; default: the one that the configuration names
    #[arg(short = 's', value_name = "SOCKET")]
    pub(crate) socket: Option<PathBuf>,
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// The folder; made if it is not there
    pub(crate) directory: PathBuf,
}

/// The version, with that of the engine's library.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let (own, library) = (env!("CARGO_PKG_VERSION"), sluicegate_engine::version());
    format!("{own} (libunbound {library})")
});

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_unbound_are_taken() {
        let cli = Cli::parse_from(["sluicegate", "-d", "-d", "-vv", "-p", "-c", "/x"]);
        assert_eq!((cli.debug, cli.verbose, cli.no_pid_file), (2, 2, true));
        assert_eq!(cli.config, PathBuf::from("/x"));
        let cli = Cli::parse_from(["sluicegate", "checkconf", "-q", "-o", "port", "/y"]);
        let Some(Command::Checkconf(arguments)) = cli.command else {
            panic!("{cli:?}")
        };
        assert!(arguments.quiet && arguments.option.as_deref() == Some("port"));
    }
}

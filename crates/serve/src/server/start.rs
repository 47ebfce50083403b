use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use rustix::thread::CapabilitySet;
use sluicegate_answer::Brain;
use sluicegate_conf::{Config, TcpConfig};
use sluicegate_engine::EngineOptions;
use sluicegate_xsk::nic::Monitor;

use super::announce::{announce_addresses, announce_memory};
use super::error::StartError;
use super::machine::Machine;
use super::named_files::NamedFiles;
use super::options::{ServerOptions, UsePidFile};
use super::running::{
    FIRST_RETRY, Parts, RunningServer, gate_settings, tell_failures, tell_missing,
};
use crate::control::{ControlHandle, ControlSocket, socket_path};
use crate::handoff::{HubError, HubHandle, PortFactory};
use crate::listen::{Changes, Inherited, ListenSet, Spread, transports, wanted};
use crate::load::{Loaded, load, tell_refused};
use crate::privileges::{Broker, Opener};
use crate::process::manager::Watchdog;
use crate::process::{
    PidFile, User, give_up, has_privileges, needed_to_serve, pass_on, raise_limits,
};
use crate::stats::Statistics;
use crate::tcp::{TcpHandle, TcpSettings};
use crate::udp::WorkerHandle;
use crate::xdp::Gate;
use crate::{ANSWER_DEADLINE, Shared};

/// Starts servers.
pub struct Server;

impl Server {
    /// Reads the configuration and brings everything up. Call it before any other thread is started: the
    /// change of user reaches only threads that come after it.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(options: ServerOptions) -> Result<RunningServer, StartError> {
        let Loaded {
            config,
            policy,
            warnings,
        } = load(&options.config_file)?;
        (options.on_config)(&config);
        if !warnings.is_empty() {
            tracing::warn!("{warnings}");
        }
        raise_limits();
        let workers = udp_workers(&config);
        let mut opened = Opened::open(&options, &config, workers)?;
        let brain = Arc::new(Brain::new(policy, config.cache.size_bytes));
        let (ports, hub_end) = PortFactory::new().map_err(os("the hand-off"))?;
        let shared = Arc::new(Shared::new(brain, ports));
        let started =
            HubHandle::start(&shared, hub_end, engine_options(&options, &config, workers));
        if let Err(HubError::Engine(error)) = &started {
            tell_refused(&config, error);
        }
        let hub = started?;
        let settings = gate_settings(&options, &config, &opened.addresses);
        let gate = match Gate::start(&shared, opened.opener.clone(), settings) {
            Ok(gate) => gate,
            Err(error) => {
                hub.stop();
                return Err(error.into());
            }
        };
        let parts = start_workers(&shared, hub, gate, &config, workers)?;
        parts.apply(std::mem::take(&mut opened.changes));
        announce_addresses(&opened.listen, workers);
        announce_memory(&config, parts.hub.summary(), workers, parts.gate.queues());
        serve(options, config, shared, opened, parts)
    }
}

/// What is opened while the process may still do everything.
struct Opened {
    opener: Opener,
    listen: ListenSet,
    changes: Changes,
    addresses: BTreeSet<SocketAddr>,
    engine_files: NamedFiles,
    told_missing: Vec<String>,
    incomplete: bool,
    control: Option<ControlSocket>,
    pid_file: Option<PidFile>,
    monitor: Option<Monitor>,
}

impl Opened {
    /// Does everything that may need privileges, then ends them.
    fn open(options: &ServerOptions, config: &Config, workers: usize) -> Result<Self, StartError> {
        let (opener, user) = opener(options, config)?;
        if let Some(directory) = &config.directory {
            enter(&directory.value)?;
        }
        let mut listen = ListenSet::new(
            opener.clone(),
            workers,
            Spread::choose(workers),
            Inherited::from_env(),
        );
        let wanted = wanted(config, &Machine::now());
        let changes = listen.update(&wanted.addresses, &transports(config), &mut || ());
        listen.tell_uninvited();
        let mut told_missing = Vec::new();
        tell_missing(&wanted, &mut told_missing);
        tell_failures(&changes, &wanted);
        if listen.bound().next().is_none() {
            return Err(StartError::NothingBound {
                failed: changes.failed.len(),
            });
        }
        let incomplete = listen.has_failures() || !wanted.missing_interfaces.is_empty();
        let pid_file = write_pid_file(options, config)?;
        let control = bind_control(config);
        let monitor = Monitor::open()
            .inspect_err(|error| tracing::warn!("cannot follow the machine's addresses: {error}"))
            .ok();
        if let Some(broker) = opener.broker() {
            give_all_up(user.as_ref(), broker)?;
        }
        let addresses = listen.udp_addresses();
        // Before the engine reads them: a change in between is seen at the next reload.
        let engine_files = NamedFiles::now(&config.engine.text);
        Ok(Self {
            opener,
            listen,
            changes,
            addresses,
            engine_files,
            told_missing,
            incomplete,
            control,
            pid_file,
            monitor,
        })
    }
}

/// Who opens what needs privileges, and the user to become: with `username`, a process of its own, if there are
/// privileges that it could have.
fn opener(options: &ServerOptions, config: &Config) -> Result<(Opener, Option<User>), StartError> {
    let name = config.username.as_ref().map(|name| name.value.as_str());
    let Some(name) = name.filter(|name| !name.is_empty() && has_privileges()) else {
        return Ok((Opener::Direct, None));
    };
    let user = match User::find(name) {
        Ok(user) => Some(user),
        Err(error) if geteuid().is_root() => return Err(error.into()),
        // Who is not root stays who they are: then it matters to nobody whether there is such a user.
        Err(_) => None,
    };
    let started = pass_on().map_err(io::Error::from).and_then(|()| {
        let name = if user.is_some() { name } else { "" };
        Broker::start(options, name)
    });
    let broker = started.map_err(os("the privileged process"))?;
    Ok((Opener::Broker(Arc::new(broker)), user))
}

/// Ends this process's own privileges.
fn give_all_up(user: Option<&User>, broker: &Broker) -> Result<(), StartError> {
    let kept = needed_to_serve();
    give_up(user, kept)?;
    let kept = if kept == CapabilitySet::empty() {
        "no capability".to_owned()
    } else {
        format!("{kept:?} alone, which this kernel wants for BPF maps,")
    };
    tracing::info!(
        "now user {} with {kept}; process {} opens what needs privileges",
        geteuid(),
        broker.pid()
    );
    Ok(())
}

fn enter(directory: &Path) -> Result<(), StartError> {
    if directory.as_os_str().is_empty() {
        return Ok(());
    }
    std::env::set_current_dir(directory).map_err(|source| StartError::Directory {
        path: directory.to_owned(),
        source,
    })
}

fn write_pid_file(options: &ServerOptions, config: &Config) -> Result<Option<PidFile>, StartError> {
    let path = config.pidfile.as_ref().map(|path| &path.value);
    let path = path.filter(|path| !path.as_os_str().is_empty());
    match (path, options.pid_file) {
        (Some(path), UsePidFile::Configured) => {
            let written = PidFile::write(path).map(Some);
            written.map_err(|source| StartError::PidFile {
                path: path.clone(),
                source,
            })
        }
        _ => Ok(None),
    }
}

/// A control socket is a convenience: without it the server serves all the same.
fn bind_control(config: &Config) -> Option<ControlSocket> {
    let path = socket_path(&config.control)?;
    ControlSocket::bind(&path)
        .inspect_err(|error| tracing::warn!("no control socket: {}: {error}", path.display()))
        .ok()
}

fn start_workers(
    shared: &Arc<Shared>,
    hub: HubHandle,
    gate: Gate,
    config: &Config,
    workers: usize,
) -> Result<Parts, StartError> {
    let max_reply_bytes = usize::from(config.message.max_udp_bytes);
    let udp: io::Result<Vec<_>> = (0..workers)
        .map(|index| WorkerHandle::start(shared, index, max_reply_bytes))
        .collect();
    let udp = udp.map_err(os("the UDP workers"))?;
    let tcp = TcpHandle::start(shared, tcp_settings(config.tcp, workers))
        .map_err(os("the TCP thread"))?;
    Ok(Parts {
        udp,
        tcp,
        hub,
        gate,
        control: None,
        pid_file: None,
    })
}

/// Joins everything and opens the control socket. That is last: whoever gets an answer from it may take it
/// that every address is served.
fn serve(
    options: ServerOptions,
    config: Config,
    shared: Arc<Shared>,
    opened: Opened,
    mut parts: Parts,
) -> Result<RunningServer, StartError> {
    let statistics = Arc::new(Statistics::new());
    parts.pid_file = opened.pid_file;
    if let Some(socket) = opened.control {
        let (shared, statistics) = (Arc::clone(&shared), Arc::clone(&statistics));
        let answer = move |command: &str| match command {
            "stats" | "stats_noreset" => Ok(statistics.text(&shared)),
            "status" => Ok(statistics.status()),
            other => Err(format!("unknown command '{other}'")),
        };
        let handle =
            ControlHandle::start(socket, Box::new(answer)).map_err(os("the control socket"))?;
        parts.control = Some(handle);
    }
    let mut server = RunningServer {
        options,
        opener: opened.opener,
        config,
        shared,
        listen: opened.listen,
        xdp_addresses: opened.addresses,
        engine_files: opened.engine_files,
        told_missing: opened.told_missing,
        parts,
        statistics,
        monitor: opened.monitor,
        next_retry: opened.incomplete.then(Instant::now),
        retry_wait: FIRST_RETRY,
        next_statistics: None,
        watchdog: Watchdog::from_env(),
    };
    server.schedule_statistics();
    tracing::info!(
        "start of service (sluicegate {})",
        env!("CARGO_PKG_VERSION")
    );
    Ok(server)
}

/// One for each core, unless `num-threads` says otherwise.
fn udp_workers(config: &Config) -> usize {
    let configured = config.num_threads.map(usize::from);
    configured
        .unwrap_or_else(|| available_parallelism().map_or(1, usize::from))
        .max(1)
}

/// The limits of TCP; the configuration gives connections for each thread.
pub(super) fn tcp_settings(config: TcpConfig, workers: usize) -> TcpSettings {
    TcpSettings {
        connections: config.connections_per_thread as usize * workers,
        idle: Duration::from_millis(config.idle_timeout_ms.into()),
    }
}

fn engine_options(options: &ServerOptions, config: &Config, workers: usize) -> EngineOptions {
    let mut engine = EngineOptions::new(config.engine.text.clone());
    engine.program.clone_from(&options.engine_program);
    engine.arguments.clone_from(&options.engine_arguments);
    engine.threads = workers.min(EngineOptions::MAX_THREADS);
    // A little before the worker gives up, so that normally it is the engine's reason that is told.
    engine.deadline = ANSWER_DEADLINE.saturating_sub(Duration::from_millis(500));
    engine
}

const _: () = assert!(EngineOptions::MAX_THREADS == sluicegate_conf::MAX_ENGINE_THREADS as usize);

fn os(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Os { what, source }
}

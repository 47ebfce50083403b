use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use sluicegate_answer::Brain;
use sluicegate_conf::{Config, TcpConfig};
use sluicegate_engine::EngineOptions;
use sluicegate_xsk::nic::Monitor;

use super::announce::announce;
use super::error::StartError;
use super::machine::Machine;
use super::options::{ServerOptions, UsePidFile};
use super::running::{Parts, RunningServer, gate_settings, tell_missing, transports};
use crate::control::{ControlHandle, ControlSocket, socket_path};
use crate::handoff::{HubHandle, PortFactory};
use crate::listen::{ListenSet, wanted};
use crate::load::{Loaded, load};
use crate::process::{PidFile, User, become_user, raise_limits};
use crate::stats::Statistics;
use crate::tcp::{TcpHandle, TcpSettings};
use crate::udp::WorkerHandle;
use crate::xdp::Gate;
use crate::{ANSWER_DEADLINE, Shared};

/// Starts servers.
pub struct Server;

/// What is opened while the process may still do everything.
struct Opened {
    listen: ListenSet,
    changes: crate::listen::Changes,
    addresses: std::collections::BTreeSet<std::net::SocketAddr>,
    told_missing: Vec<String>,
    incomplete: bool,
    control: Option<ControlSocket>,
    pid_file: Option<PidFile>,
    monitor: Option<Monitor>,
}

impl Server {
    /// Reads the configuration and brings everything up. Call it before any other thread is started: the
    /// change of user reaches only threads that come after it.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(options: ServerOptions) -> Result<RunningServer, StartError> {
        let Loaded { config, policy, .. } = load(&options.config_file)?;
        (options.on_config)(&config);
        raise_limits();
        let workers = udp_workers(&config);
        let opened = open(&options, &config, workers)?;
        let brain = Arc::new(Brain::new(policy, config.cache.size_bytes));
        let (ports, hub_end) = PortFactory::new().map_err(|source| StartError::Os {
            what: "the hand-off",
            source,
        })?;
        let shared = Arc::new(Shared::new(brain, ports));
        let statistics = Arc::new(Statistics::new());
        let hub = HubHandle::start(&shared, hub_end, engine_options(&options, &config, workers))?;
        let gate = match Gate::start(&shared, gate_settings(&options, &config, &opened.addresses)) {
            Ok(gate) => gate,
            Err(error) => {
                hub.stop();
                return Err(error.into());
            }
        };
        let udp = start_udp(&shared, &config, workers)?;
        let tcp =
            TcpHandle::start(&shared, tcp_settings(config.tcp, workers)).map_err(|source| {
                StartError::Os {
                    what: "the TCP thread",
                    source,
                }
            })?;
        let control = start_control(opened.control, &shared, &statistics)?;
        let parts = Parts {
            udp,
            tcp,
            hub,
            gate,
            control,
            pid_file: opened.pid_file,
        };
        parts.apply(opened.changes);
        announce(&config, &opened.listen, workers);
        let incomplete = opened.incomplete;
        let mut server = RunningServer {
            options,
            config,
            shared,
            listen: opened.listen,
            xdp_addresses: opened.addresses,
            told_missing: opened.told_missing,
            parts,
            statistics,
            monitor: opened.monitor,
            next_retry: incomplete.then(Instant::now),
            next_statistics: None,
        };
        server.schedule_statistics();
        Ok(server)
    }
}

/// Everything that may need privileges, then their end.
fn open(options: &ServerOptions, config: &Config, workers: usize) -> Result<Opened, StartError> {
    let user = config
        .username
        .as_ref()
        .map(|name| name.value.as_str())
        .filter(|name| !name.is_empty());
    let user = user.map(User::find).transpose()?;
    if let Some(directory) = &config.directory {
        enter(&directory.value)?;
    }
    let mut listen = ListenSet::new(workers);
    let wanted = wanted(config, &Machine::now());
    let changes = listen.update(&wanted.addresses, &transports(config));
    let incomplete = listen.has_failures() || !wanted.missing_interfaces.is_empty();
    let mut told_missing = Vec::new();
    tell_missing(&wanted, &mut told_missing);
    if listen.bound().next().is_none() {
        changes
            .failed
            .iter()
            .for_each(|error| tracing::error!("{error}"));
        return Err(StartError::NothingBound {
            failed: changes.failed.len(),
        });
    }
    let pid_file = match (&config.pidfile, options.pid_file) {
        (Some(path), UsePidFile::Configured) if !path.value.as_os_str().is_empty() => {
            let fail = |source| StartError::PidFile {
                path: path.value.clone(),
                source,
            };
            Some(PidFile::write(&path.value).map_err(fail)?)
        }
        _ => None,
    };
    let control = bind_control(config);
    let monitor = Monitor::open()
        .inspect_err(|error| tracing::warn!("cannot follow the machine's addresses: {error}"))
        .ok();
    if let Some(user) = &user {
        become_user(user)?;
    }
    Ok(Opened {
        listen,
        changes,
        addresses: wanted.addresses,
        told_missing,
        incomplete,
        control,
        pid_file,
        monitor,
    })
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

/// A control socket is a convenience: without it the server serves all the same.
fn bind_control(config: &Config) -> Option<ControlSocket> {
    let path = socket_path(&config.control)?;
    ControlSocket::bind(&path)
        .inspect_err(|error| tracing::warn!("no control socket: {}: {error}", path.display()))
        .ok()
}

fn start_udp(
    shared: &Arc<Shared>,
    config: &Config,
    workers: usize,
) -> Result<Vec<WorkerHandle>, StartError> {
    let start =
        |index| WorkerHandle::start(shared, index, usize::from(config.message.max_udp_bytes));
    let started: std::io::Result<Vec<_>> = (0..workers).map(start).collect();
    started.map_err(|source| StartError::Os {
        what: "the UDP workers",
        source,
    })
}

fn start_control(
    socket: Option<ControlSocket>,
    shared: &Arc<Shared>,
    statistics: &Arc<Statistics>,
) -> Result<Option<ControlHandle>, StartError> {
    let Some(socket) = socket else {
        return Ok(None);
    };
    let (shared, statistics) = (Arc::clone(shared), Arc::clone(statistics));
    let answer = move |command: &str| match command {
        "stats" | "stats_noreset" => Ok(statistics.text(&shared)),
        "status" => Ok(statistics.status()),
        other => Err(format!("unknown command '{other}'")),
    };
    let handle = ControlHandle::start(socket, Box::new(answer));
    handle.map(Some).map_err(|source| StartError::Os {
        what: "the control socket",
        source,
    })
}

/// One for each core, unless `num-threads` says otherwise.
fn udp_workers(config: &Config) -> usize {
    let configured = config.num_threads.map(usize::from);
    configured
        .unwrap_or_else(|| available_parallelism().map_or(1, usize::from))
        .max(1)
}

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

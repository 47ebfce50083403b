use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use sluicegate_conf::LogConfig;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

use super::format;
use super::sink::Sink;

/// The log, shared by the subscriber and whoever changes its settings.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<State>);

#[derive(Debug)]
struct State {
    verbosity: AtomicU8,
    ascii_time: AtomicBool,
    sink: Mutex<Sink>,
}

/// Whether the configuration may send the log away from standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `logfile` and `use-syslog` count.
    Configured,
    /// Standard error (`-d -d`).
    Stderr,
}

impl Log {
    /// Begins to log, to standard error.
    pub(crate) fn start() -> Self {
        format::thread_number(); // the main thread is number 0
        let state = State {
            verbosity: AtomicU8::new(1),
            ascii_time: AtomicBool::new(false),
            sink: Mutex::new(Sink::Stderr),
        };
        let log = Self(Arc::new(state));
        // It fails only if there is a subscriber already: then that one has the log.
        let _ = tracing::subscriber::set_global_default(Registry::default().with(log.clone()));
        log
    }

    /// Goes on as this configuration says; a log file is opened anew, so that rotation works. If the new
    /// place can't be opened, the log stays where it is and says so.
    pub(crate) fn configure(&self, config: &LogConfig, more: u8, target: Target) {
        self.0
            .verbosity
            .store(config.verbosity.saturating_add(more), Relaxed);
        self.0.ascii_time.store(config.time_ascii, Relaxed);
        let file = config
            .logfile
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty());
        let opened = match (target, config.use_syslog, file) {
            (Target::Stderr, ..) | (_, false, None) => Ok(Sink::Stderr),
            (_, true, _) => Sink::syslog(),
            (_, false, Some(path)) => Sink::file(path),
        };
        match opened {
            Ok(sink) => *self.sink() = sink,
            Err(error) => {
                let place = file.map_or("syslog".to_owned(), |path| path.display().to_string());
                tracing::error!("cannot log to {place}: {error}");
            }
        }
    }

    fn sink(&self) -> std::sync::MutexGuard<'_, Sink> {
        self.0.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shows(&self, level: Level) -> bool {
        let most = match self.0.verbosity.load(Relaxed) {
            0 => Level::WARN,
            1 => Level::INFO,
            2 | 3 => Level::DEBUG,
            _ => Level::TRACE,
        };
        level <= most
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // What libraries have to say is of use only when it is a warning.
        let ours = metadata.target().starts_with("sluicegate");
        self.shows(*metadata.level()) && (ours || *metadata.level() <= Level::WARN)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let text = format::text(event);
        self.sink().write(
            *event.metadata().level(),
            self.0.ascii_time.load(Relaxed),
            &text,
        );
    }
}

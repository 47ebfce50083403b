use std::path::Path;

use nix::unistd::geteuid;
use sluicegate_answer::Policy;
use sluicegate_conf::{Config, Diagnostic, LoadOptions, Severity, Version, render};
use sluicegate_engine::StartError;

use crate::process::{PrivilegeError, User};
use crate::server::listen_addresses;
use crate::xdp::forecast;

/// A configuration that can be used, with the policy that it makes.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What `answer()` decides by.
    pub policy: Policy,
    /// Warnings as text, with their places; empty if there are none.
    pub warnings: String,
}

/// Why a configuration can't be used: everything there is to say about it, as text.
#[derive(Debug, thiserror::Error)]
#[error("the configuration can't be used:\n{text}")]
pub struct LoadError {
    text: String,
}

/// What `checkconf` says of a file.
pub struct Checked {
    /// Errors, warnings and notes as text; empty if there are none.
    pub text: String,
    /// Whether a server would take it.
    pub usable: bool,
    read: sluicegate_conf::Loaded,
}

impl Checked {
    /// The value of one option, as `checkconf -o` prints it; `None`: there is no such option.
    pub fn value_of(&self, option: &str) -> Option<String> {
        self.read.value_of(option)
    }

    /// Where each listen address would be served on this machine as it is now, a line for each; nothing for addresses
    /// that no interface has, or if the kernel doesn't tell.
    pub fn places(&self) -> Vec<String> {
        let Some(config) = &self.read.config else {
            return Vec::new();
        };
        let listen: Vec<_> = listen_addresses(config).into_iter().collect();
        forecast(&config.xdp, &listen).unwrap_or_default()
    }
}

/// Reads a configuration and makes a policy of it, exactly as the server does.
///
/// # Errors
/// It can't be used.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let (mut read, policy) = read(path);
    let usable = read.config.take().zip(policy);
    let told = if usable.is_some() {
        Severity::Warning
    } else {
        Severity::Error
    };
    read.diagnostics
        .retain(|diagnostic| diagnostic.severity == told);
    let text = read.render(false);
    let (config, policy) = usable.ok_or_else(|| LoadError { text: text.clone() })?;
    Ok(Loaded {
        config,
        policy,
        warnings: text,
    })
}

/// Reads a configuration and says everything there is to say about it.
pub fn check(path: &Path, colour: bool) -> Checked {
    let (read, policy) = read(path);
    Checked {
        text: render(&read.diagnostics, &read.sources, colour),
        usable: policy.is_some(),
        read,
    }
}

/// Logs where in the configuration that stands which the engine has not started with, if it says so.
pub(crate) fn tell_refused(config: &Config, error: &StartError) {
    if let StartError::Refused { line, message } = error
        && let Some(place) = config.engine.origin(*line, message)
    {
        tracing::error!("{place}: libunbound does not start with this");
    }
}

/// What is wrong with the user that the server is to become: an error for root, who would become that user.
fn user_fault(config: &Config) -> Option<Diagnostic> {
    let name = config
        .username
        .as_ref()
        .filter(|name| !name.value.is_empty())?;
    let Err(PrivilegeError::NoSuchUser { .. }) = User::find(&name.value) else {
        return None;
    };
    let message = format!("there is no user `{}` on this machine", name.value);
    let fault = if geteuid().is_root() {
        Diagnostic::error(name.at, message)
    } else {
        Diagnostic::warning(name.at, message).label("started by root, the server would end at once")
    };
    Some(fault.help("create it, or write `username: \"\"`"))
}

/// Reads, and builds the policy if there is a configuration; its errors join the others.
fn read(path: &Path) -> (sluicegate_conf::Loaded, Option<Policy>) {
    let mut read = sluicegate_conf::load(path, &options());
    if let Some(config) = &mut read.config {
        config.chaos.trust_anchors = sluicegate_engine::trust_anchors(&config.engine.text);
    }
    let fault = read.config.as_ref().and_then(user_fault);
    let is_usable = fault
        .as_ref()
        .is_none_or(|fault| fault.severity != Severity::Error);
    read.diagnostics.extend(fault);
    let policy = match read.config.as_ref().map(Policy::build) {
        Some(Ok(_)) if !is_usable => None,
        Some(Ok(policy)) => Some(policy),
        Some(Err(errors)) => {
            let diagnostics = errors
                .iter()
                .map(|error| Diagnostic::error(error.at, error.to_string()));
            read.diagnostics.extend(diagnostics);
            None
        }
        None => None,
    };
    (read, policy)
}

/// The modules that the library has. Debian builds its daemon with subnetcache and the library without; a library
/// that has it knows the module's options.
fn modules() -> Vec<String> {
    let always = [
        "validator",
        "iterator",
        "dns64",
        "respip",
        "cachedb",
        "ipset",
    ];
    let subnet = sluicegate_engine::knows("send-client-subnet").then_some("subnetcache");
    always
        .into_iter()
        .chain(subnet)
        .map(str::to_owned)
        .collect()
}

/// What is known of the library that gets the resolver's part.
fn options() -> LoadOptions {
    let engine_version: Option<Version> = sluicegate_engine::version().parse().ok();
    LoadOptions {
        engine_version,
        engine_knows: sluicegate_engine::knows,
        engine_modules: Some(modules()),
        ..LoadOptions::default()
    }
}

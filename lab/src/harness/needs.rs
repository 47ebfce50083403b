use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::kernel;
use crate::{machine, netns::Netns, peers, shared_data, vm, workspace_root};

/// What a test needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To run as root (user 0).
    Root,
    /// To make network namespaces and veth pairs, with iproute2 at hand.
    Netns,
    /// A program from [`peers`].
    Peer(&'static str),
    /// A command of the system's own.
    Tool(&'static str),
    /// To make interfaces of this kind, as `vlan`: some kernels lack some.
    LinkKind(&'static str),
    /// The Debian that [`machine`]s stand on.
    Debian,
    /// A kernel on which [`machine`]s start.
    Machine,
    /// What makes Debian packages.
    CargoDeb,
    /// A file or folder of the data shared beside the workspace, see [`shared_data`].
    SharedData(&'static str),
    /// To run in the [virtual machine](crate::vm), with a NIC of that name.
    Nic(&'static str),
    /// QEMU and a kernel for it, to boot a [virtual machine](crate::vm).
    Vm,
    /// To be asked for by `make test-vm`: it takes minutes.
    VmAll,
}

/// Whether `$SLUICEGATE_ALL_NEEDS` is 1: what the project [can provide](Need::is_ours) shall be there, as in CI.
pub fn all_wanted() -> bool {
    env::var_os("SLUICEGATE_ALL_NEEDS").is_some_and(|value| value == "1")
}

impl Need {
    /// Whether root can meet it on any Debian with the scripts of this project; the others hang on the kernel or on
    /// data from outside of the repository.
    pub fn is_ours(self) -> bool {
        let hangs_on_others = matches!(
            self,
            Need::LinkKind(_) | Need::SharedData(_) | Need::Nic(_) | Need::VmAll | Need::Machine
        );
        // Nothing can be fetched either.
        !hangs_on_others && kernel::silent().is_none()
    }

    /// `None` when the need is met, else why it isn't.
    pub fn unmet(self) -> Option<String> {
        let of_network = matches!(self, Need::Netns | Need::LinkKind(_) | Need::Machine);
        if let Some(reason) = kernel::silent().filter(|_| of_network) {
            return Some(reason);
        }
        match self {
            Need::Root => (!nix::unistd::geteuid().is_root()).then(|| "needs root".to_owned()),
            Need::Netns => namespaces_unusable(),
            Need::Peer(name) => peers::find(name)
                .is_none()
                .then(|| format!("needs the program {name}: run scripts/peers.sh")),
            Need::Tool(name) => on_path(name)
                .is_none()
                .then(|| format!("needs the command {name}: run scripts/deps.sh test")),
            Need::LinkKind(kind) => link_kind_unusable(kind),
            Need::Debian => (!machine::base().is_dir())
                .then(|| "needs the Debian of the tests: run scripts/debian.sh".to_owned()),
            Need::Machine => machine::unusable(),
            Need::CargoDeb => {
                let found = Command::new(workspace_root().join("scripts/deb.sh"))
                    .arg("--have-tool")
                    .status();
                (!found.is_ok_and(|status| status.success()))
                    .then(|| "needs cargo-deb: run scripts/deb.sh --get-tool".to_owned())
            }
            Need::SharedData(name) => shared_data(name).is_none().then(|| {
                format!("needs the data {name} of the folder shared beside the workspace")
            }),
            Need::Nic(name) => (!vm::has_nic(name))
                .then(|| format!("needs the NIC {name} of the virtual machine: see make test-vm")),
            Need::Vm => vm::unmet(&vm::default_suite()),
            Need::VmAll => (env::var_os("VM_ALL").is_none_or(|value| value != "1"))
                .then(|| "takes minutes: make test-vm runs it".to_owned()),
        }
    }
}

/// A list of needs for [`Suite::test`](super::Suite::test): `needs![Root, Netns, Peer("dig")]`.
#[macro_export]
macro_rules! needs {
    ($($need:ident $(($name:expr))?),* $(,)?) => {
        &[$($crate::harness::Need::$need $(($name))?),*]
    };
}

fn namespaces_unusable() -> Option<String> {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    REASON
        .get_or_init(|| {
            for tool in ["ip", "setpriv"] {
                if on_path(tool).is_none() {
                    return Some(format!(
                        "needs the command {tool}: run scripts/deps.sh test"
                    ));
                }
            }
            match Netns::new()
                .and_then(|netns| netns.ip("link add probe0 type veth peer name probe1"))
            {
                Ok(_) => None,
                Err(error) => Some(format!("network namespaces can't be used: {error:#}")),
            }
        })
        .clone()
}

fn link_kind_unusable(kind: &str) -> Option<String> {
    let made = Netns::new().and_then(|netns| {
        netns.ip("link add probe0 type veth peer name probe1")?;
        let details = if kind == "vlan" { "id 7" } else { "" };
        netns.ip(&format!(
            "link add link probe0 name probe2 type {kind} {details}"
        ))
    });
    made.err()
        .map(|error| format!("interfaces of kind {kind} can't be made: {error:#}"))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sluicegate_bpf::{self as bpf, ListenKey, MAX_LISTEN, MAX_QUEUES, Owner};
use sluicegate_xsk::prog::{MapKind, MapSpec, ShareError, SharedMaps};

/// The maps that are pinned for programs of somebody else's (`xdp: pinned-maps:`), by interface.
///
/// They are there from the first look at an interface on, whether or not a program is, so that one can be loaded with
/// them; and until the server ends, so that it need not be loaded anew when the fast path is made anew.
#[derive(Debug, Default)]
pub(super) struct Pins {
    interfaces: BTreeMap<PathBuf, SharedMaps>,
}

/// What a program needs: the sockets, which queues of them are served, and what is listened on.
const MAPS: &[MapSpec] = &[
    MapSpec {
        name: bpf::MAP_XSKS,
        kind: MapKind::XskMap,
        key_bytes: 4,
        value_bytes: 4,
        max_entries: MAX_QUEUES,
    },
    MapSpec {
        name: bpf::MAP_QUEUES,
        kind: MapKind::Array,
        key_bytes: 4,
        value_bytes: 4,
        max_entries: MAX_QUEUES,
    },
    MapSpec {
        name: bpf::MAP_LISTEN,
        kind: MapKind::Hash,
        key_bytes: ListenKey::BYTES as u32,
        value_bytes: Owner::BYTES as u32,
        max_entries: MAX_LISTEN as u32,
    },
];

impl Pins {
    /// The maps of an interface, in its directory below `directory`.
    ///
    /// # Errors
    /// They could not be opened or made.
    pub(super) fn of(
        &mut self,
        directory: &Path,
        interface: &str,
    ) -> Result<&SharedMaps, ShareError> {
        let directory = interface_directory(directory, interface);
        if !self.interfaces.contains_key(&directory) {
            let maps = SharedMaps::open(&directory, MAPS)?;
            tracing::info!(
                "XDP maps pinned interface={interface} directory={}",
                directory.display()
            );
            self.interfaces.insert(directory.clone(), maps);
        }
        // It was put there just now, if it wasn't there before.
        Ok(&self.interfaces[&directory])
    }

    /// Takes away what isn't below `directory`.
    pub(super) fn keep_below(&mut self, directory: Option<&Path>) {
        self.interfaces
            .retain(|path, _| path.parent().is_some_and(|above| Some(above) == directory));
    }
}

/// A BPF file system has no names with dots, and no interface has a colon in its name: no two share a directory.
fn interface_directory(directory: &Path, interface: &str) -> PathBuf {
    directory.join(interface.replace('.', ":"))
}

#[cfg(test)]
mod tests {
    use super::interface_directory;
    use std::path::Path;

    #[test]
    fn directories_have_no_dots_and_are_one_interfaces() {
        let directory = Path::new("/sys/fs/bpf/sluicegate");
        assert_eq!(
            interface_directory(directory, "eth0"),
            Path::new("/sys/fs/bpf/sluicegate/eth0")
        );
        assert_eq!(
            interface_directory(directory, "eth0.5"),
            Path::new("/sys/fs/bpf/sluicegate/eth0:5")
        );
        assert_eq!(
            interface_directory(directory, "eth0_5"),
            Path::new("/sys/fs/bpf/sluicegate/eth0_5")
        );
    }
}

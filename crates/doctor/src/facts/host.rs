use super::Root;

/// The kernel and its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The running kernel's release, as `uname -r` prints it.
    pub release: String,
    /// Processors online; 0 if the system doesn't tell.
    pub processors: u32,
    /// How each processor that tells chooses its frequency.
    pub governors: Vec<String>,
    /// `net.core.bpf_jit_enable`.
    pub bpf_jit: Option<u64>,
    /// The mode that the lockdown module is in: `none`, `integrity`, `confidentiality`.
    pub lockdown: Option<String>,
    /// Whether a BPF file system is mounted at `/sys/fs/bpf`.
    pub bpffs: Option<bool>,
    /// The most that a socket may ask as its receive buffer, in bytes.
    pub rmem_max_bytes: Option<u64>,
    /// What kind of container this is, if it is one.
    pub container: Option<String>,
    /// `net.ipv4.conf.all`: `rp_filter`, `arp_ignore`, `arp_announce`.
    pub all: Conf,
    /// `net.ipv4.conf.lo.forwarding`.
    pub lo4_forwarding: Option<u64>,
    /// `net.ipv6.conf.lo.forwarding`.
    pub lo6_forwarding: Option<u64>,
}

/// IPv4 settings of one interface, or of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    /// Reverse path filter: 0 off, 1 strict, 2 loose.
    pub rp_filter: Option<u64>,
    /// Which addresses ARP is answered for: 0 any of the host, 1 those of the interface.
    pub arp_ignore: Option<u64>,
    /// Which address ARP requests name: 0 any, 2 the best of the interface.
    pub arp_announce: Option<u64>,
}

impl Host {
    pub(super) fn gather(root: &Root) -> Self {
        Self {
            release: root.text("proc/sys/kernel/osrelease").unwrap_or_default(),
            processors: root
                .text("sys/devices/system/cpu/online")
                .map_or(0, |list| count(&list)),
            governors: root.governors(),
            bpf_jit: root.number("proc/sys/net/core/bpf_jit_enable"),
            lockdown: root
                .text("sys/kernel/security/lockdown")
                .and_then(|text| bracketed(&text)),
            bpffs: root
                .text("proc/self/mountinfo")
                .map(|mounts| has_bpffs(&mounts)),
            rmem_max_bytes: root.number("proc/sys/net/core/rmem_max"),
            container: container(root),
            all: Conf::gather(root, "all"),
            lo4_forwarding: root.number("proc/sys/net/ipv4/conf/lo/forwarding"),
            lo6_forwarding: root.number("proc/sys/net/ipv6/conf/lo/forwarding"),
        }
    }
}

impl Conf {
    pub(super) fn gather(root: &Root, interface: &str) -> Self {
        let read = |knob| root.number(&format!("proc/sys/net/ipv4/conf/{interface}/{knob}"));
        Self {
            rp_filter: read("rp_filter"),
            arp_ignore: read("arp_ignore"),
            arp_announce: read("arp_announce"),
        }
    }
}

/// How many numbers a list as `0-3,8` has.
fn count(list: &str) -> u32 {
    list.split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (first.trim().parse::<u32>().ok()?, last.trim().parse().ok()?);
            u32::checked_sub(last, first)?.checked_add(1)
        })
        .fold(0, u32::saturating_add)
}

/// The word in brackets of a file as `none [integrity] confidentiality`.
fn bracketed(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// Whether `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`) has a BPF file system in its place.
fn has_bpffs(mounts: &str) -> bool {
    // Of several mounts in one place the last one is seen.
    let last = mounts
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some("/sys/fs/bpf"));
    last.and_then(|line| line.split_once(" - "))
        .is_some_and(|(_, kind)| kind.starts_with("bpf "))
}

fn container(root: &Root) -> Option<String> {
    if let Some(name) = root
        .text("run/systemd/container")
        .filter(|name| !name.is_empty())
    {
        return Some(name);
    }
    // What podman and Docker put there.
    let marks = [("run/.containerenv", "podman"), (".dockerenv", "docker")];
    if let Some((_, name)) = marks.iter().find(|(file, _)| root.exists(file)) {
        return Some((*name).to_owned());
    }
    let environment = root.text("proc/1/environ")?;
    let name = environment
        .split('\0')
        .find_map(|pair| pair.strip_prefix("container="))?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_counted() {
        assert_eq!(count("0-3,8"), 5);
        assert_eq!(count("0"), 1);
        assert_eq!((count(""), count("x-1"), count("3-1")), (0, 0, 0));
    }

    #[test]
    fn the_mode_in_brackets() {
        let text = "none [integrity] confidentiality";
        assert_eq!(bracketed(text).as_deref(), Some("integrity"));
        assert_eq!(bracketed("none"), None);
    }

    #[test]
    fn a_bpf_file_system_elsewhere_does_not_count() {
        let line = |point: &str, kind: &str| {
            format!("33 25 0:29 / {point} rw,nosuid shared:10 - {kind} bpf rw,mode=700\n")
        };
        assert!(has_bpffs(&line("/sys/fs/bpf", "bpf")));
        assert!(!has_bpffs(&line("/mnt", "bpf")));
        assert!(!has_bpffs(&line("/sys/fs/bpf", "tmpfs")));
        let hidden = line("/sys/fs/bpf", "bpf") + &line("/sys/fs/bpf", "tmpfs");
        assert!(!has_bpffs(&hidden));
    }
}

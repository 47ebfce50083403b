use sluicegate_xsk::nic::zero_copy_sound_since;

use super::KernelVersion;

/// What is known of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driver {
    /// As `ethtool -i` names it.
    pub name: &'static str,
    /// What it is called below `/sys/class/net` where that differs; `*` stands for any rest.
    pub also: &'static [&'static str],
    /// The first kernel on which programs run in the driver; `None`: generic mode only.
    pub native: Option<KernelVersion>,
    /// The first kernel with AF_XDP zero-copy; `None`: it copies.
    pub zero_copy: Option<KernelVersion>,
    /// What else an operator should know; may be empty.
    pub note: &'static str,
    /// The first kernel that the note does not hold for any more.
    pub note_until: Option<KernelVersion>,
    /// Whether the project's own tests ran on it.
    pub tested: bool,
    /// Where all this is told.
    pub source: &'static str,
}

/// All rows.
pub const fn drivers() -> &'static [Driver] {
    DRIVERS
}

/// The row of a driver.
pub fn driver(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|row| row.name == name)
}

impl Driver {
    /// What it can do, and since when, in a few words; `None`: no XDP of its own.
    pub fn abilities(&self) -> Option<String> {
        let native = self.native?;
        Some(match self.trusted_zero_copy() {
            Some(first) if first == native => {
                format!("native XDP with zero-copy since Linux {first}")
            }
            Some(first) => format!("native XDP since Linux {native}, zero-copy since {first}"),
            None => format!("native XDP in copy mode since Linux {native}"),
        })
    }

    /// The first kernel whose zero-copy nothing grave is reported of; `mode: auto` leaves it alone before.
    pub fn trusted_zero_copy(&self) -> Option<KernelVersion> {
        let sound = zero_copy_sound_since(self.name);
        let sound = sound.map(|[major, minor, patch]| KernelVersion(major, minor, patch));
        self.zero_copy
            .map(|first| sound.unwrap_or(first).max(first))
    }

    /// What an operator should know on a kernel; may be empty.
    pub fn note_on(&self, kernel: KernelVersion) -> &'static str {
        let over = self.note_until.is_some_and(|until| kernel >= until);
        if over { "" } else { self.note }
    }

    /// A driver with XDP since a kernel, and no zero-copy.
    const fn native(name: &'static str, major: u32, minor: u32) -> Self {
        Self {
            name,
            also: &[],
            native: Some(KernelVersion(major, minor, 0)),
            zero_copy: None,
            note: "",
            note_until: None,
            tested: false,
            source: EBPF_DOCS,
        }
    }

    /// A driver without XDP of its own.
    const fn generic(name: &'static str, source: &'static str) -> Self {
        Self {
            name,
            also: &[],
            native: None,
            zero_copy: None,
            note: "",
            note_until: None,
            tested: false,
            source,
        }
    }

    const fn also(mut self, names: &'static [&'static str]) -> Self {
        self.also = names;
        self
    }

    const fn zero_copy(mut self, major: u32, minor: u32) -> Self {
        self.zero_copy = Some(KernelVersion(major, minor, 0));
        self
    }

    const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// The note holds for kernels before this one.
    const fn until(mut self, major: u32, minor: u32) -> Self {
        self.note_until = Some(KernelVersion(major, minor, 0));
        self
    }

    const fn told_by(mut self, source: &'static str) -> Self {
        self.source = source;
        self
    }

    const fn tested(mut self) -> Self {
        self.tested = true;
        self
    }
}

const EBPF_DOCS: &str =
    "docs.ebpf.io, BPF_PROG_TYPE_XDP, driver support (with the kernel's commits)";
const LAB: &str =
    "docs.ebpf.io, driver support; run in a virtual machine on Linux 6.1, 6.12 and 7.3";
const RUNBOUND: &str = "reports of other servers' users";

/// One row a driver. Where the kernel tells its XDP features (6.3 and later), those count, not this table.
const DRIVERS: &[Driver] = &[
    Driver::native("mlx4_en", 4, 8),
    Driver::native("mlx5_core", 4, 9)
        .zero_copy(5, 3)
        .note("zero-copy queues are further queues, numbered behind the ordinary ones, up to Linux 6.0")
        .until(6, 1),
    Driver::native("qede", 4, 10),
    Driver::native("nfp", 4, 10).zero_copy(5, 18),
    Driver::native("virtio_net", 4, 10)
        .zero_copy(6, 13)
        .note(
            "zero-copy needs a machine with iommu_platform=on (seen on 7.3; 6.12 copies all the same); with fewer spare queue pairs than processors it transmits \
             in a slower, locked mode (give the machine twice as many queues as processors)",
        )
        .tested()
        .told_by(LAB),
    Driver::native("bnxt_en", 4, 11),
    Driver::native("ixgbe", 4, 12)
        .zero_copy(4, 20)
        .note("zero-copy is reported to be unstable by Knot DNS's manual; watch the counters"),
    Driver::native("thunder-nicvf", 4, 12).also(&["nicvf"]),
    Driver::native("i40e", 4, 13)
        .zero_copy(4, 20)
        .note("steering rules and AF_XDP on one port are reported to conflict (ethernet-linux-i40e 15, 16)"),
    Driver::native("tun", 4, 14),
    Driver::native("ixgbevf", 4, 17),
    Driver::native("veth", 4, 19).tested(),
    Driver::native("fsl_dpaa2_eth", 5, 0).zero_copy(6, 2),
    Driver::native("cpsw", 5, 3),
    Driver::native("sfc", 5, 5),
    Driver::native("ice", 5, 5).zero_copy(5, 5),
    Driver::native("mvneta", 5, 5),
    Driver::native("ena", 5, 6)
        .note("only half of the queues can be used with XDP: set `ethtool -L IF combined N` to at most half of the maximum (amzn-drivers 164)"),
    Driver::native("hv_netvsc", 5, 6)
        .note("with accelerated networking packets come in by the virtual function below, often mlx5 or mana"),
    Driver::native("mvpp2", 5, 9),
    Driver::native("xen-netfront", 5, 9).also(&["xen_netfront", "vif"]),
    Driver::native("igb", 5, 10)
        .zero_copy(6, 14)
        .note("attaching resets the NIC: some seconds without link")
        .tested()
        .told_by(LAB),
    Driver::native("fsl_dpa", 5, 11),
    Driver::native("igc", 5, 13).zero_copy(5, 14),
    Driver::native("st_gmac", 5, 13)
        .zero_copy(5, 13)
        .also(&["stmmac", "dwmac-*"]),
    Driver::native("fsl_enetc", 5, 13),
    Driver::native("bonding", 5, 15)
        .note("programs run on the members; a socket bound to the bond itself gets nothing")
        .told_by(LAB),
    Driver::native("rvu-nicpf", 5, 16).also(&["rvu_nicpf"]),
    Driver::native("mana", 5, 17),
    Driver::native("atlantic", 5, 19),
    Driver::native("fec", 6, 2),
    Driver::native("lan966x-switch", 6, 2),
    Driver::native("tsnep", 6, 3).zero_copy(6, 4),
    Driver::native("gve", 6, 4)
        .zero_copy(6, 4)
        .note("the program must be attached before sockets are bound, as is done here")
        .told_by("docs.ebpf.io, driver support; reports of Quilkin"),
    Driver::native("vmxnet3", 6, 6)
        .note("native mode seen on 6.12 and 7.3, generic only on 6.1")
        .tested()
        .told_by("run in a virtual machine on Linux 6.1, 6.12 and 7.3"),
    Driver::native("ionic", 6, 9),
    Driver::native("am65-cpsw-nuss", 6, 10),
    Driver::generic("e1000e", "run in a virtual machine on Linux 6.1, 6.12 and 7.3").tested(),
    Driver::generic("e1000", "the kernel's source: no ndo_bpf"),
    Driver::generic("r8169", RUNBOUND),
    Driver::generic("r8125", RUNBOUND),
    Driver::generic("tg3", RUNBOUND),
    Driver::generic("bnx2x", RUNBOUND),
    Driver::generic("bnx2", RUNBOUND),
    Driver::generic("cxgb4", "the kernel's source: no ndo_bpf"),
    Driver::generic("dummy", "the kernel's source: no ndo_bpf"),
    Driver::generic("bridge", "the kernel's source: no ndo_bpf"),
    Driver::generic("802.1Q VLAN Support", "the kernel's source: no ndo_bpf"),
    Driver::generic("macvlan", "the kernel's source: no ndo_bpf"),
    Driver::generic("ipvlan", "the kernel's source: no ndo_bpf"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_row_a_driver_each_with_a_source() {
        let names: BTreeSet<_> = DRIVERS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), DRIVERS.len());
        assert!(DRIVERS.iter().all(|row| !row.source.is_empty()));
        let late = |row: &&Driver| row.zero_copy.is_some() && row.native > row.zero_copy;
        assert_eq!(DRIVERS.iter().find(late), None);
    }

    #[test]
    fn abilities_in_words() {
        let told = |name| driver(name).and_then(Driver::abilities);
        let igb = "native XDP since Linux 5.10, zero-copy since 6.14".to_owned();
        assert_eq!(told("igb"), Some(igb));
        // Zero-copy is there since 5.5, and to be trusted later.
        let ice = "native XDP since Linux 5.5, zero-copy since 6.10.4".to_owned();
        assert_eq!(told("ice"), Some(ice));
        let ena = "native XDP in copy mode since Linux 5.6".to_owned();
        assert_eq!((told("ena"), told("e1000e")), (Some(ena), None));
    }

    #[test]
    fn notes_end_with_what_they_tell_of() {
        let told = |release| {
            let kernel = KernelVersion::of_release(release).unwrap();
            driver("mlx5_core").unwrap().note_on(kernel)
        };
        assert!(told("5.18.0").contains("zero-copy queues"));
        assert_eq!(told("6.1.0-50-amd64"), "");
    }

    #[test]
    fn drivers_that_operators_ask_for_have_a_row() {
        let asked = [
            "ixgbe",
            "i40e",
            "ice",
            "igc",
            "igb",
            "mlx5_core",
            "mlx4_en",
            "ena",
            "gve",
            "virtio_net",
            "vmxnet3",
            "veth",
            "tun",
            "bnxt_en",
            "r8169",
            "e1000e",
            "hv_netvsc",
        ];
        assert_eq!(asked.iter().find(|name| driver(name).is_none()), None);
    }
}

/// Scenarios that Debian's Unbound passes and Sluicegate doesn't, each with the reason.
pub(crate) const DIFFERENT: &[(&str, &str)] = &[
    ("auth_xfr_host.rpl", TRANSFER),
    ("auth_zonemd_xfr.rpl", TRANSFER),
    ("auth_zonemd_xfr_anchor_fail.rpl", TRANSFER),
    ("auth_zonemd_xfr_chain_fail.rpl", TRANSFER),
    ("auth_zonemd_xfr_fail.rpl", TRANSFER),
    ("auth_zonemd_insecure_absent_reject.rpl", ZONEMD),
    ("rpz_clientip.rpl", RPZ),
    ("rpz_qname_override.rpl", RPZ),
    ("rpz_qtype_cname.rpl", RPZ),
    ("rpz_respip_tcponly.rpl", RPZ),
    ("rpz_signal_nxdomain_ra.rpl", RPZ),
    ("subnet_cached_servfail.crpl", SUBNET),
    ("subnet_derived.crpl", SUBNET),
    ("subnet_global_prefetch.crpl", SUBNET),
    ("subnet_max_source.crpl", SUBNET),
    ("subnet_prezero.crpl", SUBNET),
    ("subnet_scopezero_global_nocache.crpl", SUBNET),
    ("subnet_val_positive.crpl", SUBNET),
    ("subnet_without_validator.crpl", SUBNET),
    ("fwd_droptoomany.rpl", QUERIES),
    ("val_refer_unsignadd.rpl", SNOOP),
    ("val_referglue.rpl", SNOOP),
    ("val_nsec3_cnametocnamewctoposwc.rpl", TRUNCATED),
];

const TRANSFER: &str =
    "libunbound loads zones from files but doesn't transfer them: that is Unbound's daemon's";
const ZONEMD: &str =
    "libunbound doesn't look up keys to check a ZONEMD: that is Unbound's daemon's";
const RPZ: &str = "response policy zones aren't built yet";
const SUBNET: &str =
    "Debian's libunbound is built without the module subnetcache, its daemon with it";
const QUERIES: &str =
    "num-queries-per-thread doesn't make clients' queries be dropped: the engine's own bounds do";
const SNOOP: &str =
    "referrals for queries without RD come from the daemon's cache, which libunbound doesn't show";
const TRUNCATED: &str = "truncated answers are empty here and without AD; Unbound's hold what fits";

use std::fs;
use std::thread;

use anyhow::{Context, Result};
use sluicegate_lab::netns::Process;
use sluicegate_lab::scene::Path;
use sluicegate_lab::upstream::Authority;
use sluicegate_lab::wire::{QuerySpec, rtype};
use sluicegate_lab::world::{World, zones};

use crate::asked::{Asked, VARIANTS};
use crate::questions::{Fate, questions};
use crate::report::Report;
use crate::site::{Site, start_unbound};

/// The same questions to us and to Debian's Unbound, and to each what must come of them.
pub(crate) fn recursion() -> Result<()> {
    let world = World::start(zones())?;
    let mut report = Report::new(true);
    compare(&world, "", &mut report)?;
    report.finish()
}

/// Recursion, stubs and forwarding mixed, other trust, answers less minimal: what must come of some questions, and that
/// we do as Unbound does with all.
pub(crate) fn mixture() -> Result<()> {
    let world = World::start(zones())?;
    let _forwarder = forwarder(&world)?;
    let mut report = Report::new(false);
    let stub = |name: &str| {
        let address = world.address(name).context("a zone of the world")?;
        anyhow::Ok(format!(
            "stub-zone:\n  name: {name}\n  stub-addr: {address}\n"
        ))
    };
    let forward = |name: &str, more: &str| {
        format!("forward-zone:\n  name: {name}\n  forward-addr: {FORWARDER}\n{more}")
    };
    let island = world
        .key("island.unsigned.alpha.")
        .context("it is signed")?;
    let conf = [
        format!(
            "{OTHERWISE}  trust-anchor-file: {}\n  tls-cert-bundle: {}\n",
            island.display(),
            world.dir().join(BUNDLE).display()
        ),
        stub("good.alpha.")?,
        stub("good.plain.")?,
        forward("good.beta.", ""),
        forward("good.gamma.", "  forward-tcp-upstream: yes\n"),
        forward("unsigned.beta.", "  forward-first: yes\n"),
        format!(
            "forward-zone:\n  name: dname.beta.\n  forward-addr: {FORWARDER}@853#{FORWARDER_NAME}\n  \
             forward-tls-upstream: yes\n"
        ),
    ];
    let ours = compare(&world, &conf.concat(), &mut report)?;
    for (name, fate) in MIXTURE {
        let asked = Asked::new(name, rtype::A, *fate, 1);
        report.fates = true;
        report.expect("Sluicegate", &asked, &ours.ask(Path::Xdp, &asked.query)?);
    }
    report.finish()
}

/// Where the resolver is that questions are forwarded to.
const FORWARDER: &str = "10.55.254.1";
/// The name in its certificate.
const FORWARDER_NAME: &str = "resolver.lab";
/// The file with the authority that vouches for it.
const BUNDLE: &str = "bundle.pem";
/// The date is not looked at: what has expired, or is to come, is as good as the rest.
const OTHERWISE: &str = "
  num-threads: 2
  minimal-responses: no
  qname-minimisation: no
  aggressive-nsec: no
  harden-below-nxdomain: no
  val-override-date: -1
  domain-insecure: stripped.alpha.
  domain-insecure: wrong-ds.alpha.
";
const MIXTURE: &[(&str, Fate)] = &[
    ("www.good.alpha.", Fate::Secure),
    ("www.good.beta.", Fate::Secure),
    ("www.good.gamma.", Fate::Secure),
    ("www.out.dname.beta.", Fate::Secure),
    ("www.good.plain.", Fate::Insecure),
    ("www.island.unsigned.alpha.", Fate::Secure),
    ("www.expired.alpha.", Fate::Secure),
    ("www.future.alpha.", Fate::Secure),
    ("www.stripped.alpha.", Fate::Insecure),
    ("www.wrong-ds.alpha.", Fate::Insecure),
    ("www.tampered.alpha.", Fate::Bogus),
];

/// Unbound as a forwarder, over UDP, TCP and TLS.
fn forwarder(world: &World) -> Result<Process> {
    let authority = Authority::new()?;
    let identity = authority.pem_identity(FORWARDER_NAME)?;
    let [bundle, certificate, key] =
        [BUNDLE, "forwarder.pem", "forwarder.key"].map(|name| world.dir().join(name));
    fs::write(&bundle, authority.pem())?;
    fs::write(&certificate, identity.certificate)?;
    fs::write(&key, identity.key)?;
    let conf = format!(
        "server:\n  interface: {FORWARDER}\n  interface: {FORWARDER}@853\n  access-control: 0.0.0.0/0 allow\n  \
         tls-service-pem: {}\n  tls-service-key: {}\n{}",
        certificate.display(),
        key.display(),
        world.resolver_conf()
    );
    start_unbound(world.netns(), &conf)
}

fn compare(world: &World, more: &str, report: &mut Report) -> Result<Site> {
    let ours = Site::sluicegate(world, more)?;
    let theirs = Site::unbound(world, more)?;
    for round in 0..VARIANTS.len() {
        let asked: Vec<Asked> = questions()
            .into_iter()
            .enumerate()
            .map(|(index, (name, qtype, fate))| Asked::new(&name, qtype, fate, index + round))
            .collect();
        let queries: Vec<QuerySpec> = asked.iter().map(|asked| asked.query.clone()).collect();
        // Both at once, since they wait for the same dead servers.
        let (udp, tcp, answers) = thread::scope(|scope| {
            let theirs = scope.spawn(|| {
                let udp = theirs.ask_all(Path::Xdp, &queries)?;
                anyhow::Ok((udp, theirs.ask_all(Path::Tcp, &queries)?))
            });
            let ours: Result<Vec<_>> = Path::ALL
                .iter()
                .map(|path| ours.ask_all(*path, &queries))
                .collect();
            let (udp, tcp) = theirs.join().expect("no panic")?;
            anyhow::Ok((udp, tcp, ours?))
        })?;
        for (path, answers) in Path::ALL.into_iter().zip(&answers) {
            let others = if path == Path::Tcp { &tcp } else { &udp };
            for ((asked, ours), theirs) in asked.iter().zip(answers).zip(others) {
                report.compare(path, asked, ours, theirs);
            }
        }
        for (asked, answer) in asked.iter().zip(&udp) {
            report.expect("Unbound", asked, answer);
        }
    }
    ours.expect_all_paths()?;
    Ok(ours)
}

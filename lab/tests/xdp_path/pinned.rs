//! A program of somebody else's that redirects by maps which the server pins for it: the example of the documentation.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use aya::EbpfLoader;
use aya::programs::{Xdp, XdpMode};
use sluicegate_lab::bpffs::BpfFs;
use sluicegate_lab::server::Server;

use crate::site::{Path, SERVER4, SERVER6, Site, resume};

static REDIRECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/pinned.o"));
const BOTH: [&str; 2] = [SERVER4, SERVER6];
const NO_PROGRAM: &str = "no XDP program is attached that would redirect";

/// The maps are there before the program is; whichever way it is attached, the fast path comes and goes with it.
pub(crate) fn comes_and_goes() -> Result<()> {
    let (site, fs) = (Site::joined(2)?, BpfFs::new()?);
    let server = start(&site, &fs)?;
    server.wait_for_line(NO_PROGRAM, resume())?;
    expect_kernel(&site, &server)?;
    ensure!(site.eth0().xdp_program()?.is_none(), "who attached that?");
    only_the_owner_may_look(&fs)?;
    for (round, mode) in [XdpMode::Driver, XdpMode::Skb].into_iter().enumerate() {
        let theirs = attach(&site, &fs, mode)?;
        let id = site.eth0().xdp_program()?;
        server.process().wait_for_line_after(
            round,
            "XDP fast path active interface=eth0",
            resume(),
        )?;
        site.wait_for_xdp(&server, &BOTH)?;
        ensure!(site.eth0().xdp_program()? == id, "the program was touched");
        drop(theirs);
        server
            .process()
            .wait_for_line_after(round + 1, NO_PROGRAM, resume())?;
        expect_kernel(&site, &server)?;
    }
    Ok(())
}

/// What a server leaves: nothing when it ends, and what its successor goes on with when it is killed. The program is none
/// of its business.
pub(crate) fn left_behind() -> Result<()> {
    let (site, fs) = (Site::joined(1)?, BpfFs::new()?);
    let server = start(&site, &fs)?;
    server.wait_for_line(NO_PROGRAM, resume())?;
    let _theirs = attach(&site, &fs, XdpMode::Driver)?;
    let id = site.eth0().xdp_program()?;
    site.wait_for_xdp(&server, &BOTH)?;
    server.kill();
    ensure!(names(&fs)? == ["listen", "queues", "xsks"]);
    // The program still holds the maps, and goes on with them.
    let server = start(&site, &fs)?;
    site.wait_for_xdp(&server, &BOTH)?;
    let finished = server.stop()?;
    ensure!(finished.success(), "{}", finished.stderr);
    ensure!(names(&fs)?.is_empty(), "something is still pinned");
    let top = fs.path().join("sluicegate");
    ensure!(!fs.enter(move || top.exists())?, "a directory was left");
    ensure!(site.eth0().xdp_program()? == id, "the program was touched");
    Ok(())
}

/// A program that has nothing to do with the maps serves nobody by AF_XDP: the log says so.
pub(crate) fn a_stranger() -> Result<()> {
    let (site, fs) = (Site::joined(1)?, BpfFs::new()?);
    let server = start(&site, &fs)?;
    server.wait_for_line(NO_PROGRAM, resume())?;
    let theirs = attach(&site, &fs, XdpMode::Driver)?;
    site.wait_for_xdp(&server, &BOTH)?;
    let said = "does not use the map xsks";
    ensure!(
        server.process().lines_with(said).is_empty(),
        "the program that uses it was taken for another"
    );
    // Noticed or not, the other takes its place.
    drop(theirs);
    let _stranger = site
        .there
        .enter(|| crate::impossible::attach(XdpMode::Driver))?;
    server.wait_for_line(said, resume())?;
    Ok(())
}

/// Where the maps can't be had, the kernel serves, and the reason says why.
pub(crate) fn cannot_be_pinned() -> Result<()> {
    let site = Site::joined(1)?;
    let server = Site::server("xdp:\n  pinned-maps: /tmp/sluicegate").start(&site.there)?;
    let line = server.wait_for_line("pinned-maps: ", resume())?;
    ensure!(line.contains("not in a BPF file system"), "{line}");
    expect_kernel(&site, &server)
}

fn start(site: &Site, fs: &BpfFs) -> Result<Server> {
    let clause = format!("xdp:\n  pinned-maps: {}/sluicegate", fs.path().display());
    let wrapper = fs.wrapper();
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    Site::server(&clause).behind(&wrapper).start(&site.there)
}

/// Loads the example with the pinned maps and attaches it to the server's interface.
fn attach(site: &Site, fs: &BpfFs, mode: XdpMode) -> Result<aya::Ebpf> {
    let directory = directory(fs);
    let namespace = site.there.path();
    fs.enter(move || {
        let mut ebpf = EbpfLoader::new()
            .default_map_pin_directory(&directory)
            .load(REDIRECT)?;
        let program: &mut Xdp = ebpf
            .program_mut("redirect")
            .context("no program")?
            .try_into()?;
        program.load()?;
        enter_netns(&namespace)?;
        program.attach("eth0", mode)?;
        Ok(ebpf)
    })?
}

fn enter_netns(path: &std::path::Path) -> Result<()> {
    let namespace = std::fs::File::open(path)?;
    nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?;
    Ok(())
}

fn only_the_owner_may_look(fs: &BpfFs) -> Result<()> {
    let directory = directory(fs);
    fs.enter(move || {
        let mode = |path: PathBuf| -> Result<u32> {
            Ok(std::fs::metadata(&path)?.permissions().mode() & 0o777)
        };
        for name in ["listen", "queues", "xsks"] {
            let mode = mode(directory.join(name))?;
            ensure!(mode == 0o600, "{name} has mode {mode:o}");
        }
        ensure!(mode(directory)? == 0o700, "the directory is open");
        Ok(())
    })?
}

/// What is pinned for the interface.
fn names(fs: &BpfFs) -> Result<Vec<String>> {
    let directory = directory(fs);
    fs.enter(move || {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    })
}

fn directory(fs: &BpfFs) -> PathBuf {
    fs.path().join("sluicegate/eth0")
}

fn expect_kernel(site: &Site, server: &Server) -> Result<()> {
    BOTH.into_iter()
        .try_for_each(|address| site.expect(server, address, Path::Kernel))
}

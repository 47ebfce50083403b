use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use sluicegate_conf::table::{Clause, Keyword, Status, keywords};

use crate::cli::Cli;

/// Writes what a package ships beside the program, out of the program's own tables: `man8/` (the command),
/// `man5/` (the configuration), `completions/` (bash, zsh, fish); and for `install.sh`, `drivers`: what is known of each.
///
/// # Errors
/// A file could not be written.
pub(crate) fn run(directory: &Path) -> anyhow::Result<()> {
    manual_of_commands(&directory.join("man8"))?;
    let man5 = directory.join("man5");
    write(&man5, "sluicegate.conf.5", &manual_of_configuration())?;
    completions(&directory.join("completions"))?;
    write(directory, "drivers", drivers().as_bytes())
}

/// A line for each name of a driver with XDP, `*` standing for any rest: the name, a tab, what it can do.
fn drivers() -> String {
    let mut lines = String::new();
    for row in sluicegate_doctor::drivers() {
        let Some(abilities) = row.abilities() else {
            continue;
        };
        for name in std::iter::once(&row.name).chain(row.also) {
            lines.extend([name, "\t", &abilities, "\n"]);
        }
    }
    lines
}

fn manual_of_commands(directory: &Path) -> anyhow::Result<()> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let own = command.get_name().to_owned();
    for subcommand in command.get_subcommands().filter(|s| !s.is_hide_set()) {
        let name = format!("{own}-{}", subcommand.get_name());
        let mut page = subcommand.clone().display_name(&name);
        if subcommand.get_name() == "doctor" {
            page = page.after_long_help(checks());
        }
        render(directory, &name, page)?;
    }
    render(directory, &own, command)
}

/// What may stand for CHECK on doctor's command line.
fn checks() -> String {
    let names = sluicegate_doctor::CHECKS.join(", ");
    format!(
        "The checks are {names}. docs/xdp.md, which comes with the program, tells what each looks at."
    )
}

fn render(directory: &Path, name: &str, command: clap::Command) -> anyhow::Result<()> {
    let mut page = Vec::new();
    Man::new(command).section("8").render(&mut page)?;
    write(directory, &format!("{name}.8"), &page)
}

fn completions(directory: &Path) -> anyhow::Result<()> {
    for (shell, file) in [
        (Shell::Bash, "sluicegate"),
        (Shell::Zsh, "_sluicegate"),
        (Shell::Fish, "sluicegate.fish"),
    ] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "sluicegate", &mut text);
        write(&directory.join(shell.to_string()), file, &text)?;
    }
    Ok(())
}

/// sluicegate.conf(5): a paragraph for each row of the option table.
fn manual_of_configuration() -> Vec<u8> {
    let mut page = Roff::new();
    let source = format!("sluicegate {}", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["sluicegate.conf", "5", "", source.as_str()]);
    page.control("SH", ["NAME"]);
    page.text([roman("sluicegate.conf - configuration of sluicegate(8)")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(ABOUT)]);
    for clause in Clause::ALL {
        let rows: Vec<_> = keywords()
            .filter(|row| row.opens.is_none() && row.clauses.contains(clause))
            .collect();
        if !rows.is_empty() {
            page.control("SH", [format!("{}:", clause.name()).as_str()]);
            for row in rows {
                option(&mut page, row);
            }
        }
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([roman("sluicegate(8), unbound.conf(5)")]);
    page.to_roff().into_bytes()
}

const ABOUT: &str = "The file has the form of unbound.conf(5): clauses such as server: and, in them, options with \
    their values. An unbound.conf can be used as it is. What an option of Unbound means is told in its own manual; \
    this page says what each may hold, what holds without it, and what becomes of it here. Check a file with \
    'sluicegate checkconf FILE'.";

fn option(page: &mut Roff, row: &Keyword) {
    page.control("TP", []);
    let mut head: Vec<Inline> = vec![bold(format!("{}:", row.name))];
    for argument in row.args {
        head.extend([roman(" "), italic(argument.describe())]);
    }
    page.text(head);
    let mut body = Vec::new();
    if row.canonical != row.name {
        body.push(format!("Another name of {}.", row.canonical));
    }
    body.push(match own(row) {
        Some(told) => told.into(),
        None => fate(row.status),
    });
    if !row.default.is_empty() {
        body.push(format!("Default: {}.", row.default));
    }
    page.text([roman(body.join(" "))]);
}

/// What an option of our own does: no other manual tells. `None`: it is one of Unbound's.
fn own(row: &Keyword) -> Option<&'static str> {
    if !row.clauses.contains(Clause::Xdp) {
        return None;
    }
    Some(match row.name {
        "enable" => {
            "Whether queries are taken by XDP. auto: where it works, and the log says where not. yes: starting fails where it \
             can't run on an interface with a listen address. no: never."
        }
        "mode" => {
            "How. auto: the best that holds on each interface, zero-copy, then native copy, then generic where a self-test \
             passes. The others: that one or none, also where it is reported to fail."
        }
        "queues" => {
            "Serve the first so many queues of an interface; packets of the others take the kernel's path. Without it all are \
             served, each by a worker."
        }
        "frames" => "Packet buffers for each queue, of 2 KiB each. They count as locked memory.",
        "rx-ring" => {
            "Entries of the ring by which the kernel hands packets to a worker, a power of two. With more, longer bursts are \
             borne."
        }
        "tx-ring" => {
            "Entries of the ring by which a worker hands its replies to the kernel, a power of two."
        }
        "busy-poll" => {
            "Microseconds for which a worker looks for the next packet before it sleeps. That saves the wake-up, and costs its \
             processor. 0: it sleeps at once."
        }
        "route-check" => {
            "Whether the kernel's path takes a query whose reply would leave by another interface or to another neighbour than \
             it came by. auto: where two interfaces or more have addresses and the kernel can look up routes for programs \
             (net.ipv4.conf.lo.forwarding, and the same of ipv6, is 1). yes: always; without that sysctl the kernel's path then \
             answers all queries. no: never."
        }
        "pinned-maps" => {
            "A directory of a BPF file system. No program is attached; maps are pinned there for each interface, and a program \
             of yours, or one behind a dispatcher, redirects by them. Empty: the server's own program is attached."
        }
        _ => return None,
    })
}

fn fate(status: Status) -> String {
    match status {
        Status::Honoured => "Done here.".into(),
        Status::Shared => "Done here and by the resolver.".into(),
        Status::Engine => "Done by the resolver, libunbound.".into(),
        Status::Inert { why } => format!("Accepted without effect: {why}."),
        Status::Partly { missing, .. } => format!("Done in part; missing: {missing}."),
        Status::NotBuilt { instead, .. } => format!("Not built yet: {instead}."),
    }
}

fn write(directory: &Path, name: &str, text: &[u8]) -> anyhow::Result<()> {
    let path = directory.join(name);
    fs::create_dir_all(directory)
        .and_then(|()| fs::File::create(&path)?.write_all(text))
        .with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_and_every_command_has_its_words() {
        let folder = std::env::temp_dir().join(format!("sluicegate-pages-{}", std::process::id()));
        run(&folder).unwrap();
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let options = read("man5/sluicegate.conf.5");
        for row in keywords().filter(|row| row.opens.is_none()) {
            let head = format!("\\fB{}:\\fR", row.name.replace('-', "\\-"));
            assert!(options.contains(&head), "{}", row.name);
        }
        // What no manual of Unbound's tells is told here.
        for row in keywords().filter(|row| row.clauses.contains(Clause::Xdp)) {
            assert!(own(row).is_some(), "{} is not explained", row.name);
        }
        assert!(options.contains("Packet buffers for each queue"));
        let doctor = read("man8/sluicegate-doctor.8");
        for check in sluicegate_doctor::CHECKS {
            assert!(doctor.contains(&check.replace('-', "\\-")), "{check}");
        }
        assert!(read("man8/sluicegate.8").contains("SIGHUP"));
        assert!(read("man8/sluicegate-checkconf.8").contains("checkconf"));
        assert!(!folder.join("man8/sluicegate-generate.8").exists());
        assert!(read("completions/bash/sluicegate").contains("checkconf"));
        fs::remove_dir_all(folder).unwrap();
    }
}

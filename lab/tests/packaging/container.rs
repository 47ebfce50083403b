//! The container image's recipe, followed line by line in a machine, and what comes out of it, run as the recipe says.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use sluicegate_lab::machine::Machine;
use sluicegate_lab::netns::{Netns, veth_pair};
use sluicegate_lab::server::program;
use sluicegate_lab::workspace_root;

use super::ground::{LIMIT, answers, bring};

/// What the last stage of the recipe leaves to whoever runs the image.
#[derive(Default)]
struct Image {
    user: String,
    entrypoint: Vec<String>,
    health: Vec<String>,
    volumes: Vec<String>,
}

/// On a read-only root, under its own user, with the capabilities that the documentation gives it, it serves port 53 and
/// attaches XDP; with that of port 53 alone it serves too; the recipe's health command tells whether it does.
pub(crate) fn serves_as_documented() -> Result<()> {
    let machine = Machine::boot()?;
    let client = Netns::new()?;
    let (gate, other) = veth_pair(machine.netns(), "gate0", &client, "ask0", 2)?;
    gate.add_address("10.53.0.1/24")?;
    other.add_address("10.53.0.2/24")?;
    let image = follow(&machine)?;
    machine.shell(
        "printf 'server:\\n interface: 10.53.0.1\\n access-control: 10.53.0.0/24 allow\\n\
xdp:\\n frames: 1024\\n' \
         >/etc/sluicegate/conf.d/net.conf",
    )?;
    let health = image.health.join(" ");
    ensure!(
        machine.shell(&health).is_err(),
        "healthy before it was started"
    );

    let all = documented_capabilities()?;
    image.run(&machine, "full", &all)?;
    machine.wait_for(
        "journalctl --no-pager -u full",
        "XDP fast path active interface=gate0",
        LIMIT,
    )?;
    answers(&client, "10.53.0.1")?;
    answers(machine.netns(), "127.0.0.1")?;
    machine.shell(&health)?;
    machine.shell("systemctl stop full")?;

    image.run(&machine, "least", &["net_bind_service".to_owned()])?;
    answers(&client, "10.53.0.1")?;
    machine.shell(&health)?;
    machine
        .wait_for("journalctl --no-pager -u least", "XDP not available", LIMIT)
        .map(drop)
}

impl Image {
    /// Runs what the image starts as a unit of this name, as a container engine would.
    fn run(&self, machine: &Machine, unit: &str, capabilities: &[String]) -> Result<()> {
        let (user, group) = self.user.split_once(':').context("USER is user:group")?;
        let keep: Vec<_> = self
            .volumes
            .iter()
            .map(|volume| format!("mount --bind {volume} {volume}; "))
            .collect();
        let keep = keep.concat();
        let given = capabilities.join(",+");
        let script = format!(
            "mount --bind / /media; {keep} mount -o remount,bind,ro /; \
             mount -t tmpfs -o uid={user},gid={group},mode=755 tmpfs /run/sluicegate; \
             ! touch /etc/writable 2>/dev/null; \
             exec setpriv --reuid {user} --regid {group} --clear-groups --inh-caps=-all --bounding-set=-all,+{given} -- {}",
            self.entrypoint.join(" ")
        );
        machine.shell(&format!(
            "systemd-run --quiet --unit {unit} --property PrivateMounts=yes --property LimitMEMLOCK=infinity \
             sh -ec '{script}'"
        ))?;
        let ready = self.health.join(" ");
        machine
            .wait_for(
                &format!("{ready} || journalctl --no-pager -u {unit}"),
                "serving",
                LIMIT,
            )
            .map(drop)
    }
}

/// Does in the machine what the recipe's last stage says. The Debian of the tests stands for its base, the program under
/// test for what its first stage builds.
fn follow(machine: &Machine) -> Result<Image> {
    let recipe = fs::read_to_string(workspace_root().join("dist/container/Containerfile"))?;
    let lines: Vec<_> = recipe
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let text = lines.join("\n").replace("\\\n", " ");
    let last = text
        .rsplit("\nFROM ")
        .next()
        .context("a recipe has stages")?;
    ensure!(last.starts_with("debian:"), "another base: {last}");
    let mut image = Image::default();
    for line in last.lines().skip(1).filter(|line| !line.is_empty()) {
        let (word, rest) = line
            .split_once(' ')
            .context("an instruction has arguments")?;
        match word {
            "RUN" => machine.shell(rest).map(drop)?,
            "COPY" => copy(machine, rest)?,
            "USER" => rest.clone_into(&mut image.user),
            "VOLUME" => image.volumes.push(rest.to_owned()),
            "ENTRYPOINT" => image.entrypoint = words(rest),
            "HEALTHCHECK" => {
                image.health = words(rest.split_once("CMD ").context("HEALTHCHECK has a CMD")?.1);
            }
            "EXPOSE" => {}
            _ => bail!("this test does not know what to do with: {line}"),
        }
    }
    Ok(image)
}

fn copy(machine: &Machine, arguments: &str) -> Result<()> {
    let (from, to) = arguments
        .rsplit_once(' ')
        .context("COPY has two arguments")?;
    let source = match from.strip_prefix("--from=build ") {
        Some("/program/sluicegate") => program()?,
        Some(other) => bail!("nobody builds {other}"),
        None => workspace_root().join(from),
    };
    let folder = to.rsplit_once('/').context("COPY has a whole path")?.0;
    machine.shell(&format!("mkdir -p {folder}"))?;
    bring(machine, &source, to)
}

/// The words of a list in brackets, each in quotation marks.
fn words(list: &str) -> Vec<String> {
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The capabilities that docs/container.md and the compose file give the container: the same ones.
fn documented_capabilities() -> Result<Vec<String>> {
    let compose = fs::read_to_string(workspace_root().join("dist/container/compose.yaml"))?;
    let list = compose
        .lines()
        .find_map(|line| line.trim().strip_prefix("cap_add: [")?.strip_suffix(']'))
        .context("compose.yaml has cap_add")?;
    let page = fs::read_to_string(workspace_root().join("docs/container.md"))?;
    ensure!(
        page.contains(&format!("--cap-add {}", list.replace(", ", ","))),
        "docs/container.md gives other capabilities than {list}"
    );
    Ok(list.split(", ").map(str::to_lowercase).collect())
}

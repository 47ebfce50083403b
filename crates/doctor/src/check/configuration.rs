use std::path::Path;

use crate::change::quoted;
use crate::{Finding, Group, Verdict};

impl Finding {
    /// There is no configuration: everything is judged as if all addresses were listened on.
    pub fn no_configuration(file: &Path) -> Self {
        Self::new("configuration", Group::Server)
            .probed("file", file.display().to_string())
            .is(
                Verdict::Skipped,
                format!(
                    "there is no {}: every address of this machine counts",
                    file.display()
                ),
            )
    }

    /// A configuration that can be used, or why it can't.
    pub fn configuration(file: &Path, errors: Option<&str>) -> Self {
        let name = file.display().to_string();
        let finding = Self::new("configuration", Group::Server).probed("file", name.as_str());
        match errors {
            None => finding.is(Verdict::Ok, format!("{name} can be used")),
            Some(errors) => finding
                .probed("errors", errors)
                .is(Verdict::Fail, format!("{name} can't be used"))
                .why("a server does not start with it, and a running one keeps the configuration it has")
                .by_hand(format!("sluicegate checkconf {}", quoted(&name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_there_or_not_or_wrong() {
        let file = Path::new("/etc/my conf");
        assert_eq!(Finding::no_configuration(file).verdict, Verdict::Skipped);
        assert_eq!(Finding::configuration(file, None).verdict, Verdict::Ok);
        let wrong = Finding::configuration(file, Some("line 1"));
        assert_eq!(wrong.verdict, Verdict::Fail);
        assert_eq!(
            wrong.mend[0].command(),
            "sluicegate checkconf '/etc/my conf'"
        );
    }
}

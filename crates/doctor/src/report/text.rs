use std::fmt::Write;

use crate::{Finding, Mend, Verdict};

/// The findings as text: grouped, the worst group and finding first; one line each, and for what isn't well also why it
/// matters and what mends it.
pub fn text(findings: &[Finding]) -> String {
    let mut groups: Vec<(String, Vec<&Finding>)> = Vec::new();
    for finding in findings {
        let title = title(finding);
        match groups.iter_mut().find(|(known, _)| *known == title) {
            Some((_, members)) => members.push(finding),
            None => groups.push((title, vec![finding])),
        }
    }
    for (_, members) in &mut groups {
        members.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    }
    // A group is as bad as its worst member, which is the first one now.
    groups
        .sort_by_key(|(_, members)| std::cmp::Reverse(members.first().map(|first| first.verdict)));
    let mut out = String::new();
    for (title, members) in &groups {
        let _ = writeln!(out, "{title}");
        for finding in members {
            show(&mut out, finding);
        }
    }
    let _ = writeln!(out, "{}", summary(findings));
    out
}

/// How many findings of each kind there are, in one line.
pub fn summary(findings: &[Finding]) -> String {
    let count = |verdict| {
        findings
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    };
    format!(
        "{} checks: {} fail, {} warn, {} info, {} ok, {} skipped",
        findings.len(),
        count(Verdict::Fail),
        count(Verdict::Warn),
        count(Verdict::Info),
        count(Verdict::Ok),
        count(Verdict::Skipped),
    )
}

fn title(finding: &Finding) -> String {
    match &finding.subject {
        Some(subject) => format!("{} {subject}", finding.group.word()),
        None => finding.group.word().to_owned(),
    }
}

fn show(out: &mut String, finding: &Finding) {
    let word = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Skipped => "-",
        Verdict::Info => "info",
        Verdict::Warn => "WARN",
        Verdict::Fail => "FAIL",
    };
    let _ = writeln!(out, "  {word:<4} {:<14} {}", finding.check, finding.says);
    if !finding.why.is_empty() {
        let _ = writeln!(out, "{INDENT}why:  {}", finding.why);
    }
    for mend in &finding.mend {
        let named = matches!(mend, Mend::Change(change) if change.interrupts());
        let remark = if named {
            "    # interrupts traffic"
        } else {
            ""
        };
        let _ = writeln!(out, "{INDENT}mend: {}{remark}", mend.command());
    }
}

const INDENT: &str = "                      ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Group;

    #[test]
    fn the_worst_comes_first() {
        let findings = [
            Finding::new("kernel", Group::Kernel).is(Verdict::Ok, "Linux 6.18"),
            Finding::new("mtu", Group::Interface)
                .on("eth0")
                .is(Verdict::Ok, "fits"),
            Finding::new("driver", Group::Interface)
                .on("eth0")
                .is(Verdict::Warn, "generic")
                .why("slow")
                .by_hand("apt upgrade"),
        ];
        let shown = text(&findings);
        let expected = "interface eth0\n  WARN driver         generic\n\
                        \x20                     why:  slow\n                      mend: apt upgrade\n\
                        \x20 ok   mtu            fits\nkernel\n  ok   kernel         Linux 6.18\n\
                        3 checks: 0 fail, 1 warn, 0 info, 2 ok, 0 skipped\n";
        assert_eq!(shown, expected);
    }
}

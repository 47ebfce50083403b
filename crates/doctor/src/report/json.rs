use serde_json::{Map, Value as Json, json as object};

use crate::{Finding, Mend, Value, Verdict};

/// The findings as JSON. Fields may be added in later versions, never renamed or removed:
///
/// | field | what it is |
/// |---|---|
/// | `verdict` | the worst of all: `ok`, `skipped`, `info`, `warn`, `fail` |
/// | `checks[].check` | the check's name |
/// | `checks[].group` | `server`, `kernel`, `privileges`, `interface`, `network` |
/// | `checks[].subject` | the interface or address, or null |
/// | `checks[].verdict`, `.says`, `.why` | as in the text |
/// | `checks[].probed` | an object: raw values; null where the system doesn't tell |
/// | `checks[].mend[].command` | what mends it |
/// | `checks[].mend[].fix` | `yes`: `--fix` does it; `named`: only if the check is named; `no`: by hand |
pub fn json(findings: &[Finding]) -> String {
    let worst = findings.iter().map(|finding| finding.verdict).max();
    let checks: Vec<Json> = findings.iter().map(check).collect();
    let all = object!({
        "verdict": worst.unwrap_or(Verdict::Ok).word(),
        "checks": checks,
    });
    format!("{all:#}\n")
}

fn check(finding: &Finding) -> Json {
    let probed: Map<String, Json> = finding
        .probed
        .iter()
        .map(|(name, value)| ((*name).to_owned(), raw(value)))
        .collect();
    let mend: Vec<Json> = finding.mend.iter().map(mend).collect();
    object!({
        "check": finding.check,
        "group": finding.group.word(),
        "subject": finding.subject,
        "verdict": finding.verdict.word(),
        "says": finding.says,
        "why": finding.why,
        "probed": probed,
        "mend": mend,
    })
}

fn mend(mend: &Mend) -> Json {
    let fix = match mend {
        Mend::Change(change) if change.interrupts() => "named",
        Mend::Change(_) => "yes",
        Mend::ByHand(_) => "no",
    };
    object!({ "command": mend.command(), "fix": fix })
}

fn raw(value: &Value) -> Json {
    match value {
        Value::Flag(yes) => object!(yes),
        Value::Number(number) => object!(number),
        Value::Text(text) => object!(text),
        Value::List(all) => object!(all),
        Value::Unknown => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Group};

    #[test]
    fn every_field_is_there() {
        let finding = Finding::new("mtu", Group::Interface)
            .on("eth0")
            .probed("mtu_bytes", 9000u32)
            .probed("xdp", None::<bool>)
            .is(Verdict::Warn, "large")
            .why("because")
            .mend(Change::Mtu {
                interface: "eth0".into(),
                from: 9000,
                to: 1500,
            });
        let parsed: Json = serde_json::from_str(&json(&[finding])).unwrap();
        let expected = object!({
            "verdict": "warn",
            "checks": [{
                "check": "mtu", "group": "interface", "subject": "eth0", "verdict": "warn",
                "says": "large", "why": "because", "probed": {"mtu_bytes": 9000, "xdp": null},
                "mend": [{"command": "ip link set dev eth0 mtu 1500", "fix": "named"}],
            }],
        });
        assert_eq!(parsed, expected);
        assert!(json(&[]).contains("\"ok\""));
    }
}

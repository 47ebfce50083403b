use std::collections::HashSet;

use super::*;

#[test]
fn every_keyword_of_unbound_1_26_has_one_row() {
    let ours = |row: &&Keyword| row.clauses.contains(Clause::Xdp) || row.opens == Some(Clause::Xdp);
    let (xdp, unbound): (Vec<_>, Vec<_>) = keywords().partition(ours);
    assert_eq!(unbound.len(), 387);
    assert_eq!(xdp.len(), 10);
    let names: HashSet<&str> = keywords().map(|row| row.name).collect();
    assert_eq!(names.len(), 397);
}

#[test]
fn every_row_stands_somewhere_or_opens_a_clause() {
    for row in keywords() {
        let places = row.clauses.iter().count();
        match row.opens {
            Some(clause) => assert!(
                places == 0 && row.args.is_empty() && clause.name() == row.name,
                "{row:?}"
            ),
            None => assert!(places > 0 && (1..=3).contains(&row.args.len()), "{row:?}"),
        }
    }
    for clause in Clause::ALL {
        assert_eq!(keyword(clause.name()).unwrap().opens, Some(clause));
    }
}

#[test]
fn an_alias_means_a_row_with_the_same_values_and_status() {
    for row in keywords().filter(|row| row.canonical != row.name) {
        let meant = keyword(row.canonical).unwrap();
        assert_eq!(meant.canonical, meant.name, "an alias of an alias");
        assert_eq!(
            (meant.args, meant.clauses, meant.status),
            (row.args, row.clauses, row.status),
            "{}",
            row.name
        );
    }
}

#[test]
fn every_default_is_a_value_the_row_takes() {
    for row in keywords().filter(|row| !row.default.is_empty()) {
        let [arg] = row.args else {
            panic!("{} has a default and several values", row.name)
        };
        assert_eq!(
            crate::value::check(*arg, row.default),
            Ok(None),
            "{}",
            row.name
        );
    }
}

#[test]
fn a_quiet_value_is_one_the_row_takes() {
    for row in keywords() {
        if let Status::NotBuilt { acts_as, .. } | Status::Partly { acts_as, .. } = row.status
            && !acts_as.is_empty()
        {
            assert_eq!(
                crate::value::check(row.args[0], acts_as),
                Ok(None),
                "{}",
                row.name
            );
        }
    }
}

#[test]
fn versions_are_read_and_ordered() {
    let version = |text: &str| text.parse::<Version>();
    assert_eq!(version("1.17.1"), Ok(Version::new(1, 17, 1)));
    assert_eq!(version("1.26.0rc1"), Ok(Version::new(1, 26, 0)));
    assert_eq!(version("1.22"), Ok(Version::new(1, 22, 0)));
    assert!(version("1.9.6").unwrap() < version("1.17.0").unwrap());
    assert_eq!(
        version("new").unwrap_err().to_string(),
        "`new` is not a version of Unbound"
    );
}

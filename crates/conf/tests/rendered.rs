//! Diagnostics as a person sees them, letter by letter.

use std::path::Path;

use sluicegate_conf::{LoadOptions, MAX_SHOWN, Version, load_text};

#[track_caller]
fn assert_rendered(text: &str, expected: &str) {
    let options = LoadOptions {
        check_files: false,
        engine_version: Some(Version::new(1, 17, 1)),
        ..LoadOptions::default()
    };
    let rendered = load_text(Path::new("x.conf"), text, &options).render(false);
    assert_eq!(
        rendered.trim_end(),
        expected.trim_matches('\n'),
        "\n{rendered}"
    );
}

#[test]
fn an_unknown_keyword_comes_with_the_one_that_was_meant() {
    assert_rendered(
        "server:\n    verbosity: 1\n    interafce: 127.0.0.1\n",
        "
error: unknown keyword `interafce:`
 --> x.conf:3:5
  |
3 |     interafce: 127.0.0.1
  |     ^^^^^^^^^
  |
  = help: did you mean `interface:`?
",
    );
}

#[test]
fn a_wrong_value_is_underlined_and_said_what_was_expected() {
    assert_rendered(
        "server:\n  do-ip6: True\n  access-control: 10.0.0.0/8 alow\n",
        "
error: `do-ip6:` has an invalid value
 --> x.conf:2:11
  |
2 |   do-ip6: True
  |           ^^^^ expected yes or no
  |
  = help: write `yes`

error: `access-control:` has an invalid value
 --> x.conf:3:30
  |
3 |   access-control: 10.0.0.0/8 alow
  |                              ^^^^ none of the words that may stand here
  |
  = help: did you mean `allow`?
",
    );
}

#[test]
fn an_option_in_the_wrong_clause_is_shown_with_the_clause() {
    assert_rendered(
        "server:\n\n\n\n\n\n  forward-addr: 192.0.2.1\n",
        "
error: `forward-addr:` does not belong in `server:`
 --> x.conf:7:3
  |
1 | server:
  | ------ this clause is open
...
7 |   forward-addr: 192.0.2.1
  |   ^^^^^^^^^^^^
  |
  = help: it belongs in `forward-zone:`
",
    );
}

#[test]
fn a_missing_value_is_told_at_its_keyword() {
    assert_rendered(
        "server:\n  logfile:\n  access-control: 10.0.0.0/8\n  port: 53\n",
        "
error: `logfile:` has no value
 --> x.conf:2:3
  |
2 |   logfile:
  |   ^^^^^^^ expected a file name
  |
  = help: `logfile: \"\"` says that it is empty

error: `access-control:` has 1 of its 2 values
 --> x.conf:3:3
  |
3 |   access-control: 10.0.0.0/8
  |   ^^^^^^^^^^^^^^^^^^^^^^^^^^ expected deny, refuse, ... or allow_cookie
",
    );
}

#[test]
fn an_unclosed_quote_and_surplus_words_are_told() {
    assert_rendered(
        "server:\n  local-data: \"a. A 192.0.2.1\n  identity: the server\n  port\n",
        "
error: this quoted text has no end
 --> x.conf:2:15
  |
2 |   local-data: \"a. A 192.0.2.1
  |               ^^^^^^^^^^^^^^^
  |
  = help: quoted text ends on the line where it begins

error: unexpected `server` behind a complete option
 --> x.conf:3:17
  |
3 |   identity: the server
  |                 ^^^^^^
  |
  = help: put a value with blanks or quotes in it between quotes

error: `port` is no keyword
 --> x.conf:4:3
  |
4 |   port
  |   ^^^^
  |
  = help: a keyword ends with a colon: `port:`
",
    );
}

#[test]
fn errors_come_first_then_warnings_then_notes() {
    assert_rendered(
        "server:\n  so-reuseport: yes\n  tcp-mss: 1200\n  port: 53x\n  max-global-quota: 200\n  bogus: 1\n",
        "
error: unknown keyword `bogus:`
 --> x.conf:6:3
  |
6 |   bogus: 1
  |   ^^^^^

warning: `tcp-mss:` has no effect yet
 --> x.conf:3:3
  |
3 |   tcp-mss: 1200
  |   ^^^^^^^ the kernel's default stays

warning: `53x` is not wholly understood
 --> x.conf:4:9
  |
4 |   port: 53x
  |         ^^^ what stands behind the number is ignored

warning: `max-global-quota:` needs libunbound 1.22.0
 --> x.conf:5:3
  |
5 |   max-global-quota: 200
  |   ^^^^^^^^^^^^^^^^^^^^^ left out: 1.17.1 is installed

note: `so-reuseport:` needs no effect
 --> x.conf:2:3
  |
2 |   so-reuseport: yes
  |   ^^^^^^^^^^^^ every worker always has its own socket
",
    );
}

#[test]
fn two_places_of_one_mistake_are_both_shown() {
    assert_rendered(
        "server:\n  interface: ::1\n  interface: ::1@53\nforward-zone:\n  forward-first: yes\n",
        "
error: the same address and port twice
 --> x.conf:3:3
  |
2 |   interface: ::1
  |   -------------- it is listened on here already
3 |   interface: ::1@53
  |   ^^^^^^^^^^^^^^^^^
  |
  = help: remove one of the two lines

error: `forward-zone:` has no `name:`
 --> x.conf:4:1
  |
4 | forward-zone:
  | ^^^^^^^^^^^^
  |
  = help: say which one it is by `name:`; `name: \".\"` forwards everything
",
    );
}

#[test]
fn a_byte_order_mark_is_named() {
    assert_rendered(
        "\u{feff}server:\n",
        "
error: unknown keyword `\u{feff}server:`
 --> x.conf:1:1
  |
1 | \u{feff}server:
  | ^^^^^^
  |
  = help: the file begins with a byte order mark; save it without one
",
    );
}

#[test]
fn no_more_than_twenty_are_shown_and_the_rest_is_counted() {
    let loaded = load_text(
        Path::new("x.conf"),
        "nonsense\n".repeat(50),
        &LoadOptions::default(),
    );
    let rendered = loaded.render(false);
    assert_eq!(loaded.diagnostics.len(), 50);
    assert_eq!(rendered.matches("is no keyword").count(), MAX_SHOWN);
    assert!(
        rendered.ends_with("error: and 30 more like these\n"),
        "{rendered}"
    );
}

#[test]
fn garbage_without_end_is_given_up_on() {
    let loaded = load_text(
        Path::new("x.conf"),
        "nonsense\n".repeat(100_000),
        &LoadOptions::default(),
    );
    assert!(loaded.config.is_none());
    assert!(loaded.diagnostics.len() < 2000);
    assert!(
        loaded
            .diagnostics
            .iter()
            .any(|d| d.message.contains("the rest is not read"))
    );
}

#[test]
fn colours_are_only_there_when_asked_for() {
    let loaded = load_text(Path::new("x.conf"), "x", &LoadOptions::default());
    assert!(!loaded.render(false).contains('\u{1b}'));
    assert!(loaded.render(true).contains('\u{1b}'));
}

#[test]
fn a_good_file_is_not_talked_about() {
    assert_rendered("server:\n  port: 53\n", "");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let rendered = load_text(
        Path::new("x.conf"),
        "server:\n \u{1b}[2Jport: 1\n",
        &LoadOptions::default(),
    )
    .render(false);
    assert!(!rendered.contains('\u{1b}'), "{rendered}");
}

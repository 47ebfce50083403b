//! Includes, and the files that options name.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;
use std::path::{Path, PathBuf};

use sluicegate_conf::{LoadOptions, Loaded, Severity, check, load};

/// A directory of its own for a test, emptied at the start.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn load(&self, text: &str) -> Loaded {
        load(&self.write("main.conf", text), &LoadOptions::default())
    }
}

fn verbosity(loaded: &Loaded) -> u8 {
    let shown = loaded.render(false);
    loaded
        .config
        .as_ref()
        .unwrap_or_else(|| panic!("{shown}"))
        .log
        .verbosity
}

fn errors(loaded: &Loaded) -> Vec<&str> {
    let errors = loaded
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error);
    errors.map(|d| d.message.as_str()).collect()
}

#[test]
fn an_included_file_stands_where_it_is_included() {
    let folder = Folder::new("stands");
    folder.write("a.conf", "verbosity: 2");
    assert_eq!(
        verbosity(&folder.load("server: verbosity: 1 include: a.conf")),
        2
    );
    assert_eq!(
        verbosity(&folder.load("server: include: \"a.conf\" verbosity: 1")),
        1
    );
    folder.write("one-value", "10.0.0.0/8");
    let loaded = folder.load("server: access-control: include: one-value deny");
    assert_eq!(loaded.config.unwrap().access_control.len(), 1);
}

#[test]
fn wildcards_include_in_order_and_may_match_nothing() {
    let folder = Folder::new("wildcards");
    folder.write("conf.d/10.conf", "server: verbosity: 3");
    folder.write("conf.d/2.conf", "server: verbosity: 4");
    folder.write("conf.d/.hidden.conf", "nonsense");
    folder.write("conf.d/other.txt", "nonsense");
    let loaded = folder.load("include: \"conf.d/*.conf\"");
    assert_eq!(verbosity(&loaded), 4, "10 is sorted before 2");
    assert_eq!(loaded.sources.sources().len(), 3);
    assert_eq!(
        verbosity(&folder.load("include: conf.d/{2,10}.conf")),
        3,
        "alternatives keep their order"
    );
    assert_eq!(
        verbosity(&folder.load("include: conf.d/[1].conf")),
        1,
        "nothing matches"
    );
    assert_eq!(
        errors(&folder.load("include: nosuch.d/*.conf")).len(),
        1,
        "the directory must be there"
    );
}

#[test]
fn include_toplevel_closes_the_clause_before_and_behind() {
    let folder = Folder::new("toplevel");
    folder.write("zone.conf", "forward-zone: name: . forward-addr: 192.0.2.1");
    folder.write("bare.conf", "verbosity: 2");
    let loaded = folder.load("server: verbosity: 2\ninclude-toplevel: zone.conf\nserver: port: 5");
    assert_eq!((verbosity(&loaded), loaded.config.unwrap().port), (2, 5));
    let behind = folder.load("server: include-toplevel: zone.conf\nport: 5");
    assert_eq!(errors(&behind), ["`port:` stands outside of any clause"]);
    let within = folder.load("server: include-toplevel: bare.conf");
    assert_eq!(
        errors(&within),
        ["`verbosity:` stands outside of any clause"]
    );
    // A plain include leaves the clause of its file open.
    assert_eq!(
        errors(&folder.load("server: include: zone.conf\nforward-first: yes")),
        [""; 0]
    );
}

#[test]
fn a_file_that_includes_itself_is_told_and_read_once() {
    let folder = Folder::new("loop");
    folder.write("a.conf", "include: b.conf");
    folder.write("b.conf", "server: verbosity: 2\ninclude: ./a.conf");
    let loaded = folder.load("include: a.conf");
    let message = format!("`{}/./a.conf` includes itself", folder.0.display());
    assert_eq!(errors(&loaded), [message]);
    let rendered = loaded.render(false);
    assert!(
        rendered.contains("included here first") && rendered.contains("note: included from"),
        "{rendered}"
    );
    // Twice, one behind the other, is no loop.
    folder.write("c.conf", "server: verbosity: 3");
    assert_eq!(
        verbosity(&folder.load("include: c.conf\ninclude: c.conf")),
        3
    );
}

#[test]
fn includes_end_somewhere() {
    let folder = Folder::new("deep");
    for depth in 0..40 {
        folder.write(
            &format!("{depth}.conf"),
            &format!("include: {}.conf", depth + 1),
        );
    }
    folder.write("40.conf", "");
    assert_eq!(
        errors(&folder.load("include: 0.conf")),
        ["files include each other more than 32 deep"]
    );
    assert_eq!(errors(&folder.load("include: 20.conf")), [""; 0]);
}

#[test]
fn relative_names_begin_at_the_first_file_or_the_directory() {
    let folder = Folder::new("relative");
    folder.write("sub/a.conf", "include: b.conf");
    folder.write("b.conf", "server: verbosity: 2");
    folder.write("sub/b.conf", "server: verbosity: 3");
    assert_eq!(
        verbosity(&folder.load("include: sub/a.conf")),
        2,
        "not where the including file stands"
    );
    let moved = format!(
        "server: directory: \"{}/sub\"\ninclude: b.conf",
        folder.0.display()
    );
    assert_eq!(
        verbosity(&folder.load(&moved)),
        3,
        "`directory:` holds from where it stands"
    );
    let late = format!(
        "include: b.conf\nserver: directory: \"{}/sub\"",
        folder.0.display()
    );
    assert_eq!(verbosity(&folder.load(&late)), 2);
}

#[test]
fn a_missing_file_is_named_with_the_line_that_wants_it() {
    let folder = Folder::new("missing");
    let loaded = folder.load("server:\n  verbosity: 1\n  include: gone.conf\n");
    let at = folder.0.display();
    let expected = format!(
        "error: cannot read `{at}/gone.conf`: No such file or directory
 --> {at}/main.conf:3:12
  |
3 |   include: gone.conf
  |            ^^^^^^^^^ included here
  |
  = help: create the file, or remove the line
"
    );
    assert_eq!(loaded.render(false), expected);
    let (rendered, ok) = check(&folder.0.join("none.conf"), &LoadOptions::default(), false);
    assert!(
        !ok && rendered.contains("none.conf`: No such file or directory"),
        "{rendered}"
    );
    assert!(
        !check(&folder.0, &LoadOptions::default(), false).1,
        "a directory is no configuration"
    );
}

#[test]
fn files_that_options_need_are_looked_for() {
    let folder = Folder::new("needed");
    folder.write("there", "");
    folder.write("hints", ". NS a.example.\na.example. A 192.0.2.1\n");
    let told = |text: &str| errors(&folder.load(text)).len();
    assert_eq!(
        told("server: root-hints: hints trust-anchor-file: '' tls-cert-bundle: there"),
        0
    );
    assert_eq!(told("server: root-hints: gone"), 1);
    assert_eq!(told("server: root-hints: there"), 1, "no record is in it");
    assert_eq!(told("server: trust-anchor-file: gone"), 1);
    assert_eq!(
        told("server: auto-trust-anchor-file: gone"),
        0,
        "it is made of the built-in keys"
    );
    assert_eq!(told("server: trusted-keys-file: \"*.key\""), 0);
    assert_eq!(told("server: trusted-keys-file: gone.key"), 1);
    assert_eq!(
        told("server: root-hints: ."),
        1,
        "a directory cannot be read"
    );
    assert_eq!(told("server: directory: gone"), 1);
    assert_eq!(told("auth-zone: name: a. zonefile: gone"), 1);
    assert_eq!(
        told("auth-zone: name: a. zonefile: gone primary: 192.0.2.1"),
        0,
        "it comes by transfer"
    );
    assert_eq!(
        told("server: tls-service-key: gone\nrpz: name: r. zonefile: gone"),
        0,
        "nothing reads these"
    );
    let options = LoadOptions {
        check_files: false,
        ..LoadOptions::default()
    };
    let path = folder.write("main.conf", "server: root-hints: gone");
    assert!(load(&path, &options).config.is_some());
}

#[test]
fn debians_layout_is_read_as_it_is() {
    let folder = Folder::new("debian");
    let at = folder.0.display();
    folder.write(
        "unbound.conf.d/remote-control.conf",
        "remote-control:\n  control-enable: yes\n  control-interface: /run/unbound.ctl\n",
    );
    folder.write(
        "unbound.conf.d/root-auto-trust-anchor-file.conf",
        "server:\n    auto-trust-anchor-file: \"root.key\"\n",
    );
    folder.write("root.key", "");
    let loaded = folder.load(&format!(
        "include-toplevel: \"{at}/unbound.conf.d/*.conf\"\n"
    ));
    assert_eq!(errors(&loaded), [""; 0]);
    let config = loaded.config.unwrap();
    assert_eq!(config.control.socket, Some("/run/unbound.ctl".into()));
    assert!(
        config
            .engine
            .text
            .contains(&format!("auto-trust-anchor-file: \"{at}/root.key\""))
    );
}

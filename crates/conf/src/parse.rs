use crate::lexer::{Fault, Value};
use crate::reader::{Reader, Step};
use crate::suggest::closest;
use crate::table::{Clause, Keyword, keyword, keywords};
use crate::tree::{ClauseNode, OptionNode, Tree};
use crate::{Diagnostic, Span};

/// Groups the tokens into clauses and options. What is wrong is said in the reader's diagnostics; reading
/// goes on behind it.
pub(crate) fn parse(reader: &mut Reader) -> Tree {
    let mut parser = Parser {
        reader,
        tree: Tree::default(),
        open: false,
        last: Span::NONE,
    };
    parser.run();
    parser.tree
}

struct Parser<'r> {
    reader: &'r mut Reader,
    tree: Tree,
    /// Whether the last clause of the tree still takes options.
    open: bool,
    /// The option that was read last.
    last: Span,
}

impl Parser<'_> {
    fn run(&mut self) {
        loop {
            match self.reader.step() {
                Step::Keyword(at) => self.keyword(at),
                Step::Toplevel => self.open = false,
                Step::Bad(at, fault) => self.bad(at, fault),
                // The lexer makes values only where they were asked for.
                Step::Value(_) => {}
                Step::End => return,
            }
            if self.reader.diagnostics.len() > MAX_ERRORS {
                let message = format!("more than {MAX_ERRORS} errors: the rest is not read");
                self.reader
                    .diagnostics
                    .push(Diagnostic::error(self.last, message));
                return;
            }
        }
    }

    fn keyword(&mut self, at: Span) {
        let Some(row) = keyword(self.reader.sources.text(at)) else {
            return self.unknown(at);
        };
        if let Some(clause) = row.opens {
            self.tree.clauses.push(ClauseNode {
                clause,
                keyword: row,
                at,
                options: Vec::new(),
            });
            self.open = true;
            self.last = Span::NONE;
            return;
        }
        let place = self.place(row, at);
        if let Some(option) = self.values(row, at)
            && let Some(index) = place
        {
            self.last = option.whole();
            if row.canonical == "directory" {
                let directory = self.reader.sources.text(option.first()).to_owned();
                self.reader.enter_directory(directory.as_ref());
            }
            self.tree.clauses[index].options.push(option);
        }
    }

    /// The clause that an option goes into; `None`, after an error, when it cannot stand here.
    fn place(&mut self, row: &'static Keyword, at: Span) -> Option<usize> {
        if !self.open {
            self.outside(row, at);
        }
        let index = self.tree.clauses.len().checked_sub(1)?;
        let node = &self.tree.clauses[index];
        if row.clauses.contains(node.clause) {
            return Some(index);
        }
        let (clause, from) = (node.clause.name(), node.at);
        let error = Diagnostic::error(
            at,
            format!("{} does not belong in `{clause}:`", row.written()),
        )
        .related(from, "this clause is open")
        .help(format!("it belongs in {}", clauses(row)));
        self.reader.diagnostics.push(error);
        None
    }

    /// An option before any clause. Only the first of a row of them is worth an error.
    fn outside(&mut self, row: &'static Keyword, at: Span) {
        let error = Diagnostic::error(
            at,
            format!("{} stands outside of any clause", row.written()),
        )
        .help(format!("begin with {}", clauses(row)));
        self.reader.diagnostics.push(error);
        let clause = row.clauses.iter().next().unwrap_or(Clause::Server);
        if let Some(opener) = keyword(clause.name()) {
            self.tree.clauses.push(ClauseNode {
                clause,
                keyword: opener,
                at,
                options: Vec::new(),
            });
            self.open = true;
        }
    }

    fn values(&mut self, row: &'static Keyword, at: Span) -> Option<OptionNode> {
        let mut values: Vec<Value> = Vec::with_capacity(row.args.len());
        self.reader.expect(row.args.len());
        while values.len() < row.args.len() {
            match self.reader.step() {
                Step::Value(value) => values.push(value),
                Step::Toplevel => self.open = false,
                Step::Bad(_, Fault::NoValue) | Step::End | Step::Keyword(_) => {
                    self.too_few(row, at, &values);
                    return None;
                }
                Step::Bad(bad, fault) => {
                    self.bad(bad, fault);
                    return None;
                }
            }
        }
        OptionNode::new(row, at, &values)
    }

    fn too_few(&mut self, row: &'static Keyword, at: Span, values: &[Value]) {
        self.reader.expect(0);
        let wanted = row.args.len();
        let message = match (wanted, values.len()) {
            (1, _) => format!("{} has no value", row.written()),
            (_, given) => format!("{} has {given} of its {wanted} values", row.written()),
        };
        let whole = values.last().map_or(at, |value| at.to(value.span));
        let expected: Vec<String> = row.args.iter().map(|arg| arg.describe()).collect();
        let label = format!("expected {}", expected[values.len()..].join(", then "));
        let help = (wanted == 1).then(|| format!("`{}: \"\"` says that it is empty", row.name));
        self.reader.diagnostics.push(
            Diagnostic::error(whole, message)
                .label(label)
                .maybe_help(help),
        );
    }

    fn unknown(&mut self, at: Span) {
        self.reader.skip_line();
        let name = self.reader.sources.text(at).to_owned();
        let help = if name.starts_with('\u{feff}') {
            Some("the file begins with a byte order mark; save it without one".to_owned())
        } else {
            self.meant(&name)
        };
        self.error(at, format!("unknown keyword `{}:`", shorten(&name)), help);
    }

    /// The keyword that was most probably meant. Nobody reads the suggestions behind the first few, and each
    /// costs a comparison with every keyword.
    fn meant(&self, word: &str) -> Option<String> {
        if self.reader.diagnostics.len() > MAX_SUGGESTIONS {
            return None;
        }
        let clause = self
            .tree
            .clauses
            .last()
            .filter(|_| self.open)
            .map(|node| node.clause);
        let here = |row: &&Keyword| clause.is_some_and(|clause| row.clauses.contains(clause));
        // What fits the open clause comes first, and so wins among equally near names.
        let names = keywords()
            .filter(here)
            .chain(keywords())
            .map(|row| row.name);
        let near = closest(word, names.chain(["include", "include-toplevel"]))?;
        Some(format!("did you mean `{near}:`?"))
    }

    fn bad(&mut self, at: Span, fault: Fault) {
        let text = self.reader.sources.text(at).to_owned();
        let shown = shorten(&text);
        match fault {
            Fault::NoColon => self.no_colon(at, &text),
            Fault::Stray => self.error(at, format!("unexpected `{shown}`"), self.surplus(at)),
            Fault::Unclosed => {
                let help = "quoted text ends on the line where it begins".to_owned();
                self.error(at, "this quoted text has no end".to_owned(), Some(help));
            }
            Fault::NoFile => {
                let help =
                    "write the name behind it, within \"double quotes\" or without".to_owned();
                self.error(at, format!("`{shown}` names no file"), Some(help));
            }
            Fault::NoValue => self.error(at, format!("unexpected `{shown}`"), None),
        }
    }

    fn no_colon(&mut self, at: Span, word: &str) {
        let shown = shorten(word);
        if let Some(help) = self.surplus(at) {
            self.error(
                at,
                format!("unexpected `{shown}` behind a complete option"),
                Some(help),
            );
            return;
        }
        let help = match keyword(word) {
            Some(row) => Some(format!("a keyword ends with a colon: {}", row.written())),
            None => self.meant(word),
        };
        self.error(at, format!("`{shown}` is no keyword"), help);
    }

    /// What to say of text on the same line behind the last option.
    fn surplus(&self, at: Span) -> Option<String> {
        let between = Span {
            start: self.last.end,
            end: at.start,
            ..at
        };
        if self.last.source != at.source || self.last.end > at.start {
            return None;
        }
        let same_line = !self.reader.sources.text(between).contains('\n');
        same_line.then(|| "put a value with blanks or quotes in it between quotes".to_owned())
    }

    fn error(&mut self, at: Span, message: String, help: Option<String>) {
        self.reader
            .diagnostics
            .push(Diagnostic::error(at, message).maybe_help(help));
    }
}

/// Whoever has made more does not read them one by one; each costs a search for what was meant.
pub(crate) const MAX_ERRORS: usize = 1000;

/// How many errors are looked into for what was meant.
const MAX_SUGGESTIONS: usize = 100;

fn clauses(row: &Keyword) -> String {
    let names: Vec<String> = row
        .clauses
        .iter()
        .map(|clause| format!("`{}:`", clause.name()))
        .collect();
    names.join(" or ")
}

/// Garbage may be long.
fn shorten(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        text.chars().take(57).collect::<String>() + "..."
    }
}

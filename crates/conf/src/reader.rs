use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::lexer::{Fault, Lexer, Token, Value};
use crate::pattern::Pattern;
use crate::table::keyword;
use crate::{Diagnostic, SourceMap, Span};

/// What comes next in the configuration as a whole, includes followed.
#[derive(Debug)]
pub(crate) enum Step {
    /// A keyword, without its colon.
    Keyword(Span),
    /// A value.
    Value(Value),
    /// Whatever clause is open ends here.
    Toplevel,
    /// Something that is none of these.
    Bad(Span, Fault),
    /// All files have ended.
    End,
}

/// Reads the first file and all that it includes, as one stream of tokens.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) sources: SourceMap,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Where relative names of included files begin.
    directory: PathBuf,
    follow_includes: bool,
    stack: Vec<Frame>,
    waiting: usize,
}

/// A file that is being read, or waits for its turn.
#[derive(Debug)]
struct Frame {
    /// What tells the file from others, to see a loop; `None` for a text that is no file.
    identity: Option<PathBuf>,
    path: PathBuf,
    included_at: Span,
    toplevel: bool,
    /// `None` until its turn comes.
    lexer: Option<Lexer>,
}

impl Reader {
    /// Begins with a text that stands for the file `path`.
    pub(crate) fn of_text(
        path: &Path,
        text: &[u8],
        directory: PathBuf,
        follow_includes: bool,
    ) -> Self {
        let mut reader = Self {
            sources: SourceMap::default(),
            diagnostics: Vec::new(),
            directory,
            follow_includes,
            stack: Vec::new(),
            waiting: 0,
        };
        let lexer = reader.lexer(path, text, Span::NONE);
        let identity = path.canonicalize().ok();
        let path = path.to_owned();
        let frame = Frame {
            identity,
            path,
            included_at: Span::NONE,
            toplevel: false,
            lexer: Some(lexer),
        };
        reader.stack.push(frame);
        reader
    }

    /// Begins with a file.
    pub(crate) fn of_file(
        path: &Path,
        directory: PathBuf,
        follow_includes: bool,
    ) -> io::Result<Self> {
        Ok(Self::of_text(
            path,
            &read(path)?,
            directory,
            follow_includes,
        ))
    }

    /// From here on, relative names of included files begin at this directory.
    pub(crate) fn enter_directory(&mut self, directory: &Path) {
        self.directory = self.directory.join(directory);
    }

    /// The next `count` words are values.
    pub(crate) fn expect(&mut self, count: usize) {
        self.waiting = count;
    }

    /// Passes over the rest of the line.
    pub(crate) fn skip_line(&mut self) {
        self.waiting = 0;
        if let Some(lexer) = self.stack.last_mut().and_then(|frame| frame.lexer.as_mut()) {
            lexer.skip_line();
        }
    }

    /// The next token.
    pub(crate) fn step(&mut self) -> Step {
        loop {
            let Some(top) = self.stack.last_mut() else {
                return Step::End;
            };
            let Some(lexer) = top.lexer.as_mut() else {
                self.open_top();
                continue;
            };
            lexer.expect(self.waiting);
            let token = lexer.next();
            self.waiting = lexer.waiting();
            match token {
                Token::Keyword(span) => return Step::Keyword(span),
                Token::Value(value) => return Step::Value(value),
                Token::Bad(span, fault) => return Step::Bad(span, fault),
                Token::End => {
                    if self.stack.pop().is_some_and(|frame| frame.toplevel) {
                        return Step::Toplevel;
                    }
                }
                Token::Include { file, toplevel, .. } => {
                    self.include(file, toplevel);
                    if toplevel {
                        return Step::Toplevel;
                    }
                }
            }
        }
    }

    /// Puts the files that are meant on the stack, the first on top.
    fn include(&mut self, file: Value, toplevel: bool) {
        if !self.follow_includes {
            return;
        }
        let name = self.sources.text(file.span).to_owned();
        let found = Pattern::new(&name).files(&self.directory);
        let files = match found {
            Ok(files) => files,
            Err(why) => {
                self.diagnostics.push(Diagnostic::error(
                    file.span,
                    format!("cannot include `{name}`: {why}"),
                ));
                return;
            }
        };
        if files.is_empty() {
            let message = format!("no file matches `{name}`");
            self.diagnostics
                .push(Diagnostic::note(file.span, message).label("nothing is included"));
        }
        for path in files.into_iter().rev() {
            self.stack.push(Frame {
                identity: None,
                path,
                included_at: file.span,
                toplevel,
                lexer: None,
            });
        }
    }

    /// Opens the file whose turn it is, or drops it with an error.
    fn open_top(&mut self) {
        let Some(Frame {
            path,
            included_at,
            toplevel,
            ..
        }) = self.stack.pop()
        else {
            return;
        };
        match self.open(&path, included_at) {
            Ok((identity, lexer)) => {
                self.stack.push(Frame {
                    identity: Some(identity),
                    path,
                    included_at,
                    toplevel,
                    lexer: Some(lexer),
                });
            }
            Err(error) => self.diagnostics.push(*error),
        }
    }

    fn open(&mut self, path: &Path, at: Span) -> Result<(PathBuf, Lexer), Box<Diagnostic>> {
        let shown = path.display();
        let fail = |why: io::Error| {
            Diagnostic::error(at, format!("cannot read `{shown}`: {}", describe(&why)))
                .label("included here")
                .help(remedy(&why, path))
        };
        let identity = path.canonicalize().map_err(fail)?;
        let bytes = read(path).map_err(fail)?;
        let open = || self.stack.iter().filter(|frame| frame.lexer.is_some());
        if let Some(outer) = open().find(|frame| frame.identity.as_ref() == Some(&identity)) {
            let error = Diagnostic::error(at, format!("`{shown}` includes itself"))
                .label("it is being read already");
            let is_first = outer.included_at == Span::NONE;
            return Err(if is_first {
                error
            } else {
                error.related(outer.included_at, "included here first")
            }
            .into());
        }
        if open().count() >= MAX_DEPTH {
            let message = format!("files include each other more than {MAX_DEPTH} deep");
            return Err(Diagnostic::error(at, message).into());
        }
        if self.sources.sources().len() >= MAX_FILES {
            return Err(
                Diagnostic::error(at, format!("more than {MAX_FILES} files are included")).into(),
            );
        }
        Ok((identity, self.lexer(path, &bytes, at)))
    }

    fn lexer(&mut self, path: &Path, bytes: &[u8], included_at: Span) -> Lexer {
        let source = self.sources.add(path, bytes, included_at);
        let text = self.sources.sources()[source as usize].text.clone();
        Lexer::new(text, source, |name| keyword(name).is_some())
    }
}

/// Files that include each other deeper than this are a mistake.
const MAX_DEPTH: usize = 32;

/// How many files a configuration may have.
const MAX_FILES: usize = 10_000;

/// How long a file may be; spans count bytes in 32 bits.
const MAX_FILE_BYTES: u64 = 1 << 30;

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it is longer than 1 GiB",
        ));
    }
    Ok(bytes)
}

/// The system's words for an error, without its number.
pub(crate) fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// What to do about a file that cannot be read.
pub(crate) fn remedy(error: &io::Error, path: &Path) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => match path.parent().filter(|parent| !parent.exists()) {
            Some(parent) => format!("the directory `{}` does not exist", parent.display()),
            None => "create the file, or remove the line".to_owned(),
        },
        io::ErrorKind::PermissionDenied => {
            "make it readable for the user who starts the server".to_owned()
        }
        io::ErrorKind::IsADirectory => {
            "name a file; `DIRECTORY/*.conf` means all of a directory".to_owned()
        }
        _ => "name a file that can be read".to_owned(),
    }
}

use std::sync::Arc;

use crate::Span;

/// What the lexer of one file finds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// `word:`; the span leaves the colon out. The caller says by [`Lexer::expect`] how many values follow.
    Keyword(Span),
    /// A value, without its quotes.
    Value(Value),
    /// `include:` or `include-toplevel:` with its file name.
    Include {
        /// The directive's name.
        at: Span,
        /// The file name, without its quotes.
        file: Value,
        /// Whether the clause ends here.
        toplevel: bool,
    },
    /// Something that is none of these; the rest of the line was passed over.
    Bad(Span, Fault),
    /// The end of this file.
    End,
}

/// A value, and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    /// Without quotes.
    pub(crate) span: Span,
    /// Its quotes.
    pub(crate) quote: Quote,
}

/// The quotes around a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quote {
    None,
    Single,
    Double,
}

/// Why the text at a place is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A word without a colon where a keyword belongs.
    NoColon,
    /// A character that begins nothing.
    Stray,
    /// A quoted value that does not end on its line.
    Unclosed,
    /// `include:` without a file name.
    NoFile,
    /// What looks like the next keyword stands where a value belongs.
    NoValue,
}

/// Cuts one file into tokens, by the rules of Unbound's lexer:
///
/// - blanks, tabs, carriage returns and newlines separate; a value may stand lines after its keyword;
/// - `#` begins a comment where a token may begin, and is an ordinary character inside one;
/// - a value runs to the next blank or quote; quotes, single or double, keep everything on their line;
/// - a backslash keeps its next character from ending the value; both stay in it.
///
/// One rule is ours: a value that stands on a later line than its keyword and looks like a keyword itself
/// is a missing value. Unbound takes it for the value, and then stumbles over what follows.
#[derive(Debug)]
pub(crate) struct Lexer {
    text: Arc<str>,
    source: u32,
    position: usize,
    /// Values that the last keyword still waits for.
    waiting: usize,
    is_keyword: fn(&str) -> bool,
}

impl Lexer {
    /// Begins a file. `is_keyword` knows the names of keywords.
    pub(crate) fn new(text: Arc<str>, source: u32, is_keyword: fn(&str) -> bool) -> Self {
        Self {
            text,
            source,
            position: 0,
            waiting: 0,
            is_keyword,
        }
    }

    /// How many values are still to come.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The next `count` words are values.
    pub(crate) fn expect(&mut self, count: usize) {
        self.waiting = count;
    }

    /// The next token.
    pub(crate) fn next(&mut self) -> Token {
        let crossed_line = self.skip_blank();
        let Some(first) = self.peek() else {
            return Token::End;
        };
        if self.waiting == 0 {
            return self.keyword();
        }
        match first {
            b'"' | b'\'' => {
                self.waiting -= 1;
                self.quoted()
                    .map_or_else(|bad| self.give_up(bad), Token::Value)
            }
            _ => self.bare_value(crossed_line),
        }
    }

    /// Passes over the rest of the line.
    pub(crate) fn skip_line(&mut self) {
        self.waiting = 0;
        self.pass_line();
    }

    fn pass_line(&mut self) {
        let rest = &self.text[self.position..];
        self.position += rest.find('\n').unwrap_or(rest.len());
    }

    fn keyword(&mut self) -> Token {
        let run = self.run(self.position, b":");
        let colon = self.text.as_bytes().get(run.end as usize) == Some(&b':');
        if run.start == run.end {
            let bad = self.one_char();
            return self.give_up((bad, Fault::Stray));
        }
        self.position = run.end as usize;
        if !colon {
            return self.give_up((run, Fault::NoColon));
        }
        self.position += 1;
        match self.slice(run) {
            "include" => self.include(run, false),
            "include-toplevel" => self.include(run, true),
            _ => Token::Keyword(run),
        }
    }

    fn bare_value(&mut self, crossed_line: bool) -> Token {
        let run = self.run(self.position, b"");
        if run.start == run.end {
            let bad = self.one_char();
            return self.give_up((bad, Fault::Stray));
        }
        let word = self.slice(run);
        let include = match word {
            "include:" => Some(false),
            "include-toplevel:" => Some(true),
            _ => None,
        };
        let known = |name| include.is_some() || (self.is_keyword)(name);
        if crossed_line && word.strip_suffix(':').is_some_and(known) {
            self.waiting = 0;
            return Token::Bad(run, Fault::NoValue);
        }
        self.position = run.end as usize;
        if let Some(toplevel) = include {
            return self.include(run, toplevel);
        }
        self.waiting -= 1;
        Token::Value(Value {
            span: run,
            quote: Quote::None,
        })
    }

    /// The file name behind `include:`. Comments are not known here; single quotes neither.
    fn include(&mut self, at: Span, toplevel: bool) -> Token {
        let keyword_end = self.position;
        while self.peek().is_some_and(is_blank) {
            self.position += 1;
        }
        let file = match self.peek() {
            Some(b'"') => match self.quoted() {
                Ok(file) => file,
                Err(bad) => return self.give_up(bad),
            },
            _ => Value {
                span: self.run(self.position, b""),
                quote: Quote::None,
            },
        };
        let name = self.slice(file.span);
        let crossed_line = self.text[keyword_end..file.span.start as usize].contains('\n');
        let is_next = crossed_line && name.strip_suffix(':').is_some_and(self.is_keyword);
        if name.is_empty() || is_next {
            self.waiting = 0;
            return Token::Bad(at, Fault::NoFile);
        }
        self.position = self.position.max(file.span.end as usize);
        Token::Include { at, file, toplevel }
    }

    /// A quoted value; afterwards the position is behind its closing quote.
    fn quoted(&mut self) -> Result<Value, (Span, Fault)> {
        let bytes = self.text.as_bytes();
        let open = self.position;
        let mark = bytes[open];
        let quote = if mark == b'"' {
            Quote::Double
        } else {
            Quote::Single
        };
        let mut end = open + 1;
        loop {
            match bytes.get(end) {
                Some(&byte) if byte == mark => break,
                Some(b'\\') if bytes.get(end + 1).is_some_and(|&next| next != b'\n') => end += 2,
                Some(b'\n' | b'\r' | b'\\') | None => {
                    let end = self.boundary(end);
                    self.position = end;
                    return Err((self.span(open, end), Fault::Unclosed));
                }
                Some(_) => end += 1,
            }
        }
        self.position = end + 1;
        Ok(Value {
            span: self.span(open + 1, end),
            quote,
        })
    }

    /// The longest word from `start`: no blanks, no quotes, none of `stops`.
    fn run(&self, start: usize, stops: &[u8]) -> Span {
        let bytes = self.text.as_bytes();
        let mut end = start;
        while let Some(&byte) = bytes.get(end) {
            match byte {
                b'\\' if bytes.get(end + 1).is_some_and(|&next| next != b'\n') => end += 2,
                b'\\' | b'\'' | b'"' => break,
                _ if is_blank(byte) || stops.contains(&byte) => break,
                _ => end += 1,
            }
        }
        self.span(start, self.boundary(end))
    }

    /// Blanks, line ends and comments; whether a line end was among them.
    fn skip_blank(&mut self) -> bool {
        let start = self.position;
        while let Some(byte) = self.peek() {
            match byte {
                b'#' => self.pass_line(),
                _ if is_blank(byte) => self.position += 1,
                _ => break,
            }
        }
        self.text[start..self.position].contains('\n')
    }

    fn give_up(&mut self, (span, fault): (Span, Fault)) -> Token {
        self.skip_line();
        Token::Bad(span, fault)
    }

    fn one_char(&mut self) -> Span {
        let start = self.position;
        self.position += self.text[start..].chars().next().map_or(0, char::len_utf8);
        self.span(start, self.position)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    /// An escaped character may be longer than the one byte that was stepped over.
    fn boundary(&self, mut index: usize) -> usize {
        index = index.min(self.text.len());
        while !self.text.is_char_boundary(index) {
            index += 1;
        }
        index
    }

    fn slice(&self, span: Span) -> &str {
        &self.text[span.start as usize..span.end as usize]
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span {
            source: self.source,
            start: start as u32,
            end: end as u32,
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens as short texts: `k:` keyword, `v:` value, `i:`/`t:` include, `!` what is bad.
    fn tokens(text: &str) -> Vec<String> {
        let counts = [
            ("port", 1),
            ("access-control", 2),
            ("server", 0),
            ("logfile", 1),
        ];
        let known = |name: &str| ["port", "access-control", "server", "logfile"].contains(&name);
        let mut lexer = Lexer::new(Arc::from(text), 0, known);
        let mut out = Vec::new();
        loop {
            let shown = |span: Span| &text[span.start as usize..span.end as usize];
            match lexer.next() {
                Token::Keyword(span) => {
                    let name = shown(span);
                    lexer.expect(
                        counts
                            .iter()
                            .find(|(known, _)| *known == name)
                            .map_or(0, |(_, count)| *count),
                    );
                    out.push(format!("k:{name}"));
                }
                Token::Value(value) => out.push(format!("v:{}", shown(value.span))),
                Token::Include { file, toplevel, .. } => {
                    out.push(format!(
                        "{}:{}",
                        if toplevel { 't' } else { 'i' },
                        shown(file.span)
                    ));
                }
                Token::Bad(span, fault) => out.push(format!("!{fault:?}:{}", shown(span))),
                Token::End => return out,
            }
        }
    }

    #[test]
    fn blanks_are_not_needed_and_lines_do_not_matter() {
        assert_eq!(tokens("server:port:53"), ["k:server", "k:port", "v:53"]);
        assert_eq!(
            tokens("server:\r\n\tport:\r\n\r\n53\r\n"),
            ["k:server", "k:port", "v:53"]
        );
        assert_eq!(
            tokens("port: 1 port: 2"),
            ["k:port", "v:1", "k:port", "v:2"]
        );
    }

    #[test]
    fn a_hash_begins_a_comment_only_where_a_token_may_begin() {
        assert_eq!(tokens("port: 53#x # y\n#z"), ["k:port", "v:53#x"]);
        assert_eq!(tokens("port: # a: b\n 53"), ["k:port", "v:53"]);
        assert_eq!(tokens("port: \"a # b\""), ["k:port", "v:a # b"]);
        assert_eq!(
            tokens("# port: 1\r port: 2\nport: 3"),
            ["k:port", "v:3"],
            "a comment ends at a newline only"
        );
    }

    #[test]
    fn quotes_keep_what_is_within_them() {
        assert_eq!(
            tokens(r#"port: "" port: '' port: "it's" port: 'a "b"'"#).join(" "),
            "k:port v: k:port v: k:port v:it's k:port v:a \"b\""
        );
        assert_eq!(
            tokens(r#"access-control: "a b"c"#),
            ["k:access-control", "v:a b", "v:c"]
        );
        assert_eq!(
            tokens(r#"access-control: a"b""#),
            ["k:access-control", "v:a", "v:b"]
        );
        assert_eq!(tokens(r#"port: "a\"b""#), ["k:port", r#"v:a\"b"#]);
        assert_eq!(tokens(r"port: a\ b"), ["k:port", r"v:a\ b"]);
    }

    #[test]
    fn what_is_no_token_is_said_and_the_line_passed_over() {
        assert_eq!(
            tokens("port: \"abc\nport: 1"),
            ["k:port", "!Unclosed:\"abc", "k:port", "v:1"]
        );
        assert_eq!(tokens("port: 'abc"), ["k:port", "!Unclosed:'abc"]);
        assert_eq!(
            tokens("prot 53 54\nport: 1"),
            ["!NoColon:prot", "k:port", "v:1"]
        );
        assert_eq!(
            tokens(": x\n\"y\"\nport: 1"),
            ["!Stray::", "!Stray:\"", "k:port", "v:1"]
        );
        assert_eq!(
            tokens("port: \\\nport: 2"),
            ["k:port", "!Stray:\\", "k:port", "v:2"]
        );
    }

    #[test]
    fn a_keyword_on_a_later_line_is_no_value() {
        assert_eq!(
            tokens("port:\nlogfile: x"),
            ["k:port", "!NoValue:logfile:", "k:logfile", "v:x"]
        );
        assert_eq!(
            tokens("access-control: a\nserver:"),
            ["k:access-control", "v:a", "!NoValue:server:", "k:server"]
        );
        assert_eq!(
            tokens("port:\ninclude: x"),
            ["k:port", "!NoValue:include:", "i:x"]
        );
        assert_eq!(
            tokens("logfile: port:"),
            ["k:logfile", "v:port:"],
            "on the same line it is one"
        );
        assert_eq!(
            tokens("logfile:\nfoo:"),
            ["k:logfile", "v:foo:"],
            "no keyword"
        );
    }

    #[test]
    fn includes_stand_anywhere() {
        assert_eq!(
            tokens("include: a/b.conf\ninclude-toplevel:\"c d\""),
            ["i:a/b.conf", "t:c d"]
        );
        assert_eq!(
            tokens("access-control: a include: \"f\" b"),
            ["k:access-control", "v:a", "i:f", "v:b"]
        );
        assert_eq!(tokens("include:\n \"f\""), ["i:f"]);
        assert_eq!(tokens("include:"), ["!NoFile:include"]);
        assert_eq!(
            tokens("include:\nport: 1"),
            ["!NoFile:include", "k:port", "v:1"]
        );
        assert_eq!(
            tokens("include: 'f'\nport: 1"),
            ["!NoFile:include", "!Stray:'", "k:port", "v:1"]
        );
    }
}

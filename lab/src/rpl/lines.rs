use anyhow::{Result, bail};

/// The lines of a file with their numbers, blanks and comments left out where the format allows them.
pub(super) struct Lines<'t> {
    lines: Vec<&'t str>,
    next: usize,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            lines: text.lines().collect(),
            next: 0,
        }
    }

    /// The next line as it is.
    pub(super) fn raw(&mut self) -> Result<&'t str> {
        let Some(line) = self.lines.get(self.next) else {
            bail!("the file ends too early");
        };
        self.next += 1;
        Ok(line)
    }

    /// The next line that says something, without the white space around it.
    pub(super) fn said(&mut self) -> Result<&'t str> {
        loop {
            let line = self.raw()?.trim();
            if !line.is_empty() && !line.starts_with([';', '#']) {
                return Ok(line);
            }
        }
    }

    /// The number of the line that was read last, from 1.
    pub(super) fn number(&self) -> usize {
        self.next
    }
}

/// A line without what follows a semicolon; only for lines without quotes.
pub(super) fn without_comment(line: &str) -> &str {
    line.split(';').next().unwrap_or_default().trim()
}

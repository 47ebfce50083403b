use crate::EngineConfig;

/// Words of a message that are shorter say too little of where they come from.
const LEAST_BYTES: usize = 4;

impl EngineConfig {
    /// Where the option stands that an error of libunbound's is about, as `file:line: option`: by the line of the
    /// [`text`](Self::text) that it names (from 1; 0: none), else by the longest value that its message quotes.
    pub fn origin(&self, line: u32, message: &str) -> Option<String> {
        let mut file = "";
        let mut best: Option<(usize, String)> = None;
        for (number, text) in (1..).zip(self.text.lines()) {
            if let Some(path) = text.strip_prefix("# ") {
                file = path;
            }
            let Some((option, written_at)) = text.rsplit_once(" # line ") else {
                continue;
            };
            let (_, value) = option.split_once(':').unwrap_or_default();
            let value = value.trim().trim_matches(['"', '\'']);
            let rank = match line {
                0 if value.len() >= LEAST_BYTES && message.contains(value) => value.len(),
                _ if line == number => usize::MAX,
                _ => continue,
            };
            if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                best = Some((rank, format!("{file}:{written_at}: {}", option.trim())));
            }
        }
        best.map(|(_, place)| place)
    }
}

#[cfg(test)]
mod tests {
    use crate::EngineConfig;

    #[test]
    fn an_error_leads_back_to_its_line() {
        let text = "# /etc/a.conf\nserver: # line 3\n    trust-anchor-file: \"/etc/keys\" # line 4\n# /etc/b.conf\n    \
                    trust-anchor-file: \"/etc/keys-too\" # line 1\n    module-config: \"x y\" # line 2\n";
        let engine = EngineConfig {
            text: text.to_owned(),
        };
        let of_message = |message| engine.origin(0, message);
        assert_eq!(
            of_message("error: failed to read /etc/keys").as_deref(),
            Some("/etc/a.conf:4: trust-anchor-file: \"/etc/keys\"")
        );
        assert_eq!(
            of_message("error: failed to read /etc/keys-too").as_deref(),
            Some("/etc/b.conf:1: trust-anchor-file: \"/etc/keys-too\"")
        );
        assert_eq!(of_message("out of memory"), None);
        assert_eq!(
            engine.origin(6, "syntax error").as_deref(),
            Some("/etc/b.conf:2: module-config: \"x y\"")
        );
    }
}

use sluicegate_conf::ChaosConfig;
use sluicegate_dns::{Name, Owner, Query, Section, StoredBuilder, class, rcode, rtype};

/// What class CHAOS is told about the server, in stored form. What is hidden is not here: such a question
/// goes the way of every other.
#[derive(Debug)]
pub(crate) struct Chaos(Vec<(Name, Vec<u8>)>);

impl Chaos {
    pub(crate) fn new(config: &ChaosConfig) -> Self {
        let mut answers = Vec::new();
        let mut add = |names: &[&str], texts: &[&str]| {
            let names = names.iter().filter_map(|name| Name::from_text(name).ok());
            answers.extend(names.map(|name| (name, answer(texts))));
        };
        if !config.hide_identity {
            let identity =
                written(config.identity.as_deref()).map_or_else(host_name, str::to_owned);
            add(&["id.server", "hostname.bind"], &[&identity]);
        }
        if !config.hide_version {
            let version = written(config.version.as_deref()).unwrap_or(VERSION);
            add(&["version.server", "version.bind"], &[version]);
        }
        if !config.hide_trustanchor {
            let anchors: Vec<&str> = config.trust_anchors.iter().map(String::as_str).collect();
            add(&["trustanchor.unbound"], &anchors);
        }
        Self(answers)
    }

    /// The stored answer to a question of class CHAOS.
    #[inline]
    pub(crate) fn find(&self, query: &Query) -> Option<&[u8]> {
        if query.qclass != class::CH || !matches!(query.qtype, rtype::TXT | rtype::ANY) {
            return None;
        }
        self.0
            .iter()
            .find(|(name, _)| *name == query.name)
            .map(|(_, stored)| &stored[..])
    }
}

fn written(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn answer(texts: &[&str]) -> Vec<u8> {
    let mut builder = StoredBuilder::new(None, rcode::NOERROR, false);
    for text in texts {
        let text = &text.as_bytes()[..text.len().min(255)];
        let mut rdata = vec![text.len() as u8];
        rdata.extend(text);
        // TXT data holds no names; short records fit, unless there are hundreds.
        let _ = builder.push(
            Section::Answer,
            Owner::Question,
            [rtype::TXT, class::CH],
            0,
            &rdata,
        );
    }
    let mut stored = Vec::new();
    builder.finish(&mut stored);
    stored
}

const VERSION: &str = concat!("sluicegate ", env!("CARGO_PKG_VERSION"));

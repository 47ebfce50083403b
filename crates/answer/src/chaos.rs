use std::sync::Arc;

use arc_swap::ArcSwap;
use sluicegate_conf::ChaosConfig;
use sluicegate_dns::{Name, Owner, Query, Section, StoredBuilder, class, rcode, rtype};

/// What class CHAOS is told about the server, in stored form. What is hidden is not here: such a question
/// goes the way of every other.
#[derive(Debug)]
pub(crate) struct Chaos(Vec<(Name, ArcSwap<Vec<u8>>)>);

impl Chaos {
    pub(crate) fn new(config: &ChaosConfig) -> Self {
        let mut answers = Vec::new();
        let mut add = |names: &[&str], texts: &[&str]| {
            let names = names.iter().filter_map(|name| Name::from_text(name).ok());
            answers.extend(names.map(|name| (name, ArcSwap::from_pointee(answer(texts)))));
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
            add(&[TRUST_ANCHORS], &anchors);
        }
        Self(answers)
    }

    /// The stored answer to a question of class CHAOS.
    #[inline]
    pub(crate) fn find(&self, query: &Query) -> Option<Arc<Vec<u8>>> {
        if query.qclass != class::CH || !matches!(query.qtype, rtype::TXT | rtype::ANY) {
            return None;
        }
        self.told(&query.name)
    }

    #[cold]
    fn told(&self, name: &Name) -> Option<Arc<Vec<u8>>> {
        let mut answers = self.0.iter();
        let (_, stored) = answers.find(|(known, _)| known == name)?;
        Some(stored.load_full())
    }

    /// Tells these trust anchors from now on, unless they are hidden.
    pub(crate) fn tell_trust_anchors(&self, lines: &[String]) {
        let Ok(name) = Name::from_text(TRUST_ANCHORS) else {
            return;
        };
        let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
        if let Some((_, stored)) = self.0.iter().find(|(known, _)| *known == name) {
            stored.store(Arc::new(answer(&texts)));
        }
    }
}

const TRUST_ANCHORS: &str = "trustanchor.unbound";

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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(chaos: &Chaos) -> Option<Vec<u8>> {
        let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x0btrustanchor\x07unbound\0\0\x10\0\x03");
        let stored = chaos.find(&Query::parse(&query).unwrap())?;
        Some(stored.to_vec())
    }

    #[test]
    fn new_trust_anchors_take_the_place_of_the_old_unless_hidden() {
        let mut config = ChaosConfig {
            trust_anchors: vec![". 1".to_owned()],
            ..ChaosConfig::default()
        };
        let chaos = Chaos::new(&config);
        assert_eq!(told(&chaos), Some(answer(&[". 1"])));
        chaos.tell_trust_anchors(&[". 1 2".to_owned()]);
        assert_eq!(told(&chaos), Some(answer(&[". 1 2"])));
        config.hide_trustanchor = true;
        let chaos = Chaos::new(&config);
        chaos.tell_trust_anchors(&[". 1 2".to_owned()]);
        assert_eq!(told(&chaos), None);
    }
}

//! A server without sockets, its clients, and messages made by hand.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail with them")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::OnceLock;

use sluicegate_answer::{
    Brain, Context, Findings, Now, Policy, Question, Refresh, Request, Resolution, Transport,
    Unresolved, Verdict, answer, fail, finish, has_expired,
};
use sluicegate_conf::LoadOptions;
use sluicegate_telemetry::{Counter, Counters};

pub struct Server {
    pub brain: Brain,
    counters: Counters,
    now: Now,
    refreshes: Refreshes,
}

/// The questions that were to be asked anew.
#[derive(Debug, Default)]
pub struct Refreshes(std::sync::Mutex<Vec<Question>>);

impl Refresh for Refreshes {
    fn refresh(&self, question: Question) {
        self.0.lock().unwrap().push(question);
    }
}

#[derive(Clone, Debug)]
pub struct Client {
    pub name: String,
    pub qtype: u16,
    pub id: u16,
    pub address: IpAddr,
    pub port: u16,
    pub edns: Option<(u16, bool)>,
    pub rd: bool,
    pub cd: bool,
    pub ad: bool,
    pub transport: Transport,
    pub path_limit: usize,
}

pub struct Answered {
    pub verdict: Verdict,
    buf: Vec<u8>,
}

fn policy(lines: &str) -> Policy {
    let text = format!("server:\n{lines}\n");
    let loaded =
        sluicegate_conf::load_text(Path::new("/test.conf"), &text, &LoadOptions::default());
    Policy::build(
        loaded
            .config
            .as_ref()
            .unwrap_or_else(|| panic!("{}", loaded.render(false))),
    )
    .unwrap()
}

impl Server {
    pub fn new(lines: &str) -> Self {
        Self {
            brain: Brain::new(policy(lines), 4 << 20),
            counters: Counters::new(),
            now: Now { secs: 1000 },
            refreshes: Refreshes::default(),
        }
    }

    pub fn shared(lines: &str) -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| Self::new(lines))
    }

    pub fn reload(&mut self, lines: &str) {
        let mut policy = policy(lines);
        policy.succeed(&self.brain.policy.load());
        self.brain.policy.store(policy.into());
    }

    pub fn advance(&mut self, secs: u32) {
        self.now.secs += secs;
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.counters.snapshot().value(counter)
    }

    /// Takes the questions that were to be asked anew since this was asked last.
    pub fn refreshes(&self) -> Vec<Question> {
        std::mem::take(&mut self.refreshes.0.lock().unwrap())
    }

    pub fn with<R>(&self, work: impl FnOnce(&Context<'_>) -> R) -> R {
        let policy = self.brain.policy.load();
        work(&Context {
            policy: &policy,
            cache: &self.brain.cache,
            now: self.now,
            counters: &self.counters,
            refresh: &self.refreshes,
        })
    }

    pub fn ask(&self, client: &Client) -> Answered {
        self.ask_as(&client.msg(), &client.request())
    }

    pub fn ask_raw(&self, msg: &[u8]) -> Answered {
        self.ask_raw_over(msg, Transport::Udp)
    }

    pub fn ask_raw_over(&self, msg: &[u8], transport: Transport) -> Answered {
        self.ask_as(
            msg,
            &Client {
                transport,
                ..Client::new("x", 1)
            }
            .request(),
        )
    }

    fn ask_as(&self, msg: &[u8], request: &Request) -> Answered {
        let mut buf = msg.to_vec();
        buf.resize(65_535, 0xaa);
        let verdict = self.with(|context| answer(context, request, &mut buf, msg.len()));
        if matches!(verdict, Verdict::Miss(_)) {
            assert_eq!(buf[..msg.len()], *msg, "a miss leaves the query as it came");
        }
        Answered { verdict, buf }
    }

    /// Asks, expects a miss, and answers it.
    pub fn ask_and_find(&self, client: &Client, found: &Findings<'_>) -> Vec<u8> {
        match self.ask(client).verdict {
            Verdict::Miss(question) => self.finish(client, &question, found),
            Verdict::Reply(_) => self.ask(client).reply(),
            Verdict::Drop(reason) => panic!("dropped: {reason:?}"),
        }
    }

    /// The question of a miss.
    pub fn miss(&self, client: &Client) -> Question {
        match self.ask(client).verdict {
            Verdict::Miss(question) => question,
            other => panic!("no miss: {other:?}"),
        }
    }

    /// What a client gets that has waited in vain, and whether it is stale.
    pub fn fail(&self, client: &Client, why: Unresolved) -> (Vec<u8>, bool) {
        let mut buf = client.msg();
        let len = buf.len();
        buf.resize(65_535, 0xaa);
        let fallback = self.with(|context| fail(context, &client.request(), &mut buf, len, why));
        buf.truncate(fallback.len);
        (buf, fallback.stale)
    }

    /// Whether there is an expired answer for a client.
    pub fn has_expired(&self, client: &Client) -> bool {
        self.with(|context| has_expired(context, &client.request(), &client.msg()))
    }

    /// Lets the hand-off note that a question has no answer.
    pub fn note(&self, question: &Question, why: Unresolved) {
        self.with(|context| {
            let limits = context.policy.limits();
            context.cache.fail(question, why, limits, context.now);
        });
    }

    pub fn finish(&self, client: &Client, question: &Question, found: &Findings<'_>) -> Vec<u8> {
        self.with(|context| {
            let resolution = Resolution::new(question, found, context.policy.limits());
            context
                .cache
                .insert(&resolution, context.policy.limits(), context.now);
            let mut buf = client.msg();
            let len = buf.len();
            buf.resize(65_535, 0xaa);
            let len = finish(context, &resolution, &client.request(), &mut buf, len);
            buf.truncate(len);
            buf
        })
    }
}

impl Answered {
    pub fn reply(self) -> Vec<u8> {
        match self.verdict {
            Verdict::Reply(len) => self.buf[..len].to_vec(),
            other => panic!("no reply: {other:?}"),
        }
    }
}

impl Client {
    pub fn new(name: &str, qtype: u16) -> Self {
        Self {
            name: name.to_owned(),
            qtype,
            id: 0x5347,
            address: Ipv4Addr::LOCALHOST.into(),
            port: 40_000,
            edns: None,
            rd: true,
            cd: false,
            ad: false,
            transport: Transport::Udp,
            path_limit: 65_535,
        }
    }

    pub fn msg(&self) -> Vec<u8> {
        let mut msg = self.id.to_be_bytes().to_vec();
        msg.extend([
            u8::from(self.rd),
            u8::from(self.ad) << 5 | u8::from(self.cd) << 4,
        ]);
        msg.extend([0, 1, 0, 0, 0, 0, 0, u8::from(self.edns.is_some())]);
        msg.extend(name(&self.name));
        msg.extend([self.qtype.to_be_bytes(), [0, 1]].concat());
        if let Some((size, dnssec_ok)) = self.edns {
            msg.extend([0, 0, 41]);
            msg.extend(size.to_be_bytes());
            msg.extend([0, 0, u8::from(dnssec_ok) << 7, 0, 0, 0]);
        }
        msg
    }

    pub fn with_bytes(&self, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut msg = self.msg();
        change(&mut msg);
        msg
    }

    pub fn request(&self) -> Request {
        Request {
            client: SocketAddr::new(self.address, self.port),
            local: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53),
            transport: self.transport,
            path_limit_bytes: self.path_limit,
        }
    }
}

/// Wire form that keeps the case.
pub fn name(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend(label.bytes());
    }
    wire.push(0);
    wire
}

pub fn record(owner: &[u8], rtype: u16, ttl_secs: u32, rdata: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend([rtype.to_be_bytes(), [0, 1]].concat());
    record.extend(ttl_secs.to_be_bytes());
    record.extend((rdata.len() as u16).to_be_bytes());
    record.extend(rdata);
    record
}

/// A reply as the engine would give it.
pub struct Message {
    header: [u8; 12],
    question: Vec<u8>,
    answer: Vec<u8>,
    authority: Vec<u8>,
}

impl Message {
    pub fn reply(qname: &str, qtype: u16) -> Self {
        let mut question = name(&qname.to_ascii_lowercase());
        question.extend([qtype.to_be_bytes(), [0, 1]].concat());
        Self {
            header: [0, 0, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0],
            question,
            answer: Vec::new(),
            authority: Vec::new(),
        }
    }

    pub fn rcode(mut self, code: u16) -> Self {
        self.header[3] |= code as u8;
        self
    }

    pub fn answer(mut self, record: Vec<u8>) -> Self {
        self.header[7] += 1;
        self.answer.extend(record);
        self
    }

    pub fn authority(mut self, record: Vec<u8>) -> Self {
        self.header[9] += 1;
        self.authority.extend(record);
        self
    }

    pub fn build(self) -> Vec<u8> {
        [
            &self.header[..],
            &self.question,
            &self.answer,
            &self.authority,
        ]
        .concat()
    }
}

/// A record of a message, as another library reads it.
pub struct ReadRecord {
    pub owner: String,
    pub rtype: u16,
    pub ttl_secs: u32,
    /// For CNAME.
    pub target: Option<String>,
}

/// The answer section.
pub fn records(msg: &[u8]) -> Vec<ReadRecord> {
    use domain::base::Message;
    use domain::rdata::Cname;
    let msg = Message::from_octets(msg).unwrap();
    let fqdn = |name: String| name.trim_end_matches('.').to_ascii_lowercase() + ".";
    msg.answer()
        .unwrap()
        .map(|record| {
            let record = record.unwrap();
            ReadRecord {
                owner: fqdn(record.owner().to_string()),
                rtype: record.rtype().to_int(),
                ttl_secs: record.ttl().as_secs(),
                target: record
                    .to_record::<Cname<_>>()
                    .unwrap()
                    .map(|cname| fqdn(cname.data().to_string())),
            }
        })
        .collect()
}

/// The extended error (RFC 8914) in a reply: its code and text.
pub fn ede(msg: &[u8]) -> Option<(u16, String)> {
    use domain::base::Message;
    use domain::base::opt::ExtendedError;
    let msg = Message::from_octets(msg).unwrap();
    let opt = msg.opt()?;
    let error = opt.opt().iter::<ExtendedError<_>>().next()?.unwrap();
    let text = error.text().and_then(Result::ok).map(ToString::to_string);
    Some((error.code().to_int(), text.unwrap_or_default()))
}

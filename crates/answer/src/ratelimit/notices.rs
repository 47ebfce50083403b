use std::net::IpAddr;
use std::sync::Mutex;

/// Clients that have exceeded the limit, to be told to the operator by a thread that has the time.
#[derive(Debug)]
pub(super) struct Notices(Mutex<Exceeded>);

/// Which clients have exceeded the limit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Exceeded {
    /// The first sixteen of them, each once.
    pub clients: Vec<IpAddr>,
    /// How often, at least, the limit was exceeded by those or others, each second of each client counted once: two
    /// workers that note it in the same moment note one.
    pub times: u64,
}

const MOST: usize = 16;

impl Notices {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Exceeded {
            clients: Vec::with_capacity(MOST),
            times: 0,
        }))
    }

    /// Notes a client, unless the notices are in use by somebody else this very moment: a worker waits for nobody.
    pub(super) fn add(&self, client: IpAddr) {
        let Ok(mut exceeded) = self.0.try_lock() else {
            return;
        };
        exceeded.times += 1;
        if exceeded.clients.len() < MOST && !exceeded.clients.contains(&client) {
            exceeded.clients.push(client);
        }
    }

    /// Nothing while a worker writes: who waited for it would make it wake the waiting.
    pub(super) fn take(&self) -> Exceeded {
        // Made before, so that the lock is held for a few instructions, and no worker has to make room.
        let empty = Exceeded {
            clients: Vec::with_capacity(MOST),
            times: 0,
        };
        match self.0.try_lock() {
            Ok(mut exceeded) => std::mem::replace(&mut exceeded, empty),
            Err(_) => empty,
        }
    }
}

use rustix::thread::{CpuSet, sched_getaffinity};
use sluicegate_xsk::nic::{Link, Nic, links};
use socket2::Socket;

/// How the kernel spreads queries over the workers' sockets of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// By a hash of the addresses and ports.
    ByHash,
    /// To the socket of the processor that received the packet: the worker finds it in its caches. The
    /// processors by the numbers of their workers; packets of other processors go by the hash.
    ByProcessor(Vec<usize>),
}

impl Spread {
    /// The better one for this machine and so many workers.
    pub(crate) fn choose(workers: usize) -> Self {
        let interfaces = links().unwrap_or_default();
        let queues = interfaces
            .iter()
            .filter(|link| link.up && has_own_queues(link))
            .filter_map(|link| Some(Nic::by_index(link.index).ok()?.caps().rx_queues()));
        Self::decide(processors(), workers, queues)
    }

    /// Tells the kernel, socket by socket in the order of the workers. Where it can't, the hash remains.
    pub(super) fn apply(&self, sockets: &[Socket]) {
        if let Self::ByProcessor(processors) = self {
            for (socket, processor) in sockets.iter().zip(processors) {
                if let Err(error) = socket.set_cpu_affinity(*processor) {
                    tracing::debug!("setsockopt(SO_INCOMING_CPU): {error}");
                }
            }
        }
    }

    /// By processor if each worker can have one of its own and every interface has a queue for each: the
    /// packets of fewer queues come by fewer processors, and would leave workers without any.
    fn decide(
        processors: Vec<usize>,
        workers: usize,
        mut queues: impl Iterator<Item = u32>,
    ) -> Self {
        let enough = queues.all(|queues| queues as usize >= workers);
        if workers > 1 && processors.len() == workers && enough {
            Self::ByProcessor(processors)
        } else {
            Self::ByHash
        }
    }
}

/// Hardware, and what stands for it in a container: others get their packets from one of these.
fn has_own_queues(link: &Link) -> bool {
    !link.loopback && link.kind.as_deref().is_none_or(|kind| kind == "veth")
}

/// The processors that this process may use.
fn processors() -> Vec<usize> {
    let allowed = sched_getaffinity(None);
    allowed.map_or_else(
        |_| Vec::new(),
        |allowed| {
            (0..CpuSet::MAX_CPU)
                .filter(|processor| allowed.is_set(*processor))
                .collect()
        },
    )
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::listen::open_udp;

    #[test]
    fn by_processor_only_if_there_is_one_for_each_worker_and_a_queue_too() {
        let by_processor = Spread::ByProcessor(vec![2, 5]);
        let decide =
            |workers, queues: &[u32]| Spread::decide(vec![2, 5], workers, queues.iter().copied());
        assert_eq!(decide(2, &[2, 8]), by_processor);
        assert_eq!(decide(2, &[]), by_processor, "loopback only");
        assert_eq!(decide(2, &[2, 1]), Spread::ByHash);
        assert_eq!(decide(1, &[2]), Spread::ByHash);
        assert_eq!(decide(3, &[8]), Spread::ByHash);
    }

    #[test]
    fn each_socket_has_its_processor() {
        let address = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let sockets = open_udp(address, 2).unwrap();
        let allowed = processors();
        let own = vec![allowed[0], allowed[allowed.len() - 1]];
        Spread::ByProcessor(own.clone()).apply(&sockets);
        let told: Vec<_> = sockets.iter().map(|s| s.cpu_affinity().unwrap()).collect();
        assert_eq!(told, own);
    }
    #[test]
    fn a_query_comes_to_the_socket_of_the_processor_that_it_came_by() {
        const QUERIES: usize = 16;
        let own = processors();
        let [one, other, ..] = own[..] else {
            return; // there is nothing to choose from
        };
        let address = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let sockets = open_udp(address, 2).unwrap();
        Spread::ByProcessor(vec![one, other]).apply(&sockets);
        let sockets = sockets.into_iter().map(UdpSocket::from);
        let sockets: Vec<UdpSocket> = sockets.collect();
        for (socket, processor) in sockets.iter().zip([one, other]) {
            let sender = std::thread::spawn(move || {
                let mut only = CpuSet::new();
                only.set(processor);
                rustix::thread::sched_setaffinity(None, &only).unwrap();
                // What the sender's processor sends to itself it receives itself.
                for _ in 0..QUERIES {
                    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
                    client.send_to(b"x", address).unwrap();
                }
            });
            sender.join().unwrap();
            socket.set_nonblocking(false).unwrap();
            let patience = std::time::Duration::from_secs(10);
            socket.set_read_timeout(Some(patience)).unwrap();
            for query in 0..QUERIES {
                let received = socket.recv(&mut [0]);
                assert!(received.is_ok(), "query {query} by processor {processor}");
            }
        }
    }
}

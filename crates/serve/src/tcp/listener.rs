use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::connection::Connection;
use super::service::{Peers, Service};

/// How long to leave a listener alone that cannot accept (no file descriptors left, say).
const BACK_OFF: Duration = Duration::from_millis(200);

/// Accepts connections on one address, for ever.
pub(super) async fn accept(service: Rc<Service>, listener: TcpListener, address: SocketAddr) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                failing = false;
                admit(&service, stream, client).await;
            }
            Err(error) if is_about_one_client(&error) => {}
            Err(error) => {
                if !failing {
                    tracing::warn!("TCP {address}: cannot accept connections: {error}; trying on");
                }
                failing = true;
                sleep(BACK_OFF).await;
            }
        }
    }
}

/// Waits for room, then serves the client in a task of its own.
async fn admit(service: &Rc<Service>, stream: TcpStream, client: SocketAddr) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let admission = service.limits.admit().await;
    let Ok(connection) = Connection::new(
        Rc::clone(service),
        stream,
        Peers {
            client,
            local,
            keepalive: false,
        },
    ) else {
        return;
    };
    tokio::task::spawn_local(async move {
        connection.run().await;
        drop(admission);
    });
}

fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

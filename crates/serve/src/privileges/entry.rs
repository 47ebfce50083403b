use std::ffi::OsString;
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use rustix::fs::{Mode, OFlags};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::Signal;
use sluicegate_places::Place;
use sluicegate_xsk::nic::{Nic, NicError};
use sluicegate_xsk::{BindError as XdpBindError, UnboundSocket};

use super::broker::MAX_FILES;
use super::exit::exit_after;
use super::opener::Given;
use super::pace::{AttachPace, Pace};
use super::program::{NotAttached, ProgramError, into_files, load_and_attach};
use super::protocol::{
    BUSY_POLL, Company, Hook, REQUEST_BYTES, Refusal, RefusalKind, Reply, Request, Subject,
};
use super::rights::Rights;
use crate::listen::{BindError, Transport, group_udp, listen_tcp, probe};
use crate::process::{Inmate, OPENING, PrivilegeError, User, WallError, give_up, wall_in};
use crate::server::UseXdp;
use crate::xdp::busy_poll;

/// The whole life of the privileged process: to be called first thing in `main`, before anything is opened or
/// started, when the program is run as [`ServerOptions`](crate::ServerOptions) say.
///
/// Standard input is the socket for requests about sockets, standard output that for those about XDP; the server ends
/// the process by closing the first. Arguments: the user to become (empty: none), `xdp` or `no-xdp`, the configuration
/// file.
pub fn privileges_main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    sluicegate_engine::forget_inherited_files();
    // Those that stop the server are for the server: it asks until it has ended.
    let _ = SigSet::all().thread_block();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The server's own place for what comes before its log.
            let _ = writeln!(io::stderr(), "sluicegate: privileged process: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the process ended.
#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error("it is started by the server, not by hand")]
    Arguments,
    #[error("the configuration can't be used")]
    Configuration,
    #[error(transparent)]
    User(#[from] PrivilegeError),
    #[error(transparent)]
    Walls(#[from] WallError),
    #[error("{0}")]
    System(#[from] rustix::io::Errno),
    #[error("no second thread: {0}")]
    Thread(#[from] io::Error),
    #[error("the server sent what is no request")]
    Malformed(#[from] super::protocol::Malformed),
}

fn run(mut arguments: impl Iterator<Item = OsString>) -> Result<(), EntryError> {
    let mut next = || arguments.next().ok_or(EntryError::Arguments);
    let (user, xdp, file) = (next()?, next()?, PathBuf::from(next()?));
    let user = user.into_string().map_err(|_| EntryError::Arguments)?;
    let xdp = if xdp == "xdp" {
        UseXdp::Configured
    } else {
        UseXdp::Never
    };
    let server = rustix::process::getppid();
    rustix::thread::set_name(c"sluicegate-priv")?;
    let [sockets, programs] = take_stdio()?;
    let user = (!user.is_empty()).then(|| User::find(&user)).transpose()?;
    // Read as the server read it, which may be as root; what a reload names, the user must be able to read.
    let rights = Rights::read(&file, xdp).ok_or(EntryError::Configuration)?;
    give_up(user.as_ref(), OPENING)?;
    // The server's other end may live on in somebody, so its death is told twice. A change of user takes this back,
    // hence here; and the server may have died before.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != server {
        return Ok(());
    }
    let rights = Arc::new(Mutex::new(rights));
    let attendant = |subject| Attendant {
        subject,
        file: file.clone(),
        xdp,
        rights: Arc::clone(&rights),
        pace: Pace::new(Instant::now()),
        attachments: AttachPace::default(),
    };
    // Now, since nobody starts a thread within the walls.
    let mut other = attendant(Subject::Programs);
    thread::Builder::new()
        .name("sluicegate-xdp".to_owned())
        .spawn(move || exit_after(|| other.serve(&programs)))?;
    attendant(Subject::Sockets).serve(&sockets)
}

/// Standard input and output are copies of the sockets, and nobody is to talk by them.
fn take_stdio() -> rustix::io::Result<[OwnedFd; 2]> {
    let sockets = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let programs = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    // Where there is no such file they stay as they are; the process's end closes them.
    if let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
    }
    Ok([sockets, programs])
}

/// One of the two threads: attaching a program may take seconds, and sockets don't wait for that.
struct Attendant {
    subject: Subject,
    file: PathBuf,
    xdp: UseXdp,
    rights: Arc<Mutex<Rights>>,
    pace: Pace,
    attachments: AttachPace,
}

/// What was opened, and the names of maps among it.
#[derive(Default)]
struct Opened {
    files: Vec<OwnedFd>,
    names: Vec<String>,
}

impl Attendant {
    /// Answers until the server is gone, or sends what is no request.
    fn serve(&mut self, socket: &OwnedFd) -> Result<(), EntryError> {
        // From here on this thread can read files and no more, and start nothing.
        wall_in(Inmate::Broker)?;
        // One byte more than a request has: what is longer is none.
        let mut bytes = [0; REQUEST_BYTES + 1];
        loop {
            let (len, _) = rustix::net::recv(socket, &mut bytes[..], RecvFlags::empty())?;
            if len == 0 {
                return Ok(());
            }
            let request = Request::read(&bytes[..len])?;
            if request.subject() != self.subject {
                return Err(super::protocol::Malformed.into());
            }
            thread::sleep(self.pace.wait(Instant::now()));
            let (opened, reply) = match self.open(&request) {
                Ok(opened) => {
                    let names = opened.names.clone();
                    (opened, Reply::Done { names })
                }
                Err(refusal) => (Opened::default(), Reply::Refused(refusal)),
            };
            send(socket, &reply, &opened.files)?;
        }
    }

    fn open(&mut self, request: &Request) -> Result<Opened, Refusal> {
        match *request {
            Request::Udp {
                address,
                count,
                company,
            } => {
                self.may_listen(address, Transport::Udp)?;
                listen(address, Transport::Udp, company, || {
                    group_udp(address, count.into())
                })
            }
            Request::Tcp { address, company } => {
                self.may_listen(address, Transport::Tcp)?;
                listen(address, Transport::Tcp, company, || {
                    listen_tcp(address).map(|socket| vec![socket])
                })
            }
            Request::XdpSocket => {
                let usecs = self.rights().xdp_busy_poll_us();
                xdp_socket(usecs.ok_or_else(not_configured)?)
            }
            Request::Program { ifindex, hook } => {
                let place = self.rights().place(ifindex).ok_or_else(not_configured)?;
                let attach = || attach(&place, hook);
                let (files, names) = paced(&mut self.attachments, ifindex, attach)?;
                Ok(Opened { files, names })
            }
            Request::Configuration => {
                let read = Rights::read(&self.file, self.xdp);
                *self.rights() = read.ok_or_else(|| other("the configuration can't be used"))?;
                Ok(Opened::default())
            }
        }
    }

    fn rights(&self) -> MutexGuard<'_, Rights> {
        self.rights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_listen(&self, address: SocketAddr, transport: Transport) -> Result<(), Refusal> {
        if self.rights().may_listen(address, transport) {
            Ok(())
        } else {
            Err(not_configured())
        }
    }
}

fn listen(
    address: SocketAddr,
    transport: Transport,
    company: Company,
    open: impl FnOnce() -> Result<Vec<socket2::Socket>, BindError>,
) -> Result<Opened, Refusal> {
    let alone = match company {
        Company::Alone => probe(address, transport),
        Company::Own => Ok(()),
    };
    let sockets = alone.and_then(|()| open());
    let sockets = sockets.map_err(|error| error.to_refusal())?;
    let files = sockets.into_iter().map(OwnedFd::from).collect();
    Ok(Opened {
        files,
        names: Vec::new(),
    })
}

fn xdp_socket(busy_poll_us: u32) -> Result<Opened, Refusal> {
    let socket = UnboundSocket::create(busy_poll(busy_poll_us)).map_err(|error| {
        let errno = match error {
            XdpBindError::NotPermitted { .. } => nix::libc::EPERM,
            XdpBindError::NoAfXdp => nix::libc::EAFNOSUPPORT,
            XdpBindError::Os { errno, .. } => errno.number(),
            _ => nix::libc::EIO,
        };
        Refusal {
            kind: RefusalKind::Os,
            number: errno.cast_unsigned(),
            text: String::new(),
        }
    })?;
    let polls = socket.busy_poll() == Some(true);
    Ok(Opened {
        files: vec![socket.into()],
        names: polls.then(|| BUSY_POLL.to_owned()).into_iter().collect(),
    })
}

/// Attaches unless that was done too often. What leaves the interface alone may be tried as often as anybody likes, so
/// that the server learns the true reason each time, and at once when it has gone.
fn paced<T>(
    pace: &mut AttachPace,
    ifindex: u32,
    attach: impl FnOnce() -> Result<T, NotAttached>,
) -> Result<T, Refusal> {
    pace.check(ifindex, Instant::now()).map_err(too_often)?;
    let attached = attach();
    let touched = attached.as_ref().err().is_none_or(|failed| failed.touched);
    if touched {
        pace.note(ifindex, Instant::now());
    }
    attached.map_err(|failed| failed.why.into_refusal())
}

fn attach(place: &Place, hook: Hook) -> Result<Given, NotAttached> {
    let nic = Nic::by_index(place.link.index).map_err(|error| NotAttached {
        why: match error {
            NicError::NotFound { .. } => ProgramError::Gone,
            other => ProgramError::Other(other.to_string()),
        },
        touched: false,
    })?;
    load_and_attach(&nic, hook, place).map(into_files)
}

fn not_configured() -> Refusal {
    Refusal {
        kind: RefusalKind::NotConfigured,
        number: 0,
        text: String::new(),
    }
}

fn too_often(wait: Duration) -> Refusal {
    let seconds = wait.as_secs() + 1;
    other(&format!(
        "programs were attached to it too often; the privileged process attaches another in {seconds} s"
    ))
}

fn other(why: &str) -> Refusal {
    Refusal {
        kind: RefusalKind::Other,
        number: 0,
        text: why.to_owned(),
    }
}

fn send(socket: &OwnedFd, reply: &Reply, files: &[OwnedFd]) -> rustix::io::Result<()> {
    let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(rustix::io::Errno::MSGSIZE);
    }
    let bytes = reply.to_bytes();
    rustix::net::sendmsg(
        socket,
        &[IoSlice::new(&bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(why: ProgramError, touched: bool) -> Result<(), NotAttached> {
        Err(NotAttached { why, touched })
    }

    /// The server looks every few seconds whether somebody else's program has gone.
    #[test]
    fn looking_for_a_foreign_program_never_takes_the_budget() {
        let mut pace = AttachPace::default();
        let foreign = || ProgramError::Foreign {
            id: Some(7),
            name: None,
        };
        for _ in 0..1000 {
            let refusal = paced(&mut pace, 2, || failed(foreign(), false)).unwrap_err();
            assert_eq!(refusal.kind, RefusalKind::Foreign);
        }
        let whole = std::iter::repeat_with(|| paced(&mut pace, 2, || Ok(())));
        let whole = whole.take(1000).take_while(Result::is_ok).count();
        assert!((2..1000).contains(&whole), "{whole}");
    }

    #[test]
    fn who_reset_the_interface_is_paced_even_if_it_failed() {
        let mut pace = AttachPace::default();
        let lost = || failed(ProgramError::Other("lost".to_owned()), true);
        let mut refused = (0..1000).map(|_| paced(&mut pace, 2, lost).unwrap_err().text);
        assert!(refused.any(|text| text.contains("too often")));
    }
}

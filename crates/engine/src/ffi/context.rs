//! One libunbound context on its event base.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::Duration;

use super::base::Base;
use super::sys;
use crate::Security;
use crate::child::Outbox;
use crate::reactor::{Key, PERSIST, READ, WRITE};
use crate::wire::Reply;

/// A context with its event base and the place where its answers go. Used by one thread at a time.
///
/// It lives as long as the process: there is no `Drop`, since libunbound 1.17.1 crashes when a context is
/// deleted whose configuration it could not apply, and a process that is ending frees all of it anyway.
pub(crate) struct Context {
    raw: NonNull<sys::UbCtx>,
    own: Key,
    outbox: Rc<RefCell<Outbox>>,
    base: Rc<Base>,
}

/// What [`Context::wait`] found on the thread's own socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// libunbound said no.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    #[error("libunbound: {0}")]
    Library(&'static str),
    #[error("text with a NUL byte")]
    Nul,
    #[error("event base: {0}")]
    Base(#[from] io::Error),
}

// SAFETY: the context, its events, its outbox and all clones of the two `Rc`s (in the questions in flight)
// are reached only through this value, so moving it to another thread moves all of it; libunbound keeps
// nothing in thread-local storage for a context.
unsafe impl Send for Context {}

impl Context {
    /// A context with libunbound's library defaults.
    pub(crate) fn new() -> Result<Self, ContextError> {
        let base = Base::new()?;
        // SAFETY: the base is a complete `ub_event_base`, and the context is used only through the value
        // that holds both.
        let raw = unsafe { sys::ub_ctx_create_ub_event(Base::as_ptr(&base)) };
        let raw = NonNull::new(raw).ok_or(ContextError::Library("no context: out of memory"))?;
        let own = base.insert_own();
        Ok(Self {
            raw,
            own,
            outbox: Rc::default(),
            base,
        })
    }

    /// Reads a configuration file on top of what was set before. Errors go to standard error.
    pub(crate) fn configure(&mut self, path: &CStr) -> Result<(), ContextError> {
        // SAFETY: a living context and a string that lives during the call.
        check(unsafe { sys::ub_ctx_config(self.raw.as_ptr(), path.as_ptr()) })
    }

    /// The value of an option, as libunbound prints it.
    pub(crate) fn option(&self, name: &str) -> Result<String, ContextError> {
        let name = CString::new(name).map_err(|_| ContextError::Nul)?;
        let mut value: *mut c_char = std::ptr::null_mut();
        // SAFETY: a living context, a string that lives during the call, and a place for the result.
        check(unsafe { sys::ub_ctx_get_option(self.raw.as_ptr(), name.as_ptr(), &raw mut value) })?;
        let Some(value) = NonNull::new(value) else {
            return Ok(String::new());
        };
        // SAFETY: on success libunbound has stored a NUL-terminated string.
        let text = unsafe { CStr::from_ptr(value.as_ptr()) }
            .to_string_lossy()
            .into_owned();
        // SAFETY: the string was allocated with malloc(3) for the caller to free, and is not used again.
        unsafe { libc::free(value.as_ptr().cast()) };
        Ok(text)
    }

    /// Sets an option, without the colon in its name.
    pub(crate) fn set_option(&mut self, name: &str, value: &str) -> Result<(), ContextError> {
        let name = CString::new(format!("{name}:")).map_err(|_| ContextError::Nul)?;
        let value = CString::new(value).map_err(|_| ContextError::Nul)?;
        // SAFETY: a living context and strings that live during the call.
        check(unsafe { sys::ub_ctx_set_option(self.raw.as_ptr(), name.as_ptr(), value.as_ptr()) })
    }

    /// Starts a question. Its answer goes to the outbox under `token`, now or in a later
    /// [`Context::run_due`] or [`Context::wait`].
    pub(crate) fn resolve(
        &mut self,
        name: &CStr,
        qtype: u16,
        qclass: u16,
        token: u64,
    ) -> Result<(), ContextError> {
        let asked = Box::into_raw(Box::new(Asked {
            token,
            outbox: Rc::clone(&self.outbox),
        }));
        // SAFETY: a living context, a string that lives during the call (libunbound copies it), and data
        // that `on_answer` takes back.
        let code = unsafe {
            sys::ub_resolve_event(
                self.raw.as_ptr(),
                name.as_ptr(),
                c_int::from(qtype),
                c_int::from(qclass),
                asked.cast(),
                on_answer,
                std::ptr::null_mut(),
            )
        };
        if code != 0 {
            // SAFETY: with an error code the question was not started, so the callback was not and won't
            // be called: the data is still ours.
            drop(unsafe { Box::from_raw(asked) });
        }
        check(code)
    }

    /// What answers were and will be put into.
    pub(crate) fn outbox(&self) -> &RefCell<Outbox> {
        &self.outbox
    }

    /// Says which events of the thread's own socket [`Context::wait`] shall report.
    pub(crate) fn watch(&self, socket: BorrowedFd<'_>, read: bool, write: bool) -> io::Result<()> {
        let bits = (if read { READ } else { 0 }) | (if write { WRITE } else { 0 });
        self.base.arm_own(self.own, socket, bits | PERSIST)
    }

    /// Runs what libunbound has set timers for and is due.
    pub(crate) fn run_due(&mut self) {
        self.base.run_due();
    }

    /// Waits for the next event, runs libunbound's part of it, and tells about the thread's own socket.
    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> io::Result<Turn> {
        let bits = self.base.wait(limit)?;
        Ok(Turn {
            readable: bits & READ != 0,
            writable: bits & WRITE != 0,
        })
    }
}

/// A question in flight, as libunbound carries it for us.
struct Asked {
    token: u64,
    outbox: Rc<RefCell<Outbox>>,
}

unsafe extern "C" fn on_answer(
    data: *mut c_void,
    rcode: c_int,
    packet: *mut c_void,
    packet_len: c_int,
    security: c_int,
    why_bogus: *mut c_char,
    was_ratelimited: c_int,
) {
    // SAFETY: `data` is the box that `resolve` leaked for this question, and libunbound calls back once.
    let asked = unsafe { Box::from_raw(data.cast::<Asked>()) };
    // With an RCODE there is no message: "do not inspect if rcode != 0".
    let wire = match usize::try_from(packet_len) {
        Ok(length) if rcode == 0 && !packet.is_null() => {
            // SAFETY: libunbound hands over `packet_len` bytes that stay unchanged during the callback.
            unsafe { std::slice::from_raw_parts(packet.cast::<u8>(), length) }
        }
        _ => &[],
    };
    let why = if why_bogus.is_null() {
        &[][..]
    } else {
        // SAFETY: a NUL-terminated string that lives during the callback.
        unsafe { CStr::from_ptr(why_bogus) }.to_bytes()
    };
    let reply = Reply::Answer {
        token: asked.token,
        rcode: wire.get(3).map_or(rcode.to_le_bytes()[0], |flags| *flags) & 0x0f,
        security: match security {
            1 => Security::Bogus,
            2 => Security::Secure,
            // A reason, but not bogus: a root key sentinel (RFC 8509) whose answer is to be SERVFAIL but for CD=1,
            // as a bogus one.
            _ if !why.is_empty() => Security::Bogus,
            _ => Security::Insecure,
        },
        ratelimited: was_ratelimited != 0,
        why,
        wire,
    };
    asked.outbox.borrow_mut().answer(&reply);
}

/// See [`super::version`].
pub(super) fn version() -> &'static str {
    // SAFETY: takes nothing; returns a static string.
    let text = unsafe { sys::ub_version() };
    // SAFETY: a NUL-terminated string in libunbound's read-only data, there as long as the process.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("0")
}

fn check(code: c_int) -> Result<(), ContextError> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: takes a number; returns a static string for every one.
    let text = unsafe { sys::ub_strerror(code) };
    // SAFETY: a NUL-terminated string in libunbound's read-only data.
    Err(ContextError::Library(
        unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("error"),
    ))
}

//! An event base for libunbound, over our reactor.
//!
//! libunbound sees two C "objects": a `ub_event_base` and, made by it, `ub_event`s; each starts with a magic
//! number and a table of functions. Ours go on with Rust fields behind that head. All of it happens on the one
//! thread that runs the context.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_short, c_void};
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::sys;
use crate::reactor::{Fired, Key, READ, Reactor, TIMEOUT, WRITE};

/// What a source of the reactor stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// One of libunbound's events.
    Library {
        fd: c_int,
        callback: sys::EventCallback,
        argument: *mut c_void,
    },
    /// The thread's own socket.
    Own,
}

/// A `ub_event_base` with the reactor behind it. libunbound keeps its address: it lives in an `Rc`.
#[repr(C)]
pub(super) struct Base {
    head: sys::UbEventBase,
    reactor: RefCell<Reactor<Source>>,
}

/// A `ub_event`. Owned by libunbound from `new_event` to `free`.
#[repr(C)]
struct Event {
    head: sys::UbEvent,
    base: *const Base,
    key: Key,
    fd: Cell<c_int>,
    bits: Cell<c_short>,
    callback: Cell<sys::EventCallback>,
    argument: Cell<*mut c_void>,
}

impl Base {
    pub(super) fn new() -> io::Result<Rc<Self>> {
        let head = sys::UbEventBase {
            magic: sys::EVENT_MAGIC,
            vmt: &raw const BASE_VMT,
        };
        Ok(Rc::new(Self {
            head,
            reactor: RefCell::new(Reactor::new()?),
        }))
    }

    /// What libunbound is given. It never writes through it, and `head` is the first field.
    pub(super) fn as_ptr(base: &Rc<Self>) -> *mut sys::UbEventBase {
        Rc::as_ptr(base).cast_mut().cast()
    }

    /// Adds a descriptor of our own.
    pub(super) fn insert_own(&self) -> Key {
        self.reactor.borrow_mut().insert(Source::Own)
    }

    /// Arms a descriptor of our own.
    pub(super) fn arm_own(&self, key: Key, fd: BorrowedFd<'_>, bits: i16) -> io::Result<()> {
        self.reactor.borrow_mut().arm(key, Some(fd), bits, None)
    }

    /// Runs libunbound's callbacks whose timers are due: also those that they set to "at once", but no
    /// more than a few rounds, so that descriptors get their turn.
    pub(super) fn run_due(&self) {
        for _ in 0..MAX_TIMER_ROUNDS {
            let now = Instant::now();
            let mut any = false;
            loop {
                let fired = self.reactor.borrow_mut().next_due(now);
                let Some(fired) = fired else { break };
                any = true;
                call(fired);
            }
            if !any {
                return;
            }
        }
    }

    /// Waits for descriptors and timers, runs libunbound's callbacks for the descriptors, and says which
    /// bits came true for our own.
    pub(super) fn wait(&self, limit: Option<Duration>) -> io::Result<i16> {
        self.reactor.borrow_mut().wait(limit)?;
        let mut own = 0;
        loop {
            // No borrow may live while a callback runs: it arms and frees events.
            let fired = self.reactor.borrow_mut().next_ready();
            match fired {
                None => return Ok(own),
                Some(Fired {
                    payload: Source::Own,
                    bits,
                }) => own |= bits,
                Some(fired) => call(fired),
            }
        }
    }
}

/// Rounds of timers before descriptors are looked at again.
const MAX_TIMER_ROUNDS: usize = 4;

fn call(fired: Fired<Source>) {
    if let Source::Library {
        fd,
        callback,
        argument,
    } = fired.payload
    {
        // SAFETY: the event was made or set by libunbound with this callback and argument, and is still
        // armed, thus not freed: libunbound expects exactly this call, on this thread.
        unsafe { callback(fd, fired.bits, argument) };
    }
}

impl Event {
    fn source(&self) -> Source {
        Source::Library {
            fd: self.fd.get(),
            callback: self.callback.get(),
            argument: self.argument.get(),
        }
    }

    fn arm(&self, timeout: *const libc::timeval) -> io::Result<()> {
        // SAFETY: libunbound passes null or a timeval that is valid during the call.
        let timeout = unsafe { timeout.as_ref() }.map(|time| {
            Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0))
                + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
        });
        let fd = borrow(self.fd.get());
        self.with_reactor(|reactor| {
            reactor.set_payload(self.key, self.source());
            reactor.arm(self.key, fd, self.bits.get(), timeout)
        })
    }

    fn disarm(&self) {
        let fd = borrow(self.fd.get());
        self.with_reactor(|reactor| reactor.disarm(self.key, fd));
    }

    fn with_reactor<R>(&self, act: impl FnOnce(&mut Reactor<Source>) -> R) -> R {
        // SAFETY: the base outlives every use of its events: libunbound runs only inside methods of the
        // context, which holds the base.
        let base = unsafe { &*self.base };
        act(&mut base.reactor.borrow_mut())
    }
}

/// libunbound's descriptor for the length of one call.
fn borrow(fd: c_int) -> Option<BorrowedFd<'static>> {
    if fd < 0 {
        return None;
    }
    // SAFETY: libunbound owns the descriptor and closes it only after it has deactivated the event; it is
    // used for one epoll_ctl(2) and not kept.
    Some(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// The event that libunbound hands back to us.
///
/// # Safety
/// `event` must have come from [`new_event`] and not have been freed.
unsafe fn event<'a>(event: *mut sys::UbEvent) -> &'a Event {
    // SAFETY: the head is the first field of a `repr(C)` Event, so the addresses are the same; the fields
    // that change are cells, so shared references are enough. Liveness is the caller's promise.
    unsafe { &*event.cast::<Event>() }
}

static BASE_VMT: sys::UbEventBaseVmt = sys::UbEventBaseVmt {
    free: base_free,
    dispatch: base_dispatch,
    loopexit: base_loopexit,
    new_event,
    new_signal,
    winsock_register_wsaevent,
};

static EVENT_VMT: sys::UbEventVmt = sys::UbEventVmt {
    add_bits,
    del_bits,
    set_fd,
    free,
    add,
    del,
    add_timer,
    del_timer,
    add_signal,
    del_signal: del,
    winsock_unregister_wsaevent,
    winsock_tcp_wouldblock,
};

unsafe extern "C" fn new_event(
    base: *mut sys::UbEventBase,
    fd: c_int,
    bits: c_short,
    callback: sys::EventCallback,
    argument: *mut c_void,
) -> *mut sys::UbEvent {
    let base: *const Base = base.cast_const().cast();
    // SAFETY: `base` is the address handed to ub_ctx_create_ub_event: the head of a living Base.
    let reactor = unsafe { &(*base).reactor };
    let key = reactor.borrow_mut().insert(Source::Library {
        fd,
        callback,
        argument,
    });
    let event = Event {
        head: sys::UbEvent {
            magic: sys::EVENT_MAGIC,
            vmt: &raw const EVENT_VMT,
        },
        base,
        key,
        fd: Cell::new(fd),
        bits: Cell::new(bits),
        callback: Cell::new(callback),
        argument: Cell::new(argument),
    };
    Box::into_raw(Box::new(event)).cast()
}

unsafe extern "C" fn free(raw: *mut sys::UbEvent) {
    // SAFETY: libunbound frees an event once, and it came from Box::into_raw in `new_event`.
    let event = unsafe { Box::from_raw(raw.cast::<Event>()) };
    let fd = borrow(event.fd.get());
    event.with_reactor(|reactor| reactor.remove(event.key, fd));
}

unsafe extern "C" fn add_bits(raw: *mut sys::UbEvent, bits: c_short) {
    // SAFETY: libunbound passes a living event of ours.
    let event = unsafe { event(raw) };
    event.bits.set(event.bits.get() | bits);
}

unsafe extern "C" fn del_bits(raw: *mut sys::UbEvent, bits: c_short) {
    // SAFETY: libunbound passes a living event of ours.
    let event = unsafe { event(raw) };
    event.bits.set(event.bits.get() & !bits);
}

unsafe extern "C" fn set_fd(raw: *mut sys::UbEvent, fd: c_int) {
    // SAFETY: libunbound passes a living event of ours.
    unsafe { event(raw) }.fd.set(fd);
}

unsafe extern "C" fn add(raw: *mut sys::UbEvent, timeout: *mut libc::timeval) -> c_int {
    // SAFETY: libunbound passes a living event of ours.
    let event = unsafe { event(raw) };
    if event.arm(timeout).is_ok() { 0 } else { -1 }
}

unsafe extern "C" fn del(raw: *mut sys::UbEvent) -> c_int {
    // SAFETY: libunbound passes a living event of ours.
    unsafe { event(raw) }.disarm();
    0
}

unsafe extern "C" fn add_timer(
    raw: *mut sys::UbEvent,
    _base: *mut sys::UbEventBase,
    callback: sys::EventCallback,
    argument: *mut c_void,
    timeout: *mut libc::timeval,
) -> c_int {
    // SAFETY: libunbound passes a living event of ours.
    let event = unsafe { event(raw) };
    event.fd.set(-1);
    event.bits.set(TIMEOUT);
    event.callback.set(callback);
    event.argument.set(argument);
    if event.arm(timeout).is_ok() { 0 } else { -1 }
}

unsafe extern "C" fn del_timer(raw: *mut sys::UbEvent) -> c_int {
    // SAFETY: libunbound passes a living event of ours.
    unsafe { event(raw) }.disarm();
    0
}

// What libunbound does not call when it is driven by ub_resolve_event (unbound-event.h says which); the
// table must be complete all the same.

unsafe extern "C" fn base_free(_base: *mut sys::UbEventBase) {}

unsafe extern "C" fn base_dispatch(_base: *mut sys::UbEventBase) -> c_int {
    -1
}

unsafe extern "C" fn base_loopexit(
    _base: *mut sys::UbEventBase,
    _after: *mut libc::timeval,
) -> c_int {
    0
}

unsafe extern "C" fn new_signal(
    _base: *mut sys::UbEventBase,
    _signal: c_int,
    _callback: sys::EventCallback,
    _argument: *mut c_void,
) -> *mut sys::UbEvent {
    std::ptr::null_mut()
}

unsafe extern "C" fn winsock_register_wsaevent(
    _base: *mut sys::UbEventBase,
    _wsaevent: *mut c_void,
    _callback: sys::EventCallback,
    _argument: *mut c_void,
) -> *mut sys::UbEvent {
    std::ptr::null_mut()
}

unsafe extern "C" fn add_signal(_event: *mut sys::UbEvent, _timeout: *mut libc::timeval) -> c_int {
    -1
}

unsafe extern "C" fn winsock_unregister_wsaevent(_event: *mut sys::UbEvent) {}

unsafe extern "C" fn winsock_tcp_wouldblock(_event: *mut sys::UbEvent, _bits: c_int) {}

const _: () = assert!(TIMEOUT == 1 && READ == 2 && WRITE == 4);

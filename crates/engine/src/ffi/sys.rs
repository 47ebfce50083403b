//! Hand-written bindings: `unbound.h` and `unbound-event.h` of libunbound 1.17, unchanged since 1.6.

use std::ffi::{c_char, c_int, c_short, c_ulong, c_void};

/// `UB_EVENT_MAGIC`.
pub(super) const EVENT_MAGIC: c_ulong = 0x44d7_4d78;

/// `void (*cb)(int fd, short bits, void* arg)`.
pub(super) type EventCallback = unsafe extern "C" fn(c_int, c_short, *mut c_void);

/// `ub_event_callback_type`: data, rcode, packet, packet length, security, why bogus, was ratelimited.
pub(super) type ResolveCallback =
    unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, c_int, c_int, *mut c_char, c_int);

/// `struct ub_ctx`, opaque.
#[repr(C)]
pub(super) struct UbCtx {
    _opaque: [u8; 0],
}

/// `struct ub_event_base`.
#[repr(C)]
pub(super) struct UbEventBase {
    pub(super) magic: c_ulong,
    pub(super) vmt: *const UbEventBaseVmt,
}

/// `struct ub_event`.
#[repr(C)]
pub(super) struct UbEvent {
    pub(super) magic: c_ulong,
    pub(super) vmt: *const UbEventVmt,
}

/// `struct ub_event_base_vmt`.
#[repr(C)]
pub(super) struct UbEventBaseVmt {
    pub(super) free: unsafe extern "C" fn(*mut UbEventBase),
    pub(super) dispatch: unsafe extern "C" fn(*mut UbEventBase) -> c_int,
    pub(super) loopexit: unsafe extern "C" fn(*mut UbEventBase, *mut libc::timeval) -> c_int,
    pub(super) new_event: unsafe extern "C" fn(
        *mut UbEventBase,
        c_int,
        c_short,
        EventCallback,
        *mut c_void,
    ) -> *mut UbEvent,
    pub(super) new_signal:
        unsafe extern "C" fn(*mut UbEventBase, c_int, EventCallback, *mut c_void) -> *mut UbEvent,
    pub(super) winsock_register_wsaevent: unsafe extern "C" fn(
        *mut UbEventBase,
        *mut c_void,
        EventCallback,
        *mut c_void,
    ) -> *mut UbEvent,
}

/// `struct ub_event_vmt`.
#[repr(C)]
pub(super) struct UbEventVmt {
    pub(super) add_bits: unsafe extern "C" fn(*mut UbEvent, c_short),
    pub(super) del_bits: unsafe extern "C" fn(*mut UbEvent, c_short),
    pub(super) set_fd: unsafe extern "C" fn(*mut UbEvent, c_int),
    pub(super) free: unsafe extern "C" fn(*mut UbEvent),
    pub(super) add: unsafe extern "C" fn(*mut UbEvent, *mut libc::timeval) -> c_int,
    pub(super) del: unsafe extern "C" fn(*mut UbEvent) -> c_int,
    pub(super) add_timer: unsafe extern "C" fn(
        *mut UbEvent,
        *mut UbEventBase,
        EventCallback,
        *mut c_void,
        *mut libc::timeval,
    ) -> c_int,
    pub(super) del_timer: unsafe extern "C" fn(*mut UbEvent) -> c_int,
    pub(super) add_signal: unsafe extern "C" fn(*mut UbEvent, *mut libc::timeval) -> c_int,
    pub(super) del_signal: unsafe extern "C" fn(*mut UbEvent) -> c_int,
    pub(super) winsock_unregister_wsaevent: unsafe extern "C" fn(*mut UbEvent),
    pub(super) winsock_tcp_wouldblock: unsafe extern "C" fn(*mut UbEvent, c_int),
}

// Linked by the build script.
unsafe extern "C" {
    pub(super) fn ub_version() -> *const c_char;
    pub(super) fn ub_strerror(error: c_int) -> *const c_char;
    pub(super) fn ub_ctx_create_ub_event(base: *mut UbEventBase) -> *mut UbCtx;
    pub(super) fn ub_ctx_config(ctx: *mut UbCtx, path: *const c_char) -> c_int;
    pub(super) fn ub_ctx_set_option(
        ctx: *mut UbCtx,
        option: *const c_char,
        value: *const c_char,
    ) -> c_int;
    pub(super) fn ub_ctx_get_option(
        ctx: *mut UbCtx,
        option: *const c_char,
        value: *mut *mut c_char,
    ) -> c_int;
    pub(super) fn ub_resolve_event(
        ctx: *mut UbCtx,
        name: *const c_char,
        rrtype: c_int,
        rrclass: c_int,
        data: *mut c_void,
        callback: ResolveCallback,
        async_id: *mut c_int,
    ) -> c_int;
}

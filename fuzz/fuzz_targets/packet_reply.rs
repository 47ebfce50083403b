#![no_main]

#[path = "../checks/packet_reply.rs"]
mod packet_reply;

libfuzzer_sys::fuzz_target!(|data: &[u8]| packet_reply::check(data));

#![no_main]

#[path = "../checks/privileges_wire.rs"]
mod privileges_wire;

libfuzzer_sys::fuzz_target!(|data: &[u8]| privileges_wire::check(data));

#![no_main]

#[path = "../checks/conf_text.rs"]
mod conf_text;

libfuzzer_sys::fuzz_target!(|data: &[u8]| conf_text::check(data));

//! What the compiler must refuse: a frame in two hands.

#[test]
fn frames_have_one_owner() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/right_use.rs");
    cases.compile_fail("tests/ui/packet_escapes.rs");
    cases.compile_fail("tests/ui/packet_sent_twice.rs");
    cases.compile_fail("tests/ui/packet_cloned.rs");
    cases.compile_fail("tests/ui/window_after_transmit.rs");
    cases.compile_fail("tests/ui/window_escapes.rs");
    cases.compile_fail("tests/ui/local_frame_escapes.rs");
    cases.compile_fail("tests/ui/queue_in_its_own_handler.rs");
}

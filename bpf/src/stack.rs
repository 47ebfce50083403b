//! What the compiled program writes onto its stack.
//!
//! Without `CAP_PERFMON` Linux 6.1 refuses a program that writes less than eight bytes where it has kept a register
//! before ("attempt to corrupt spilled pointer on stack"). Which places share a slot is the compiler's affair: so the
//! program writes nothing but words.

use crate::STEER;

/// The programs' section, as `SEC("xdp")` and `SEC("xdp.frags")` name them.
const SECTIONS: [&str; 2] = ["xdp", "xdp.frags"];
const INSTRUCTION_BYTES: usize = 8;

#[test]
fn program_writes_words_to_its_stack() {
    let mut programs = 0;
    for (name, code) in sections() {
        if !SECTIONS.contains(&name.as_str()) {
            continue;
        }
        programs += 1;
        for (at, instruction) in code.chunks_exact(INSTRUCTION_BYTES).enumerate() {
            // linux/bpf.h, linux/bpf_common.h: BPF_ST or BPF_STX in mode BPF_MEM, the destination r10.
            let (class, mode, size) = (
                instruction[0] & 0x07,
                instruction[0] & 0xe0,
                instruction[0] & 0x18,
            );
            let stores = (class == 0x02 || class == 0x03) && mode == 0x60;
            let to_stack = instruction[1] & 0x0f == 10;
            assert!(
                !stores || !to_stack || size == 0x18,
                "{name}: instruction {at} writes less than a word"
            );
        }
    }
    assert!(programs > 0, "no program found");
}

/// The sections of the object, a little-endian ELF64 file, by name.
fn sections() -> Vec<(String, &'static [u8])> {
    let number = |at: usize, bytes: usize| {
        let field = &STEER[at..at + bytes];
        field
            .iter()
            .rev()
            .fold(0, |sum, byte| (sum << 8) + usize::from(*byte))
    };
    let (table, entry_bytes, count) = (number(0x28, 8), number(0x3a, 2), number(0x3c, 2));
    let range = |header: usize| (number(header + 0x18, 8), number(header + 0x20, 8));
    let header = |index: usize| table + index * entry_bytes;
    let (names, _) = range(header(number(0x3e, 2)));
    (0..count)
        .map(|index| {
            let header = header(index);
            let name = &STEER[names + number(header, 4)..];
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(0);
            let (start, len) = range(header);
            // What takes no room in the file is of no interest.
            let code = STEER.get(start..start + len).unwrap_or_default();
            (String::from_utf8_lossy(&name[..end]).into_owned(), code)
        })
        .collect()
}

//! Compiles BPF programs with clang, for the build scripts of the packages that have some.
//!
//! `CLANG` names another compiler. Needed are clang and the kernel's user headers, nothing of libbpf.

#![forbid(unsafe_code)]

mod clang;

pub use clang::compile;

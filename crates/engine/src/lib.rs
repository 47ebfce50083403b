//! The recursive engine: libunbound in a process of its own.

//! The fast DNS wire codec: checked queries, patched answers, no allocation.

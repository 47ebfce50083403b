//! Workers, listeners, hand-off of misses, supervision and reload.

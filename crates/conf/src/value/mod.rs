//! What single values mean, by Unbound's rules: each type is checked for every keyword of the table, and
//! read by the same functions where it is honoured.

mod check;
mod name;
mod net;
mod number;
#[cfg(test)]
mod tests;

pub(crate) use check::{Wrong, check};
pub(crate) use net::{interface, is_address, netblock, reverse};
pub(crate) use number::{bytes, number, port, yes_no};

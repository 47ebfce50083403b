//! What becomes of answers by the addresses in them: `response-ip`.
//!
//! The cache holds answers as they were found. What a client is told of one is decided for each reply, by the first
//! address in it that a rule names, and by the client's tags. Where there is no such rule nothing of this is called:
//! clients that may ask anything are then `Allow`, else `AllowWatched`.

mod judge;
mod rules;
mod tell;

pub(crate) use judge::Judgement;
pub(crate) use rules::Responses;
pub(crate) use tell::{NO_REPLY, case};

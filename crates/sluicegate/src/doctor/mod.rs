//! The command `doctor`: facts gathered, findings shown, and on request mended.

mod mend;
mod run;
mod trial;

pub(crate) use run::run;

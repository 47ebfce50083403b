use std::sync::Arc;

use sluicegate_answer::{Question, Resolution};
use sluicegate_engine::{NameError, Outcome as EngineOutcome};

use super::port::{Failure, Outcome};
use crate::Shared;

/// The question as the engine takes it. CD is not in it: the engine always validates and hands out the data
/// together with the verdict.
pub(super) fn engine_question(
    question: &Question,
) -> Result<sluicegate_engine::Question, NameError> {
    sluicegate_engine::Question::new(question.name.as_bytes(), question.qtype, question.qclass)
}

/// Compiles what the engine found, once, and puts it into the cache.
pub(super) fn cache(shared: &Shared, outcome: &EngineOutcome) -> Outcome {
    todo_later(shared, outcome)
}

use std::sync::Arc;

use sluicegate_answer::{Findings, Question, Resolution, Security};
use sluicegate_dns::Name;
use sluicegate_engine::{Answer, NameError};

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
pub(super) fn cache(shared: &Shared, outcome: &sluicegate_engine::Outcome) -> Outcome {
    let answer = outcome.result.as_ref().map_err(|failure| match failure {
        sluicegate_engine::Failure::EngineFull => Failure::Overloaded,
        _ => Failure::Engine,
    })?;
    let asked = &outcome.question;
    let name = Name::from_wire(asked.name()).map_err(|_| Failure::Engine)?;
    let question = Question {
        name,
        qtype: asked.qtype(),
        qclass: asked.qclass(),
        cd: false,
    };
    let policy = shared.brain.policy.load();
    let resolution = Arc::new(Resolution::new(
        &question,
        &findings(answer),
        policy.limits(),
    ));
    // A refusal of libunbound's `ratelimit` says nothing of the name.
    if !answer.ratelimited {
        shared.brain.cache.insert(&resolution, shared.now());
    }
    Ok(resolution)
}

fn findings(answer: &Answer) -> Findings<'_> {
    let security = match answer.security {
        sluicegate_engine::Security::Insecure => Security::Insecure,
        sluicegate_engine::Security::Secure => Security::Secure,
        sluicegate_engine::Security::Bogus => Security::Bogus,
    };
    Findings {
        rcode: answer.rcode.into(),
        security,
        wire: &answer.wire,
    }
}

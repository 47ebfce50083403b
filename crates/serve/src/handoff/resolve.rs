use std::sync::Arc;

use sluicegate_answer::cache::Variants;
use sluicegate_answer::{Findings, Question, Resolution, Security};
use sluicegate_dns::{Ede, Name};
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

/// The question as the brain knows it.
fn brain_question(asked: &sluicegate_engine::Question) -> Result<Question, Failure> {
    let name = Name::from_wire(asked.name()).map_err(|_| Failure::Engine)?;
    Ok(Question {
        name,
        qtype: asked.qtype(),
        qclass: asked.qclass(),
        dnssec_ok: false,
        cd: false,
        stale: false,
    })
}

/// Compiles what the engine found, once, and puts those variants into the cache that are wanted; also that it found
/// nothing in time.
pub(super) fn cache(
    shared: &Shared,
    outcome: &sluicegate_engine::Outcome,
    wanted: Variants,
) -> Outcome {
    let question = brain_question(&outcome.question)?;
    let policy = shared.brain.policy.load();
    let answer = match &outcome.result {
        Ok(answer) => answer,
        Err(failure) => {
            return Err(match failure {
                sluicegate_engine::Failure::EngineFull => Failure::Overloaded,
                sluicegate_engine::Failure::Deadline => {
                    remember(shared, &question, Failure::Engine);
                    Failure::Engine
                }
                _ => Failure::Engine,
            });
        }
    };
    let resolution = Arc::new(Resolution::new(
        &question,
        &findings(answer),
        policy.limits(),
    ));
    // A refusal of libunbound's `ratelimit` says nothing of the name; and what an engine has found that was replaced may be
    // what the new configuration forbids.
    if !answer.ratelimited && !outcome.superseded {
        let cache = &shared.brain.cache;
        cache.insert_wanted(&resolution, wanted, policy.limits(), shared.now());
    }
    Ok(resolution)
}

/// Notes in the cache that a question has no answer yet.
pub(super) fn remember(shared: &Shared, question: &Question, failure: Failure) {
    let policy = shared.brain.policy.load();
    let (cache, why) = (&shared.brain.cache, failure.unresolved());
    cache.fail(question, why, policy.limits(), shared.now());
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
        ede: answer.ede().map(|code| Ede {
            code,
            text: answer.why_bogus.as_deref().unwrap_or_default(),
        }),
    }
}

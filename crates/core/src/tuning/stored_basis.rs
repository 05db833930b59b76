//! How what weights are believed from is stored with a decision.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Basis;
use super::believe::Pressed;
use super::envelope::{ApprovedGuardrails, Envelope, WeightRange};
use crate::appended::{Part, Parts};
use crate::belief::{BeliefState, Bucket};

/// The layout of [`Part::Belief`]. Earlier versions stored the envelope at its end; it is a part of its
/// own now, which can grow.
#[derive(Serialize, Deserialize)]
struct Encoded<E> {
    buckets: BTreeMap<String, Vec<Bucket>>,
    state: BeliefState,
    envelope: Option<E>,
}

/// An envelope as earlier versions stored it: a field that was absent took no bytes, and one that was
/// frozen was never part of a decision.
#[derive(Serialize, Deserialize)]
struct Terms<Budget> {
    policy: String,
    number: u32,
    arms: BTreeMap<String, WeightRange>,
    floor: f64,
    step_bound: f64,
    versions_an_hour: u32,
    versions_a_day: u32,
    holdback: f64,
    regret_budget: Budget,
    expires_at: i64,
    approved_by: String,
    approved_at: i64,
    parent: String,
}

/// The layout of [`Part::Envelope`].
#[derive(Serialize, Deserialize)]
struct Approved {
    terms: Option<Terms<Option<f64>>>,
    alpha: Option<f64>,
    /// Success rate, cost, and the 95th percentile of durations.
    guardrails: [Option<f64>; 3],
    pressed: Vec<Pressed>,
}

/// Appends what weights are believed from.
pub(super) fn append(parts: Parts, basis: &Basis) -> Parts {
    let (buckets, state) = (basis.buckets.clone(), basis.state.clone());
    let parts = parts.with(Part::Belief, &Encoded::<()> { buckets, state, envelope: None });
    let Some(envelope) = &basis.envelope else { return parts };
    let it = envelope.clone();
    let ApprovedGuardrails { success_rate, cost_usd, p95_latency } = it.guardrails;
    let terms = Terms {
        policy: it.policy,
        number: it.number,
        arms: it.arms,
        floor: it.floor,
        step_bound: it.step_bound,
        versions_an_hour: it.versions_an_hour,
        versions_a_day: it.versions_a_day,
        holdback: it.holdback,
        regret_budget: it.regret_budget,
        expires_at: it.expires_at,
        approved_by: it.approved_by,
        approved_at: it.approved_at,
        parent: it.parent,
    };
    let approved = Approved {
        terms: Some(terms),
        alpha: it.alpha,
        guardrails: [success_rate, cost_usd, p95_latency],
        pressed: basis.pressed.clone(),
    };
    parts.with(Part::Envelope, &approved)
}

/// Reads what [`append`] or an earlier version wrote; `None` for a decision by proof.
///
/// # Errors
/// Any other bytes.
pub(super) fn read(parts: &Parts) -> Result<Option<Basis>, postcard::Error> {
    let found = match parts.get::<Encoded<Terms<Option<f64>>>>(Part::Belief) {
        Ok(found) => found.map(|it| (it.buckets, it.state, it.envelope.map(budgeted))),
        // Without a budget, the time of expiry follows at once, which is no `Option`.
        Err(_) => parts
            .get::<Encoded<Terms<()>>>(Part::Belief)?
            .map(|it| (it.buckets, it.state, it.envelope.map(|it| envelope(it, None)))),
    };
    let Some((buckets, state, earlier)) = found else { return Ok(None) };
    let Some(approved) = parts.get::<Approved>(Part::Envelope)? else {
        return Ok(Some(Basis { buckets, state, envelope: earlier, pressed: Vec::new() }));
    };
    let [success_rate, cost_usd, p95_latency] = approved.guardrails;
    let with_limits = |terms| Envelope {
        alpha: approved.alpha,
        guardrails: ApprovedGuardrails { success_rate, cost_usd, p95_latency },
        ..budgeted(terms)
    };
    let envelope = approved.terms.map(with_limits);
    Ok(Some(Basis { buckets, state, envelope, pressed: approved.pressed }))
}

fn budgeted(it: Terms<Option<f64>>) -> Envelope {
    let budget = it.regret_budget;
    envelope(it, budget)
}

fn envelope<Budget>(it: Terms<Budget>, regret_budget: Option<f64>) -> Envelope {
    Envelope {
        policy: it.policy,
        number: it.number,
        arms: it.arms,
        floor: it.floor,
        step_bound: it.step_bound,
        versions_an_hour: it.versions_an_hour,
        versions_a_day: it.versions_a_day,
        holdback: it.holdback,
        regret_budget,
        alpha: None,
        guardrails: ApprovedGuardrails::default(),
        expires_at: it.expires_at,
        approved_by: it.approved_by,
        approved_at: it.approved_at,
        parent: it.parent,
        frozen: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::believe::Side;

    fn approved(regret_budget: Option<f64>) -> Envelope {
        let range = WeightRange { min: 0.1, max: 0.1 + 0.2 };
        budgeted(Terms {
            policy: "router-core".to_owned(),
            number: 3,
            arms: [("a".to_owned(), range), ("b".to_owned(), range)].into(),
            floor: 0.05,
            step_bound: 0.1,
            versions_an_hour: 2,
            versions_a_day: 24,
            holdback: 0.05,
            regret_budget,
            expires_at: 1_790_000_000_000,
            approved_by: "ada".to_owned(),
            approved_at: 1_780_000_000_000,
            parent: "1.0.0".to_owned(),
        })
    }

    fn basis(envelope: Option<Envelope>) -> Basis {
        Basis { envelope, ..Basis::default() }
    }

    #[test]
    fn what_is_believed_from_is_read_as_it_was_stored() {
        let guardrails = ApprovedGuardrails { p95_latency: Some(1.1), ..Default::default() };
        let limited = Envelope { alpha: Some(0.03), guardrails, ..approved(Some(0.1 + 0.2)) };
        let pressed = vec![Pressed { arm: "a".to_owned(), side: Side::Max, since: 7 }];
        let of_all =
            [basis(None), basis(Some(approved(None))), Basis { pressed, ..basis(Some(limited)) }];
        for stored in of_all {
            assert_eq!(read(&append(Parts::default(), &stored)), Ok(Some(stored)));
        }
        assert_eq!(read(&Parts::default()), Ok(None));
    }

    #[test]
    fn an_envelope_that_an_earlier_version_stored_is_read() {
        for regret_budget in [None, Some(100.0)] {
            // Its fields that are absent take no bytes.
            let envelope = approved(regret_budget);
            let earlier = Encoded {
                buckets: BTreeMap::new(),
                state: BeliefState::default(),
                envelope: Some(envelope.clone()),
            };
            let parts = Parts::default().with(Part::Belief, &earlier);
            assert_eq!(read(&parts), Ok(Some(basis(Some(envelope)))));
        }
    }
}

//! Repeats the decision of a proposal, from the input that is stored with it.

use f0_learning_core::document::Policy;
use f0_learning_core::tuning::{Decision, Proposal, TuningInput, decide, rule};
use firestore_kit::value;

/// The differences between the stored version and what its decision results in now; empty if they
/// are equal to the last bit.
pub fn replay(policy: &Policy, input: &TuningInput) -> Vec<String> {
    match decide(input) {
        Decision::None(reason) => vec![format!("it would not be proposed now: {reason}")],
        Decision::Propose(proposal) => differences(policy, input, &proposal),
    }
}

fn differences(policy: &Policy, input: &TuningInput, proposal: &Proposal) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, same: bool, detail: String| {
        if !same {
            found.push(format!("{what} differs: {detail}"));
        }
    };
    let stored = policy.evidence.as_ref().and_then(|it| it["rule"].as_str()).unwrap_or("none");
    let now = rule(input);
    compare("the rule", stored == now, format!("stored {stored}, now {now}"));
    compare(
        "the policy",
        policy.id == input.policy_id && policy.parent_version.as_ref() == Some(&input.parent),
        format!("decided for {} from {}", input.policy_id, input.parent),
    );
    let stored = policy.params.model_weights().ok().flatten();
    let detail = format!("stored {stored:?}, now {:?}", proposal.weights);
    compare("modelWeights", stored.as_ref() == Some(&proposal.weights), detail);
    let gain = policy.expected_gain;
    compare(
        "expectedGain",
        gain.map(f64::to_bits) == Some(proposal.expected_gain.to_bits()),
        format!("stored {gain:?}, now {}", proposal.expected_gain),
    );
    let notes = policy.notes.as_deref().unwrap_or_default();
    compare("notes", notes == proposal.notes, format!("now {:?}", proposal.notes));
    let evidence = serde_json::to_value(&proposal.evidence).unwrap_or_default();
    // Both as Firestore returns them.
    let evidence = value::to_json(&value::from_json(&evidence));
    let same = policy.evidence.as_ref() == Some(&evidence);
    compare("evidence", same, format!("now {evidence}"));
    found
}

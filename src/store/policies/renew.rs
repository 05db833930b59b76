//! Renewing an open draft of the tuner. Once a version was active, its params never change.

use std::collections::BTreeMap;

use semver::Version;

use crate::store::Store;
use crate::store::change::{Asked, ChangeError, ChangeResult, Changed, Decided};
use crate::store::lifecycle::{CANDIDATE, PARAMS, TUNER, params_over, patch};
use crate::store::policies::NewDraft;
use f0_learning_core::audit::{Action, RENEWED};
use f0_learning_core::document::Policy;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::tuning::Evidence;
use firestore_kit::value;

impl Store {
    /// Replaces the weights, the evidence, the notes, the expected gain and the stored decision of an
    /// open draft, in one commit with an audit entry. The transaction reads the flags, the pin, the
    /// parent and the draft again. A draft that a person changed is left alone.
    pub async fn renew_draft(&self, draft: &NewDraft) -> ChangeResult<Changed> {
        let intent = Intent::new(TUNER, draft.now).because(RENEWED);
        let target = format!("the evidence of {}", draft.key);
        let intent = &intent;
        let asked = Asked::of(Action::Propose, &draft.key.id);
        self.change(&target, asked, intent, |transaction| async move {
            self.require_enabled(&transaction).await?;
            let snapshot = self.snapshot(&draft.key.id, &transaction).await?;
            snapshot.require_unpinned()?;
            let (document, policy) = self.require_version(&draft.key, &transaction).await?;
            require_open(&policy, draft)?;
            let active = snapshot.active.iter().find(|(version, _)| *version == draft.parent);
            let Some((_, active)) = active else {
                return Err(moved(&policy, "its parent is no longer active"));
            };
            let candidate = value::as_map(&active.fields, CANDIDATE);
            let tested = candidate.and_then(|fields| value::as_str(fields, "version"));
            if tested.is_some_and(|tested| is_version(&tested, &draft.key.version)) {
                return Err(moved(&policy, "it is tested"));
            }
            let params = params_over(active, &draft.params)
                .map_err(|source| ChangeError::Params { name: draft.key.to_string(), source })?;
            let fields = value::fields([
                (PARAMS, value::map(params)),
                ("notes", value::string(draft.notes.as_str())),
                ("expectedGain", value::double(draft.expected_gain)),
                ("evidence", value::from_json(&draft.evidence)),
            ]);
            let mut writes = vec![patch(&document, fields, &[])];
            writes
                .extend(draft.decision.clone().map(|input| self.decision_write(&draft.key, input)));
            let mut entry = intent.entry(Action::Propose, &draft.key.id);
            entry.from = Some(draft.parent.to_string());
            entry.to = Some(draft.key.version.to_string());
            entry.evidence = Some(draft.evidence.clone());
            Ok(Decided { writes, entry })
        })
        .await
    }
}

fn is_version(text: &str, version: &Version) -> bool {
    text.parse::<Version>().is_ok_and(|found| found == *version)
}

/// Requires that the tuner created the draft, and that it is open and has the decided weights.
fn require_open(policy: &Policy, draft: &NewDraft) -> ChangeResult<()> {
    if policy.status != PolicyStatus::Draft || policy.created_by != TUNER {
        return Err(moved(policy, "it is no longer an open draft of the tuner"));
    }
    let same = draft.params.with_model_weights(&proposed_weights(policy));
    match policy.params == same {
        true => Ok(()),
        false => Err(moved(policy, "its params are other ones than those of the evidence")),
    }
}

/// The weights that the draft's own evidence proposes.
fn proposed_weights(policy: &Policy) -> BTreeMap<String, f64> {
    let evidence = policy.evidence.clone().map(serde_json::from_value::<Evidence>);
    let arms = evidence.and_then(Result::ok).map(|it| it.arms).unwrap_or_default();
    arms.into_iter().map(|it| (it.arm, it.proposed)).collect()
}

fn moved(policy: &Policy, why: &str) -> ChangeError {
    ChangeError::LeftToPerson(format!("{}: {why}", policy.name()))
}

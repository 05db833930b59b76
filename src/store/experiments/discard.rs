//! Experiments that cannot be read any more, because their document was changed by hand.

use crate::store::Store;
use crate::store::change::{Asked, ChangeError, ChangeResult, Changed, Decided};
use crate::store::collection::{EXPERIMENTS, POLICIES};
use crate::store::lifecycle::{CANDIDATE, ended_fields, patch};
use f0_learning_core::audit::Action;
use f0_learning_core::experiment::Status;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::PolicyStatus;
use firestore_kit::Query;
use firestore_kit::value::{self, Fields};

impl Store {
    /// Ends an experiment whose document does not decode: the guard skips it and cannot remove its
    /// candidate. The active versions that name the experiment are looked up by query, because the
    /// document may also be wrong about its policy.
    pub(in crate::store) async fn discard_experiment(
        &self,
        id: &str,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        let target = format!("the end of experiment {id}");
        let asked = Asked { action: Action::ExperimentEnd, id: None };
        self.change(&target, asked, intent, |transaction| async move {
            let Some(document) = self.db.get_in(EXPERIMENTS, id, &transaction).await? else {
                return Err(ChangeError::UnknownExperiment(id.to_owned()));
            };
            if value::as_bool(&document.fields, "open") == Some(false) {
                return Err(ChangeError::ExperimentOver(id.to_owned()));
            }
            let active = Query::of(POLICIES)
                .equal("status", value::string(PolicyStatus::Active.as_str()))
                .build();
            let mut versions = self.db.query_in(POLICIES, active, &transaction).await?;
            versions.retain(|version| {
                let candidate = value::as_map(&version.fields, CANDIDATE);
                let experiment = candidate.and_then(|fields| value::as_str(fields, "experiment"));
                experiment.as_deref() == Some(id)
            });
            let policy = versions.first().and_then(|version| value::as_str(&version.fields, "id"));
            let policy = policy.or_else(|| value::as_str(&document.fields, "policy"));
            let policy = policy.unwrap_or_else(|| id.to_owned());
            let mut entry = intent.entry(Action::ExperimentEnd, &policy);
            let why = intent.reason.as_deref().unwrap_or("no reason was given");
            entry.reason = Some(format!("{}: {why}", Status::Stopped.as_str()));
            entry.experiment = Some(id.to_owned());
            let mut writes =
                vec![patch(&document, ended_fields(Status::Stopped, why, intent), &[])];
            let without = |version| patch(version, Fields::default(), &[CANDIDATE]);
            writes.extend(versions.iter().map(without));
            Ok(Decided { writes, entry })
        })
        .await
    }
}

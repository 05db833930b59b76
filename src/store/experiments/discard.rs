//! Experiments that nobody can read any more: somebody changed the document by hand.

use super::CANDIDATE;
use super::follow::ended;
use crate::store::Store;
use crate::store::change::{ChangeError, Changed, Decided};
use crate::store::collection::{EXPERIMENTS, POLICIES};
use crate::store::policies::patch;
use f0_learning_core::audit::Action;
use f0_learning_core::experiment::Status;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::PolicyStatus;
use firestore_kit::Query;
use firestore_kit::value::{self, Fields};

impl Store {
    /// Ends an experiment whose document does not decode: the guard passes it over, and could not
    /// take its candidate out of use. Active versions are asked which of them names it, since the
    /// document may be wrong about its policy as well.
    pub(in crate::store) async fn discard_experiment(
        &self,
        id: &str,
        intent: &Intent,
    ) -> Result<Changed, ChangeError> {
        let target = format!("the end of experiment {id}");
        self.change(&target, intent, |transaction| async move {
            let name = self.db.name(EXPERIMENTS, id);
            let mut found = self.db.get_many(vec![name.clone()], Some(&transaction)).await?;
            let Some(document) = found.remove(&name) else {
                return Err(ChangeError::UnknownExperiment(id.to_owned()));
            };
            if value::as_bool(&document.fields, "open") == Some(false) {
                return Err(ChangeError::ExperimentOver(id.to_owned()));
            }
            let active = Query::of(POLICIES)
                .equal("status", value::string(PolicyStatus::Active.as_str()))
                .build();
            let mut naming = self.db.query_in(POLICIES, active, &transaction).await?;
            naming.retain(|version| {
                let candidate = value::as_map(&version.fields, CANDIDATE);
                let experiment = candidate.and_then(|it| value::as_str(it, "experiment"));
                experiment.as_deref() == Some(id)
            });
            let named = naming.first().and_then(|it| value::as_str(&it.fields, "id"));
            let policy = named.or_else(|| value::as_str(&document.fields, "policy"));
            let policy = policy.unwrap_or_else(|| id.to_owned());
            let mut entry = intent.entry(Action::ExperimentEnd, &policy);
            let why = intent.reason.as_deref().unwrap_or("no reason was given");
            entry.reason = Some(format!("{}: {why}", Status::Stopped.as_str()));
            entry.experiment = Some(id.to_owned());
            let mut writes = vec![patch(&document, ended(Status::Stopped, why, intent), &[])];
            writes.extend(naming.iter().map(|it| patch(it, Fields::default(), &[CANDIDATE])));
            Ok(Decided { writes, entry })
        })
        .await
    }
}

//! The writes that make a version active, archive the versions it replaces, and end or start the
//! experiments that this concerns.

use f0_learning_core::audit::{Action, AuditEntry};
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::{Kind, Status};
use f0_learning_core::intent::{Intent, Watching};
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::policy::lifecycle::{Plan, StatusChange, serving};
use firestore_kit::proto::{Document, Write};
use firestore_kit::value::{self, Fields};
use semver::Version;

use super::GUARD;
use super::experiment::{OpenExperiment, ended_fields, new_experiment};
use super::policy::{CANDIDATE, HOLDBACK, PIN_FIELDS, ROLLED_BACK_AT, patch};
use super::snapshot::PolicySnapshot;
use crate::store::change::Decided;
use crate::store::{Result, Store};

impl Store {
    /// The writes of a plan that makes an existing document active.
    pub(in crate::store) fn decide_activation(
        &self,
        snapshot: &PolicySnapshot,
        plan: &Plan,
        document: &Document,
        action: Action,
        intent: &Intent,
    ) -> Result<Decided> {
        let mut writes = archive_writes(snapshot, plan, intent.now);
        let mut fields = activation_fields(snapshot, plan, intent);
        fields.extend(snapshot.carried());
        // A version that was active before keeps the record of when it became active.
        let confirmed = plan.changes.iter().any(is_confirmation);
        if confirmed {
            fields.retain(|name, _| PIN_FIELDS.contains(&name.as_str()) || name == HOLDBACK);
            fields.insert("status".to_owned(), value::string(PolicyStatus::Active.as_str()));
        }
        // An earlier candidate has no units any more. A version that becomes active again after a
        // rollback does so by a decision that overrules the rollback.
        let cleared: &[&str] = if confirmed { &[CANDIDATE] } else { &[CANDIDATE, ROLLED_BACK_AT] };
        writes.push(patch(document, fields, cleared));
        let mut entry = transition_entry(plan, action, &snapshot.id, intent);
        writes.extend(self.experiments_after(snapshot, plan, action, intent, &mut entry)?);
        Ok(Decided { writes, entry })
    }

    /// The writes to experiments that a transition requires: open ones end, and a new active version
    /// is watched unless the intent says otherwise. A version that is rolled back to or repaired was
    /// active before and is not watched.
    pub(in crate::store) fn experiments_after(
        &self,
        snapshot: &PolicySnapshot,
        plan: &Plan,
        action: Action,
        intent: &Intent,
        entry: &mut AuditEntry,
    ) -> Result<Vec<Write>> {
        let Some(activated) = activated_version(plan) else { return Ok(Vec::new()) };
        let is_new = [Action::Activate, Action::Override].contains(&action);
        // A repair that keeps the watched version active does not end the watch.
        let ends = |open: &&OpenExperiment| {
            let open = &open.experiment;
            is_new || open.kind != Kind::Watch || open.candidate != *activated
        };
        let mut writes: Vec<Write> = snapshot
            .experiments
            .iter()
            .filter(ends)
            .map(|open| {
                let (status, why) = outcome(&open.experiment, activated, action, intent);
                patch(&open.document, ended_fields(status, &why, intent), &[])
            })
            .collect();
        writes.extend(snapshot.unreadable.iter().map(|open| {
            let why = format!("{action}: {activated} became active; {}", open.error);
            patch(&open.document, ended_fields(Status::Superseded, &why, intent), &[])
        }));
        if !is_new {
            return Ok(writes);
        }
        match (intent.watching, &plan.replaced) {
            (Watching::Off, _) => entry.guard = Some("off".to_owned()),
            (Watching::On, Some(replaced)) if replaced != activated => {
                let (id, write) = self.start_watch(snapshot, [replaced, activated], intent)?;
                entry.experiment = Some(id);
                writes.push(write);
            }
            _ => {}
        }
        Ok(writes)
    }

    /// The write that starts to watch an activation, and the id of the new experiment.
    fn start_watch(
        &self,
        snapshot: &PolicySnapshot,
        versions: [&Version; 2],
        intent: &Intent,
    ) -> Result<(String, Write)> {
        let watch = new_experiment(Kind::Watch, &snapshot.id, versions, snapshot.guard, intent);
        let watch = Experiment { started_by: GUARD.to_owned(), ..watch };
        Ok((watch.id.clone(), self.create_experiment(&watch)?))
    }
}

impl PolicySnapshot {
    /// The writes that end the A/B test of a draft that is rejected.
    pub(in crate::store) fn end_test_of(
        &self,
        rejected: &Version,
        intent: &Intent,
        entry: &mut AuditEntry,
    ) -> Vec<Write> {
        let tests = |open: &&OpenExperiment| {
            open.experiment.kind == Kind::Ab && open.experiment.candidate == *rejected
        };
        let Some(open) = self.experiments.iter().find(tests) else {
            return self.end_unreadable_test_of(rejected, intent, entry);
        };
        entry.experiment = Some(open.experiment.id.clone());
        let why = format!("{}: {rejected} was rejected", Action::Reject);
        let mut writes =
            vec![patch(&open.document, ended_fields(Status::Stopped, &why, intent), &[])];
        writes.extend(clear_candidate(self));
        writes
    }

    /// The same for a test that cannot be read: the active version names its draft.
    fn end_unreadable_test_of(
        &self,
        rejected: &Version,
        intent: &Intent,
        entry: &mut AuditEntry,
    ) -> Vec<Write> {
        let rejected = rejected.to_string();
        let candidates = self.active.iter().filter_map(|(_, document)| {
            let candidate = value::as_map(&document.fields, CANDIDATE)?;
            let version = value::as_str(candidate, "version")?;
            (version == rejected).then(|| value::as_str(candidate, "experiment"))
        });
        let tests: Vec<Option<String>> = candidates.collect();
        if tests.is_empty() {
            return Vec::new();
        }
        let mut writes: Vec<Write> = clear_candidate(self).collect();
        for open in &self.unreadable {
            if tests.iter().flatten().any(|test| test == open.id()) {
                entry.experiment = Some(open.id().to_owned());
                let why = format!("{}: {rejected} was rejected; {}", Action::Reject, open.error);
                let fields = ended_fields(Status::Stopped, &why, intent);
                writes.push(patch(&open.document, fields, &[]));
            }
        }
        writes
    }
}

/// How an experiment ends when a version becomes active. A test passes only if its candidate was proven to
/// be better; a person who activates the candidate earlier stops the test.
fn outcome(
    experiment: &Experiment,
    activated: &Version,
    action: Action,
    intent: &Intent,
) -> (Status, String) {
    let became_active = format!("{action}: {activated} became active");
    if experiment.candidate != *activated {
        return (Status::Superseded, became_active);
    }
    if experiment.kind == Kind::Watch || experiment.status == Status::Succeeded {
        return (Status::Passed, became_active);
    }
    let why = format!("{} activated {activated} before the test had a result", intent.actor);
    (Status::Stopped, why)
}

/// The writes that remove the candidate from the active versions.
pub(in crate::store) fn clear_candidate(snapshot: &PolicySnapshot) -> impl Iterator<Item = Write> {
    let with_candidate =
        snapshot.active.iter().filter(|(_, document)| document.fields.contains_key(CANDIDATE));
    with_candidate.map(|(_, document)| patch(document, Fields::default(), &[CANDIDATE]))
}

/// The writes that archive the versions that were active, without their candidate and without the
/// pin and the holdback, which move to the new active version.
pub(in crate::store) fn archive_writes(
    snapshot: &PolicySnapshot,
    plan: &Plan,
    now: i64,
) -> Vec<Write> {
    let archived = plan.changes.iter().filter(|change| change.to == PolicyStatus::Archived);
    let documents = archived.filter_map(|change| {
        snapshot.active.iter().find(|(version, _)| *version == change.version)
    });
    let fields = || {
        value::fields([
            ("status", value::string(PolicyStatus::Archived.as_str())),
            ("archivedAt", value::int(now)),
        ])
    };
    let cleared: Vec<_> = PIN_FIELDS.into_iter().chain([CANDIDATE, HOLDBACK]).collect();
    documents.map(|(_, document)| patch(document, fields(), &cleared)).collect()
}

/// The fields of an active version that record how it became active.
pub(in crate::store) fn activation_fields(
    snapshot: &PolicySnapshot,
    plan: &Plan,
    intent: &Intent,
) -> Fields {
    let mut fields = value::fields([
        ("status", value::string(PolicyStatus::Active.as_str())),
        ("activatedAt", value::int(intent.now)),
        ("activatedBy", value::string(intent.actor.as_str())),
    ]);
    if let Some(previous) = serving(&snapshot.versions()).or(plan.replaced.as_ref()) {
        fields.insert("previousVersion".to_owned(), value::string(previous.to_string()));
    }
    fields
}

/// The audit entry of a plan.
pub(in crate::store) fn transition_entry(
    plan: &Plan,
    action: Action,
    id: &str,
    intent: &Intent,
) -> AuditEntry {
    let mut entry = intent.entry(action, id);
    entry.from = plan.replaced.as_ref().map(ToString::to_string);
    entry.to = activated_version(plan).map(ToString::to_string);
    entry.forced = plan.forced;
    entry.changes.clone_from(&plan.changes);
    entry
}

fn activated_version(plan: &Plan) -> Option<&Version> {
    let activated = plan.changes.iter().find(|change| change.to == PolicyStatus::Active);
    activated.map(|change| &change.version)
}

fn is_confirmation(change: &StatusChange) -> bool {
    change.from == Some(PolicyStatus::Active) && change.to == PolicyStatus::Active
}

//! What becomes of experiments when a version becomes active by other means.

use firestore_kit::proto::Write;
use semver::Version;

use super::CANDIDATE;
use super::document::OpenExperiment;
use crate::store::Store;
use crate::store::policies::{PolicySnapshot, patch};
use f0_learning_core::audit::{Action, AuditEntry};
use f0_learning_core::experiment::{Kind, Status};
use f0_learning_core::intent::{Intent, Watching};
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::policy::lifecycle::Plan;
use firestore_kit::value::{self, Fields};

impl Store {
    /// The writes that a transition owes to experiments: those that go on end, and an activation
    /// is watched from now on unless somebody asked that it not be. What is rolled back to or
    /// repaired is known; only what is new is watched.
    pub(in crate::store) fn experiments_after(
        &self,
        snapshot: &PolicySnapshot,
        plan: &Plan,
        done: Action,
        intent: &Intent,
        entry: &mut AuditEntry,
    ) -> Vec<Write> {
        let entered = plan.changes.iter().find(|change| change.to == PolicyStatus::Active);
        let Some(entered) = entered.map(|change| &change.version) else { return Vec::new() };
        let is_new = [Action::Activate, Action::Override].contains(&done);
        // A repair that keeps what is watched changes nothing about it.
        let ends = |it: &&OpenExperiment| {
            let it = &it.experiment;
            is_new || it.kind != Kind::Watch || it.candidate != *entered
        };
        let mut writes: Vec<Write> = snapshot
            .experiments
            .iter()
            .filter(ends)
            .map(|it| {
                let status = match it.experiment.candidate == *entered {
                    true => Status::Passed,
                    false => Status::Superseded,
                };
                let why = format!("{done}: {entered} became active");
                patch(&it.document, ended(status, &why, intent), &[])
            })
            .collect();
        if !is_new {
            return writes;
        }
        match (intent.watching, &plan.replaced) {
            (Watching::Off, _) => entry.guard = Some("off".to_owned()),
            (Watching::On, Some(replaced)) if replaced != entered => {
                let (id, write) = self.watch(snapshot, [replaced, entered], intent);
                entry.experiment = Some(id);
                writes.push(write);
            }
            _ => {}
        }
        writes
    }
}

impl PolicySnapshot {
    /// The writes that end the test of a draft that is rejected.
    pub(in crate::store) fn test_ends(
        &self,
        rejected: &Version,
        intent: &Intent,
        entry: &mut AuditEntry,
    ) -> Vec<Write> {
        let tests = |it: &&OpenExperiment| {
            it.experiment.kind == Kind::Ab && it.experiment.candidate == *rejected
        };
        let Some(open) = self.experiments.iter().find(tests) else { return Vec::new() };
        entry.experiment = Some(open.experiment.id.clone());
        let why = format!("{}: {rejected} was rejected", Action::Reject);
        let mut writes = vec![patch(&open.document, ended(Status::Stopped, &why, intent), &[])];
        writes.extend(without_candidate(self));
        writes
    }
}

/// The active versions name no candidate any more.
pub(in crate::store) fn without_candidate(
    snapshot: &PolicySnapshot,
) -> impl Iterator<Item = Write> {
    let named = snapshot.active.iter().filter(|(_, it)| it.fields.contains_key(CANDIDATE));
    named.map(|(_, document)| patch(document, Fields::default(), &[CANDIDATE]))
}

/// The fields of an experiment that ended.
pub(in crate::store) fn ended(status: Status, why: &str, intent: &Intent) -> Fields {
    value::fields([
        ("status", value::string(status.as_str())),
        ("open", value::boolean(false)),
        ("endedAt", value::int(intent.now)),
        ("endedBy", value::string(intent.actor.as_str())),
        ("reason", value::string(why)),
    ])
}

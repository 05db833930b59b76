//! The audit trail of random sequences of transitions.

use proptest::prelude::*;
use semver::Version;

use super::*;

#[test]
fn an_entry_names_the_version_that_it_is_about() {
    let entry = |action: Action, from: &str, to: Option<&str>| AuditEntry {
        action: action.to_string(),
        from: Some(from.to_owned()),
        to: to.map(str::to_owned),
        ..AuditEntry::default()
    };
    let activated = entry(Action::Activate, "1.0.0", Some("1.0.1"));
    assert_eq!(activated.versions(), "1.0.0 → 1.0.1");
    let superseded = entry(Action::Supersede, "1.0.1", Some("1.0.2"));
    assert_eq!(superseded.versions(), "1.0.1 by 1.0.2");
    assert_eq!(entry(Action::Reject, "1.0.1", None).versions(), "1.0.1");
    assert_eq!(AuditEntry::default().versions(), "");
}
use crate::policy::PolicyStatus::{self, Active, Archived, Draft};
use crate::policy::lifecycle::{
    Plan, VersionFacts, activate, override_with, reject, repair, roll_back, serving,
};

fn version(patch: u64) -> Version {
    Version::new(1, 0, patch)
}

fn change(patch: u64, from: Option<PolicyStatus>, to: PolicyStatus) -> StatusChange {
    StatusChange { version: version(patch), from, to }
}

fn entry(action: Action, changes: Vec<StatusChange>) -> AuditEntry {
    AuditEntry { action: action.to_string(), changes, ..AuditEntry::default() }
}

#[test]
fn a_change_missing_from_the_trail_is_reported() {
    let entry = entry(Action::Rollback, vec![change(1, Some(Archived), Active)]);
    let (statuses, errors) = replay([&entry]);
    assert_eq!(statuses[&version(1)], Active);
    assert_eq!((errors[0].recorded, errors[0].known), (Some(Archived), None));
}

#[test]
fn every_action_has_the_name_that_is_stored() {
    let names: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    let stored = [
        "seed",
        "propose",
        "supersede",
        "activate",
        "reject",
        "rollback",
        "override",
        "pin",
        "unpin",
        "envelopeApprove",
        "envelopeFreeze",
        "repair",
        "flags",
        "config",
        "experimentStart",
        "experimentRamp",
        "experimentSuccess",
        "experimentEnd",
    ];
    assert_eq!(names, stored);
}

/// A random operation on a random version.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Propose,
    Activate { patch: u64, force: bool },
    Reject { patch: u64 },
    RollBack { patch: u64 },
    Override,
    Repair,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        Just(Operation::Propose),
        (0..8_u64, any::<bool>()).prop_map(|(patch, force)| Operation::Activate { patch, force }),
        (0..8_u64).prop_map(|patch| Operation::Reject { patch }),
        (0..8_u64).prop_map(|patch| Operation::RollBack { patch }),
        Just(Operation::Override),
        Just(Operation::Repair),
    ]
}

/// The stored versions of one policy.
struct Stored(Vec<VersionFacts>);

impl Stored {
    fn active(&self) -> Vec<Version> {
        let active = self.0.iter().filter(|it| it.status == Active);
        active.map(|it| it.version.clone()).collect()
    }

    fn next(&self) -> Version {
        version(self.0.len() as u64)
    }

    fn plan(&self, operation: Operation) -> (Action, Option<Plan>) {
        let active = self.active();
        let find = |patch: u64| self.0.get(usize::try_from(patch).unwrap());
        match operation {
            Operation::Propose => {
                let changes = vec![StatusChange { version: self.next(), from: None, to: Draft }];
                (Action::Propose, Some(Plan { changes, replaced: None, forced: false }))
            }
            Operation::Activate { patch, force } => {
                let plan = find(patch).and_then(|it| activate(&active, it, force).ok());
                (Action::Activate, plan)
            }
            Operation::Reject { patch } => {
                (Action::Reject, find(patch).and_then(|it| reject(it).ok()))
            }
            Operation::RollBack { patch } => {
                (Action::Rollback, find(patch).and_then(|it| roll_back(&active, it).ok()))
            }
            Operation::Override => (Action::Override, override_with(&active, &self.next()).ok()),
            Operation::Repair => (Action::Repair, repair(&active, self.0.last()).ok()),
        }
    }

    fn apply(&mut self, plan: &Plan) {
        let parent = serving(&self.active()).cloned();
        for change in &plan.changes {
            match self.0.iter_mut().find(|it| it.version == change.version) {
                Some(found) => found.status = change.to,
                None => self.0.push(VersionFacts {
                    version: change.version.clone(),
                    status: change.to,
                    parent: parent.clone(),
                    params: Ok(()),
                }),
            }
        }
    }
}

proptest! {
    /// Invariant 3: after any sequence of operations, at most one version is active, and the life
    /// cycle allows each change. Invariant 4: the trail records every change.
    #[test]
    fn any_sequence_leaves_one_active_version_that_the_trail_reproduces(
        operations in proptest::collection::vec(operation(), 0..60)
    ) {
        let mut stored = Stored(Vec::new());
        let seed = Plan {
            changes: vec![change(0, None, Active)], replaced: None, forced: false,
        };
        stored.apply(&seed);
        let mut trail = vec![entry(Action::Seed, seed.changes)];
        for operation in operations {
            let (action, plan) = stored.plan(operation);
            let Some(plan) = plan else { continue };
            for change in &plan.changes {
                prop_assert!(change.is_allowed(action == Action::Repair), "{change:?}");
            }
            stored.apply(&plan);
            prop_assert_eq!(stored.active().len(), 1);
            trail.push(entry(action, plan.changes));
        }
        let (statuses, errors) = replay(&trail);
        prop_assert_eq!(errors, []);
        let expected: Statuses =
            stored.0.iter().map(|it| (it.version.clone(), it.status)).collect();
        prop_assert_eq!(statuses, expected);
    }
}

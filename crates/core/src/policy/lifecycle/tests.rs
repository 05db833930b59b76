//! The table of transitions, and the laws that any sequence of them keeps.

use proptest::prelude::*;

use super::*;
use crate::audit::{AuditEntry, action};
use crate::audit::{Statuses, replay};

fn version(patch: u64) -> Version {
    Version::new(1, 0, patch)
}

fn facts(patch: u64, status: PolicyStatus) -> VersionFacts {
    VersionFacts { version: version(patch), status, parent: Some(version(0)), params: Ok(()) }
}

fn change(patch: u64, from: Option<PolicyStatus>, to: PolicyStatus) -> StatusChange {
    StatusChange { version: version(patch), from, to }
}

use PolicyStatus::{Active, Archived, Draft, Rejected};

#[test]
fn the_table_of_transitions() {
    let allowed = [
        (None, Draft),
        (None, Active),
        (Some(Draft), Active),
        (Some(Draft), Rejected),
        (Some(Active), Archived),
        (Some(Archived), Active),
    ];
    let from = PolicyStatus::ALL.map(Some).into_iter().chain([None]);
    for (from, to) in from.flat_map(|from| PolicyStatus::ALL.map(|to| (from, to))) {
        assert_eq!(may_become(from, to), allowed.contains(&(from, to)), "{from:?} to {to}");
    }
}

#[test]
fn activating_a_draft_archives_what_was_active() {
    let plan = activate(&[version(0)], &facts(1, Draft), false).unwrap();
    let expected = [change(0, Some(Active), Archived), change(1, Some(Draft), Active)];
    assert_eq!(plan.changes, expected);
    assert_eq!((plan.replaced, plan.forced), (Some(version(0)), false));
}

#[test]
fn a_draft_of_another_parent_needs_force_and_says_so() {
    let draft = facts(2, Draft);
    let refused = activate(&[version(1)], &draft, false).unwrap_err();
    assert_eq!(refused, Refusal::StaleParent { parent: version(0), active: Some(version(1)) });
    assert!(activate(&[version(1)], &draft, true).unwrap().forced);
    assert!(!activate(&[version(0)], &draft, true).unwrap().forced, "force that was not needed");
    let orphan = VersionFacts { parent: None, ..draft };
    assert!(!activate(&[version(1)], &orphan, false).unwrap().forced);
}

#[test]
fn each_transition_takes_versions_of_one_status_only() {
    let active = [version(0)];
    for status in PolicyStatus::ALL {
        let target = facts(1, status);
        assert_eq!(activate(&active, &target, true).is_ok(), status == Draft, "{status}");
        assert_eq!(reject(&target).is_ok(), status == Draft, "{status}");
        assert_eq!(roll_back(&active, &target).is_ok(), status == Archived, "{status}");
        assert_eq!(repair(&[], Some(&target)).is_ok(), status == Archived, "{status}");
    }
}

#[test]
fn nothing_that_could_not_route_becomes_active() {
    let broken = |status| VersionFacts { params: Err(ParamsError::NoArms), ..facts(1, status) };
    let refused = Err(Refusal::Params(ParamsError::NoArms));
    assert_eq!(activate(&[version(0)], &broken(Draft), true), refused);
    assert_eq!(roll_back(&[version(0)], &broken(Archived)), refused);
    assert_eq!(repair(&[], Some(&broken(Archived))), refused);
}

#[test]
fn repair_leaves_the_highest_of_several_and_restores_the_last_of_none() {
    let plan = repair(&[version(3), version(1)], None).unwrap();
    let expected = [change(1, Some(Active), Archived), change(3, Some(Active), Active)];
    assert_eq!(plan.changes, expected);
    let plan = repair(&[], Some(&facts(2, Archived))).unwrap();
    assert_eq!(plan.changes, [change(2, Some(Archived), Active)]);
    assert_eq!(repair(&[version(1)], None), Err(Refusal::NothingToRepair));
    assert_eq!(repair(&[], None), Err(Refusal::NeverActive));
}

#[test]
fn a_rollback_to_one_of_several_active_archives_the_others() {
    let plan = roll_back(&[version(1), version(2)], &facts(1, Active)).unwrap();
    let expected = [change(2, Some(Active), Archived), change(1, Some(Active), Active)];
    assert_eq!(plan.changes, expected);
}

#[test]
fn a_trail_that_missed_a_change_is_told() {
    let entry = AuditEntry {
        action: action::ROLLBACK.to_owned(),
        changes: vec![change(1, Some(Archived), Active)],
        ..AuditEntry::default()
    };
    let (statuses, errors) = replay([&entry]);
    assert_eq!(statuses[&version(1)], Active);
    assert_eq!((errors[0].told, errors[0].known), (Some(Archived), None));
}

/// An operation at random, on a version at random.
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

/// What is stored of one policy.
struct Stored(Vec<VersionFacts>);

impl Stored {
    fn active(&self) -> Vec<Version> {
        let active = self.0.iter().filter(|it| it.status == Active);
        active.map(|it| it.version.clone()).collect()
    }

    fn next(&self) -> Version {
        version(self.0.len() as u64)
    }

    fn plan(&self, operation: Operation) -> (&'static str, Option<Plan>) {
        let active = self.active();
        let find = |patch: u64| self.0.get(patch as usize);
        match operation {
            Operation::Propose => {
                let changes = vec![StatusChange { version: self.next(), from: None, to: Draft }];
                (action::PROPOSE, Some(Plan { changes, replaced: None, forced: false }))
            }
            Operation::Activate { patch, force } => {
                let plan = find(patch).and_then(|it| activate(&active, it, force).ok());
                (action::ACTIVATE, plan)
            }
            Operation::Reject { patch } => {
                (action::REJECT, find(patch).and_then(|it| reject(it).ok()))
            }
            Operation::RollBack { patch } => {
                (action::ROLLBACK, find(patch).and_then(|it| roll_back(&active, it).ok()))
            }
            Operation::Override => (action::OVERRIDE, override_with(&active, &self.next()).ok()),
            Operation::Repair => (action::REPAIR, repair(&active, self.0.last()).ok()),
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
    /// Invariant 3: whatever is done, at most one version is active, and each change is one of the
    /// life cycle. Invariant 4: the trail tells it all.
    #[test]
    fn any_sequence_leaves_one_active_version_and_a_trail_that_gives_the_same(
        operations in proptest::collection::vec(operation(), 0..60)
    ) {
        let mut stored = Stored(Vec::new());
        let seed = Plan {
            changes: vec![change(0, None, Active)], replaced: None, forced: false,
        };
        stored.apply(&seed);
        let first = AuditEntry {
            action: action::SEED.to_owned(), changes: seed.changes, ..AuditEntry::default()
        };
        let mut trail = vec![first];
        for operation in operations {
            let (name, plan) = stored.plan(operation);
            let Some(plan) = plan else { continue };
            for change in &plan.changes {
                prop_assert!(change.is_allowed(name == action::REPAIR), "{change:?}");
            }
            stored.apply(&plan);
            prop_assert_eq!(stored.active().len(), 1);
            trail.push(AuditEntry {
                action: name.to_owned(), changes: plan.changes, ..AuditEntry::default()
            });
        }
        let (statuses, errors) = replay(&trail);
        prop_assert_eq!(errors, []);
        let expected: Statuses =
            stored.0.iter().map(|it| (it.version.clone(), it.status)).collect();
        prop_assert_eq!(statuses, expected);
    }

    /// Whatever people set active by hand, one repair restores the invariant.
    #[test]
    fn one_repair_mends_whatever_was_set_by_hand(active in proptest::collection::btree_set(0..9_u64, 0..5)) {
        let active: Vec<_> = active.into_iter().map(version).collect();
        let last = facts(9, Archived);
        let mut now: Vec<_> = active.clone();
        match repair(&active, Some(&last)) {
            Err(refusal) => prop_assert_eq!(refusal, Refusal::NothingToRepair),
            Ok(plan) => for change in plan.changes {
                now.retain(|it| *it != change.version);
                if change.to == Active { now.push(change.version); }
            },
        }
        prop_assert_eq!(now.len(), 1);
        prop_assert!(active.iter().all(|it| *it <= now[0]));
    }
}

//! The table of transitions, and what each of them requires.

use proptest::prelude::*;

use super::*;

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
fn only_the_documented_transitions_are_allowed() {
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
fn activating_a_draft_archives_the_active_version() {
    let plan = activate(&[version(0)], &facts(1, Draft), false).unwrap();
    let expected = [change(0, Some(Active), Archived), change(1, Some(Draft), Active)];
    assert_eq!(plan.changes, expected);
    assert_eq!((plan.replaced, plan.forced), (Some(version(0)), false));
}

#[test]
fn a_draft_whose_parent_is_not_active_requires_force() {
    let draft = facts(2, Draft);
    let refused = activate(&[version(1)], &draft, false).unwrap_err();
    assert_eq!(refused, Refusal::StaleParent { parent: version(0), active: Some(version(1)) });
    assert!(activate(&[version(1)], &draft, true).unwrap().forced);
    assert!(!activate(&[version(0)], &draft, true).unwrap().forced, "force was not needed");
    let orphan = VersionFacts { parent: None, ..draft };
    assert!(!activate(&[version(1)], &orphan, false).unwrap().forced);
}

#[test]
fn each_transition_requires_one_status() {
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
fn a_version_with_invalid_params_never_becomes_active() {
    let broken = |status| VersionFacts { params: Err(ParamsError::NoArms), ..facts(1, status) };
    let refused = Err(Refusal::Params(ParamsError::NoArms));
    assert_eq!(activate(&[version(0)], &broken(Draft), true), refused);
    assert_eq!(roll_back(&[version(0)], &broken(Archived)), refused);
    assert_eq!(repair(&[], Some(&broken(Archived))), refused);
}

#[test]
fn repair_keeps_the_highest_of_several_and_restores_the_last_if_none_is_active() {
    let plan = repair(&[version(3), version(1)], None).unwrap();
    let expected = [change(1, Some(Active), Archived), change(3, Some(Active), Active)];
    assert_eq!(plan.changes, expected);
    let plan = repair(&[], Some(&facts(2, Archived))).unwrap();
    assert_eq!(plan.changes, [change(2, Some(Archived), Active)]);
    assert_eq!(repair(&[version(1)], None), Err(Refusal::NothingToRepair));
    assert_eq!(repair(&[], None), Err(Refusal::NeverActive));
}

#[test]
fn a_rollback_to_one_of_several_active_versions_archives_the_others() {
    let plan = roll_back(&[version(1), version(2)], &facts(1, Active)).unwrap();
    let expected = [change(2, Some(Active), Archived), change(1, Some(Active), Active)];
    assert_eq!(plan.changes, expected);
}

proptest! {
    /// One repair restores the invariant after any manual edit of the active versions.
    #[test]
    fn one_repair_fixes_any_set_of_active_versions(active in proptest::collection::btree_set(0..9_u64, 0..5)) {
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

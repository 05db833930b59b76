//! `policies activate` and `policies rollback`.

use anyhow::{Result, bail};
use f0_learning::store::Store;
use f0_learning_core::document::Policy;
use f0_learning_core::intent::Watching;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use f0_learning_core::tuning::Evidence;

use super::{active_version, diff, require};
use crate::cli::changes::{self, ChangeOptions};
use crate::cli::format::{self, UNKNOWN};
use crate::cli::output::{self, Style};
use crate::cli::prompt;

/// Shows the change and asks for confirmation.
pub async fn activate(
    store: &Store,
    version: &PolicyKey,
    force: bool,
    yes: bool,
    guard: Watching,
    change: ChangeOptions,
) -> Result<()> {
    let mut seen = None;
    if !yes {
        let draft = require(store, version).await?;
        // A version that cannot be activated is refused without a question.
        if draft.status == PolicyStatus::Draft {
            let active = active_version(store, &version.id).await?;
            diff::print(&active, &draft);
            seen = draft.evidence_digest().map(str::to_owned);
            print_promise(&draft);
            print_tests(store, version).await?;
            let question = format!("activate {version} and replace {}?", active.version);
            if !prompt::confirmed(store, &question)? {
                bail!("not confirmed: {version} stays a draft");
            }
        }
    }
    // A person may take long to confirm.
    let intent = change.intent(store).await?.watched(guard).having_seen(seen);
    changes::print(store.activate(version, force, &intent).await)
}

/// What the draft promises, and which checks of its observations failed.
fn print_promise(draft: &Policy) {
    let evidence = draft.evidence.clone().map(serde_json::from_value::<Evidence>);
    let Some(Ok(Evidence { gain, checks, .. })) = evidence else {
        let gain = draft.expected_gain;
        say!("expected gain {}", gain.map_or(UNKNOWN.to_owned(), |gain| format!("{gain:+.4}")));
        return;
    };
    match (gain.low, gain.high) {
        (Some(low), Some(high)) => {
            let interval = format::signed_interval(low, high, 4);
            say!("expected gain {:+.4} ({interval}) in mean reward", gain.expected);
        }
        _ => say!("expected gain {:+.4} in mean reward, not proven", gain.expected),
    }
    let failed: Vec<_> = checks.iter().filter(|it| it.passed == Some(false)).collect();
    if failed.is_empty() {
        say!("no check of its observations failed");
    }
    for check in failed {
        output::print_marked(
            Style::Bad,
            "FAILED ",
            &format!("check {}: {}", check.name, check.detail),
        );
    }
}

/// What the activation means for the test that runs.
async fn print_tests(store: &Store, version: &PolicyKey) -> Result<()> {
    let open = store.open_experiments().await?;
    let of_policy = open.iter().filter(|it| it.policy == version.id);
    for said in of_policy.filter_map(|it| it.on_activation_of(&version.version)) {
        output::print_marked(Style::Warning, "note ", &said);
    }
    Ok(())
}

/// `ID` or `ID@VERSION`. A rollback needs no confirmation: it is urgent, and can be rolled back.
pub async fn roll_back(store: &Store, policy: &str, change: ChangeOptions) -> Result<()> {
    let intent = change.intent(store).await?;
    if policy.contains('@') {
        let key: PolicyKey = policy.parse()?;
        let outcome = store.roll_back(&key.id, Some(&key.version), &intent).await;
        changes::print_refusal(store, outcome).await
    } else {
        changes::print_refusal(store, store.roll_back(policy, None, &intent).await).await
    }
}

//! `policies activate` and `policies rollback`.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Result, bail};
use f0_learning::store::Store;
use f0_learning_core::intent::Watching;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};

use super::{active_version, diff, require};
use crate::cli::changes::{self, ChangeOptions};

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
            if !confirmed(&format!("activate {version} and replace {}?", active.version))? {
                bail!("not confirmed: {version} stays a draft");
            }
        }
    }
    // A person may take long to confirm.
    let intent = change.intent(store).await?.watched(guard).having_seen(seen);
    changes::print(store.activate(version, force, &intent).await)
}

fn confirmed(question: &str) -> Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("stdin is not a terminal: pass --yes to confirm");
    }
    say_part!("{question} [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
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

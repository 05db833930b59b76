//! `policies activate` and `policies rollback`.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Result, bail};
use f0_learning::store::Store;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};

use super::{Why, diff, in_force, require, told};

/// Shows what would change, and asks.
pub async fn activate(
    store: &Store,
    version: &PolicyKey,
    force: bool,
    yes: bool,
    intent: Intent,
) -> Result<()> {
    if !yes {
        let draft = require(store, version).await?;
        // What cannot be activated is refused without a question.
        if draft.status == PolicyStatus::Draft {
            let active = in_force(store, &version.id).await?;
            diff::print(&active, &draft);
            if !confirmed(&format!("activate {version} in place of {}?", active.version))? {
                bail!("{version} was left as it is");
            }
        }
    }
    told(store.activate(version, force, &intent).await)
}

fn confirmed(question: &str) -> Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("there is nobody to ask whether to {question} --yes goes on without asking");
    }
    say_part!("{question} [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// `ID` or `ID@VERSION`. It does not ask: whoever rolls back is in a hurry, and can roll back the
/// rollback.
pub async fn roll_back(store: &Store, policy: &str, why: Why) -> Result<()> {
    let intent = why.intent();
    if policy.contains('@') {
        let key: PolicyKey = policy.parse()?;
        told(store.roll_back(&key.id, Some(&key.version), &intent).await)
    } else {
        told(store.roll_back(policy, None, &intent).await)
    }
}

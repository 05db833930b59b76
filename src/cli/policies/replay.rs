//! `policies replay`.

use anyhow::{Result, bail};
use f0_learning::jobs::tune::replay::replay;
use f0_learning::store::{Store, TUNER};
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::tuning::ArmInput;
use serde_json::json;

use crate::cli::output;

pub async fn run(store: &Store, key: &PolicyKey, json: bool) -> Result<()> {
    let policy = super::require(store, key).await?;
    let Some(input) = store.decision(key).await? else {
        if policy.created_by == TUNER {
            bail!("what {key} was decided from was not kept");
        }
        bail!("{key} was made by {}, not decided by {TUNER}", policy.created_by);
    };
    let differences = replay(&policy, &input);
    if json {
        let same = differences.is_empty();
        output::print_json(
            &json!({ "version": key.to_string(), "same": same, "differences": differences }),
        )?;
    } else if differences.is_empty() {
        say!(
            "{key} is the same to the last bit: decided at {} from {} arms, {} observations",
            output::time(input.as_of),
            input.weights.len(),
            input.arms.values().map(ArmInput::n).sum::<u64>(),
        );
    }
    match differences.first() {
        None => Ok(()),
        Some(first) => {
            let more = differences.len() - 1;
            bail!("{key} is not what its decision gives now: {first} ({more} more differences)")
        }
    }
}

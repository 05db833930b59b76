//! `policies replay`.

use anyhow::{Result, bail};
use f0_learning::jobs::tune::replay::replay;
use f0_learning::store::{Store, TUNER};
use f0_learning_core::plural::count;
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::tuning::ArmInput;
use serde_json::json;

use crate::cli::output::Shown;
use crate::cli::{format, named};

pub async fn run(store: &Store, key: &PolicyKey, shown: Shown) -> Result<()> {
    let key = &named::key(store, key).await?;
    let policy = super::require(store, key).await?;
    let Some(input) = store.decision(key).await? else {
        if policy.created_by == TUNER {
            bail!("cannot replay {key}: the input of its decision was not kept");
        }
        bail!("cannot replay {key}: it was created by {}, not by {TUNER}", policy.created_by);
    };
    let differences = replay(&policy, &input);
    if let Some(data) = shown.data() {
        let same = differences.is_empty();
        data.print(
            &json!({ "version": key.to_string(), "same": same, "differences": differences }),
        )?;
    } else if differences.is_empty() {
        say!(
            "{key} is identical to the last bit: decided at {} from {}, {}",
            format::time(input.as_of),
            count(input.weights.len(), "arm"),
            count(input.arms.values().map(ArmInput::n).sum::<u64>(), "observation"),
        );
    }
    match differences.first() {
        None => Ok(()),
        Some(first) => {
            let more = differences.len() - 1;
            bail!(
                "the replayed decision differs from {key}: {first} ({})",
                count(more, "more difference")
            )
        }
    }
}

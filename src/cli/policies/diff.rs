//! `policies diff`: the params that differ between two versions.

use anyhow::Result;
use f0_learning::store::Store;
use f0_learning_core::document::Policy;
use f0_learning_core::policy::{ParamChange, PolicyKey, diff};
use serde_json::{Value, json};

use super::{active_version, require};
use crate::cli::named;
use crate::cli::output::{self, Shown, number};

/// From the active version to `version`, or from `version` to `other`.
pub async fn run(
    store: &Store,
    version: &PolicyKey,
    other: Option<&PolicyKey>,
    shown: Shown,
) -> Result<()> {
    let version = &named::key(store, version).await?;
    let (from, to) = match other {
        Some(other) => {
            let other = named::key(store, other).await?;
            (require(store, version).await?, require(store, &other).await?)
        }
        None => (active_version(store, &version.id).await?, require(store, version).await?),
    };
    if let Some(data) = shown.data() {
        let changes = diff(&from.params, &to.params);
        let (from, to) = (from.name(), to.name());
        return data.print(&json!({ "from": from, "to": to, "changes": changes }));
    }
    print(&from, &to);
    Ok(())
}

pub fn print(from: &Policy, to: &Policy) {
    let changes = diff(&from.params, &to.params);
    if changes.is_empty() {
        say!("{} and {} have the same params", from.name(), to.name());
        return;
    }
    let (from, to) = (from.name(), to.name());
    let mut table = output::table(&["param", &from, &to, "change"]);
    for change in &changes {
        table.add_row(vec![
            change.path.clone().into(),
            number(text(change.from.as_ref())),
            number(text(change.to.as_ref())),
            number(delta(change)),
        ]);
    }
    output::print(&table);
}

fn text(value: Option<&Value>) -> String {
    match value {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn delta(change: &ParamChange) -> String {
    change.delta().map_or_else(String::new, |delta| format!("{delta:+.4}"))
}

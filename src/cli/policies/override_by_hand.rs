//! `policies override`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use f0_learning::store::{OverrideParams, Store};
use f0_learning_core::document::Policy;
use f0_learning_core::intent::Watching;
use f0_learning_core::policy::{Params, PolicyKey, parse_assignment};
use serde_json::Value;

use super::{active_version, diff};
use crate::cli::changes::{self, ChangeOptions};
use crate::cli::named;

#[derive(Debug, Args)]
pub struct Options {
    id: String,
    /// A param to change, such as modelWeights.gpt-5=0.5; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = parse_assignment)]
    set: Vec<(String, Value)>,
    /// A JSON file with all params; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "set")]
    params: Option<PathBuf>,
    /// Whether the version is watched, and rolled back if it proves to be worse: on or off
    #[arg(long, default_value = "on", value_name = "on|off")]
    guard: Watching,
    #[command(flatten)]
    change: ChangeOptions,
}

pub async fn run(store: &Store, options: Options) -> Result<()> {
    let params = match &options.params {
        Some(path) => OverrideParams::Whole(read(path)?),
        None if options.set.is_empty() => {
            bail!("no params: pass --set PATH=VALUE or --params FILE")
        }
        None => OverrideParams::Set(options.set.clone()),
    };
    PolicyKey::check_id(&options.id)?;
    let id = &named::policy(store, &options.id).await?;
    // The printed change is exactly the one that is made: if another version becomes active in the
    // meantime, the override is refused.
    let parent = active_version(store, id).await?;
    let name = parent.name();
    let taken = store.recent_versions(id).await?;
    let taken: Vec<_> = taken.into_iter().map(|it| it.version).collect();
    let after = Policy {
        params: params.over(&parent).with_context(|| format!("cannot override {name}"))?,
        version: f0_learning_core::policy::next_free_patch(&parent.version, &taken),
        ..parent.clone()
    };
    diff::print(&parent, &after);
    let expected = Some(&parent.version);
    let intent = options.change.intent(store).await?.watched(options.guard);
    let outcome = store.override_policy(id, &params, expected, &intent).await;
    changes::print_refusal(store, outcome).await
}

fn read(path: &PathBuf) -> Result<Params> {
    let shown = path.display();
    let text = match path.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text = text.with_context(|| format!("cannot read {shown}"))?;
    serde_json::from_str(&text).with_context(|| format!("invalid {shown}: expected params as JSON"))
}

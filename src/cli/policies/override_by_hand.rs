//! `policies override`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use f0_learning::store::{OverrideParams, Store};
use f0_learning_core::document::Policy;
use f0_learning_core::intent::Watching;
use f0_learning_core::policy::{Params, PolicyKey, parse_assignment};
use serde_json::Value;

use super::{Why, diff, in_force, told};

#[derive(Debug, Args)]
pub struct Options {
    id: String,
    /// A param of the active version to change, as in modelWeights.gpt-5=0.5; may be repeated
    #[arg(long, value_name = "PATH=VALUE", value_parser = parse_assignment)]
    set: Vec<(String, Value)>,
    /// A file with the params as a whole, as JSON; `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "set")]
    params: Option<PathBuf>,
    /// Whether it is watched, and taken back should it prove to be worse: on or off
    #[arg(long, default_value = "on", value_name = "on|off")]
    guard: Watching,
    #[command(flatten)]
    why: Why,
}

pub async fn run(store: &Store, options: Options) -> Result<()> {
    let params = match &options.params {
        Some(path) => OverrideParams::Whole(read(path)?),
        None if options.set.is_empty() => bail!("give --set PATH=VALUE, or --params FILE"),
        None => OverrideParams::Set(options.set.clone()),
    };
    let intent = options.why.intent().watched(options.guard);
    PolicyKey::check_id(&options.id)?;
    // The change is shown as it will be made: should another version become active meanwhile,
    // nothing is.
    let parent = in_force(store, &options.id).await?;
    let name = parent.name();
    let after = Policy {
        params: params.over(&parent).with_context(|| format!("overriding {name}"))?,
        version: f0_learning_core::policy::next_patch(&parent.version),
        ..parent.clone()
    };
    diff::print(&parent, &after);
    told(store.override_policy(&options.id, &params, Some(&parent.version), &intent).await)
}

fn read(path: &PathBuf) -> Result<Params> {
    let shown = path.display();
    let text = match path.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text = text.with_context(|| format!("cannot read {shown}"))?;
    serde_json::from_str(&text).with_context(|| format!("{shown} is not the JSON of params"))
}

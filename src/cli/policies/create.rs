//! `policies create`: a policy with its first version.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use f0_learning::store::{FirstVersion, Store};
use f0_learning_core::policy::{Params, PolicyKey, PolicyStatus};
use semver::Version;
use serde::Deserialize;

use super::envelope::weight;
use crate::cli::changes::{self, ChangeOptions};
use crate::cli::prompt;

#[derive(Debug, Args)]
pub struct Options {
    /// A JSON file with `params` and, if wanted, `id`, `version`, `status` and `notes`; `-` for standard
    /// input
    #[arg(required_unless_present = "weights", conflicts_with = "weights")]
    file: Option<PathBuf>,
    /// The id of the policy, if no file names it
    #[arg(long)]
    id: Option<String>,
    /// The weights of the arms, which sum to 1, as gpt-5=0.6,gemini=0.4
    #[arg(long, value_name = "ARM=WEIGHT", value_delimiter = ',', value_parser = weight)]
    weights: Vec<(String, f64)>,
    /// Create a draft, which nothing uses until it is activated
    #[arg(long)]
    draft: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    change: ChangeOptions,
}

/// What a file may say. Other fields, as those of an exported document, are left out.
#[derive(Debug, Deserialize)]
struct File {
    id: Option<String>,
    #[serde(default = "first")]
    version: Version,
    status: Option<PolicyStatus>,
    notes: Option<String>,
    params: Params,
}

const fn first() -> Version {
    Version::new(1, 0, 0)
}

pub async fn run(store: &Store, options: Options) -> Result<()> {
    let version = match &options.file {
        Some(path) => of_file(path, &options)?,
        None => of_weights(&options)?,
    };
    version.check().with_context(|| format!("cannot create {}", version.key))?;
    let id = &version.key.id;
    if store.policy_ids_from(id, 1).await?.contains(id) {
        bail!(
            "cannot create {}: the policy {id} exists already; `policies override {id}` writes another \
             version of it",
            version.key
        );
    }
    say!("{} of project {}:", version.key, store.project());
    say_lines!("{}", serde_json::to_string_pretty(&version.params)?);
    let what = if version.is_draft { "create this draft" } else { "create it and make it active" };
    if !options.yes && !prompt::confirmed(store, &format!("{what}?"))? {
        bail!("not confirmed: nothing was changed");
    }
    let intent = options.change.intent(store).await?;
    changes::print(store.create_policy(&version, &intent).await)
}

fn of_weights(options: &Options) -> Result<FirstVersion> {
    let Some(id) = &options.id else { bail!("no id: pass --id with --weights") };
    let weights = options.weights.iter().cloned().collect();
    Ok(FirstVersion {
        key: PolicyKey::new(id, first())?,
        params: Params::default().with_model_weights(&weights),
        notes: options.change.reason().map(str::to_owned),
        is_draft: options.draft,
    })
}

fn of_file(path: &Path, options: &Options) -> Result<FirstVersion> {
    let shown = path.display();
    let text = match path.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text = text.with_context(|| format!("cannot read {shown}"))?;
    let file: File = serde_json::from_str(&text)
        .with_context(|| format!("invalid {shown}: expected a version of a policy as JSON"))?;
    let is_draft = match file.status {
        Some(PolicyStatus::Draft) => true,
        Some(PolicyStatus::Active) | None => options.draft,
        Some(other) => bail!("invalid {shown}: status is {other}, expected active or draft"),
    };
    let id = match (&options.id, &file.id) {
        (Some(id), Some(named)) if id != named => {
            bail!("{shown} is a version of {named}, not of {id}")
        }
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => bail!("no id: pass --id, or name it in {shown}"),
    };
    let key = PolicyKey::new(id, file.version)?;
    Ok(FirstVersion { key, params: file.params, notes: file.notes, is_draft })
}

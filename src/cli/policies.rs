//! `policies`: the versions of policies, and what a draft rests on.

use anyhow::{Result, bail};
use clap::Subcommand;
use f0_learning::domain::policy::{PolicyKey, PolicyStatus};
use f0_learning::store::{Policy, Store};

use super::output::{self, number};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List all versions
    List {
        /// Only this policy
        #[arg(long)]
        id: Option<String>,
        /// Only versions in this state: draft, active, archived or rejected
        #[arg(long)]
        status: Option<PolicyStatus>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a policy's versions whole: ID for the active one and open drafts, ID@VERSION for one
    Show {
        policy: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(store: &Store, command: Command) -> Result<()> {
    match command {
        Command::List { id, status, json } => list(store, id.as_deref(), status, json).await,
        Command::Show { policy, json } => show(store, &policy, json).await,
    }
}

async fn list(
    store: &Store,
    id: Option<&str>,
    status: Option<PolicyStatus>,
    json: bool,
) -> Result<()> {
    let mut policies = store.policies(id).await?;
    policies.retain(|policy| status.is_none_or(|status| policy.status == status));
    if json {
        return output::print_json(&policies);
    }
    let mut table =
        output::table(&["id", "version", "status", "created", "by", "expected gain", "notes"]);
    for policy in policies {
        table.add_row(vec![
            policy.id.into(),
            policy.version.to_string().into(),
            policy.status.as_str().into(),
            output::time(policy.created_at).into(),
            policy.created_by.into(),
            number(policy.expected_gain.map_or(String::new(), |gain| format!("{gain:+.3}"))),
            policy.notes.unwrap_or_default().into(),
        ]);
    }
    output::print(&table);
    Ok(())
}

async fn show(store: &Store, text: &str, json: bool) -> Result<()> {
    let policies = if text.contains('@') {
        let key: PolicyKey = text.parse()?;
        store.policy(&key).await?.into_iter().collect()
    } else {
        let mut all = store.policies(Some(text)).await?;
        all.retain(|policy| matches!(policy.status, PolicyStatus::Active | PolicyStatus::Draft));
        all
    };
    if policies.is_empty() {
        bail!("there is no policy {text}; `f0-learning policies list` shows those that there are");
    }
    if json {
        return output::print_json(&policies);
    }
    for (index, policy) in policies.iter().enumerate() {
        if index > 0 {
            println!();
        }
        print!("{}", describe(policy)?);
    }
    Ok(())
}

/// A version in words, with its params as they are stored.
pub fn describe(policy: &Policy) -> Result<String> {
    use std::fmt::Write as _;
    let mut text = String::new();
    writeln!(text, "{}  {}", policy.name(), policy.status.as_str())?;
    let created = output::time(policy.created_at);
    writeln!(text, "  created    {created} by {}", policy.created_by)?;
    if let Some(parent) = &policy.parent_version {
        writeln!(text, "  parent     {parent}")?;
    }
    if let Some(version) = &policy.superseded_by {
        writeln!(text, "  superseded by {version}")?;
    }
    if let Some(gain) = policy.expected_gain {
        writeln!(text, "  expected   {gain:+.3} mean reward")?;
    }
    for (index, line) in policy.notes.as_deref().unwrap_or_default().lines().enumerate() {
        writeln!(text, "  {:<10} {line}", if index == 0 { "notes" } else { "" })?;
    }
    for line in serde_json::to_string_pretty(&policy.params)?.lines() {
        writeln!(text, "  {line}")?;
    }
    Ok(text)
}

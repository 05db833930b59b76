//! `audit`: who did what, newest first.

use anyhow::Result;
use clap::Args;
use f0_learning::store::{AuditFilter, Store};
use serde_json::json;

use super::output;

#[derive(Debug, Args)]
pub struct Options {
    /// Only entries about this policy (or `flags`)
    #[arg(long)]
    id: Option<String>,
    /// Only this action, such as `propose`
    #[arg(long)]
    action: Option<String>,
    /// Only what this actor did
    #[arg(long)]
    actor: Option<String>,
    /// At most so many entries
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(store: &Store, options: Options) -> Result<()> {
    let filter = AuditFilter { id: options.id, action: options.action, actor: options.actor };
    let entries = store.audit(&filter, options.limit).await?;
    if options.json {
        let entries: Vec<_> = entries
            .iter()
            .map(|(document, entry)| json!({ "document": document, "entry": entry }))
            .collect();
        return output::print_json(&entries);
    }
    let mut table = output::table(&["time", "actor", "action", "id", "from", "to", "reason"]);
    for (_, entry) in entries {
        table.add_row([
            output::time(entry.ts),
            entry.actor,
            entry.action,
            entry.id,
            entry.from.unwrap_or_default(),
            entry.to.unwrap_or_default(),
            entry.reason.unwrap_or_default(),
        ]);
    }
    output::print(&table);
    Ok(())
}

//! `policies list`.

use anyhow::Result;
use f0_learning::jobs::check::{CheckReport, Irregularity};
use f0_learning::store::{Store, UnreadableVersion};
use f0_learning_core::document::Policy;
use f0_learning_core::policy::PolicyStatus;

use crate::cli::format;
use crate::cli::output::{self, Cell, number};

pub async fn run(
    store: &Store,
    id: Option<&str>,
    status: Option<PolicyStatus>,
    json: bool,
) -> Result<()> {
    let all = store.policies(id).await?;
    let unreadable = store.unreadable_versions(id).await?;
    let broken: Vec<_> = unreadable.iter().map(|version| version.policy.as_str()).collect();
    let mut irregular = irregular(&all);
    irregular.retain(|it| !broken.contains(&it.policy.as_str()));
    for version in &unreadable {
        complain!("warning: {version}");
    }
    let shown: Vec<Policy> = all
        .into_iter()
        .filter(|policy| status.is_none_or(|status| policy.status == status))
        .collect();
    let unreadable: Vec<_> = unreadable
        .into_iter()
        .filter(|it| status.is_none() || it.status.is_none() || it.status == status)
        .collect();
    if json {
        let unreadable = unreadable.iter().map(as_json);
        let shown = shown.iter().map(serde_json::to_value);
        let rows = shown.collect::<serde_json::Result<Vec<_>>>()?;
        return output::print_json(&rows.into_iter().chain(unreadable).collect::<Vec<_>>());
    }
    let mut table =
        output::table(&["id", "version", "status", "created", "by", "expected gain", "notes"]);
    for policy in shown {
        let status = match policy.pinned {
            true => format!("{}, pinned", policy.status),
            false => policy.status.to_string(),
        };
        let pinned = policy.pin_reason_text().map(|why| format!("pinned: {why}"));
        let notes = policy.notes.as_deref().unwrap_or_default();
        let notes = Cell::of_lines(pinned.as_deref().into_iter().chain(notes.lines()));
        table.add_row(vec![
            policy.id.into(),
            policy.version.to_string().into(),
            status.into(),
            format::time(policy.created_at).into(),
            policy.created_by.into(),
            number(policy.expected_gain.map_or(String::new(), |gain| format!("{gain:+.3}"))),
            notes,
        ]);
    }
    for version in unreadable {
        let status = version.status.map_or(String::new(), |status| format!("{status}, "));
        table.add_row(vec![
            version.policy.clone().into(),
            version_of(&version).into(),
            format!("{status}unreadable").into(),
            String::new().into(),
            String::new().into(),
            number(String::new()),
            format!("cannot be read: {}; {}", version.why, version.remedy()).into(),
        ]);
    }
    output::print(&table);
    for irregularity in irregular {
        complain!("warning: {irregularity}");
    }
    Ok(())
}

/// Its version, by the document's id: its fields may be wrong.
fn version_of(version: &UnreadableVersion) -> String {
    version.name.split_once('@').map_or_else(|| version.name.clone(), |(_, it)| it.to_owned())
}

fn as_json(version: &UnreadableVersion) -> serde_json::Value {
    serde_json::json!({
        "id": version.policy,
        "version": version_of(version),
        "status": version.status,
        "unreadable": version.why,
        "action": version.remedy(),
    })
}

/// The policies that have several active versions or none. `all` holds all versions of each policy.
pub fn irregular(all: &[Policy]) -> Vec<Irregularity> {
    let mut report = CheckReport::default();
    for policy in all {
        let active = report.active.entry(policy.id.clone()).or_default();
        if policy.status == PolicyStatus::Active {
            active.push(policy.version.clone());
        }
    }
    report.irregular()
}

//! `policies list`.

use std::time::Duration;

use anyhow::Result;
use f0_learning::jobs::check::{CheckReport, Irregularity};
use f0_learning::store::{Store, UnreadableVersion};
use f0_learning_core::document::Policy;
use f0_learning_core::policy::PolicyStatus;

use crate::cli::output::{self, Cell, Shown, number};
use crate::cli::{live, named};

/// Which versions to list; all, where nothing is given.
#[derive(Debug)]
pub struct Wanted {
    pub id: Option<String>,
    pub status: Option<PolicyStatus>,
}

/// The versions that were found.
struct Found {
    now: i64,
    readable: Vec<Policy>,
    unreadable: Vec<UnreadableVersion>,
    warnings: Vec<String>,
}

pub async fn run(store: &Store, wanted: Wanted, shown: Shown, every: Option<u32>) -> Result<()> {
    let id = match &wanted.id {
        Some(id) => Some(named::policy(store, id).await?),
        None => None,
    };
    let wanted = Wanted { id, ..wanted };
    match (every, shown.data()) {
        (Some(seconds), None) => {
            let every = Duration::from_secs(seconds.into());
            live::repeat(every, async || read(store, &wanted).await, print).await
        }
        (_, Some(data)) => {
            let found = read(store, &wanted).await?;
            found.warnings.iter().for_each(|it| complain!("warning: {it}"));
            let readable = found.readable.iter().map(serde_json::to_value);
            let rows = readable.collect::<serde_json::Result<Vec<_>>>()?.into_iter();
            data.print(&rows.chain(found.unreadable.iter().map(as_json)).collect::<Vec<_>>())
        }
        (None, None) => {
            print(&read(store, &wanted).await?);
            Ok(())
        }
    }
}

async fn read(store: &Store, Wanted { id, status }: &Wanted) -> Result<Found> {
    let mut readable = store.policies(id.as_deref()).await?;
    let mut unreadable = store.unreadable_versions(id.as_deref()).await?;
    let broken: Vec<_> = unreadable.iter().map(|version| version.policy.as_str()).collect();
    let mut irregular = irregular(&readable);
    irregular.retain(|it| !broken.contains(&it.policy.as_str()));
    let mut warnings: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
    warnings.extend(irregular.iter().map(ToString::to_string));
    readable.retain(|policy| status.is_none_or(|status| policy.status == status));
    unreadable.retain(|it| status.is_none() || it.status.is_none() || it.status == *status);
    Ok(Found { now: store.now().await?, readable, unreadable, warnings })
}

fn print(found: &Found) {
    let header = ["id", "version", "status", "created", "by", "expected gain", "notes"];
    let mut table = output::table(&header).optional(&["by", "expected gain"]);
    for policy in &found.readable {
        let status = match policy.pinned {
            true => format!("{}, pinned", policy.status),
            false => policy.status_in_words(),
        };
        let pinned = policy.pin_reason_text().map(|why| format!("pinned: {why}"));
        let notes = pinned.or_else(|| policy.notes.clone()).unwrap_or_default();
        table.add_row(vec![
            policy.id.clone().into(),
            policy.version.to_string().into(),
            status.into(),
            Cell::time(policy.created_at, found.now),
            policy.created_by.clone().into(),
            number(policy.expected_gain.map_or(String::new(), |gain| format!("{gain:+.3}"))),
            Cell::beginning(&notes),
        ]);
    }
    for version in &found.unreadable {
        let status = version.status.map_or(String::new(), |status| format!("{status}, "));
        table.add_row(vec![
            version.policy.clone().into(),
            version_of(version).into(),
            format!("{status}unreadable").into(),
            String::new().into(),
            String::new().into(),
            number(String::new()),
            format!("cannot be read: {}; {}", version.why, version.remedy()).into(),
        ]);
    }
    output::print(&table);
    found.warnings.iter().for_each(|it| complain!("warning: {it}"));
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

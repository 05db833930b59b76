//! The narrator: follows the audit trail like an admin, and prints each change in a line.

use std::collections::BTreeSet;
use std::time::Duration;

use f0_learning::store::{AuditFilter, AuditRecord, Store, StoreError};
use f0_learning_core::time::MINUTE_MS;
use tokio_util::sync::CancellationToken;

use crate::cli::format;
use crate::cli::output::{self, Style};

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The most entries of a look: the demo makes a few in a minute.
const LOOKED_AT: usize = 50;

/// The most characters of a reason.
const WHY: usize = 100;

/// How far a look reaches back: entries of one commit are seen together, but not in order.
const OVERLAP_MS: i64 = MINUTE_MS;

pub async fn run(store: Store, stop: CancellationToken) {
    let mut seen = BTreeSet::new();
    let mut timer = tokio::time::interval(LOOK_EVERY);
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        if let Err(error) = look(&store, &mut seen).await {
            tracing::warn!(%error, "the narrator cannot read the audit trail");
        }
    }
}

async fn look(store: &Store, seen: &mut BTreeSet<String>) -> Result<(), StoreError> {
    let since = Some(store.now().await? - OVERLAP_MS);
    let filter = AuditFilter { since, ..AuditFilter::default() };
    let mut entries = store.audit(&filter, LOOKED_AT).await?;
    entries.sort_by_key(|it| it.committed_us);
    for record in &entries {
        if !seen.contains(&record.audit_id) && !record.entry.is_renewal() {
            print(record);
        }
    }
    // Only what the next look may find again is kept.
    *seen = entries.into_iter().map(|it| it.audit_id).collect();
    Ok(())
}

/// The beginning of a reason: the story and `audit` have the rest.
fn shortened(why: &str) -> String {
    let mut symbols = why.chars();
    let kept: String = symbols.by_ref().take(WHY).collect();
    if symbols.next().is_some() { format!("{kept}…") } else { kept }
}

fn print(AuditRecord { entry, .. }: &AuditRecord) {
    let time = format::time(entry.ts);
    let time = time.split_once(' ').map_or(time.as_str(), |(_, time)| time);
    let why = entry.reason.as_ref().map_or(String::new(), |why| format!(": {}", shortened(why)));
    let about = format!("{} {} {} {}", entry.actor, entry.action, entry.id, entry.versions());
    let text = format!("{}{why}", about.trim_end());
    output::print_marked(Style::Faint, &format!("  audit {time}  "), &text);
}

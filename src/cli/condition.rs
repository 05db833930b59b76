//! What is wrong with a project, as far as a few reads show: what `status` and `doctor` have in common.

use anyhow::Result;
use f0_learning::jobs::check::CheckReport;
use f0_learning::jobs::leases::work_of;
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::jobs::{JobName, LeaseScope, Time};
use f0_learning::store::{Store, StoreError};
use f0_learning_core::document::FlagsState;
use f0_learning_core::plural::{clause, count};
use f0_learning_core::time::{HOUR_MS, MINUTE_MS};
use serde::Serialize;

use super::format;

/// A cursor that has not moved for this long, although observations wait, is stale.
const STALE_MS: i64 = 10 * MINUTE_MS;

/// A pass marks its time once an hour, so that the mark of a running service is younger than this.
const SILENT_MS: i64 = 2 * HOUR_MS;

/// The most shards whose cursors and leases are read.
const MAX_SHARDS: usize = 64;

/// The note beside the time of the last pass.
pub const MARKED_HOURLY: &str = "this time is written once an hour, so later passes may have run";

/// How many observations scoring has left.
pub fn backlog(n: Option<u64>) -> String {
    n.map_or_else(|| "an unknown number of observations".to_owned(), |n| count(n, "observation"))
}

/// Something that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    pub what: String,
    /// The command that repairs it or shows more, if one does.
    pub command: Option<String>,
    /// Whether work stands still because of it.
    pub is_urgent: bool,
}

impl Trouble {
    pub fn new(what: impl ToString) -> Self {
        let what = what.to_string();
        // Errors of the store name the command that repairs the document.
        let command = what.split_once("`f0-learning ").and_then(|(_, rest)| rest.split_once('`'));
        let command = command.map(|(command, _)| format!("f0-learning {command}"));
        Self { command, what, is_urgent: true }
    }

    fn with(self, command: &str) -> Self {
        Self { command: Some(command.to_owned()), ..self }
    }

    fn minor(self) -> Self {
        Self { is_urgent: false, ..self }
    }
}

/// What scoring has left to do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scoring {
    /// Observations that have settled and are not scored; unknown if a cursor cannot be read.
    pub backlog: Option<u64>,
    /// When a cursor moved last; `None` if none did yet.
    pub moved_at: Option<i64>,
    pub troubles: Vec<Trouble>,
}

/// A document that cannot be read is trouble; another failure of a read is an error.
fn readable<T>(found: Result<T, StoreError>, troubles: &mut Vec<Trouble>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error @ StoreError::Decode { .. }) => {
            troubles.push(Trouble::new(error));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The documents of `config`: four reads.
pub async fn of_config(store: &Store) -> Result<Vec<Trouble>> {
    let mut troubles = Vec::new();
    let (flags, rewards, tuning, scoring) = tokio::join!(
        store.flags(),
        store.reward_config(),
        store.tuning_config(),
        store.check_scoring_config()
    );
    let flags = flags?;
    if !matches!(flags, FlagsState::Set(_)) {
        troubles.push(Trouble::new(flags).with("f0-learning flags set learning.enabled=true"));
    }
    readable(rewards, &mut troubles)?;
    readable(scoring, &mut troubles)?;
    if let Some(tuning) = readable(tuning, &mut troubles)? {
        troubles.extend(tuning.refused.values().map(Trouble::new));
    }
    Ok(troubles)
}

/// Whether each policy has one active version that can be read: a read for each policy, and one for each
/// active version.
pub async fn of_policies(store: &Store) -> Result<(usize, Vec<Trouble>)> {
    let report = CheckReport::take(store).await?;
    let trouble = |it: &f0_learning::jobs::check::Irregularity| {
        let repair = match it.unreadable.is_empty() {
            true => format!("f0-learning policies repair {}", it.policy),
            false => format!("f0-learning policies rollback {}", it.policy),
        };
        Trouble::new(it).with(&repair)
    };
    Ok((report.active.len(), report.irregular().iter().map(trouble).collect()))
}

/// Cursors and the backlog: three reads for each shard, and a count.
pub async fn of_scoring(store: &Store, now: i64) -> Result<Scoring> {
    let mut troubles = Vec::new();
    let unknown = |troubles| Scoring { backlog: None, moved_at: None, troubles };
    let Some(stored) = readable(store.layout().await, &mut troubles)? else {
        return Ok(unknown(troubles));
    };
    let mut shards = stored.layout.shards();
    shards.truncate(MAX_SHARDS);
    let mut moved_at = None;
    for (_, cursor) in store.each_cursor(&shards).await? {
        if let Some(cursor) = readable(cursor, &mut troubles)? {
            moved_at =
                moved_at.max(cursor.update_time.as_ref().map(firestore_kit::value::epoch_millis));
        }
    }
    if !troubles.is_empty() {
        return Ok(Scoring { backlog: None, moved_at, troubles });
    }
    let backlog = ScoreJob::new(store.clone(), ScoreOptions::default()).backlog(now).await?;
    let is_stale = moved_at.is_none_or(|at| now.saturating_sub(at) > STALE_MS);
    if backlog > 0 && is_stale {
        let since =
            moved_at.map_or("ever".to_owned(), |at| format!("since {}", format::time_ago(at, now)));
        let what = format!(
            "{}, and scoring has not moved {since}; see whether `f0-learning serve` runs, or score once",
            clause(backlog, "observation", "wait")
        );
        troubles.push(Trouble::new(what).with("f0-learning score"));
    }
    Ok(Scoring { backlog: Some(backlog), moved_at, troubles })
}

/// Leases that their holders neither renewed nor released, and passes that are overdue: a read for each
/// job and each shard.
pub async fn of_workers(store: &Store, now: i64) -> Result<(Option<i64>, Vec<Trouble>)> {
    let times = store.pass_times().await?;
    let mut troubles = Vec::new();
    if let Err(refused) = Time::from(store.clone()).check(times) {
        troubles.push(Trouble::new(refused));
    } else if times.last.is_some_and(|last| now.saturating_sub(last) > SILENT_MS) {
        let ago = format::ago(times.last.unwrap_or(now), now);
        let what = format!("the last pass began {ago}: no worker runs; start `f0-learning serve`");
        troubles.push(Trouble::new(what).with("f0-learning serve"));
    }
    for work in works(store).await? {
        let Some(lease) = store.lease(&work).await? else { continue };
        // A released lease ends at 0.
        if lease.until > 0 && lease.until < now {
            let ago = format::ago(lease.until, now);
            let what = format!(
                "the lease of {work} expired {ago}, and no worker took it over: its holder \
                 was stopped without releasing it"
            );
            troubles.push(Trouble::new(what).with("f0-learning serve").minor());
        }
    }
    Ok((times.last, troubles))
}

/// The work that leases are for.
async fn works(store: &Store) -> Result<Vec<String>> {
    let shards = store.layout().await.map(|stored| stored.layout.shards()).unwrap_or_default();
    let of_job = |job: &JobName| match job.lease() {
        LeaseScope::Pass => vec![job.to_string()],
        LeaseScope::Shards => shards.iter().take(MAX_SHARDS).map(|it| work_of(*it)).collect(),
        LeaseScope::None => Vec::new(),
    };
    Ok(JobName::ALL.iter().flat_map(of_job).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_an_error_names_is_the_one_to_type() {
        let found = Trouble::new("cannot read x; run `f0-learning rebuild --document 'x|y'`");
        assert_eq!(found.command.as_deref(), Some("f0-learning rebuild --document 'x|y'"));
        assert_eq!(Trouble::new("unclear").command, None);
    }
}

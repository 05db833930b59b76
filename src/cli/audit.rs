//! `audit`: the audit trail, newest first.

use anyhow::Result;
use clap::Args;
use f0_learning::store::{AuditFilter, AuditRecord, Store};
use f0_learning_core::audit::Action;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use serde_json::json;

use super::output::{self, Cell, Shown};

#[derive(Debug, Args)]
pub struct Options {
    /// Only entries about this policy (or `flags`)
    #[arg(long)]
    id: Option<String>,
    /// Only this action, such as `propose`
    #[arg(long)]
    action: Option<String>,
    /// Only entries of this actor
    #[arg(long)]
    actor: Option<String>,
    /// Only entries since a time: 2026-11-23T03:00:00Z, 2026-11-23, or an age such as 90m, 24h or 7d
    #[arg(long, value_parser = moment)]
    since: Option<Moment>,
    /// Only entries until a time, in the same format
    #[arg(long, value_parser = moment)]
    until: Option<Moment>,
    /// Largest number of entries
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    shown: Shown,
}

pub async fn run(store: &Store, options: Options) -> Result<()> {
    let (since, until) = (options.since, options.until);
    let now = store.now().await?;
    let filter = AuditFilter {
        id: options.id,
        action: options.action,
        actor: options.actor,
        since: since.map(|it| it.before(now)),
        until: until.map(|it| it.before(now)),
    };
    let entries = store.audit(&filter, options.limit).await?;
    if let Some(data) = options.shown.data() {
        let entries: Vec<_> = entries
            .iter()
            .map(|record| json!({ "auditId": record.audit_id, "entry": record.entry }))
            .collect();
        return data.print(&entries);
    }
    let header = ["time", "actor", "action", "id", "from", "to", "reason"];
    let mut table = output::table(&header);
    for AuditRecord { entry, .. } in entries {
        let by = match &entry.actor_name {
            Some(name) => format!("{} ({name})", entry.actor),
            None => entry.actor.clone(),
        };
        let forced = if entry.forced { "forced: " } else { "" };
        let reason = format!("{forced}{}", entry.reason.clone().unwrap_or_default());
        // That of a proposal is the notes of the draft.
        let reason = match entry.is(Action::Propose) {
            true => Cell::beginning(&reason),
            false => reason.into(),
        };
        let [from, to] = moved(entry.from.as_deref(), entry.to.as_deref());
        table.add_row([
            Cell::time(entry.ts, now),
            by.into(),
            (&entry.action).into(),
            (&entry.id).into(),
            from,
            to,
            reason,
        ]);
    }
    output::print(&table);
    Ok(())
}

/// What an entry changed. Of several `name=value`, as of the flags, only those that differ are shown, and
/// in a narrow terminal by the last part of their names alone.
fn moved(from: Option<&str>, to: Option<&str>) -> [Cell; 2] {
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (words(from), words(to));
    let are_values = |all: &[String]| all.len() > 1 && all.iter().all(|it| it.contains('='));
    if !are_values(&before) || !are_values(&after) {
        return [from.into(), to.into()];
    }
    let only = |all: &[String], others: &[String]| {
        let differing: Vec<_> = all.iter().filter(|it| !others.contains(it)).cloned().collect();
        let short = differing.iter().map(|it| it.rsplit('.').next().unwrap_or(it));
        let short = short.collect::<Vec<_>>().join(" ");
        Cell::from(differing.join(" ")).or(short)
    };
    [only(&before, &after), only(&after, &before)]
}

/// A time in epoch milliseconds, or an age in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    At(i64),
    Ago(i64),
}

impl Moment {
    fn before(self, now: i64) -> i64 {
        match self {
            Self::At(time) => time,
            Self::Ago(age) => now.saturating_sub(age),
        }
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(Moment::At(time.timestamp_millis()));
    }
    if let Ok(day) = text.parse::<chrono::NaiveDate>() {
        return Ok(Moment::At(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis()));
    }
    ago(text).map(Moment::Ago).ok_or_else(|| {
        "expected a time such as 2026-11-23T03:00:00Z or 2026-11-23, or an age such as 90m, 24h or 7d"
            .to_owned()
    })
}

fn ago(text: &str) -> Option<i64> {
    let unit = match text.chars().last()? {
        's' => 1_000,
        'm' => MINUTE_MS,
        'h' => HOUR_MS,
        'd' => DAY_MS,
        _ => return None,
    };
    let count: u32 = text[..text.len() - 1].parse().ok()?;
    Some(i64::from(count) * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(moment("1970-01-02"), Ok(Moment::At(DAY_MS)));
        assert_eq!(moment("24h").map(|it| it.before(2 * DAY_MS)), Ok(DAY_MS));
        assert_eq!(moment("1970-01-01T01:00:00+01:00"), Ok(Moment::At(0)));
        assert_eq!((ago("90m"), ago("7d")), (Some(5_400_000), Some(604_800_000)));
        for wrong in ["", "soon", "-1h", "é", "5", "h"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}

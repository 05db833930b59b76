//! `observations import`: a file of observations, or an export of another tool, into Firestore. Invalid
//! records and repeated ids do not stop the import, and importing the same file again stores nothing
//! twice.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use f0_learning::store::Store;
use f0_learning_core::limits::Limits;
use f0_learning_core::names::check_document_id;
use f0_learning_core::observation::{Malformed, Observation};
use f0_learning_core::plural::{count, were};
use f0_learning_core::stats::Window;
use firestore_kit::MAX_BATCH;
use indicatif::ProgressBar;
use serde_json::{Map, Value as Json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::dry_run::Preview;
use super::lines::{LineError, NONE_FITS};
use super::source::{Item, Options, Source};
use crate::cli::output;

/// Batches that are written at the same time.
const IN_FLIGHT: usize = 8;

/// The bytes of lines of a batch, and of those that are written at the same time: as documents they take
/// several times as much memory.
const BATCH_BYTES: usize = 1 << 20;
const IN_FLIGHT_BYTES: usize = 4 << 20;

/// Without a terminal, progress is logged every this many lines.
const LOG_EVERY: u64 = 100_000;

#[derive(Debug, Default)]
struct Report {
    lines: u64,
    created: u64,
    existing: u64,
    repeated: u64,
    refused: u64,
    /// Imported lines with invalid optional fields, which scoring ignores.
    malformed: u64,
    /// Records that the mapping leaves out.
    left_out: u64,
    /// Imported lines that are older than the longest window of the statistics.
    too_old: u64,
}

type Numbered = (u64, Map<String, Json>);

pub async fn run(store: &Store, options: Options) -> Result<()> {
    let (source, bytes) = options.open()?;
    let is_mapped = matches!(source, Source::Mapped { .. });
    let bar = output::progress(bytes, "importing (bytes)");
    let rules = Rules::read(store).await?;
    if options.dry_run {
        let preview = preview(source, &rules, &bar).await?;
        bar.finish_and_clear();
        return preview.print(is_mapped);
    }
    let unit = if is_mapped { "record" } else { "line" };
    let report = import(store, source, rules, &bar).await?;
    bar.finish_and_clear();
    let Report { lines, created, existing, repeated, refused, malformed, left_out, too_old } =
        report;
    if is_mapped && lines > 0 && left_out == lines {
        bail!(NONE_FITS);
    }
    let repeated = match repeated {
        0 => String::new(),
        _ => format!(", {repeated} with a repeated id left out"),
    };
    let left_out = match left_out {
        0 => String::new(),
        _ => format!(", {left_out} left out by the mapping"),
    };
    let read = count(lines, unit);
    say!(
        "{read}: {created} imported, {existing} existed before{repeated}{left_out}, {refused} \
         refused"
    );
    if malformed > 0 {
        say!("{} with invalid optional fields, which scoring ignores", count(malformed, unit));
    }
    if too_old > 0 {
        say!(
            "{} of more than 7 days ago: scored and counted for the policy version, but in no window \
             of `stats`",
            count(too_old, unit)
        );
    }
    if refused == lines && !is_mapped && refused > 0 {
        bail!(
            "no line was accepted: see the errors above; for the export of another tool pass --profile or \
             --mapping"
        );
    }
    if refused > 0 {
        bail!("{refused} of {read} {} refused: see the errors above", were(refused));
    }
    Ok(())
}

/// What the file would import, without importing it.
async fn preview(mut source: Source, rules: &Rules, bar: &ProgressBar) -> Result<Preview> {
    let (mut preview, mut ids) = (Preview::default(), Ids::default());
    while let Some(item) = source.next().await? {
        bar.inc(item.bytes as u64);
        let Item { number, record, from, .. } = item;
        match record.and_then(|record| rules.check(record)) {
            Ok((observation, malformed, _)) => match ids.first_line_of(&observation, number) {
                None => preview.accept(observation, &from, &malformed),
                Some(first) => preview.repeated(number, first),
            },
            Err(LineError::LeftOut(_)) => preview.left_out += 1,
            Err(error) => preview.refuse(number, &error),
        }
    }
    Ok(preview)
}

async fn import(
    store: &Store,
    mut source: Source,
    rules: Rules,
    bar: &ProgressBar,
) -> Result<Report> {
    let unit = source.unit();
    let mut report = Report::default();
    let mut ids = Ids::default();
    let mut batch: Vec<Numbered> = Vec::with_capacity(MAX_BATCH);
    let mut batch_bytes = 0;
    let mut under_way = JoinSet::new();
    let mut in_flight = 0;
    while let Some(Item { number, bytes, record, .. }) = source.next().await? {
        report.lines = source.read();
        bar.inc(bytes as u64);
        match record.and_then(|record| rules.check(record)) {
            Ok((observation, malformed, is_too_old)) => {
                match ids.first_line_of(&observation, number) {
                    None => {
                        report.malformed += u64::from(!malformed.is_empty());
                        report.too_old += u64::from(is_too_old);
                        batch.push((number, observation));
                        batch_bytes += bytes;
                    }
                    Some(first) => repeated(&mut report, bar, unit, number, &observation, first),
                }
            }
            Err(LineError::LeftOut(_)) => report.left_out += 1,
            Err(error) => refuse(&mut report, bar, unit, number, &error),
        }
        if batch.len() == MAX_BATCH || batch_bytes >= BATCH_BYTES {
            while under_way.len() >= IN_FLIGHT
                || (in_flight > 0 && in_flight + batch_bytes > IN_FLIGHT_BYTES)
            {
                in_flight -= finish(under_way.join_next().await, &mut report, bar, unit)?;
            }
            in_flight += batch_bytes;
            let full = std::mem::replace(&mut batch, Vec::with_capacity(MAX_BATCH));
            under_way.spawn(write(store.clone(), full, std::mem::take(&mut batch_bytes)));
        }
        if bar.is_hidden() && report.lines.is_multiple_of(LOG_EVERY) {
            tracing::info!(lines = report.lines, refused = report.refused, "importing");
        }
    }
    if !batch.is_empty() {
        under_way.spawn(write(store.clone(), batch, batch_bytes));
    }
    while let Some(outcome) = under_way.join_next().await {
        finish(Some(outcome), &mut report, bar, unit)?;
    }
    Ok(report)
}

/// The observation of a line, its invalid optional fields, and whether it is in no window.
type Line = (Map<String, Json>, Malformed, bool);

/// What a line must satisfy.
struct Rules {
    /// Observations before this time are archived: importing them would count them again.
    archived_before: Option<i64>,
    /// Scoring would quarantine observations below these.
    limits: Limits,
    /// The start of the longest window of the statistics.
    windows_from: i64,
}

impl Rules {
    async fn read(store: &Store) -> Result<Self> {
        let archived_before = store.retention_state().await?.archived_before;
        let windows_from = store.now().await? - Window::SevenDays.span_ms();
        Ok(Self { archived_before, limits: store.limits().await?, windows_from })
    }

    /// An observation by the rules of scoring, with its id.
    fn check(&self, observation: Map<String, Json>) -> Result<Line, LineError> {
        let id = match observation.get("id") {
            Some(Json::String(id)) => id.clone(),
            other => return Err(LineError::IdType(other.cloned().unwrap_or_default())),
        };
        check_document_id(&id).map_err(|detail| LineError::Id { id: id.clone(), detail })?;
        let parsed = Observation::parse(&id, &observation)?;
        parsed.check_archived(self.archived_before)?;
        parsed.within_limits(&self.limits)?;
        Ok((observation, parsed.malformed, parsed.ts < self.windows_from))
    }
}

/// The lines whose ids are remembered: 32 bytes each.
const REMEMBERED: usize = 2_000_000;

/// The line of each id in the first two million lines of the file: a later line with a new id is not
/// remembered, and one that repeats it counts as an observation that existed before. An id is kept as a
/// hash of 128 bits, so that a line takes the same memory however long its id is.
#[derive(Default)]
struct Ids(HashMap<u128, u64>);

impl Ids {
    /// The earlier line with this observation's id, if there is one.
    fn first_line_of(&mut self, observation: &Map<String, Json>, number: u64) -> Option<u64> {
        let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, id_of(observation).as_bytes()).as_u128();
        if let Some(first) = self.0.get(&hash) {
            return Some(*first);
        }
        if self.0.len() < REMEMBERED {
            self.0.insert(hash, number);
        }
        None
    }
}

fn id_of(observation: &Map<String, Json>) -> &str {
    observation.get("id").and_then(Json::as_str).unwrap_or_default()
}

/// Reports a line whose id an earlier line has: the earlier one is imported.
fn repeated(
    report: &mut Report,
    bar: &ProgressBar,
    unit: &str,
    number: u64,
    observation: &Map<String, Json>,
    first: u64,
) {
    report.repeated += 1;
    let id = id_of(observation);
    bar.suspend(|| {
        complain!("{unit} {number}: left out: id {id} was given before at {unit} {first}");
    });
}

#[derive(Debug)]
struct Written {
    /// Of its lines.
    bytes: usize,
    created: u64,
    existing: u64,
    refused: Vec<(u64, LineError)>,
}

async fn write(store: Store, batch: Vec<Numbered>, bytes: usize) -> Result<Written> {
    let (numbers, observations): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let outcome = f0_learning_client::create_observations(store.db(), &observations).await?;
    let refused = outcome
        .refused
        .into_iter()
        .map(|(index, status)| (numbers[index], LineError::Refused(status.message().to_owned())))
        .collect();
    let (created, existing) = (outcome.created as u64, outcome.existing as u64);
    Ok(Written { bytes, created, existing, refused })
}

/// Reports a batch that was written, and returns the bytes of its lines.
fn finish(
    outcome: Option<Result<Result<Written>, tokio::task::JoinError>>,
    report: &mut Report,
    bar: &ProgressBar,
    unit: &str,
) -> Result<usize> {
    let Some(outcome) = outcome else { return Ok(0) };
    let written = outcome?.context("cannot finish the import: run it again to continue")?;
    report.created += written.created;
    report.existing += written.existing;
    for (number, error) in written.refused {
        refuse(report, bar, unit, number, &error);
    }
    Ok(written.bytes)
}

fn refuse(report: &mut Report, bar: &ProgressBar, unit: &str, number: u64, error: &LineError) {
    report.refused += 1;
    bar.suspend(|| complain!("{unit} {number}: refused: {error}"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GOOD: &str = r#"{"ts":1734000000000,"component":"a","outcome":"success","durationMs":1}"#;

    fn check(archived_before: Option<i64>, line: &str) -> Result<Line, LineError> {
        let mut observation: Map<String, Json> = serde_json::from_str(line).unwrap();
        observation.entry("id").or_insert("x".into());
        Rules { archived_before, limits: Limits::default(), windows_from: 0 }.check(observation)
    }

    #[test]
    fn a_repeated_id_is_reported_with_its_first_line() {
        let observation = |id: &str| json!({ "id": id }).as_object().unwrap().clone();
        let mut ids = Ids::default();
        assert_eq!(ids.first_line_of(&observation("x"), 3), None);
        assert_eq!(ids.first_line_of(&observation("y"), 4), None);
        assert_eq!(ids.first_line_of(&observation("x"), 812), Some(3));
        assert_eq!(ids.first_line_of(&observation("x"), 813), Some(3));
    }

    #[test]
    fn a_line_older_than_what_was_archived_is_refused() {
        let error = check(Some(1_734_000_000_001), GOOD).unwrap_err().to_string();
        assert!(error.contains("ts is older than what was archived"), "{error}");
        assert!(check(Some(1_734_000_000_000), GOOD).is_ok());
    }

    #[test]
    fn an_invalid_line_is_refused_with_its_error() {
        for (line, expected) in [
            (r#"{"id":7}"#, "got 7"),
            (r#"{"id":"a/b"}"#, "slash"),
            (&GOOD.replace("success", "fine"), "outcome"),
            (&GOOD.replace(":1}", r#":1,"sampleRate":"1"}"#), "sampleRate"),
        ] {
            let error = check(None, line).unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn a_line_with_an_invalid_optional_field_is_imported_as_it_is() {
        let line = GOOD.replace(":1}", r#":-1,"errorCode":{"code":503}}"#);
        let (observation, malformed, _) = check(None, &line).unwrap();
        assert_eq!(observation["errorCode"]["code"], 503);
        assert_eq!(malformed.fields().collect::<Vec<_>>(), ["durationMs", "errorCode"]);
    }
}

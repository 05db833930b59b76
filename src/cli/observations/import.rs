//! `observations import`: a file of observations into Firestore. Invalid lines and repeated ids do
//! not stop the import, and importing the same file again stores nothing twice.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail};
use f0_learning::store::Store;
use f0_learning_core::limits::Limits;
use f0_learning_core::names::check_document_id;
use f0_learning_core::observation::{Malformed, Observation};
use firestore_kit::MAX_BATCH;
use indicatif::ProgressBar;
use serde_json::{Map, Value as Json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::lines::{LineError, next_line};
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
}

type Numbered = (u64, Map<String, Json>);

pub async fn run(store: &Store, path: &Path) -> Result<()> {
    let (reader, bytes): (Box<dyn BufRead>, u64) = if path == Path::new("-") {
        (Box::new(io::stdin().lock()), 0)
    } else {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let bytes = file.metadata()?.len();
        (Box::new(BufReader::with_capacity(1 << 16, file)), bytes)
    };
    let bar = output::progress(bytes, "importing (bytes)");
    let report = import(store, reader, &bar).await?;
    bar.finish_and_clear();
    let Report { lines, created, existing, repeated, refused, malformed } = report;
    let repeated = match repeated {
        0 => String::new(),
        _ => format!(", {repeated} with a repeated id left out"),
    };
    say!(
        "{lines} lines: {created} imported, {existing} existed before{repeated}, {refused} refused"
    );
    if malformed > 0 {
        say!("{malformed} lines have invalid optional fields, which scoring ignores");
    }
    if refused > 0 {
        bail!("{refused} of {lines} lines were refused: see the errors above");
    }
    Ok(())
}

async fn import(store: &Store, mut reader: Box<dyn BufRead>, bar: &ProgressBar) -> Result<Report> {
    let mut report = Report::default();
    let mut ids = Ids::default();
    let archived_before = store.retention_state().await?.archived_before;
    let rules = Rules { archived_before, limits: store.limits().await? };
    let mut batch: Vec<Numbered> = Vec::with_capacity(MAX_BATCH);
    let mut batch_bytes = 0;
    let mut under_way = JoinSet::new();
    let mut in_flight = 0;
    while let Some(line) = next_line(&mut reader).context("cannot read the next line")? {
        report.lines += 1;
        let bytes = line.as_ref().map_or(0, String::len);
        bar.inc(bytes as u64 + 1);
        let number = report.lines;
        match line.and_then(|text| rules.parse(number, &text)) {
            Ok(None) => {}
            Ok(Some((observation, malformed))) => match ids.first_line_of(&observation, number) {
                None => {
                    report.malformed += u64::from(!malformed.is_empty());
                    batch.push((number, observation));
                    batch_bytes += bytes;
                }
                Some(first) => repeated(&mut report, bar, number, &observation, first),
            },
            Err(error) => refuse(&mut report, bar, number, &error),
        }
        if batch.len() == MAX_BATCH || batch_bytes >= BATCH_BYTES {
            while under_way.len() >= IN_FLIGHT
                || (in_flight > 0 && in_flight + batch_bytes > IN_FLIGHT_BYTES)
            {
                in_flight -= finish(under_way.join_next().await, &mut report, bar)?;
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
        finish(Some(outcome), &mut report, bar)?;
    }
    Ok(report)
}

/// The observation of a line, and its invalid optional fields.
type Line = (Map<String, Json>, Malformed);

/// What a line must satisfy.
struct Rules {
    /// Observations before this time are archived: importing them would count them again.
    archived_before: Option<i64>,
    /// Scoring would quarantine observations below these.
    limits: Limits,
}

impl Rules {
    /// The observation of a line, checked by the rules of scoring; `None` for an empty line.
    fn parse(&self, number: u64, text: &str) -> Result<Option<Line>, LineError> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let json: Json =
            serde_json::from_str(text).map_err(|error| LineError::NotJson(error.to_string()))?;
        let Json::Object(mut observation) = json else {
            return Err(LineError::NotObject);
        };
        let id = match observation.get("id") {
            None | Some(Json::Null) => line_id(number, text),
            Some(Json::String(id)) => id.clone(),
            Some(other) => return Err(LineError::IdType(other.clone())),
        };
        check_document_id(&id).map_err(|detail| LineError::Id { id: id.clone(), detail })?;
        observation.insert("id".to_owned(), Json::from(id.as_str()));
        let parsed = Observation::parse(&id, &observation)?;
        parsed.check_archived(self.archived_before)?;
        parsed.within_limits(&self.limits)?;
        Ok(Some((observation, parsed.malformed)))
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
    number: u64,
    observation: &Map<String, Json>,
    first: u64,
) {
    report.repeated += 1;
    let id = id_of(observation);
    bar.suspend(|| complain!("line {number}: left out: id {id} was given before at line {first}"));
}

/// The id of a line without one: the same for the same line of the same file, so that an import
/// that failed can be repeated.
fn line_id(number: u64, text: &str) -> String {
    let name = format!("{number}:{}", text.trim());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
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
) -> Result<usize> {
    let Some(outcome) = outcome else { return Ok(0) };
    let written = outcome?.context("cannot finish the import: run it again to continue")?;
    report.created += written.created;
    report.existing += written.existing;
    for (number, error) in written.refused {
        refuse(report, bar, number, &error);
    }
    Ok(written.bytes)
}

fn refuse(report: &mut Report, bar: &ProgressBar, number: u64, error: &LineError) {
    report.refused += 1;
    bar.suspend(|| complain!("line {number}: refused: {error}"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GOOD: &str = r#"{"ts":1734000000000,"component":"a","outcome":"success","durationMs":1}"#;

    #[test]
    fn a_line_without_id_gets_the_same_one_at_every_import() {
        let id = |number| rules(None).parse(number, GOOD).unwrap().unwrap().0["id"].clone();
        assert_eq!(id(1), id(1));
        assert_ne!(id(1), id(2), "the same line twice is two observations");
    }

    fn rules(archived_before: Option<i64>) -> Rules {
        Rules { archived_before, limits: Limits::default() }
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
        let error = rules(Some(1_734_000_000_001)).parse(1, GOOD).unwrap_err().to_string();
        assert!(error.contains("ts is older than what was archived"), "{error}");
        assert!(rules(Some(1_734_000_000_000)).parse(1, GOOD).is_ok());
    }

    #[test]
    fn an_invalid_line_is_refused_with_its_error() {
        for (line, expected) in [
            ("{", "invalid JSON"),
            ("[1]", "expected a JSON object"),
            (r#"{"id":7}"#, "got 7"),
            (r#"{"id":"a/b"}"#, "slash"),
            (&GOOD.replace("success", "fine"), "outcome"),
            (&GOOD.replace(":1}", r#":1,"sampleRate":"1"}"#), "sampleRate"),
        ] {
            let error = rules(None).parse(1, line).unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
        assert_eq!(rules(None).parse(1, "  "), Ok(None));
    }

    #[test]
    fn a_line_with_an_invalid_optional_field_is_imported_as_it_is() {
        let line = GOOD.replace(":1}", r#":-1,"errorCode":{"code":503}}"#);
        let (observation, malformed) = rules(None).parse(1, &line).unwrap().unwrap();
        assert_eq!(observation["errorCode"]["code"], 503);
        assert_eq!(malformed.fields().collect::<Vec<_>>(), ["durationMs", "errorCode"]);
    }
}

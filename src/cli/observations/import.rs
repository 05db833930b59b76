//! `observations import`: a file of observations into Firestore. Invalid lines do not stop the
//! import, and importing the same file again stores nothing twice.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail};
use f0_learning::store::Store;
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

/// Without a terminal, progress is logged every this many lines.
const LOG_EVERY: u64 = 100_000;

#[derive(Debug, Default)]
struct Report {
    lines: u64,
    created: u64,
    existing: u64,
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
    say!(
        "{} lines: {} imported, {} existed before, {} refused",
        report.lines,
        report.created,
        report.existing,
        report.refused
    );
    if report.malformed > 0 {
        say!("{} lines have invalid optional fields, which scoring ignores", report.malformed);
    }
    if report.refused > 0 {
        bail!("{} of {} lines were refused: see the errors above", report.refused, report.lines);
    }
    Ok(())
}

async fn import(store: &Store, mut reader: Box<dyn BufRead>, bar: &ProgressBar) -> Result<Report> {
    let mut report = Report::default();
    let mut batch: Vec<Numbered> = Vec::with_capacity(MAX_BATCH);
    let mut under_way = JoinSet::new();
    while let Some(line) = next_line(&mut reader).context("cannot read the next line")? {
        report.lines += 1;
        bar.inc(line.as_ref().map_or(0, |text| text.len() as u64 + 1));
        let number = report.lines;
        match line.and_then(|text| parse(number, &text)) {
            Ok(None) => {}
            Ok(Some((observation, malformed))) => {
                report.malformed += u64::from(!malformed.is_empty());
                batch.push((number, observation));
            }
            Err(error) => refuse(&mut report, bar, number, &error),
        }
        if batch.len() == MAX_BATCH {
            if under_way.len() >= IN_FLIGHT {
                finish(under_way.join_next().await, &mut report, bar)?;
            }
            let full = std::mem::replace(&mut batch, Vec::with_capacity(MAX_BATCH));
            under_way.spawn(write(store.clone(), full));
        }
        if bar.is_hidden() && report.lines.is_multiple_of(LOG_EVERY) {
            tracing::info!(lines = report.lines, refused = report.refused, "importing");
        }
    }
    if !batch.is_empty() {
        under_way.spawn(write(store.clone(), batch));
    }
    while let Some(outcome) = under_way.join_next().await {
        finish(Some(outcome), &mut report, bar)?;
    }
    Ok(report)
}

/// The observation of a line, checked by the rules of scoring; `None` for an empty line.
fn parse(number: u64, text: &str) -> Result<Option<(Map<String, Json>, Malformed)>, LineError> {
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
    let malformed = Observation::parse(&id, &observation)?.malformed;
    Ok(Some((observation, malformed)))
}

/// The id of a line without one: the same for the same line of the same file, so that an import
/// that failed can be repeated.
fn line_id(number: u64, text: &str) -> String {
    let name = format!("{number}:{}", text.trim());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

#[derive(Debug)]
struct Written {
    created: u64,
    existing: u64,
    refused: Vec<(u64, LineError)>,
}

async fn write(store: Store, batch: Vec<Numbered>) -> Result<Written> {
    let (numbers, observations): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let outcome = f0_learning_client::create_observations(store.db(), &observations).await?;
    let refused = outcome
        .refused
        .into_iter()
        .map(|(index, status)| (numbers[index], LineError::Refused(status.message().to_owned())))
        .collect();
    Ok(Written { created: outcome.created as u64, existing: outcome.existing as u64, refused })
}

fn finish(
    outcome: Option<Result<Result<Written>, tokio::task::JoinError>>,
    report: &mut Report,
    bar: &ProgressBar,
) -> Result<()> {
    let Some(outcome) = outcome else { return Ok(()) };
    let written = outcome?.context("cannot finish the import: run it again to continue")?;
    report.created += written.created;
    report.existing += written.existing;
    for (number, error) in written.refused {
        refuse(report, bar, number, &error);
    }
    Ok(())
}

fn refuse(report: &mut Report, bar: &ProgressBar, number: u64, error: &LineError) {
    report.refused += 1;
    bar.suspend(|| eprintln!("line {number}: refused: {error}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"ts":1734000000000,"component":"a","outcome":"success","durationMs":1}"#;

    #[test]
    fn a_line_without_id_gets_the_same_one_at_every_import() {
        let id = |number| parse(number, GOOD).unwrap().unwrap().0["id"].clone();
        assert_eq!(id(1), id(1));
        assert_ne!(id(1), id(2), "the same line twice is two observations");
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
            let error = parse(1, line).unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
        assert_eq!(parse(1, "  "), Ok(None));
    }

    #[test]
    fn a_line_with_an_invalid_optional_field_is_imported_as_it_is() {
        let line = GOOD.replace(":1}", r#":-1,"errorCode":{"code":503}}"#);
        let (observation, malformed) = parse(1, &line).unwrap().unwrap();
        assert_eq!(observation["errorCode"]["code"], 503);
        assert_eq!(malformed.fields().collect::<Vec<_>>(), ["durationMs", "errorCode"]);
    }
}

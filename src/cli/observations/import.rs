//! `observations import`: a file of observations into Firestore. Every valid line is stored
//! whatever its neighbours are, and importing the same file again stores nothing twice.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail};
use f0_learning::store::Store;
use f0_learning_core::names::check_document_id;
use f0_learning_core::observation::Observation;
use firestore_kit::MAX_BATCH;
use indicatif::ProgressBar;
use serde_json::{Map, Value as Json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::lines::next_line;
use crate::cli::output;

/// Batches under way at once.
const IN_FLIGHT: usize = 8;

/// A log line tells of progress each time so many lines were read, where there is no terminal.
const LOG_EVERY: u64 = 100_000;

#[derive(Debug, Default)]
struct Report {
    lines: u64,
    created: u64,
    existing: u64,
    refused: u64,
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
        "{} lines: {} imported, {} there before, {} refused",
        report.lines,
        report.created,
        report.existing,
        report.refused
    );
    if report.refused > 0 {
        bail!("{} of {} lines were refused; see above", report.refused, report.lines);
    }
    Ok(())
}

async fn import(store: &Store, mut reader: Box<dyn BufRead>, bar: &ProgressBar) -> Result<Report> {
    let mut report = Report::default();
    let mut batch: Vec<Numbered> = Vec::with_capacity(MAX_BATCH);
    let mut under_way = JoinSet::new();
    while let Some(line) = next_line(&mut reader).context("cannot read on")? {
        report.lines += 1;
        bar.inc(line.as_ref().map_or(0, |text| text.len() as u64 + 1));
        let number = report.lines;
        match line.and_then(|text| parse(number, &text)) {
            Ok(None) => {}
            Ok(Some(observation)) => batch.push((number, observation)),
            Err(problem) => refuse(&mut report, bar, number, &problem),
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

/// An observation from a line, checked by the rules of scoring; `None` for an empty line.
fn parse(number: u64, text: &str) -> Result<Option<Map<String, Json>>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let json: Json = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let Json::Object(mut observation) = json else {
        return Err("not a JSON object".to_owned());
    };
    let id = match observation.get("id") {
        None | Some(Json::Null) => line_id(number, text),
        Some(Json::String(id)) => id.clone(),
        Some(other) => return Err(format!("id is {other}, must be a string")),
    };
    check_document_id(&id).map_err(|error| format!("id {id:?} {error}"))?;
    observation.insert("id".to_owned(), Json::from(id.as_str()));
    Observation::parse(&id, &observation).map_err(|rejection| rejection.to_string())?;
    Ok(Some(observation))
}

/// The id of a line that has none: the same for the same line of the same file, so that an import
/// that broke off can simply be run again.
fn line_id(number: u64, text: &str) -> String {
    let name = format!("{number}:{}", text.trim());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

#[derive(Debug)]
struct Written {
    created: u64,
    existing: u64,
    refused: Vec<(u64, String)>,
}

async fn write(store: Store, batch: Vec<Numbered>) -> Result<Written> {
    let (numbers, observations): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let outcome = f0_learning_client::create_observations(store.db(), &observations).await?;
    let refused = outcome
        .refused
        .into_iter()
        .map(|(index, status)| (numbers[index], status.message().to_owned()))
        .collect();
    Ok(Written { created: outcome.created as u64, existing: outcome.existing as u64, refused })
}

fn finish(
    outcome: Option<Result<Result<Written>, tokio::task::JoinError>>,
    report: &mut Report,
    bar: &ProgressBar,
) -> Result<()> {
    let Some(outcome) = outcome else { return Ok(()) };
    let written = outcome?.context("the import broke off; run it again to go on")?;
    report.created += written.created;
    report.existing += written.existing;
    for (number, problem) in written.refused {
        refuse(report, bar, number, &problem);
    }
    Ok(())
}

fn refuse(report: &mut Report, bar: &ProgressBar, number: u64, problem: &str) {
    report.refused += 1;
    bar.suspend(|| eprintln!("line {number}: refused: {problem}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"ts":1734000000000,"component":"a","outcome":"success","durationMs":1}"#;

    #[test]
    fn a_line_without_id_gets_the_same_one_at_every_import() {
        let id = |number| parse(number, GOOD).unwrap().unwrap()["id"].clone();
        assert_eq!(id(1), id(1));
        assert_ne!(id(1), id(2), "the same line twice is two observations");
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (line, expected) in [
            ("{", "not JSON"),
            ("[1]", "not a JSON object"),
            (r#"{"id":7}"#, "id is 7"),
            (r#"{"id":"a/b"}"#, "slash"),
            (&GOOD.replace("success", "fine"), "outcome"),
            (&GOOD.replace(":1}", ":-1}"), "durationMs"),
        ] {
            let problem = parse(1, line).unwrap_err();
            assert!(problem.contains(expected), "{line}: {problem}");
        }
        assert_eq!(parse(1, "  "), Ok(None));
    }
}

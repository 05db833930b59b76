//! Reading a table: wide (a column an arm) or long (a row for each request and arm).

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use f0_learning_core::observation::{Malformed, Observation, Outcome};
use f0_learning_core::replay::Table;
use f0_learning_core::reward::{RewardConfig, score};
use serde_json::Value;

/// The columns of the long form; the last two may be empty or missing.
const LONG: [&str; 5] = ["request", "arm", "outcome", "durationMs", "costUsd"];

pub fn table(path: &Path, rewards: &RewardConfig) -> Result<Table> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text, rewards).with_context(|| format!("cannot replay {}", path.display()))
}

fn parse(text: &str, rewards: &RewardConfig) -> Result<Table> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        return ndjson(text, rewards);
    }
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
    if header.iter().all(String::is_empty) {
        bail!("line 1: expected a header of arm names, or {}", LONG.join(", "));
    }
    let is_long = LONG[..3].iter().all(|name| header.iter().any(|it| it == name));
    if is_long { long_csv(reader, &header, rewards) } else { wide(reader, header) }
}

type Reader<'a> = csv::Reader<&'a [u8]>;

/// The records with their lines. A record must have a field for each column.
fn records(
    mut reader: Reader<'_>,
    columns: usize,
) -> impl Iterator<Item = Result<(u64, csv::StringRecord)>> {
    let mut record = csv::StringRecord::new();
    std::iter::from_fn(move || match reader.read_record(&mut record) {
        Ok(false) => None,
        Ok(true) => {
            let line = record.position().map_or(0, csv::Position::line);
            Some(match record.len() == columns {
                true => Ok((line, record.clone())),
                false => Err(anyhow!(
                    "line {line}: expected {columns} columns as in the header, got {}",
                    record.len()
                )),
            })
        }
        Err(error) => Some(Err(error.into())),
    })
}

fn wide(reader: Reader<'_>, header: Vec<String>) -> Result<Table> {
    for (at, name) in header.iter().enumerate() {
        ensure!(
            !name.is_empty(),
            "line 1, column {}: expected the name of an arm, got nothing",
            at + 1
        );
        ensure!(
            name.parse::<f64>().is_err(),
            "line 1, column {}: expected the name of an arm, got the number {name}; the first line must be a header",
            at + 1
        );
    }
    let mut rows = Vec::new();
    for record in records(reader, header.len()) {
        let (line, record) = record?;
        let cell = |(at, text): (usize, &str)| -> Result<f64> {
            let value = text.parse::<f64>().ok().filter(|it| (0.0..=1.0).contains(it));
            value.with_context(|| {
                let arm = &header[at];
                format!(
                    "line {line}, column {} ({arm}): expected a reward from 0 to 1, got {text:?}",
                    at + 1
                )
            })
        };
        rows.push(record.iter().enumerate().map(cell).collect::<Result<Vec<f64>>>()?);
    }
    Ok(Table::new(header, rows)?)
}

fn long_csv(reader: Reader<'_>, header: &[String], rewards: &RewardConfig) -> Result<Table> {
    let column = |name: &str| header.iter().position(|it| it == name);
    let columns = LONG.map(column);
    let mut long = Long::default();
    for record in records(reader, header.len()) {
        let (line, record) = record?;
        let text = |at: usize| columns[at].and_then(|it| record.get(it)).unwrap_or_default();
        let place = |at: usize| {
            let column = columns[at].map_or(0, |it| it + 1);
            format!("line {line}, column {column} ({})", LONG[at])
        };
        let number = |at: usize| -> Result<Option<f64>> {
            match text(at) {
                "" => Ok(None),
                text => not_negative(text.parse().ok()).map(Some).with_context(|| {
                    format!("{}: expected a number from 0 on, got {text:?}", place(at))
                }),
            }
        };
        for at in 0..2 {
            ensure!(!text(at).is_empty(), "{}: expected a name, got nothing", place(at));
        }
        let outcome: Outcome = text(2).parse().map_err(|_| {
            anyhow!("{}: expected success, failure or timeout, got {:?}", place(2), text(2))
        })?;
        let reward = reward(rewards, outcome, number(3)?, number(4)?);
        long.add(text(0), text(1), reward).with_context(|| format!("line {line}"))?;
    }
    long.table()
}

fn ndjson(text: &str, rewards: &RewardConfig) -> Result<Table> {
    let mut long = Long::default();
    for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let line = line + 1;
        let row: Value = serde_json::from_str(text).map_err(|error| {
            anyhow!("line {line}, column {}: expected a JSON object: {error}", error.column())
        })?;
        let name = |field: &str| -> Result<String> {
            match &row[field] {
                Value::String(text) if !text.is_empty() => Ok(text.clone()),
                Value::Number(number) => Ok(number.to_string()),
                other => bail!("line {line}, field {field}: expected a name, got {other}"),
            }
        };
        let number = |field: &str| -> Result<Option<f64>> {
            match &row[field] {
                Value::Null => Ok(None),
                other => not_negative(other.as_f64()).map(Some).with_context(|| {
                    format!("line {line}, field {field}: expected a number from 0 on, got {other}")
                }),
            }
        };
        let outcome = row["outcome"].as_str().and_then(|it| it.parse::<Outcome>().ok());
        let outcome = outcome.with_context(|| {
            let found = &row["outcome"];
            format!("line {line}, field outcome: expected success, failure or timeout, got {found}")
        })?;
        let reward = reward(rewards, outcome, number("durationMs")?, number("costUsd")?);
        long.add(&name("request")?, &name("arm")?, reward)
            .with_context(|| format!("line {line}"))?;
    }
    long.table()
}

fn not_negative(number: Option<f64>) -> Option<f64> {
    number.filter(|it| it.is_finite() && *it >= 0.0)
}

fn reward(
    config: &RewardConfig,
    outcome: Outcome,
    duration_ms: Option<f64>,
    cost_usd: Option<f64>,
) -> f64 {
    let observation = Observation {
        id: String::new(),
        ts: 0,
        component: String::new(),
        outcome,
        duration_ms,
        tokens_in: None,
        tokens_out: None,
        cost_usd,
        policy_version: None,
        error_code: None,
        sample_rate: 1.0,
        propensity: None,
        malformed: Malformed::default(),
    };
    score(config, &observation).score
}

/// Rows of the long form, in the order in which requests and arms first appear.
#[derive(Default)]
struct Long {
    requests: HashMap<String, usize>,
    names: Vec<String>,
    arms: Vec<String>,
    /// By request and arm.
    rewards: Vec<Vec<Option<f64>>>,
}

impl Long {
    fn add(&mut self, request: &str, arm: &str, reward: f64) -> Result<()> {
        let arm_at = self.arms.iter().position(|it| it == arm).unwrap_or_else(|| {
            self.arms.push(arm.to_owned());
            self.arms.len() - 1
        });
        let at = *self.requests.entry(request.to_owned()).or_insert_with(|| {
            self.names.push(request.to_owned());
            self.rewards.push(Vec::new());
            self.rewards.len() - 1
        });
        let row = &mut self.rewards[at];
        row.resize(row.len().max(arm_at + 1), None);
        ensure!(
            row[arm_at].replace(reward).is_none(),
            "request {request:?} has a second row for arm {arm:?}: expected one row for each request and arm"
        );
        Ok(())
    }

    fn table(self) -> Result<Table> {
        let Self { names, arms, rewards, .. } = self;
        let complete = |(mut row, request): (Vec<Option<f64>>, String)| -> Result<Vec<f64>> {
            row.resize(arms.len(), None);
            let cell = |(reward, arm): (Option<f64>, &String)| {
                reward.with_context(|| {
                    format!("request {request:?} has no row for arm {arm:?}: expected every arm for every request")
                })
            };
            row.into_iter().zip(&arms).map(cell).collect()
        };
        let rows = rewards.into_iter().zip(names).map(complete).collect::<Result<Vec<_>>>()?;
        Ok(Table::new(arms, rows)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table> {
        parse(text, &RewardConfig::default())
    }

    fn error(text: &str) -> String {
        format!("{:#}", read(text).unwrap_err())
    }

    #[test]
    fn a_wide_table_has_a_column_for_each_arm() {
        let table = read("fast,\"big, slow\"\n0.5,1\n0,0.25\n").unwrap();
        assert_eq!(table.arms(), ["fast", "big, slow"]);
        assert_eq!((table.requests(), table.means()), (2, vec![0.25, 0.625]));
    }

    #[test]
    fn long_csv_and_ndjson_give_the_same_scored_table() {
        let csv = "request,arm,outcome,durationMs,costUsd\n1,a,success,800,0.01\n1,b,failure,100,\n2,b,success,800,0.01\n2,a,timeout,4000,0.01\n";
        let json = r#"{"request":1,"arm":"a","outcome":"success","durationMs":800,"costUsd":0.01}
{"request":1,"arm":"b","outcome":"failure","durationMs":100}
{"request":2,"arm":"b","outcome":"success","durationMs":800,"costUsd":0.01}

{"request":2,"arm":"a","outcome":"timeout","durationMs":4000,"costUsd":0.01}
"#;
        let (csv, json) = (read(csv).unwrap(), read(json).unwrap());
        assert_eq!(csv, json);
        assert_eq!((csv.requests(), csv.arms().len()), (2, 2));
        assert!((csv.means()[0] - 0.78 / 2.0).abs() < 0.05, "{:?}", csv.means());
    }

    #[test]
    fn errors_name_line_column_and_what_was_expected() {
        assert_eq!(
            error("a,b\n0.5,1\n0.5,1.5\n"),
            "line 3, column 2 (b): expected a reward from 0 to 1, got \"1.5\""
        );
        assert_eq!(error("a,b\n0.5\n"), "line 2: expected 2 columns as in the header, got 1");
        assert!(
            error("0.5,1\n0.2,0.1\n").starts_with("line 1, column 1: expected the name of an arm")
        );
        assert!(error("").starts_with("line 1: expected a header"));
        let long = "request,arm,outcome\n1,a,success\n";
        assert_eq!(
            error(&format!("{long}1,b,maybe\n")),
            "line 3, column 3 (outcome): expected success, failure or timeout, got \"maybe\""
        );
        assert!(error(&format!("{long}1,a,failure\n")).contains("second row for arm \"a\""));
        assert!(
            error(&format!("{long}1,b,failure\n2,a,success\n"))
                .contains("request \"2\" has no row for arm \"b\"")
        );
        assert!(error("{\"request\": 1,\n").starts_with("line 1, column "));
        assert_eq!(
            error(r#"{"request": "1", "arm": "a", "outcome": "success", "durationMs": -1}"#),
            "line 1, field durationMs: expected a number from 0 on, got -1"
        );
    }
}

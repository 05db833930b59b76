//! Converts the Azure LLM inference trace of 2023 into observations, one JSON object per line:
//!
//!     cargo run --release --example azure_trace > trace.ndjson
//!     cargo run --release -- observations import trace.ndjson
//!
//! The trace has arrival times and token counts of requests to two services. The other fields of an
//! observation are **derived** here, not measured:
//!
//! - `component` is `llm:code` or `llm:conv`, by the name of the file;
//! - `durationMs` is `PREFILL_MS_A_TOKEN` for each context token and `DECODE_MS_A_TOKEN` for each
//!   generated one, orders of magnitude as the paper reports them for a large model;
//! - `costUsd` is computed from assumed prices per token;
//! - `outcome` is `timeout` where the derived duration exceeds `TIMEOUT_MS`, otherwise `success`.
//!
//! With `--router` the requests are spread over the arms of `router-core` by its seed weights, as if
//! a router had served the trace: the component is `router:ARM`, and duration and cost are
//! multiplied by factors of the arm ([`ARMS`]), so that the tune job has a difference to learn.
//!
//! Times are shifted so that the last request arrives now, because statistics look back from now;
//! `--ending-at MS` ends the trace at another time, `--ending-at original` keeps the times. Ids are
//! derived from file and line, so that importing the trace again stores nothing twice.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::NaiveDateTime;
use serde_json::{Value, json};
use uuid::Uuid;

const PREFILL_MS_A_TOKEN: f64 = 0.25;
const DECODE_MS_A_TOKEN: f64 = 30.0;
const USD_A_CONTEXT_TOKEN: f64 = 2.5e-6;
const USD_A_GENERATED_TOKEN: f64 = 10.0e-6;
/// A plausible limit of a router for one answer.
const TIMEOUT_MS: f64 = 20_000.0;

const BUNDLED: [&str; 2] = ["AzureLLMInferenceTrace_code.csv", "AzureLLMInferenceTrace_conv.csv"];

/// The version whose weights the shares of [`ARMS`] are: the tuner compares arms within versions.
const SEEDED_VERSION: &str = "router-core@1.0.0";

/// An arm of `router-core`: its share of requests, and its factors of duration and cost.
struct Arm {
    name: &'static str,
    share: f64,
    duration: f64,
    cost: f64,
}

/// Shares are the seed weights; the factors are invented.
const ARMS: [Arm; 3] = [
    Arm { name: "gpt-5", share: 0.6, duration: 1.0, cost: 1.0 },
    Arm { name: "gemini", share: 0.25, duration: 0.4, cost: 0.5 },
    Arm { name: "claude", share: 0.15, duration: 0.7, cost: 0.8 },
];

/// One line of the trace.
#[derive(Debug, PartialEq)]
struct Request {
    line: usize,
    /// Epoch milliseconds, rounded down from the trace's 100 ns.
    ts: i64,
    context_tokens: u32,
    generated_tokens: u32,
}

#[derive(Debug, PartialEq)]
enum End {
    Original,
    At(i64),
}

#[derive(Debug)]
struct Options {
    end: End,
    router: bool,
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let options = arguments(std::env::args().skip(1))?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for observation in convert(options)? {
        writeln!(out, "{observation}").map_err(|error| format!("cannot write: {error}"))?;
    }
    out.flush().map_err(|error| format!("cannot write: {error}"))
}

/// The observations of the files, or of the bundled ones if none are named.
fn convert(options: Options) -> Result<Vec<Value>, String> {
    let Options { end, router, mut files } = options;
    if files.is_empty() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/azure-llm-2023");
        files.extend(BUNDLED.map(|name| folder.join(name)));
    }
    let mut requests = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        requests.extend(read(file, &text).into_iter().map(|request| (file, request)));
    }
    let last = requests.iter().map(|(_, request)| request.ts).max();
    let shift = match (end, last) {
        (End::At(end), Some(last)) => end - last,
        _ => 0,
    };
    let observations =
        requests.iter().map(|(file, request)| observation(file, request, shift, router));
    Ok(observations.collect())
}

/// The bundled trace as requests to a router, the last of which arrives at `end`.
pub fn bundled_router_trace(end: i64) -> Result<Vec<Value>, String> {
    convert(Options { end: End::At(end), router: true, files: Vec::new() })
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut end = End::At(now());
    let mut files = Vec::new();
    let mut router = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--ending-at" => end = parse_end(&words.next().unwrap_or_default())?,
            "--router" => router = true,
            option if option.starts_with('-') => {
                return Err(format!(
                    "unknown option {option}; usage: azure_trace [--router] \
                     [--ending-at MS|now|original] [FILE.csv...]"
                ));
            }
            file => files.push(PathBuf::from(file)),
        }
    }
    Ok(Options { end, router, files })
}

fn now() -> i64 {
    f0_learning_core::Clock::system().now()
}

fn parse_end(word: &str) -> Result<End, String> {
    match word {
        "original" => Ok(End::Original),
        "now" => Ok(End::At(now())),
        other => other.parse().map(End::At).map_err(|_| {
            format!("invalid --ending-at {other:?}: expected now, original or epoch milliseconds")
        }),
    }
}

/// The requests of a file. An invalid line is reported and skipped.
fn read(file: &Path, text: &str) -> Vec<Request> {
    let mut requests = Vec::new();
    for (index, line) in text.lines().enumerate().skip(1) {
        match parse(index + 1, line) {
            Ok(request) => requests.push(request),
            Err(problem) => eprintln!("{}:{}: skipped: {problem}", file.display(), index + 1),
        }
    }
    requests
}

fn parse(line: usize, text: &str) -> Result<Request, String> {
    let fields: Vec<_> = text.split(',').collect();
    let [time, context, generated] = fields[..] else {
        return Err(format!("expected 3 fields, got {}", fields.len()));
    };
    let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.f")
        .map_err(|error| format!("invalid time {time:?}: {error}"))?;
    let tokens =
        |text: &str| text.trim().parse().map_err(|_| format!("invalid number of tokens {text:?}"));
    Ok(Request {
        line,
        ts: time.and_utc().timestamp_millis(),
        context_tokens: tokens(context)?,
        generated_tokens: tokens(generated)?,
    })
}

fn observation(file: &Path, request: &Request, shift: i64, router: bool) -> Value {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let service = if name.contains("code") { "code" } else { "conv" };
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{name}:{}", request.line).as_bytes());
    let arm = router.then(|| arm_of(id));
    let (slower, dearer) = arm.map_or((1.0, 1.0), |arm| (arm.duration, arm.cost));
    let component =
        arm.map_or_else(|| format!("llm:{service}"), |arm| format!("router:{}", arm.name));
    let (context, generated) =
        (f64::from(request.context_tokens), f64::from(request.generated_tokens));
    let duration = context * PREFILL_MS_A_TOKEN + generated * DECODE_MS_A_TOKEN;
    let duration = (duration * slower).round();
    let cost = context * USD_A_CONTEXT_TOKEN + generated * USD_A_GENERATED_TOKEN;
    json!({
        "id": id.to_string(),
        "ts": request.ts + shift,
        "component": component,
        "outcome": if duration > TIMEOUT_MS { "timeout" } else { "success" },
        "durationMs": duration.min(TIMEOUT_MS),
        "tokensIn": request.context_tokens,
        "tokensOut": request.generated_tokens,
        "costUsd": cost * dearer,
        "policyVersion": router.then_some(SEEDED_VERSION),
    })
}

/// The arm that serves a request. The id serves as a random number that is the same on every run.
#[expect(clippy::cast_precision_loss, reason = "a draw needs no more digits than a float has")]
fn arm_of(id: Uuid) -> &'static Arm {
    let mut left = (id.as_u128() >> 64) as f64 / 2_f64.powi(64);
    let chosen = ARMS.iter().find(|arm| {
        left -= arm.share;
        left < 0.0
    });
    chosen.unwrap_or(&ARMS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_trace_becomes_an_observation() {
        let request = parse(2, "2023-11-16 18:17:03.9799600,4808,10").unwrap();
        assert_eq!(request.ts, 1_700_158_623_979);
        let made = observation(Path::new("x_code.csv"), &request, 1_000, false);
        assert_eq!(made["component"], "llm:code");
        assert_eq!(made["ts"], 1_700_158_624_979_i64);
        assert_eq!(made["durationMs"], 1_502.0);
        assert_eq!(made["outcome"], "success");
        assert_eq!(made, observation(Path::new("x_code.csv"), &request, 1_000, false));
    }

    #[test]
    fn an_invalid_line_is_an_error() {
        for line in ["", "2023-11-16 18:17:03,1", "yesterday,1,2", "2023-11-16 18:17:03.1,-1,2"] {
            assert!(parse(2, line).is_err(), "{line}");
        }
    }

    #[test]
    fn every_line_of_the_bundled_trace_is_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/azure-llm-2023");
        let counts = BUNDLED.map(|name| {
            let file = folder.join(name);
            read(&file, &std::fs::read_to_string(&file).unwrap()).len()
        });
        assert_eq!(counts, [8_819, 19_366]);
    }
}

//! What stands in pages for something else, and the commands that cannot run here.

/// What replaces a word of a page.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    Text(&'static str),
    Project,
    /// The address of the local Firestore, of its meter, and of the service.
    Firestore,
    Meter,
    Service,
    /// The id of the latest experiment, and of an observation in quarantine.
    Experiment,
    Quarantined,
    /// The state of `config/tuning`, as `GET /ops/config/tuning` names it.
    Seen,
}

/// Page (empty for all), word, and what replaces it. A word ends where no letter, digit or `_` follows.
pub const PLACEHOLDERS: &[(&str, &str, Value)] = &[
    ("", "PROJECT", Value::Project),
    ("", "127.0.0.1:8080", Value::Firestore),
    ("", "127.0.0.1:8081", Value::Meter),
    ("", "127.0.0.1:8788", Value::Service),
    ("docs/api.md", "1780000000.123456000", Value::Seen),
    ("docs/evidence.md", "router-core@1.0.2", Value::Text("router-core@1.0.1")),
    ("docs/experiments.md", "router-core@1.0.3", Value::Text("router-core@1.0.1")),
    ("docs/experiments.md", "ID", Value::Experiment),
    ("docs/operations.md", "0b7c...", Value::Quarantined),
    // Two weeks of a laboratory take too long in a build for tests.
    ("docs/laboratory.md", "--days 14", Value::Text("--days 1")),
];

/// Where a file that a page names comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// A file of the repository.
    File(&'static str),
    /// The first JSON that the page prints.
    Json,
    Text(&'static str),
    /// The bundled trace, as the example `azure_trace` converts it.
    Trace,
}

/// Page, name of a file that its commands read, and what it contains.
pub const FILES: &[(&str, &str, Source)] = &[
    (
        "docs/import.md",
        "observations.ndjson",
        Source::Text(
            "{\"id\": \"o-1\", \"ts\": 1795168800000, \"component\": \"router:gpt-5\", \
             \"outcome\": \"success\", \"durationMs\": 120}\n",
        ),
    ),
    ("docs/import.md", "spend_logs.json", Source::File("tests/it/exports/spend_logs.json")),
    ("docs/import.md", "mapping.json", Source::Json),
    (
        "docs/import.md",
        "requests.csv",
        Source::Text(
            "event,kind,route.provider,at,took,elapsed_ms,result,reason\n\
             e1,payment,alpha,2026-11-28T10:00:00Z,120,,PAID,\n\
             e2,payment,beta,2026-11-28T10:00:01Z,,80,503,busy\n\
             e3,refund,beta,2026-11-28T10:00:02Z,70,,PAID,\n",
        ),
    ),
    (
        "docs/laboratory.md",
        "rewards.csv",
        Source::Text("best,median,worst\n0.9,0.7,0.4\n0.8,0.7,0.5\n0.9,0.6,0.5\n0.8,0.6,0.4\n"),
    ),
    ("docs/operations.md", "plan.json", Source::Json),
    ("docs/terminal.md", "tuning.json", Source::File("config/tuning.json")),
    (
        "docs/terminal.md",
        "reward_config.json",
        Source::Text(
            r#"{ "version": "2", "baseline": 0.25,
            "weights": { "latency": 0.3, "cost": 0.2, "success": 0.6, "error": 0.6 },
            "bounds": { "maxLatencyMs": 4000, "maxCostUsd": 0.1 },
            "thresholds": { "minAcceptable": 0.55, "retrain": 0.4 } }"#,
        ),
    ),
    (
        "docs/terminal.md",
        "ranker.json",
        Source::Text(
            r#"{ "id": "ranker", "params": { "modelWeights": { "bm25": 0.5, "dense": 0.5 } } }"#,
        ),
    ),
    ("docs/trace.md", "trace.ndjson", Source::Trace),
    (
        "crates/firestore-local/README.md",
        "cases.jsonl",
        Source::File("tests/rules/firestore.jsonl"),
    ),
];

/// The beginnings of lines that are not run, and why. They are checked with `bash -n`.
pub const NOT_RUN: &[(&str, &str)] = &[
    ("gcloud ", "needs a project of Google Cloud"),
    ("firebase deploy", "needs a project of Google Cloud"),
    ("openssl rand -hex 32 | tr -d '\\n' | gcloud ", "needs a project of Google Cloud"),
    ("docker ", "needs Docker and a registry; .ci/image builds and runs the image"),
    ("terraform ", "needs a project of Google Cloud; .ci/terraform checks the files"),
    ("for policy in cloud/*.json", "needs a project of Google Cloud"),
    ("cd deploy/monitoring && prometheus", ".ci/monitoring runs it with a real Prometheus"),
    ("git ", "publishes a release"),
    ("gh attestation", "needs a published release"),
    ("sha256sum ", "needs a published release"),
    ("python3 .ci/release.py", "needs Python; .ci/run checks the same versions"),
    ("cargo test", "runs these tests"),
    (
        "firestore-local rules mutate",
        "takes minutes in a build for tests; .ci/rules-mutations runs it",
    ),
    (
        "cargo run --release --example azure_trace",
        "tests cannot build; the file is made by the same code",
    ),
];

/// The beginnings of lines that are run.
pub const RUN: &[&str] = &["f0-learning ", "cargo run ", "firestore-local ", "curl ", "mkdir "];

/// What asks before a change; a person answers `y`.
pub const ASKS: &[&str] = &["policies activate ", "policies create ", "config set "];

/// Beginnings of commands that run until Ctrl-C: what gives them ports of their own, and what they print when
/// they run.
pub const UNTIL_STOPPED: &[(&str, &str, &str)] = &[
    ("dev", "--firestore-addr 127.0.0.1:0 --port 0", "press Ctrl-C to stop"),
    ("firestore", "--addr 127.0.0.1:0", "listens on"),
    ("serve", "--port 0", "serving"),
];

/// The first lines of samples that another check compares, and which.
pub const SAMPLES_ELSEWHERE: &[(&str, &str)] =
    &[("Act 2 of 7: the service proposes a better version", ".ci/demo waits for each act")];

/// What the shell of a reader has: the binary for `cargo run`, and the answers of a project for `gcloud`.
pub const SHELL: &str = r#"
set -o pipefail
cargo() { while [[ $# -gt 0 && $1 != -- ]]; do shift; done; shift; f0-learning "$@"; }
firestore-local() {
  [[ "$*" != meter ]] || set -- meter --addr "$METER"
  f0-learning firestore "$@"
}
curl() { command curl --silent --show-error --fail-with-body "$@"; }
gcloud() {
  case "$*" in
    "run services describe"*) echo "http://$SERVICE" ;;
    "secrets versions access"*) echo "$ADMIN_TOKEN" ;;
    "auth print-identity-token"*) echo "an identity token" ;;
    *) return 1 ;;
  esac
}
"#;

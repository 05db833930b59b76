//! `observations import` of what other tools export.

use std::path::PathBuf;
use std::process::Output;

use f0_learning::store::Store;
use serde_json::{Map, Value, json};

use crate::support::process::{run_on, text};
use crate::support::seeded_store;

fn sample(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/exports");
    folder.join(name).to_str().unwrap().to_owned()
}

async fn import(store: &Store, file: &str, more: &[&str]) -> Output {
    let file = sample(file);
    let arguments: Vec<&str> =
        ["observations", "import", &file].into_iter().chain(more.iter().copied()).collect();
    run_on(store, &arguments, &[]).await
}

async fn stored(store: &Store) -> Vec<Map<String, Value>> {
    let mut all = store.latest_observations(None, 50).await.unwrap();
    all.sort_by_key(|it| it["ts"].as_i64());
    all
}

/// Imports a sample into an empty store, and returns what is stored.
async fn imported(file: &str, more: &[&str], said: &str) -> Vec<Value> {
    let store = seeded_store().await;
    let first = import(&store, file, more).await;
    assert!(first.status.success(), "{file}: {}", text(&first.stderr));
    assert!(text(&first.stdout).contains(said), "{file}: {}", text(&first.stdout));
    let once = stored(&store).await;
    let again = import(&store, file, more).await;
    assert!(text(&again.stdout).contains(" 0 imported"), "{file}: {}", text(&again.stdout));
    assert_eq!(stored(&store).await, once, "{file}");
    once.into_iter().map(Value::Object).collect()
}

#[tokio::test]
async fn exports_of_other_tools_become_observations_by_their_profile() {
    let spend = imported("spend_logs.json", &["--profile", "litellm"], "2 imported").await;
    assert_eq!(
        spend,
        [
            json!({"id": "chatcmpl-a1", "ts": 1_795_168_800_000_i64, "component": "router:gpt-5",
                "outcome": "success", "durationMs": 1_250, "tokensIn": 300, "tokensOut": 120,
                "costUsd": 0.00231}),
            json!({"id": "chatcmpl-a2", "ts": 1_795_168_805_000_i64, "component": "router:claude",
                "outcome": "failure", "durationMs": 30_000, "tokensIn": 0, "tokensOut": 0,
                "costUsd": 0.0, "errorCode": "529"}),
        ]
    );
    let logged = imported("standard_logging.jsonl", &["--profile", "litellm"], "2 imported").await;
    assert_eq!(logged[0]["component"], "router:gemini-2");
    assert_eq!(
        (&logged[0]["ts"], &logged[0]["durationMs"]),
        (&json!(1_795_168_800_250_i64), &json!(1_750))
    );
    assert_eq!(logged[1]["errorCode"], "429");

    let said = "2 imported, 0 existed before, 1 left out by the mapping";
    let traced = imported("langfuse.json", &["--profile", "langfuse"], said).await;
    assert_eq!(
        traced[0],
        json!({"id": "obs-1", "ts": 1_795_168_860_000_i64, "component": "router:gpt-5",
            "outcome": "success", "durationMs": 2_500, "tokensIn": 310, "tokensOut": 95, "costUsd": 0.003})
    );
    assert_eq!(
        (&traced[1]["outcome"], &traced[1]["errorCode"]),
        (&json!("failure"), &json!("overloaded"))
    );
    let blob = imported("langfuse_blob.jsonl", &["--profile", "langfuse"], "1 imported").await;
    assert_eq!(
        (&blob[0]["component"], &blob[0]["durationMs"]),
        (&json!("router:gemini"), &json!(1_000))
    );

    let requests = imported("helicone.csv", &["--profile", "helicone"], "3 imported").await;
    let outcomes: Vec<_> = requests.iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["success", "timeout", "failure"]);
    assert_eq!(
        (&requests[0]["durationMs"], &requests[0]["costUsd"]),
        (&json!(1_100), &json!(0.0015))
    );
    assert_eq!(requests[1].get("costUsd"), None);
}

#[tokio::test]
async fn spans_and_tables_are_imported_and_what_does_not_fit_is_refused_with_its_number() {
    let store = seeded_store().await;
    let spans = import(&store, "traces.jsonl", &["--profile", "otlp"]).await;
    assert!(!spans.status.success(), "a span without a model is refused");
    let expected = "record 3: refused: invalid component: the record has no model";
    assert!(text(&spans.stderr).contains(expected), "{}", text(&spans.stderr));
    let found = stored(&store).await;
    assert_eq!(
        found.into_iter().map(Value::Object).collect::<Vec<_>>(),
        [
            json!({"id": "eee19b7ec3c1b174", "ts": 1_795_168_900_000_i64, "component": "router:gpt-5",
                "outcome": "success", "durationMs": 750, "tokensIn": 97, "tokensOut": 33}),
            json!({"id": "eee19b7ec3c1b175", "ts": 1_795_168_901_000_i64, "component": "router:claude",
                "outcome": "timeout", "durationMs": 30_000, "errorCode": "timeout"}),
        ]
    );
    let store = seeded_store().await;
    let table = import(&store, "plain.csv", &["--profile", "csv"]).await;
    let expected = "line 4: refused: unknown status: status_code is \"301\"";
    assert!(text(&table.stderr).contains(expected), "{}", text(&table.stderr));
    assert_eq!(stored(&store).await.len(), 2);
}

#[tokio::test]
async fn a_mapping_file_is_applied_and_a_dry_run_shows_it_and_writes_nothing() {
    let store = seeded_store().await;
    let mapping = sample("mapping.json");
    let dry = import(&store, "own.ndjson", &["--mapping", &mapping, "--dry-run"]).await;
    let shown = text(&dry.stdout);
    for expected in [
        "pay:{route.provider}",
        "pay:north",
        "invalid at: expected a time",
        "dry run: 2 would be imported, 1 refused; nothing was written",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!dry.status.success(), "one record would be refused");
    assert!(stored(&store).await.is_empty());
    let more = ["--mapping", &mapping, "--component", "pay:{result}"];
    let done = import(&store, "own.ndjson", &more).await;
    assert!(text(&done.stdout).contains("2 imported"), "{}", text(&done.stdout));
    let components: Vec<_> = stored(&store)
        .await
        .iter()
        .map(|it| it["component"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(components, ["pay:PAID", "pay:DECLINED"]);
}

#[tokio::test]
async fn a_wrong_profile_mapping_or_file_is_an_error_in_one_line() {
    let store = seeded_store().await;
    let mapping = sample("own.ndjson");
    for (file, more, expected) in [
        ("own.ndjson", &["--mapping", &mapping][..], "invalid mapping: "),
        ("own.ndjson", &["--component", "c"][..], "pass --profile or --mapping"),
        ("missing.csv", &["--profile", "csv"][..], "cannot open "),
        (
            "plain.csv",
            &["--profile", "splunk"][..],
            "expected csv, litellm, langfuse, helicone or otlp",
        ),
    ] {
        let output = import(&store, file, more).await;
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(expected), "{file}: {}", text(&output.stderr));
    }
    assert!(stored(&store).await.is_empty());
}

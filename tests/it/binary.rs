//! The built binary, run as a user or Cloud Run runs it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use f0_learning::store::Store;
use f0_learning_core::sharding::Shard;
use f0_learning_core::stats::Window;
use firestore_kit::Connection;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::support::process::{
    BINARY, Running, Serve, environment, firestore, run, text, wait_for, wait_until,
};
use crate::support::seeded_store;

const EACH_SECOND: &str = "* * * * * *";

/// How long Cloud Run waits after SIGTERM before it sends SIGKILL.
const CLOUD_RUN_GRACE: Duration = Duration::from_secs(10);

fn now() -> i64 {
    f0_learning_core::Clock::system().now()
}

/// Writes valid observations of ten components, 10 ms apart; the last is a minute old.
fn write_file(path: &Path, observations: u32) {
    let mut file = std::fs::File::create(path).unwrap();
    for n in 0..observations {
        let line = json!({
            "id": format!("o{n:06}"),
            "ts": now() - 60_000 - i64::from(observations - n) * 10,
            "component": format!("c{}", n % 10),
            "outcome": "success",
            "durationMs": n % 1_000,
        });
        writeln!(file, "{line}").unwrap();
    }
}

/// Imports a file of which every line must be valid.
fn import(path: &Path, address: &str) {
    let environment = [("FIRESTORE_EMULATOR_HOST", address)];
    let imported = run(&["observations", "import", path.to_str().unwrap()], &environment);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
}

/// The response to a GET: status line, headers and body.
fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn is_ok(answer: &str) -> bool {
    answer.starts_with("HTTP/1.0 200")
}

#[test]
fn a_missing_project_is_a_one_line_error_that_names_the_variable() {
    for command in [&["serve"][..], &["score"], &["policies", "list"]] {
        let output = run(command, &[]);
        assert!(!output.status.success());
        let error = text(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains("GOOGLE_CLOUD_PROJECT"), "{error}");
    }
}

#[test]
fn reading_commands_print_tables_and_json() {
    let server = firestore();
    let address = server.address();
    let environment = [("FIRESTORE_EMULATOR_HOST", address.as_str())];
    assert!(run(&["seed"], &environment).status.success());
    let flag = ["flags", "set", "learning.enabled=false", "--reason", "night", "--actor", "ada"];
    assert!(run(&flag, &environment).status.success());
    for (command, expected) in [
        (&["policies", "list"][..], "router-core"),
        (&["policies", "show", "router-core"], "gpt-5"),
        (&["policies", "show", "router-core@1.0.0"], "gpt-5"),
        (&["flags", "get"], "enabled"),
        (&["audit", "--action", "flags"], "ada"),
        (&["stats"], ""),
        (&["observations", "list"], ""),
    ] {
        let output = run(command, &environment);
        assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(expected), "{command:?}");
        let output = run(&[command, &["--json"]].concat(), &environment);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(json.to_string().contains(expected), "{command:?}");
    }
    assert!(text(&run(&["tune"], &environment).stdout).contains("tuning disabled"));
    for command in [
        &["policies", "show", "unknown"][..],
        &["policies", "show", "router-core@1.x"],
        &["policies", "list", "--status", "odd"],
        &["flags", "set", "learning.other=true"],
        &["flags", "set", "learning.enabled=perhaps"],
        &["observations", "import", "/nowhere/at/all.ndjson"],
    ] {
        let output = run(command, &environment);
        assert!(!output.status.success(), "{command:?}");
        assert!(!text(&output.stderr).contains("panicked"), "{command:?}");
    }
}

#[test]
fn import_stores_every_valid_line_and_reports_every_invalid_one() {
    let server = firestore();
    let address = server.address();
    let environment = [("FIRESTORE_EMULATOR_HOST", address.as_str())];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mixed.ndjson");
    write_file(&path, 700);
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"broken\n\n[1]\n{\"component\":\"\"}\n\xff\xfe\n").unwrap();
    let huge = json!({
        "id": "huge", "ts": now(), "component": "c", "outcome": "success", "durationMs": 1,
        "meta": "x".repeat(2_000_000),
    });
    writeln!(file, "{huge}").unwrap();
    let good = json!({
        "ts": now(), "component": "c", "outcome": "timeout", "durationMs": 1.5, "sampleRate": 0.5,
    });
    writeln!(file, "{good}").unwrap();
    drop(file);

    let path = path.to_str().unwrap();
    let output = run(&["observations", "import", path], &environment);
    assert!(!output.status.success(), "a refused line must fail the command");
    assert!(text(&output.stdout).contains("707 lines: 701 imported, 0 existed before, 5 refused"));
    for line in [701, 703, 704, 705, 706] {
        let expected = format!("line {line}: refused: ");
        assert!(text(&output.stderr).contains(&expected), "{}", text(&output.stderr));
    }
    let again = run(&["observations", "import", path], &environment);
    assert!(
        text(&again.stdout).contains("0 imported, 701 existed before"),
        "{}",
        text(&again.stdout)
    );
}

#[test]
fn a_repeated_id_is_reported_by_line_and_every_other_line_is_imported() {
    let server = firestore();
    let address = server.address();
    let environment = [("FIRESTORE_EMULATOR_HOST", address.as_str())];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("repeated.ndjson");
    let mut file = std::fs::File::create(&path).unwrap();
    for line in 1..=1_200 {
        // Lines 4 and 812 have the id of line 3, and differ in content.
        let id = if matches!(line, 4 | 812) { 3 } else { line };
        let observation = json!({
            "id": format!("o{id}"), "ts": now() - line, "component": "c", "outcome": "success",
            "durationMs": line,
        });
        writeln!(file, "{observation}").unwrap();
    }
    drop(file);
    let output = run(&["observations", "import", path.to_str().unwrap()], &environment);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let expected = "1200 lines: 1198 imported, 0 existed before, 2 with a repeated id left out, \
                    0 refused";
    assert!(stdout.contains(expected), "{stdout}");
    for line in [4, 812] {
        let expected = format!("line {line}: left out: id o3 was given before at line 3");
        assert!(stderr.contains(&expected), "{stderr}");
    }
    let listed = run(&["observations", "list", "--limit", "2000", "--json"], &environment);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&text(&listed.stdout)).unwrap();
    assert_eq!(listed.len(), 1_198);
    let third = listed.iter().find(|it| it["id"] == "o3").unwrap();
    assert_eq!(third["durationMs"], 3, "the first line with an id is the one that is imported");
}

#[test]
fn serve_answers_on_its_port_and_stops_in_time_on_sigterm() {
    let server = firestore();
    let environment = [("SCORE_CRON", EACH_SECOND)];
    let serve = Serve::start(&server.address(), &[], &environment, Stdio::null());
    wait_for("/healthz with 200", || get(&serve.address, "/healthz").filter(|it| is_ok(it)));
    wait_for("/readyz with 200", || get(&serve.address, "/readyz").filter(|it| is_ok(it)));
    let (status, took) = serve.stop();
    assert!(status.success(), "{status}");
    assert!(took < CLOUD_RUN_GRACE, "Cloud Run would have killed it after {took:?}");
}

#[test]
fn serve_is_not_ready_while_firestore_is_unreachable() {
    let serve = Serve::start("127.0.0.1:1", &[], &[], Stdio::null());
    let answer = wait_for("an answer of /readyz", || get(&serve.address, "/readyz"));
    assert!(answer.starts_with("HTTP/1.0 503"), "{answer}");
    assert!(serve.stop().0.success());
}

/// Stops `serve` at random moments of its passes, five times on the same data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_during_a_pass_stops_serve_in_time_and_loses_nothing() {
    const OBSERVATIONS: u32 = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("observations.ndjson");
    write_file(&path, OBSERVATIONS);
    let server = firestore();
    let address = server.address();
    import(&path, &address);
    let mut rng = StdRng::seed_from_u64(9);
    for _ in 0..5 {
        let arguments = [
            &["--port", "0", "--lease-seconds", "1", "--settle-ms", "0"][..],
            &["--score-cron", EACH_SECOND, "--reconcile-cron", EACH_SECOND],
            &["--tune-cron", EACH_SECOND, "--guard-cron", EACH_SECOND],
        ];
        let serve = Serve::start(&address, &arguments.concat(), &[], Stdio::null());
        std::thread::sleep(Duration::from_millis(rng.random_range(200..2_500)));
        let (status, took) = serve.stop();
        assert!(status.success(), "{status}");
        assert!(took < CLOUD_RUN_GRACE, "Cloud Run would have killed it after {took:?}");
    }
    let environment = [("FIRESTORE_EMULATOR_HOST", address.as_str())];
    assert!(run(&["score", "--settle-ms", "0"], &environment).status.success());
    let store = Store::connect(&Connection::local("demo-f0", address)).await.unwrap();
    assert_eq!(store.counts().await.unwrap(), (u64::from(OBSERVATIONS), 0));
    let all = store.all_stats(None).await.unwrap();
    let week = all.iter().filter(|stats| stats.window == Window::SevenDays);
    assert_eq!(week.map(|stats| stats.stats.n).sum::<u64>(), u64::from(OBSERVATIONS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_logs_a_permission_error_in_one_line_and_becomes_ready_once_access_is_granted() {
    use firestore_local::{Fault, FaultCode, Plan, Rule};
    let refuse = Fault::Refuse { code: FaultCode::PermissionDenied };
    let plan = Plan { rules: vec![Rule::always(refuse)], ..Plan::none() };
    let server = crate::support::server().faults(plan).start().await.unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let environment = [("RUST_LOG", "error")];
    let firestore = server.addr().to_string();
    let serve = Serve::start(&firestore, &[], &environment, log.reopen().unwrap());
    let logged = || std::fs::read_to_string(log.path()).unwrap();
    wait_for("the line", || logged().contains("cannot use Firestore; retrying").then_some(()));
    let line = logged().lines().next().unwrap().to_owned();
    assert!(line.to_lowercase().contains("permission"), "{line}");
    let answer = wait_for("an answer of /readyz", || get(&serve.address, "/readyz"));
    assert!(answer.starts_with("HTTP/1.0 503"), "{answer}");
    server.set_faults(Plan::none());
    wait_for("/readyz with 200", || get(&serve.address, "/readyz").filter(|it| is_ok(it)));
    assert!(serve.stop().0.success());
}

/// Kills `dev --data` at random moments of scoring, six times on the same data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_killed_while_scoring_loses_nothing_and_counts_nothing_twice() {
    const OBSERVATIONS: u32 = 6_000;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let path = folder.path().join("observations.ndjson");
    write_file(&path, OBSERVATIONS);
    let dev = || {
        Running::start(
            &["dev", "--data", data, "--firestore-addr", "127.0.0.1:0", "--port", "0"],
            &[],
        )
    };
    // The observations are stored before the first `dev` scores.
    let arguments = ["firestore", "--addr", "127.0.0.1:0", "--data", data];
    let server = Running::start(&arguments, &[]);
    import(&path, &server.address());
    server.kill();

    let mut rng = StdRng::seed_from_u64(4);
    for _ in 0..6 {
        let running = dev();
        // The first pass begins within two seconds and lasts about one.
        std::thread::sleep(Duration::from_millis(rng.random_range(300..3_000)));
        running.kill();
    }
    let running = dev();
    let store = Store::connect(&Connection::local("demo-f0", running.address())).await.unwrap();
    wait_until("the end of scoring", async || {
        store.cursor(Shard::All).await.unwrap().pending.is_none()
            && store.counts().await.unwrap().0 >= u64::from(OBSERVATIONS)
            && store.all_stats(None).await.unwrap().len() >= 30
    })
    .await;
    assert_eq!(store.counts().await.unwrap(), (u64::from(OBSERVATIONS), 0));
    let all = store.all_stats(None).await.unwrap();
    for stats in all.iter().filter(|stats| stats.window == Window::SevenDays) {
        assert_eq!(stats.stats.n, u64::from(OBSERVATIONS / 10), "{}", stats.component);
    }
    running.terminate();
}

/// The reader goes away as in `f0-learning policies list | head -1`.
#[tokio::test]
async fn a_closed_output_pipe_is_not_an_error() {
    let store = seeded_store().await;
    let environment = environment(&store).await;
    for arguments in [&["policies", "list"][..], &["policies", "show", "router-core"], &["stats"]] {
        let (arguments, environment) = (arguments.to_vec(), environment.clone());
        let ended = tokio::task::spawn_blocking(move || {
            let mut command = Command::new(BINARY);
            command.args(arguments).envs(environment);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            drop(child.stdout.take());
            child.wait_with_output().unwrap()
        });
        let ended = ended.await.unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{}", text(&ended.stderr));
    }
}

#[test]
fn simulate_prints_a_report_and_writes_an_svg() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("w.svg");
    let picture = picture.to_str().unwrap();
    let arguments =
        ["simulate", "stationary", "--days", "1", "--per-hour", "150", "--svg", picture];
    let output = run(&arguments, &[]);
    let report = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for part in ["4 arms, 24 hours, 3600 actions", "regret", "false       0", "arm-2"] {
        assert!(report.contains(part), "{part} in {report}");
    }
    let svg = std::fs::read_to_string(picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.matches("class=\"truth\"").count() == 4);
    let again = run(&arguments, &[]);
    assert_eq!(text(&again.stdout), report, "the same seed gives the same simulation");
    let none = run(&["simulate", "nowhere"], &[]);
    assert!(!none.status.success() && text(&none.stderr).contains("stationary"));
}

/// A wide table: the second of three models is the best by far.
fn write_rewards(path: &Path) {
    let mut random = StdRng::seed_from_u64(5);
    let mut file = std::fs::File::create(path).unwrap();
    writeln!(file, "small,large,old").unwrap();
    for _ in 0..500 {
        let rewards = [0.8, 0.95, 0.6].map(|rate| u8::from(random.random_bool(rate)).to_string());
        writeln!(file, "{}", rewards.join(",")).unwrap();
    }
}

#[test]
fn simulate_replays_a_table_of_rewards() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (table, picture) = (path("rewards.csv"), path("weights.svg"));
    write_rewards(Path::new(&table));
    let usual =
        ["simulate", "--replay", &table, "--batches", "40", "--runs", "2", "--batch", "100"];
    let replay = |more: &[&str]| run(&[&usual, more].concat(), &[]);

    let shown = replay(&["--svg", &picture]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    for part in
        ["500 requests, 3 arms", "best arm: large", "belief", "proof", "thompson", "uniform"]
    {
        assert!(text(&shown.stdout).contains(part), "{part} in {}", text(&shown.stdout));
    }
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.matches("<polyline").count() == 12);

    let options = ["--json", "--swap", "best:median", "--floor", "0.01", "--step", "1"];
    let json = replay(&options);
    assert!(json.status.success(), "{}", text(&json.stderr));
    assert_eq!(
        text(&json.stdout),
        text(&replay(&options).stdout),
        "the same seed, the same result"
    );
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["swap"], json!(["large", "small"]));
    let regret = |rule: &str, half: &str| json[rule][half].as_f64().unwrap();
    for rule in ["belief", "proof", "thompson", "uniform"] {
        assert!(regret(rule, "regretFirstHalf") >= 0.0, "{rule}");
        assert_eq!(json[rule]["weights"].as_array().unwrap().len(), 40, "{rule}");
        assert!(json[rule]["weights"][0]["large"].is_number());
    }
    assert_eq!(json["uniform"]["versions"], 0.0);
    for rule in ["thompson", "uniform"] {
        let (belief, other) =
            (regret("belief", "regretSecondHalf"), regret(rule, "regretSecondHalf"));
        assert!(belief < other, "{rule}: {belief} {other}");
    }
}

#[test]
fn a_replay_that_cannot_be_read_names_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rewards.csv");
    let refused = |content: &str, more: &[&str]| {
        std::fs::write(&path, content).unwrap();
        let output = run(&[&["simulate", "--replay", path.to_str().unwrap()], more].concat(), &[]);
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let found = refused("a,b\n1,0\n1,x\n", &[]);
    for part in ["rewards.csv", "line 3, column 2 (b)", "expected a reward from 0 to 1, got \"x\""]
    {
        assert!(found.contains(part), "{part} in {found}");
    }
    assert!(refused("a,b\n", &[]).contains("no requests"));
    let table = "a,b\n1,0\n";
    assert!(
        refused(table, &["--swap", "best:c"])
            .contains("expected best, median, worst or one of a, b")
    );
    assert!(refused(table, &["--floor", "0.6"]).contains("invalid --floor 0.6: expected 0 to 0.5"));
    assert!(refused(table, &["--days", "3"]).contains("--replay"));
    let missing = run(&["simulate", "--replay", "/nowhere.csv"], &[]);
    assert!(text(&missing.stderr).contains("/nowhere.csv"));
}

//! The built binary, as a person or Cloud Run meets it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use f0_learning::store::Store;
use f0_learning_core::stats::Window;
use firestore_kit::Connection;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

const BINARY: &str = env!("CARGO_BIN_EXE_f0-learning");

/// How long to wait for what should come soon, on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A long-running command, ended with the test.
pub struct Running {
    child: Child,
    /// The first line that it printed.
    line: String,
}

impl Running {
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(arguments).env_remove("FIRESTORE_EMULATOR_HOST");
        command.env_remove("GOOGLE_CLOUD_PROJECT").envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        std::thread::spawn(move || stdout.lines().for_each(drop));
        Self { child, line }
    }

    /// The first address on loopback in the line.
    pub fn address(&self) -> String {
        let mut words = self.line.split(|symbol: char| symbol.is_whitespace() || symbol == ';');
        words.find(|word| word.starts_with("127.0.0.1:")).unwrap().to_owned()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn firestore() -> Running {
    Running::start(&["firestore", "--addr", "127.0.0.1:0"], &[])
}

pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_remove("FIRESTORE_EMULATOR_HOST");
    command.env_remove("GOOGLE_CLOUD_PROJECT").envs(environment.iter().copied());
    command.output().unwrap()
}

/// How another process reaches the data of a test's store.
pub async fn environment(store: &Store) -> Vec<(&'static str, String)> {
    let db = store.db().clone().into_inner();
    let project = db.get_database_path().split('/').nth(1).unwrap().to_owned();
    let address = crate::support::address().await.to_string();
    vec![("FIRESTORE_EMULATOR_HOST", address), ("GOOGLE_CLOUD_PROJECT", project)]
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// So many good observations of ten components, a second apart, ending a minute ago.
fn write_file(path: &Path, observations: usize) {
    let mut file = std::fs::File::create(path).unwrap();
    for n in 0..observations {
        let line = json!({
            "id": format!("o{n:06}"),
            "ts": now() - 60_000 - (observations - n) as i64 * 10,
            "component": format!("c{}", n % 10),
            "outcome": "success",
            "durationMs": n % 1_000,
        });
        writeln!(file, "{line}").unwrap();
    }
}

#[test]
fn without_a_project_the_error_is_one_line_that_says_what_to_set() {
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
    assert!(text(&run(&["tune"], &environment).stdout).contains("no tuning"));
    for command in [
        &["policies", "show", "nobody"][..],
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
fn import_stores_every_valid_line_and_names_every_other() {
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
    assert!(!output.status.success(), "refused lines are not passed over in silence");
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

/// What a GET of a path answers: the status line and the body.
fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn serve_answers_on_its_port_and_ends_in_time_when_asked() {
    let server = firestore();
    let firestore = server.address();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = Command::new(BINARY)
        .arg("serve")
        .env("FIRESTORE_EMULATOR_HOST", &firestore)
        .env("PORT", port.to_string())
        .env("SCORE_CRON", "* * * * * *")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = format!("127.0.0.1:{port}");
    let healthy = |answer: &String| answer.starts_with("HTTP/1.0 200");
    wait_for("health", || get(&address, "/healthz").filter(healthy));
    wait_for("readiness", || get(&address, "/readyz").filter(healthy));
    let began = Instant::now();
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let status = wait_for("the end", || child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    assert!(began.elapsed() < Duration::from_secs(10), "Cloud Run would have killed it");
}

#[test]
fn serve_waits_for_a_firestore_that_is_not_there_and_is_not_ready() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = Command::new(BINARY)
        .arg("serve")
        .env("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
        .env("PORT", port.to_string())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = format!("127.0.0.1:{port}");
    let answer = wait_for("an answer", || get(&address, "/readyz"));
    assert!(answer.starts_with("HTTP/1.0 503"), "{answer}");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(wait_for("the end", || child.try_wait().unwrap()).success());
}

/// `serve`, asked to end at random moments of its passes: each time it does so in good time, and
/// what it leaves is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_asked_to_end_amid_its_work_ends_in_time_and_leaves_it_whole() {
    const OBSERVATIONS: u64 = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("observations.ndjson");
    write_file(&path, OBSERVATIONS as usize);
    let server = firestore();
    let address = server.address();
    let environment = [("FIRESTORE_EMULATOR_HOST", address.as_str())];
    let imported = run(&["observations", "import", path.to_str().unwrap()], &environment);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    let mut rng = StdRng::seed_from_u64(9);
    for _ in 0..5 {
        let each_second = "* * * * * *";
        let mut child = Command::new(BINARY)
            .args(["serve", "--port", "0", "--lease-seconds", "1", "--settle-ms", "0"])
            .args(["--score-cron", each_second, "--reconcile-cron", each_second])
            .args(["--tune-cron", each_second, "--guard-cron", each_second])
            .envs(environment)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(rng.random_range(200..2_500)));
        let began = Instant::now();
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = wait_for("the end", || child.try_wait().unwrap());
        assert!(status.success(), "{status}");
        assert!(began.elapsed() < Duration::from_secs(10), "Cloud Run would have killed it");
    }
    assert!(run(&["score", "--settle-ms", "0"], &environment).status.success());
    let store = Store::connect(&Connection::local("demo-f0", address)).await.unwrap();
    assert_eq!(store.counts().await.unwrap(), (OBSERVATIONS, 0));
    let all = store.all_stats(None).await.unwrap();
    let week = all.iter().filter(|stats| stats.window == Window::SevenDays);
    assert_eq!(week.map(|stats| stats.stats.n).sum::<u64>(), OBSERVATIONS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_says_in_a_line_that_firestore_forbids_it_and_goes_on_once_it_does_not() {
    use firestore_local::{Fault, FaultCode, Plan, Rule, Server};
    let refuse = Fault::Refuse { code: FaultCode::PermissionDenied };
    let plan = Plan { rules: vec![Rule::always(refuse)], ..Plan::none() };
    let server = Server::builder().faults(plan).start().await.unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(BINARY)
        .arg("serve")
        .env("FIRESTORE_EMULATOR_HOST", server.addr().to_string())
        .env("PORT", port.to_string())
        .env("RUST_LOG", "error")
        .stdout(Stdio::null())
        .stderr(log.reopen().unwrap())
        .spawn()
        .unwrap();
    let address = format!("127.0.0.1:{port}");
    let told = || std::fs::read_to_string(log.path()).unwrap();
    wait_for("the line", || told().contains("cannot work with Firestore yet").then_some(()));
    let line = told().lines().next().unwrap().to_owned();
    assert!(line.to_lowercase().contains("permission"), "{line}");
    let answer = wait_for("an answer", || get(&address, "/readyz"));
    assert!(answer.starts_with("HTTP/1.0 503"), "{answer}");
    server.set_faults(Plan::none());
    let ready = |answer: &String| answer.starts_with("HTTP/1.0 200");
    wait_for("readiness", || get(&address, "/readyz").filter(ready));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(wait_for("the end", || child.try_wait().unwrap()).success());
}

/// `dev --data`, killed while it scores, over and over: nothing is lost, nothing counted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_killed_while_scoring_loses_nothing_and_counts_nothing_twice() {
    const OBSERVATIONS: u64 = 6_000;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let path = folder.path().join("observations.ndjson");
    write_file(&path, OBSERVATIONS as usize);
    let dev = || {
        Running::start(
            &["dev", "--data", data, "--firestore-addr", "127.0.0.1:0", "--port", "0"],
            &[],
        )
    };
    // The observations are there before the first `dev` scores.
    let arguments = ["firestore", "--addr", "127.0.0.1:0", "--data", data];
    let server = Running::start(&arguments, &[]);
    let address = server.address();
    let environment = [("FIRESTORE_EMULATOR_HOST", address.as_str())];
    let imported = run(&["observations", "import", path.to_str().unwrap()], &environment);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
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
    let began = Instant::now();
    while store.cursor(f0_learning_core::sharding::Shard::All).await.unwrap().pending.is_some()
        || store.counts().await.unwrap().0 < OBSERVATIONS
        || store.all_stats(None).await.unwrap().len() < 30
    {
        assert!(began.elapsed() < PATIENCE, "scoring did not come to its end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(store.counts().await.unwrap(), (OBSERVATIONS, 0));
    let all = store.all_stats(None).await.unwrap();
    for stats in all.iter().filter(|stats| stats.window == Window::SevenDays) {
        assert_eq!(stats.stats.n, OBSERVATIONS / 10, "{}", stats.component);
    }
    running.terminate();
}

/// As in `f0-learning policies list | head -1`.
#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let store = crate::support::seeded_store().await;
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
fn a_simulation_prints_its_report_and_draws_its_picture() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("w.svg");
    let picture = picture.to_str().unwrap();
    let arguments =
        ["simulate", "stationary", "--days", "1", "--per-hour", "150", "--svg", picture];
    let output = run(&arguments, &[]);
    let told = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for part in ["4 arms, 24 hours, 3600 actions", "regret", "false       0", "arm-2"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let drawn = std::fs::read_to_string(picture).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.matches("class=\"truth\"").count() == 4);
    let again = run(&arguments, &[]);
    assert_eq!(text(&again.stdout), told, "the same seed gives the same simulation");
    let none = run(&["simulate", "nowhere"], &[]);
    assert!(!none.status.success() && text(&none.stderr).contains("stationary"));
}

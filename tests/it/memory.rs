//! The memory of the process is bounded, whatever is stored: every command and the API work on the
//! largest documents that Firestore takes.

use std::process::{Command, Stdio};
use std::time::Duration;

use f0_learning::store::Store;
use f0_learning_core::stats::Window;
use firestore::gcloud_sdk::google::firestore::v1::{ArrayValue, Value, value::ValueType};
use firestore_kit::value::{self, Fields};
use serde_json::json;

use crate::collection;
use crate::support::process::{BINARY, environment, free_port, wait_for};
use crate::support::{START, fields, put, seeded_store};

/// Half of what `deploy/service.yaml` gives the process.
const MOST_MIB: u64 = 256;

/// Almost the limit of a document, 1,048,576 bytes.
const LARGE: usize = 1_040_000;

/// Documents whose memory is many times their size, of each kind.
const FLAGS: usize = 2;

/// The values of such a document, half as many as Firestore takes.
const FLAGS_EACH: usize = LARGE / 2;

/// Kinds of documents that a list in the order of times shows: not those with a text as `ts`.
const LISTED: usize = 4;

fn observation(n: usize) -> Fields {
    let ts = START + i64::try_from(n).unwrap();
    fields(&json!({ "ts": ts, "component": "c", "outcome": "success", "durationMs": 100 }))
}

fn text() -> Value {
    value::string("x".repeat(LARGE))
}

/// Values that each take a byte in a document, and fifty-six in memory.
fn flags() -> Value {
    let values = vec![value::boolean(true); FLAGS_EACH];
    Value { value_type: Some(ValueType::ArrayValue(ArrayValue { values })) }
}

/// Documents that each have almost a mebibyte: in a field that no one reads, in fields that scoring
/// reads, valid and invalid ones, and some whose memory is many times their size.
async fn fill(store: &Store, many: usize) {
    for n in 0..many {
        let with = |name: &str, value: Value| {
            let mut fields = observation(n);
            fields.insert(name.to_owned(), value);
            fields
        };
        let mut invalid = with("meta", text());
        invalid.insert("outcome".to_owned(), value::string("maybe"));
        let kinds = [
            ("meta", with("meta", text())),
            ("invalid", invalid),
            ("error", with("errorCode", text())),
            ("ts", with("ts", text())),
            ("component", with("component", text())),
        ];
        for (kind, fields) in kinds {
            put(store, collection::OBSERVATIONS, &format!("{kind}-{n:03}"), fields).await;
        }
    }
    for n in 0..FLAGS {
        let mut valid = observation(n);
        valid.insert("meta".to_owned(), flags());
        put(store, collection::OBSERVATIONS, &format!("flags-{n}"), valid.clone()).await;
        valid.insert("outcome".to_owned(), value::string("maybe"));
        put(store, collection::OBSERVATIONS, &format!("invalid-flags-{n}"), valid).await;
    }
}

/// Lines to import of almost a mebibyte each: texts, and values that take many times as much memory.
fn large_lines(many: usize) -> String {
    let now = f0_learning_core::Clock::system().now();
    let line = |n: usize| {
        let mut document = json!({
            "id": format!("line-{n}"), "ts": now, "component": "c", "outcome": "success",
            "durationMs": 1,
        });
        document["meta"] = match n % 2 {
            0 => json!("x".repeat(LARGE)),
            _ => json!(vec![json!(null); LARGE / 2]),
        };
        document.to_string() + "\n"
    };
    (0..many).map(line).collect()
}

/// The memory of a process in MiB by the name of a line of its status; `None` once it has ended.
fn memory(process: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()?.div_ceil(1 << 10))
}

/// The peak memory of a process in MiB; `None` once it has ended.
fn peak(process: u32) -> Option<u64> {
    memory(process, "VmHWM:")
}

/// Runs a command to its end, and returns its peak memory in MiB.
fn peak_of(arguments: &[&str], environment: &[(&str, String)]) -> u64 {
    let mut command = Command::new(BINARY);
    command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(peak(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    eprintln!("{arguments:?}: {most} MiB: {}", text.lines().next().unwrap_or_default());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_stays_within_its_memory_on_the_largest_documents() {
    let store = seeded_store().await;
    fill(&store, 10).await;
    let archive = tempfile::tempdir().unwrap();
    let mut variables = environment(&store).await.to_vec();
    variables.push(("ARCHIVE_URL", archive.path().to_str().unwrap().to_owned()));
    let commands: [&[&str]; 7] = [
        &["score"],
        &["reconcile", "--full"],
        &["tune"],
        &["verify"],
        &["rebuild", "--all"],
        &["retain"],
        &["verify"],
    ];
    let lines = archive.path().join("lines.ndjson");
    std::fs::write(&lines, large_lines(60)).unwrap();
    let run = move || {
        let mut peaks =
            commands.map(|arguments| (arguments[0], peak_of(arguments, &variables))).to_vec();
        let import = ["observations", "import", lines.to_str().unwrap()];
        peaks.push(("import", peak_of(&import, &variables)));
        peaks
    };
    let peaks = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(peaks.iter().all(|(_, peak)| *peak < MOST_MIB), "{peaks:?}");
    let files = std::fs::read_dir(archive.path().join("observations")).unwrap().count();
    assert!(files > 0, "documents were archived");
}

/// The peak memory of a server in MiB while many clients read its largest lists at once. Some are slow
/// to take what they asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_lists_share_the_memory_of_the_process() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    const MANY: usize = 5;
    let store = seeded_store().await;
    fill(&store, MANY).await;
    let mut command = Command::new(BINARY);
    let port = free_port();
    command.arg("serve");
    command.envs(environment(&store).await).env("PORT", port.to_string()).env("ADMIN_TOKEN", TOKEN);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = Killed(child);
    let address = format!("http://127.0.0.1:{port}");
    let client = reqwest::Client::new();
    let list = format!("{address}/ops/observations?limit=200");
    let alive = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
    wait_for("the server", alive);
    let ask = || client.get(&list).bearer_auth(TOKEN).send();
    while !ask().await.is_ok_and(|answer| answer.status().is_success()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A client that does not read holds what it was answered.
    let slow = [ask().await.unwrap(), ask().await.unwrap()];
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let request = client.get(&list).bearer_auth(TOKEN);
        asking.spawn(async move {
            let answer = request.send().await.unwrap();
            let (status, retry) = (answer.status(), answer.headers().contains_key("retry-after"));
            (status.as_u16(), retry, answer.bytes().await.unwrap())
        });
    }
    let (mut served, mut refused) = (0, 0);
    while let Some(answer) = asking.join_next().await {
        match answer.unwrap() {
            (200, _, body) => {
                let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                assert!(!body["items"].as_array().unwrap().is_empty());
                assert!(body["nextCursor"].is_string(), "the page ends at its bytes");
                served += 1;
            }
            (503, true, _) => refused += 1,
            (status, ..) => panic!("status {status}"),
        }
    }
    drop(slow);
    let peak = peak(server.0.id()).unwrap();
    eprintln!("serve: {peak} MiB; {served} lists served, {refused} refused");
    assert!(served > 0 && peak < MOST_MIB, "{peak} MiB, {served} served, {refused} refused");
    // Every observation is on exactly one page.
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let mut request = client.get(&list).bearer_auth(TOKEN);
        if let Some(cursor) = &cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let page: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
        for item in page["items"].as_array().unwrap() {
            ids.push(item["id"].as_str().unwrap().to_owned());
        }
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), all), (LISTED * MANY + 2 * FLAGS, LISTED * MANY + 2 * FLAGS));
}

/// A process that is killed with the test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How long components write, and how often.
const SOAK_MS: i64 = 30_000;
const WRITE_EVERY: Duration = Duration::from_millis(50);
/// The size of each oversized document; one in ten is oversized.
const OVERSIZED: usize = 400_000;

/// A hostile document in ten, of which every fourth is oversized.
fn soaked(n: i64, now: i64) -> Fields {
    let mut document = fields(&json!({
        "ts": now - 20_000, "component": format!("c{}", n % 8), "outcome": "success",
        "durationMs": n % 1_000,
    }));
    let (name, bad) = match n % 40 {
        9 => ("meta", value::string("x".repeat(OVERSIZED))),
        19 => ("outcome", value::string("x".repeat(OVERSIZED))),
        29 => ("ts", value::string(now.to_string())),
        39 => ("ts", value::int(now * 1_000_000)),
        _ => return document,
    };
    document.insert(name.to_owned(), bad);
    document
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_a_server_does_not_grow_while_hostile_documents_come_in() {
    let store = seeded_store().await;
    let port = free_port();
    let mut command = Command::new(BINARY);
    command.arg("serve").envs(environment(&store).await).env("PORT", port.to_string());
    command.env("ADMIN_TOKEN", "0123456789abcdef0123456789abcdef");
    command.env("SCORE_CRON", "* * * * * *").env("RECONCILE_CRON", "*/2 * * * * *");
    command.env("TUNE_CRON", "*/2 * * * * *");
    let server = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait_for("the server", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let clock = f0_learning_core::Clock::system();
    let end = clock.now() + SOAK_MS;
    let (mut n, mut resident) = (0, Vec::new());
    while clock.now() < end {
        for _ in 0..10 {
            let now = clock.now();
            put(&store, collection::OBSERVATIONS, &format!("o{n:06}"), soaked(n, now)).await;
            n += 1;
        }
        resident.push(memory(server.0.id(), "VmRSS:").expect("the server runs"));
        tokio::time::sleep(WRITE_EVERY).await;
    }
    let scored = store.all_stats(None).await.unwrap();
    let scored: u64 =
        scored.iter().filter(|it| it.window == Window::SevenDays).map(|it| it.stats.n).sum();
    let most = |part: &[u64]| part.iter().copied().max().unwrap();
    let (third, peak) = (resident.len() / 3, peak(server.0.id()).unwrap());
    let (early, late) = (most(&resident[..2 * third]), most(&resident[2 * third..]));
    eprintln!("{n} documents, {scored} scored: {early} then {late} MiB, peak {peak}");
    assert!(scored > u64::try_from(n / 4).unwrap(), "{scored} of {n} scored");
    assert!(peak < MOST_MIB, "{peak} MiB");
    assert!(late <= early + early / 4 + 8, "{early}, then {late} MiB");
}

//! The report of the meter: its lines, costs and sizes, the budget, and who may read it.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use firestore_local::{Billed, Budget, Clock, Line, Report, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Request;
use tonic::transport::Channel;

use crate::support::Local;
use crate::support::http::http;
use crate::support::program::Program;
use crate::support::queries::*;
use crate::support::v1::GetDocumentRequest;
use crate::support::v1::firestore_client::FirestoreClient;
use crate::support::values::*;
use crate::support::writes::{put, remove};

const MINUTE: i64 = 60_000_000;

fn billed(reads: u64, writes: u64, deletes: u64) -> Billed {
    Billed { reads, writes, deletes }
}

fn line<'a>(lines: &'a [Line], name: &str) -> &'a Line {
    lines.iter().find(|line| line.name == name).unwrap_or_else(|| panic!("no line {name}"))
}

/// Gets a missing document with a header.
async fn get_as(local: &Local, header: &'static str, value: &str) {
    let url = format!("http://{}", local.server.addr());
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let name = local.name("c/missing");
    let mut request = Request::new(GetDocumentRequest { name, ..Default::default() });
    request.metadata_mut().insert(header, value.parse().unwrap());
    FirestoreClient::new(channel).get_document(request).await.unwrap_err();
}

#[tokio::test]
async fn each_caller_has_a_line_and_many_callers_share_one() {
    let local = Local::start().await;
    get_as(&local, "x-caller", "router").await;
    get_as(&local, "x-caller", "router").await;
    get_as(&local, "x-goog-api-client", "gl-python/3.13 gccl/2.34").await;
    let callers = local.server.report().callers;
    assert_eq!(line(&callers, "router").since_start.usage.billed, billed(2, 0, 0));
    assert_eq!(line(&callers, "python").since_start.usage.billed, billed(1, 0, 0));
    for n in 0..40 {
        get_as(&local, "x-caller", &format!("caller {n}")).await;
    }
    let callers = local.server.report().callers;
    assert!(callers.len() <= 33, "{}", callers.len());
    let other = line(&callers, "other").since_start.usage.billed;
    let all: u64 = callers.iter().map(|line| line.since_start.usage.billed.reads).sum();
    assert!(other.reads > 0);
    assert_eq!(all, 43);
}

#[tokio::test]
async fn the_last_hour_forgets_what_is_older() {
    let time = Arc::new(AtomicI64::new(1_734_000_000_000_000));
    let read = time.clone();
    let clock = Clock::from_micros(move || read.load(Ordering::SeqCst));
    let local = Local::of(Server::builder().clock(clock)).await;
    local.set("c/1", [("n", int(1))]).await;
    time.fetch_add(30 * MINUTE, Ordering::SeqCst);
    local.set("c/2", [("n", int(1))]).await;
    let hour = |report: &Report| report.last_hour.charged.usage.billed.writes;
    assert_eq!(hour(&local.server.report()), 2);
    time.fetch_add(30 * MINUTE, Ordering::SeqCst);
    assert_eq!(hour(&local.server.report()), 1);
    let report = local.server.report();
    assert_eq!(report.bill.total, billed(0, 2, 0));
    assert_eq!(line(&report.collections, "c").last_hour.usage.billed, billed(0, 1, 0));
    let cost = report.since_start.charged.cost;
    assert!((cost - 2.0 * 0.18 / 100_000.0).abs() < 1e-12, "{cost}");
}

#[tokio::test]
async fn index_entries_and_stored_bytes_follow_the_documents() {
    let local = Local::start().await;
    let entries = || local.server.report().since_start.charged.usage.index_entries_written;
    local.set("c/d", [("n", int(1)), ("list", array([text("x"), text("y")]))]).await;
    assert_eq!(entries(), 4, "two of n, one for each element");
    local.set("c/d", [("n", int(2)), ("list", array([text("x"), text("y")]))]).await;
    assert_eq!(entries(), 8, "two of n removed and two added");
    let stored = local.server.storage().await.unwrap().total;
    // The name: 2 + 2 + 16; the fields: n with 2 + 8, list with 5 + 2 + 2; and 32.
    assert_eq!((stored.documents, stored.document_bytes), (1, 20 + 10 + 9 + 32));
    // The name, 32, the field's name and value: twice for n, once for each element.
    assert_eq!((stored.index_entries, stored.index_bytes), (4, 2 * 62 + 2 * 59));
    local.commit([remove(local.name("c/d"))]).await.unwrap();
    assert_eq!(entries(), 12);
    assert_eq!(local.server.storage().await.unwrap().total.documents, 0);
}

#[tokio::test]
async fn a_query_with_two_inequalities_pays_for_index_entries() {
    let local = Local::start().await;
    local.set("c/d", [("a", int(1)), ("b", int(1))]).await;
    local.server.reset_meter();
    let above = |path| test(path, Op::GreaterThan, int(0));
    local.query(from("c").filtered(above("a"))).await.unwrap();
    assert_eq!(local.server.meter().total.reads, 1);
    local.query(from("c").filtered(all([above("a"), above("b")]))).await.unwrap();
    assert_eq!(local.server.meter().total.reads, 1 + 2);
    assert_eq!(local.server.report().since_start.charged.usage.index_entries_read, 2);
}

#[tokio::test]
async fn a_budget_that_was_exceeded_stays_exceeded() {
    let budget = Budget { max_writes: Some(1), ..Budget::default() };
    let local = Local::of(Server::builder().budget(budget)).await;
    local.set("c/1", [("n", int(1))]).await;
    assert_eq!(local.server.exceeded(), None);
    local.server.assert_billed_at_most(billed(0, 1, 0));
    local.set("c/2", [("n", int(1))]).await;
    local.server.reset_meter();
    let exceeded = local.server.exceeded().unwrap().to_string();
    assert!(exceeded.ends_with("2 writes, at most 1 allowed"), "{exceeded}");
    let report: serde_json::Value =
        serde_json::from_str(&http(&local, "GET", "/meter", "").await).unwrap();
    assert_eq!(report["exceeded"]["writes"], 2);
}

#[tokio::test]
#[should_panic(expected = "2 writes, at most 1 allowed\n  c: 0 reads, 2 writes, 0 deletes")]
async fn a_test_fails_with_the_bill_of_each_collection() {
    let local = Local::start().await;
    local.set("c/1", [("n", int(1))]).await;
    local.set("c/2", [("n", int(1))]).await;
    local.server.assert_billed_at_most(billed(0, 1, 0));
}

#[tokio::test]
async fn the_program_fails_at_the_end_if_its_budget_was_exceeded() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_firestore-local"))
        .args(["--addr", "127.0.0.1:0", "--max-writes", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    let address = line.strip_prefix("listening on ").unwrap().split(';').next().unwrap();
    let client = crate::support::Client::connect(address, "demo-tests").await;
    for n in 0..4 {
        client.commit([put(client.name(&format!("c/{n}")), fields([]))]).await.unwrap();
    }
    let kill = format!("kill -TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(!child.wait().unwrap().success());
    assert_eq!(errors.matches("warning: ").count(), 1, "{errors}");
    assert!(errors.contains("warning: the budget of billed operations is exceeded: 2 writes"));
    assert!(errors.contains("error: the budget"), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_the_tables_of_a_running_server() {
    let local = Local::start().await;
    local.set("c/d", [("n", int(1))]).await;
    local.get("c/d").await.unwrap();
    let meter = |arguments: &[&str]| {
        let address = local.server.meter_addr().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_firestore-local"));
        command.args(["meter", "--addr", &address]).args(arguments).output().unwrap()
    };
    let output = tokio::task::block_in_place(|| meter(&[]));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let row = text.lines().find(|line| line.starts_with("c ")).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, ["c", "1", "1", "0", "0.000002", "1", "1", "0", "0.000002"], "{text}");
    let json = tokio::task::block_in_place(|| meter(&["--json"]));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["total"]["writes"], 1);
    let gone = Command::new(env!("CARGO_BIN_EXE_firestore-local"))
        .args(["meter", "--addr", "127.0.0.1:1"])
        .output()
        .unwrap();
    assert!(!gone.status.success());
    assert!(String::from_utf8(gone.stderr).unwrap().starts_with("error: cannot read the meter at"));
}

#[tokio::test]
async fn the_meter_refuses_hosts_that_are_not_this_machine() {
    let local = Local::start().await;
    let port = local.server.meter_addr().port();
    let answer = async |host: &str| {
        let mut stream = TcpStream::connect(local.server.meter_addr()).await.unwrap();
        let request = format!("GET /meter HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(answer(&format!("{host}:{port}")).await, "200", "{host}");
    }
    for host in ["evil.example", "127.0.0.1.nip.io", "192.168.0.1", ""] {
        assert_eq!(answer(&format!("{host}:{port}")).await, "421", "{host}");
    }
}

#[tokio::test]
async fn a_file_of_prices_replaces_the_built_in_ones() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.json");
    std::fs::write(&file, "{}").unwrap();
    let error = Program::try_start(["--prices", file.to_str().unwrap()]).unwrap_err();
    assert!(error.starts_with("error: invalid prices in "), "{error}");
    let prices = include_str!("../../prices.json").replace("0.18, \"deletes\"", "18, \"deletes\"");
    std::fs::write(&file, prices).unwrap();
    let prices = firestore_local::Prices::open(Some(&file)).unwrap();
    let local = Local::of(Server::builder().prices(prices)).await;
    local.set("c/1", [("n", int(1))]).await;
    let report = local.server.report();
    assert!((report.since_start.charged.cost - 0.000_18).abs() < 1e-12);
    assert!(report.summary().ends_with("1 writes, 0 deletes; USD 0.000180 without free quota"));
}

//! A disk that is full, read-only or damaged: the server either reports it in one line, or
//! continues from the last acknowledged commit.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tonic::{Code, Status};

use crate::support::Client;
use crate::support::program::Program;
use crate::support::queries::from;
use crate::support::values::*;
use crate::support::writes::put;

/// Whether this machine allows private mounts; tests that need them are skipped otherwise.
fn can_mount() -> bool {
    let status = Command::new("unshare").args(["-rm", "true"]).status();
    let can_mount = status.is_ok_and(|status| status.success());
    if !can_mount {
        eprintln!("skipped: this machine has no unshare(1), or forbids it");
    }
    can_mount
}

/// The error of a server that does not start, which is one line.
fn error_of(started: Result<Program, String>) -> String {
    let error = started.map(drop).unwrap_err();
    assert!(error.starts_with("error: ") && error.lines().count() == 1, "{error}");
    error
}

fn start_in(data: &Path) -> Result<Program, String> {
    Program::try_start(["--data".as_ref(), data.as_os_str()])
}

#[test]
fn a_data_folder_that_is_a_file_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = error_of(start_in(file.path()));
    assert!(error.contains("is not a folder"), "{error}");
}

const READ_ONLY: &str = r#"mount --bind "$D" "$D"; mount -o remount,bind,ro "$D""#;

#[tokio::test]
async fn a_read_only_data_folder_is_refused() {
    if !can_mount() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let error = || error_of(Program::start_after(READ_ONLY, data.path()));
    assert!(error().contains("Read-only file system"));
    let program = Program::start(Some(data.path()));
    program.client().await.set("c/d", [("n", int(1))]).await;
    program.kill();
    assert!(error().contains("Read-only file system"));
    let program = Program::start(Some(data.path()));
    assert_eq!(program.client().await.fields("c/d").await, Some(fields([("n", int(1))])));
}

/// The fields of a document that takes space and is identified by its number.
fn content(n: i64) -> Fields {
    fields([("n", int(n)), ("x", text(&"x".repeat(20_000)))])
}

async fn write(client: &Client, n: i64) -> Result<(), Status> {
    client.commit([put(client.name(&format!("c/{n:05}")), content(n))]).await.map(drop)
}

/// Commits until one is refused; returns how many were acknowledged, and the refusal.
async fn fill(client: &Client) -> (i64, Status) {
    for n in 0..10_000 {
        if let Err(status) = write(client, n).await {
            return (n, status);
        }
    }
    panic!("nothing was refused");
}

/// Checks that every acknowledged commit is there. A refused commit may be there, too, but only
/// completely.
async fn check(client: &Client, acknowledged: i64) {
    let documents = client.query(from("c")).await.unwrap();
    let numbers: Vec<_> = documents.iter().map(|it| integer(&it.fields["n"])).collect();
    let missing: Vec<_> = (0..acknowledged).filter(|n| !numbers.contains(n)).collect();
    assert!(missing.is_empty(), "{missing:?} of {acknowledged}");
    for (n, document) in numbers.into_iter().zip(documents) {
        assert_eq!(document.fields, content(n));
    }
}

/// Checks that reads continue while commits are refused.
async fn check_full(client: &Client, acknowledged: i64, refusal: &Status) {
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    assert!(refusal.message().contains("the disk is full"), "{refusal}");
    for n in 0..5 {
        check(client, acknowledged).await;
        assert_eq!(client.fields("c/00000").await, Some(content(0)));
        let again = write(client, 20_000 + n).await.unwrap_err();
        assert_eq!(again.code(), Code::ResourceExhausted, "{again}");
    }
}

/// Waits until a commit is accepted again.
async fn until_accepted(client: &Client, n: i64) {
    let began = Instant::now();
    while let Err(status) = write(client, n).await {
        assert!(began.elapsed() < Duration::from_secs(30), "{status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Limits the size of files that the server writes.
const FILE_SIZE_LIMIT: &str = r#"trap "" XFSZ; ulimit -S -f 16000"#;

#[tokio::test]
async fn commits_beyond_the_file_size_limit_are_refused_and_nothing_is_lost() {
    if !can_mount() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let program = Program::start_after(FILE_SIZE_LIMIT, data.path()).unwrap();
    let client = program.client().await;
    let (acknowledged, refusal) = fill(&client).await;
    check_full(&client, acknowledged, &refusal).await;

    let raised = Command::new("prlimit")
        .args(["--pid", &program.id().to_string(), "--fsize=unlimited:unlimited"])
        .status();
    assert!(raised.unwrap().success());
    until_accepted(&client, 30_000).await;
    check(&client, acknowledged).await;
    program.kill();

    let program = Program::start(Some(data.path()));
    let client = program.client().await;
    check(&client, acknowledged).await;
    assert_eq!(client.fields("c/30000").await, Some(content(30_000)));
}

#[tokio::test]
async fn acknowledged_commits_survive_a_kill_while_the_disk_is_full() {
    if !can_mount() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let program = Program::start_after(FILE_SIZE_LIMIT, data.path()).unwrap();
    let (acknowledged, refusal) = fill(&program.client().await).await;
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    program.kill();
    let program = Program::start(Some(data.path()));
    let client = program.client().await;
    check(&client, acknowledged).await;
    write(&client, 30_000).await.unwrap();
}

#[tokio::test]
async fn commits_on_a_full_file_system_are_refused_until_there_is_space() {
    if !can_mount() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let small =
        r#"mount -t tmpfs -o size=16m tmpfs "$D"; head -c 6000000 /dev/zero > "$D/ballast""#;
    let program = Program::start_after(small, data.path()).unwrap();
    let client = program.client().await;
    let (acknowledged, refusal) = fill(&client).await;
    check_full(&client, acknowledged, &refusal).await;

    // The folder as the program sees it.
    let folder = format!("/proc/{}/root{}", program.id(), data.path().display());
    std::fs::remove_file(Path::new(&folder).join("ballast")).unwrap();
    until_accepted(&client, 30_000).await;
    check(&client, acknowledged).await;
}

/// A kind of damage to a file.
#[derive(Debug)]
enum Damage {
    Truncate(usize),
    Flip { from: usize, bytes: usize },
}

impl Damage {
    fn apply(&self, file: &[u8]) -> Vec<u8> {
        let mut file = file.to_owned();
        match *self {
            Self::Truncate(length) => file.truncate(length),
            Self::Flip { from, bytes } => {
                let until = (from + bytes).min(file.len());
                file[from..until].iter_mut().for_each(|byte| *byte ^= 0xff);
            }
        }
        file
    }
}

const PAGE: usize = 4_096;

/// Damage to the end, to the pages in use one by one, and to the header.
fn damages(file: &[u8]) -> Vec<Damage> {
    let length = file.len();
    let used: Vec<_> = (0..length / PAGE)
        .filter(|page| file[page * PAGE..(page + 1) * PAGE].iter().any(|byte| *byte != 0))
        .collect();
    let cut = [0, 100, PAGE, length / 2, length - PAGE, length - 1].map(Damage::Truncate);
    let at_the_end = [1, PAGE, 16 * PAGE].map(|bytes| Damage::Flip { from: length - bytes, bytes });
    let last = used.last().map(|page| Damage::Truncate(page * PAGE + 50));
    let step = used.len().div_ceil(60);
    let pages = used
        .iter()
        .rev()
        .step_by(step)
        .map(|page| Damage::Flip { from: page * PAGE + 16, bytes: 200 });
    let head = (0..320).step_by(40).map(|from| Damage::Flip { from, bytes: 8 });
    cut.into_iter().chain(at_the_end).chain(last).chain(pages).chain(head).collect()
}

async fn small_store(data: &Path, killed: bool) -> i64 {
    let program = Program::start(Some(data));
    let client = program.client().await;
    for n in 0..40 {
        write(&client, n).await.unwrap();
    }
    if killed {
        program.kill();
    } else {
        program.terminate();
    }
    40
}

/// Damages a store in many ways. Each start either fails with an error of one line, or has every
/// document.
async fn check_damaged_stores(killed: bool) {
    let data = tempfile::tempdir().unwrap();
    let written = small_store(data.path(), killed).await;
    let store = data.path().join("firestore.redb");
    let file = std::fs::read(&store).unwrap();
    let marker = data.path().join("firestore.acknowledged");
    let acknowledged = std::fs::read(&marker).unwrap();
    let (mut refused, mut kept) = (0, 0);
    for damage in damages(&file) {
        std::fs::write(&store, damage.apply(&file)).unwrap();
        std::fs::write(&marker, &acknowledged).unwrap();
        match start_in(data.path()) {
            Err(error) => {
                assert!(
                    error.starts_with("error: ") && error.lines().count() == 1,
                    "{damage:?}: {error}"
                );
                refused += 1;
            }
            Ok(program) => {
                check(&program.client().await, written).await;
                kept += 1;
            }
        }
    }
    assert!(refused > 0 && kept > 0, "{refused} refused, {kept} kept everything");
}

#[tokio::test]
async fn a_store_damaged_after_a_kill_has_everything_or_is_refused() {
    check_damaged_stores(true).await;
}

#[tokio::test]
async fn a_store_damaged_after_termination_has_everything_or_is_refused() {
    check_damaged_stores(false).await;
}

#[tokio::test]
async fn a_damaged_store_opens_with_the_remaining_data_once_the_marker_is_removed() {
    let data = tempfile::tempdir().unwrap();
    small_store(data.path(), true).await;
    std::fs::remove_file(data.path().join("firestore.redb")).unwrap();
    let error = error_of(start_in(data.path()));
    assert!(error.contains("is damaged") && error.contains("firestore.acknowledged"), "{error}");
    std::fs::remove_file(data.path().join("firestore.acknowledged")).unwrap();
    let program = Program::start(Some(data.path()));
    assert_eq!(program.client().await.query(from("c")).await.unwrap().len(), 0);
}

//! A disk that is full, takes no writes, or has damaged what was on it: either the server says so
//! in a line, or it goes on from the last commit that it acknowledged.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tonic::{Code, Status};

use crate::support::Client;
use crate::support::program::Program;
use crate::support::queries::from;
use crate::support::values::*;
use crate::support::writes::put;

/// Whether this machine lets a test have mounts of its own; where it does not, what needs them is
/// left out.
fn mounts() -> bool {
    let made = Command::new("unshare").args(["-rm", "true"]).status();
    let made = made.is_ok_and(|status| status.success());
    if !made {
        eprintln!("left out: this machine has no unshare(1), or forbids it");
    }
    made
}

fn refused(data: &Path, preparation: &str) -> String {
    let said = Program::after(preparation, data).map(|_| ()).unwrap_err();
    assert!(said.starts_with("error: ") && said.lines().count() == 1, "{said}");
    said
}

#[test]
fn a_data_folder_that_is_a_file_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_firestore-local"));
    command.args(["--addr", "127.0.0.1:0", "--data"]).arg(file.path());
    let said = Program::of(command).unwrap_err();
    assert!(said.contains("is not a folder") && said.lines().count() == 1, "{said}");
}

const READ_ONLY: &str = r#"mount --bind "$D" "$D"; mount -o remount,bind,ro "$D""#;

#[tokio::test]
async fn a_read_only_data_folder_is_refused_empty_or_not() {
    if !mounts() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    assert!(refused(data.path(), READ_ONLY).contains("Read-only file system"));
    let program = Program::start(Some(data.path()));
    program.client().await.set("c/d", [("n", int(1))]).await;
    program.kill();
    assert!(refused(data.path(), READ_ONLY).contains("Read-only file system"));
    let program = Program::start(Some(data.path()));
    assert_eq!(program.client().await.fields("c/d").await, Some(fields([("n", int(1))])));
}

/// A document that takes some space, and that is known by its number.
fn content(n: i64) -> Fields {
    fields([("n", int(n)), ("x", text(&"x".repeat(20_000)))])
}

async fn write(client: &Client, n: i64) -> Result<(), Status> {
    client.commit([put(client.name(&format!("c/{n:05}")), content(n))]).await.map(drop)
}

/// Writes until it is refused; gives how many commits were acknowledged, and the refusal.
async fn fill(client: &Client) -> (i64, Status) {
    for n in 0..10_000 {
        if let Err(status) = write(client, n).await {
            return (n, status);
        }
    }
    panic!("nothing was refused");
}

/// All that was acknowledged is there; what was refused may be, whole.
async fn check(client: &Client, acknowledged: i64) {
    let documents = client.query(from("c")).await.unwrap();
    let numbers: Vec<_> = documents.iter().map(|it| integer(&it.fields["n"])).collect();
    let missing: Vec<_> = (0..acknowledged).filter(|n| !numbers.contains(n)).collect();
    assert!(missing.is_empty(), "{missing:?} of {acknowledged}");
    for (n, document) in numbers.into_iter().zip(documents) {
        assert_eq!(document.fields, content(n));
    }
}

/// Reads go on while commits are refused.
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

/// Waits until commits are taken again.
async fn until_taken(client: &Client, n: i64) {
    let began = Instant::now();
    while let Err(status) = write(client, n).await {
        assert!(began.elapsed() < Duration::from_secs(30), "{status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn at_the_limit_of_the_file_size_commits_are_refused_and_nothing_is_lost() {
    if !mounts() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let limited = r#"trap "" XFSZ; ulimit -S -f 16000"#;
    let program = Program::after(limited, data.path()).unwrap();
    let client = program.client().await;
    let (acknowledged, refusal) = fill(&client).await;
    check_full(&client, acknowledged, &refusal).await;

    let raised = Command::new("prlimit")
        .args(["--pid", &program.id().to_string(), "--fsize=unlimited:unlimited"])
        .status();
    assert!(raised.unwrap().success());
    until_taken(&client, 30_000).await;
    check(&client, acknowledged).await;
    program.kill();

    let program = Program::start(Some(data.path()));
    let client = program.client().await;
    check(&client, acknowledged).await;
    assert_eq!(client.fields("c/30000").await, Some(content(30_000)));
}

#[tokio::test]
async fn killed_while_the_disk_was_full_it_comes_back_with_what_was_acknowledged() {
    if !mounts() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let limited = r#"trap "" XFSZ; ulimit -S -f 16000"#;
    let program = Program::after(limited, data.path()).unwrap();
    let (acknowledged, refusal) = fill(&program.client().await).await;
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    program.kill();
    let program = Program::start(Some(data.path()));
    let client = program.client().await;
    check(&client, acknowledged).await;
    write(&client, 30_000).await.unwrap();
}

#[tokio::test]
async fn on_a_full_file_system_commits_are_refused_until_there_is_space() {
    if !mounts() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let small =
        r#"mount -t tmpfs -o size=16m tmpfs "$D"; head -c 6000000 /dev/zero > "$D/ballast""#;
    let program = Program::after(small, data.path()).unwrap();
    let client = program.client().await;
    let (acknowledged, refusal) = fill(&client).await;
    check_full(&client, acknowledged, &refusal).await;

    let seen = format!("/proc/{}/root{}", program.id(), data.path().display());
    std::fs::remove_file(Path::new(&seen).join("ballast")).unwrap();
    until_taken(&client, 30_000).await;
    check(&client, acknowledged).await;
}

/// What is done to a file.
#[derive(Debug)]
enum Damage {
    CutTo(usize),
    Flip { from: usize, bytes: usize },
}

impl Damage {
    fn done_to(&self, file: &[u8]) -> Vec<u8> {
        let mut file = file.to_owned();
        match *self {
            Self::CutTo(length) => file.truncate(length),
            Self::Flip { from, bytes } => {
                let until = (from + bytes).min(file.len());
                file[from..until].iter_mut().for_each(|byte| *byte ^= 0xff);
            }
        }
        file
    }
}

const PAGE: usize = 4_096;

/// Damages of the end, of pages in use one by one, and of the head.
fn damages(file: &[u8]) -> Vec<Damage> {
    let length = file.len();
    let used: Vec<_> = (0..length / PAGE)
        .filter(|page| file[page * PAGE..(page + 1) * PAGE].iter().any(|byte| *byte != 0))
        .collect();
    let cut = [0, 100, PAGE, length / 2, length - PAGE, length - 1].map(Damage::CutTo);
    let at_the_end = [1, PAGE, 16 * PAGE].map(|bytes| Damage::Flip { from: length - bytes, bytes });
    let last = used.last().map(|page| Damage::CutTo(page * PAGE + 50));
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

/// Damages a store in every way; each start is refused in a line, or has everything.
async fn damage(killed: bool) {
    let data = tempfile::tempdir().unwrap();
    let written = small_store(data.path(), killed).await;
    let store = data.path().join("firestore.redb");
    let file = std::fs::read(&store).unwrap();
    let marker = data.path().join("firestore.acknowledged");
    let noted = std::fs::read(&marker).unwrap();
    let (mut lost, mut kept) = (0, 0);
    for damage in damages(&file) {
        std::fs::write(&store, damage.done_to(&file)).unwrap();
        std::fs::write(&marker, &noted).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_firestore-local"));
        command.args(["--addr", "127.0.0.1:0", "--data"]).arg(data.path());
        match Program::of(command) {
            Err(said) => {
                assert!(
                    said.starts_with("error: ") && said.lines().count() == 1,
                    "{damage:?}: {said}"
                );
                lost += 1;
            }
            Ok(program) => {
                check(&program.client().await, written).await;
                kept += 1;
            }
        }
    }
    assert!(lost > 0 && kept > 0, "{lost} refused, {kept} kept everything");
}

#[tokio::test]
async fn damaged_after_a_kill_it_has_everything_or_is_refused() {
    damage(true).await;
}

#[tokio::test]
async fn damaged_after_an_orderly_end_it_has_everything_or_is_refused() {
    damage(false).await;
}

#[tokio::test]
async fn with_the_marker_removed_it_goes_on_with_what_is_left() {
    let data = tempfile::tempdir().unwrap();
    small_store(data.path(), true).await;
    std::fs::remove_file(data.path().join("firestore.redb")).unwrap();
    let said = refused_as_it_is(data.path());
    assert!(said.contains("is damaged") && said.contains("firestore.acknowledged"), "{said}");
    std::fs::remove_file(data.path().join("firestore.acknowledged")).unwrap();
    let program = Program::start(Some(data.path()));
    assert_eq!(program.client().await.query(from("c")).await.unwrap().len(), 0);
}

fn refused_as_it_is(data: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firestore-local"));
    command.args(["--addr", "127.0.0.1:0", "--data"]).arg(data);
    let said = Program::of(command).unwrap_err();
    assert!(said.starts_with("error: ") && said.lines().count() == 1, "{said}");
    said
}

//! The built binary: commands that end, and services that are killed with the test.

#![expect(clippy::disallowed_methods, reason = "processes are waited for in real time")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use f0_learning::store::Store;

pub const BINARY: &str = env!("CARGO_BIN_EXE_f0-learning");

/// How long to wait for something that should happen soon, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary without the settings that this test's own process may have for Firestore.
fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_remove("FIRESTORE_EMULATOR_HOST");
    command.env_remove("GOOGLE_CLOUD_PROJECT").envs(environment.iter().copied());
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(arguments, environment).output().unwrap()
}

/// Runs a command on the data of a test's store, with more variables in its environment.
pub async fn run_on(store: &Store, arguments: &[&str], more: &[(&str, &str)]) -> Output {
    let mut command = command(arguments, more);
    command.envs(environment(store).await);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The variables by which a process reaches the data of a test's store.
pub async fn environment(store: &Store) -> [(&'static str, String); 2] {
    let db = store.db().clone().into_inner();
    let project = db.get_database_path().split('/').nth(1).unwrap().to_owned();
    let address = super::address_of(&project).await.to_string();
    [("FIRESTORE_EMULATOR_HOST", address), ("GOOGLE_CLOUD_PROJECT", project)]
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// How often a wait looks again.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// Polls until there is a result.
pub fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: timed out after {PATIENCE:?}");
        std::thread::sleep(POLL_EVERY);
    }
}

/// Polls until it holds.
pub async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "{what}: timed out after {PATIENCE:?}");
        tokio::time::sleep(POLL_EVERY).await;
    }
}

fn terminate(child: &Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
}

/// A long-running command, killed when the value is dropped.
pub struct Running {
    child: Child,
    /// The first line that it printed.
    line: String,
}

impl Running {
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command(arguments, environment);
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

    pub fn terminate(&self) {
        terminate(&self.child);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A local Firestore in a process of its own.
pub fn firestore() -> Running {
    Running::start(&["firestore", "--addr", "127.0.0.1:0"], &[])
}

/// `serve` on a port of its own, killed when the value is dropped.
pub struct Serve {
    child: Child,
    /// Where it serves HTTP.
    pub address: String,
}

impl Serve {
    pub fn start(
        firestore: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        stderr: impl Into<Stdio>,
    ) -> Self {
        let port = free_port();
        let child = Command::new(BINARY)
            .arg("serve")
            .args(arguments)
            .env("FIRESTORE_EMULATOR_HOST", firestore)
            .env("PORT", port.to_string())
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn();
        Self { child: child.unwrap(), address: format!("127.0.0.1:{port}") }
    }

    /// Sends SIGTERM and waits for the end: the exit status, and how long it took.
    pub fn stop(mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        terminate(&self.child);
        let status = wait_for("the end of serve", || self.child.try_wait().unwrap());
        (status, began.elapsed())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

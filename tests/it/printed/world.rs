//! Where the commands of a page run: a local Firestore, a folder that is also the home of the reader, and
//! the service if the page calls it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use f0_learning::store::Store;
use f0_learning_core::Clock;
use firestore_kit::Connection;
use firestore_local::Running;
use tempfile::TempDir;

use super::page::{self, root};
use super::table::{ASKS, FILES, PLACEHOLDERS, SHELL, Source, UNTIL_STOPPED, Value};
use crate::collection;
use crate::support::http::TOKEN;
use crate::support::process::{BINARY, Serve, text, wait_for};
use crate::support::pty::{self, CTRL_C, Terminal};
use crate::support::{indexes, server, stored};

/// Wide enough that nothing is shortened.
const WIDE: pty::Dimensions = (200, 400);

/// What is linked into the folder, because commands name it.
const OF_REPOSITORY: [&str; 4] = ["config", "deploy", "firestore.rules", "firestore.indexes.json"];

pub struct World {
    page: String,
    server: Running,
    /// How far the server's clock is ahead.
    ahead_ms: Arc<AtomicI64>,
    pub store: Store,
    projects: usize,
    folder: TempDir,
    /// The variables that the reader has set so far.
    exports: Vec<String>,
    service: Option<Serve>,
}

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub shown: String,
}

impl World {
    pub async fn new(page: &str) -> Self {
        // Its reader changes the number of shards.
        let indexes =
            if page == "docs/recovery.md" { indexes::resharding() } else { indexes::plain() };
        let ahead_ms = Arc::new(AtomicI64::new(0));
        let read = ahead_ms.clone();
        let clock = firestore_local::Clock::from_micros(move || {
            (Clock::system().now() + read.load(Ordering::Relaxed)) * 1_000
        });
        let server = server().definitions(vec![indexes]).clock(clock).start().await.unwrap();
        let store = Store::connect(&Connection::local("demo-f0", server.addr())).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in OF_REPOSITORY {
            std::os::unix::fs::symlink(root().join(name), folder.path().join(name)).unwrap();
        }
        let page = page.to_owned();
        let (exports, service) = (Vec::new(), None);
        Self { page, server, ahead_ms, store, projects: 1, folder, exports, service }
    }

    /// Sets how far the server's clock is ahead.
    pub fn set_ahead(&self, ms: i64) {
        self.ahead_ms.store(ms, Ordering::Relaxed);
    }

    /// An empty project, for a section with damage of its own.
    pub async fn begin_project(&mut self) {
        let project = format!("demo-f0-{}", self.projects);
        self.projects += 1;
        self.store = Store::connect(&Connection::local(project, self.server.addr())).await.unwrap();
    }

    pub fn write_files(&self) {
        for (_, name, source) in FILES.iter().filter(|(page, ..)| *page == self.page) {
            let content = match source {
                Source::File(path) => std::fs::read_to_string(root().join(path)).unwrap(),
                Source::Json => {
                    let mut blocks = page::blocks(&self.page).into_iter();
                    blocks.find(|it| it.language == "json").unwrap().text
                }
                Source::Text(text) => (*text).to_owned(),
                Source::Trace => super::worlds::trace(),
            };
            std::fs::write(self.folder.path().join(name), content).unwrap();
        }
    }

    /// Sets variables for the commands that follow.
    pub fn export(&mut self, line: &str) {
        self.exports.push(line.to_owned());
    }

    /// Starts the service on the data of the page.
    pub async fn serve(&mut self) {
        let (firestore, project) =
            (self.server.addr().to_string(), self.store.project().to_owned());
        let start = move || {
            let environment = [("ADMIN_TOKEN", TOKEN), ("GOOGLE_CLOUD_PROJECT", &project)];
            let serve = Serve::start(&firestore, &[], &environment, Stdio::null());
            let url = format!("http://{}/readyz", serve.address);
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--fail", &url]).stdout(Stdio::null());
            wait_for("/readyz", || curl.status().unwrap().success().then_some(()));
            serve
        };
        self.service = Some(tokio::task::spawn_blocking(start).await.unwrap());
    }

    pub const fn has_service(&self) -> bool {
        self.service.is_some()
    }

    async fn value(&self, value: Value) -> String {
        match value {
            Value::Text(text) => text.to_owned(),
            Value::Project => self.store.project().to_owned(),
            Value::Firestore => self.server.addr().to_string(),
            Value::Meter => self.server.meter_addr().to_string(),
            Value::Service => self.service.as_ref().unwrap().address.clone(),
            Value::Experiment => {
                self.store.experiments(None).await.unwrap().first().unwrap().id.clone()
            }
            Value::Quarantined => super::worlds::QUARANTINED.to_owned(),
            Value::Seen => {
                let config = self.store.config("tuning".parse().unwrap()).await.unwrap();
                config.seen.to_string()
            }
        }
    }

    /// The line with what its placeholders stand for.
    async fn replaced(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (page, word, value) in PLACEHOLDERS {
            if (page.is_empty() || *page == self.page) && has_word(&line, word) {
                line = replace_word(&line, word, &self.value(*value).await);
            }
        }
        line
    }

    #[expect(clippy::disallowed_methods, reason = "the shell finds its tools where this test does")]
    async fn command(&self, line: &str) -> Command {
        let mut script = SHELL.to_owned();
        for export in &self.exports {
            script = script + &self.replaced(export).await + "\n";
        }
        let folder = Path::new(BINARY).parent().unwrap().to_str().unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("bash");
        command.args(["-c", &(script + line)]).current_dir(self.folder.path());
        pty::plain(&mut command);
        command
            .env("PATH", format!("{folder}:{path}"))
            .env("HOME", self.folder.path())
            .env("USER", "ada")
            .env("FIRESTORE_EMULATOR_HOST", self.server.addr().to_string())
            .env("GOOGLE_CLOUD_PROJECT", self.store.project())
            .env("ADMIN_TOKEN", TOKEN)
            .env("METER", self.server.meter_addr().to_string())
            .env("SERVICE", self.service.as_ref().map_or("", |it| &it.address));
        command
    }

    /// Runs a line as a reader would, and answers what it asks.
    pub async fn run(&self, line: &str) -> Done {
        let line = self.replaced(line).await;
        let until_stopped = UNTIL_STOPPED.iter().find(|(name, ..)| is_of(&line, name));
        if let Some((_, ports, ready)) = until_stopped {
            let command = self.command(&format!("{line} {ports}")).await;
            return on_terminal(command, ready, CTRL_C).await;
        }
        let asks = ASKS.iter().any(|it| line.contains(it)) && !line.contains("--yes");
        let mut command = self.command(&line).await;
        if asks {
            return on_terminal(command, "[y/N]", "y\n").await;
        }
        command.stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let shown = text(&output.stdout) + &text(&output.stderr);
        Done { code: output.status.code().unwrap_or(-1), shown }
    }

    /// Runs a command that prepares the page.
    pub async fn prepare(&self, arguments: &str) {
        let done = self.run(&format!("f0-learning {arguments}")).await;
        assert_eq!(done.code, 0, "{arguments}: {}", done.shown);
    }

    /// Whether bash can read a line.
    pub fn is_readable(text: &str) -> bool {
        let mut command = Command::new("bash");
        command.args(["-n", "-c", text]).stderr(Stdio::null());
        command.status().unwrap().success()
    }

    pub async fn is_in_quarantine(&self, id: &str) -> bool {
        stored(&self.store, collection::QUARANTINE, id).await.is_some()
    }
}

/// Whether a line runs this command of the program, with options only.
fn is_of(line: &str, name: &str) -> bool {
    let line = line.replace("firestore-local", "f0-learning firestore");
    let (_, arguments) = match line.split_once("f0-learning ") {
        Some(split) => split,
        None => line.split_once(" -- ").unwrap_or((&line, "")),
    };
    let mut words = arguments.split_whitespace();
    words.next() == Some(name) && words.next().is_none_or(|it| it.starts_with("--"))
}

async fn on_terminal(command: Command, ready: &'static str, keys: &'static str) -> Done {
    let run = move || {
        let terminal = Terminal::start(command, WIDE);
        // A command that ends early shows why.
        if terminal.shows_before_its_end(ready) {
            terminal.type_keys(keys);
        }
        let ended = terminal.end();
        Done { code: ended.code(), shown: ended.screen }
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn ends_word(symbol: Option<char>) -> bool {
    symbol.is_none_or(|it| !it.is_alphanumeric() && it != '_')
}

fn find_word(line: &str, word: &str) -> Option<usize> {
    let mut found = line.match_indices(word).map(|(at, _)| at);
    found.find(|at| {
        let (before, after) = (&line[..*at], &line[at + word.len()..]);
        ends_word(before.chars().next_back()) && ends_word(after.chars().next())
    })
}

fn has_word(line: &str, word: &str) -> bool {
    find_word(line, word).is_some()
}

fn replace_word(line: &str, word: &str, with: &str) -> String {
    let (mut done, mut rest) = (String::new(), line);
    while let Some(at) = find_word(rest, word) {
        done = done + &rest[..at] + with;
        rest = &rest[at + word.len()..];
    }
    done + rest
}

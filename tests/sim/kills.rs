//! The binary, killed with SIGKILL at random moments while components write: as the only worker,
//! and as one of three workers on the same store. After the last kill each valid observation must
//! get exactly one reward and be counted once, and every other must be quarantined.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use f0_learning::store::Store;
use firestore_kit::Connection;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_f0-learning");

/// How long nothing may change before all work is done.
const PATIENCE: Duration = Duration::from_secs(180);

pub fn run(kills: u64) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for workers in [1, 3] {
        if let Err(error) = runtime.block_on(killed(workers, kills / 2)) {
            eprintln!("{workers} workers: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// A process that is killed when the value is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn worker(address: &str) -> Process {
    let child = Command::new(BINARY)
        .args(["serve", "--port", "0", "--lease-seconds", "1", "--settle-ms", "200"])
        .args(["--score-cron", "* * * * * *", "--reconcile-cron", "*/3 * * * * *"])
        .env("FIRESTORE_EMULATOR_HOST", address)
        .env("GOOGLE_CLOUD_PROJECT", "demo-kills")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Process(child.unwrap())
}

fn firestore() -> (Process, String) {
    let mut child = Command::new(BINARY)
        .args(["firestore", "--addr", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mut words = line.split(|symbol: char| symbol.is_whitespace() || symbol == ';');
    let address = words.find(|word| word.starts_with("127.0.0.1:")).unwrap().to_owned();
    (Process(child), address)
}

#[derive(Default)]
struct Written {
    valid: u64,
    invalid: u64,
}

impl Written {
    fn batch(&mut self, rng: &mut StdRng) -> Vec<Map<String, Value>> {
        let now = f0_learning_core::Clock::system().now();
        let one = |_| {
            let number = self.valid + self.invalid;
            let is_valid = rng.random_bool(0.97);
            *(if is_valid { &mut self.valid } else { &mut self.invalid }) += 1;
            let late = if rng.random_bool(0.05) { rng.random_range(0..600_000) } else { 0 };
            let observation = json!({
                "id": format!("o{number:07}"), "ts": now - late,
                "component": format!("c{}", number % 7), "durationMs": number % 900,
                "outcome": if is_valid { "success" } else { "maybe" },
            });
            observation.as_object().unwrap().clone()
        };
        (0..200).map(one).collect()
    }
}

async fn killed(workers: usize, kills: u64) -> Result<(), String> {
    let (_store_process, address) = firestore();
    let store = Store::connect(&Connection::local("demo-kills", &address)).await.unwrap();
    store.seed(f0_learning_core::Clock::system().now()).await.unwrap();
    let mut rng = StdRng::seed_from_u64(workers as u64);
    let mut written = Written::default();
    let mut running: Vec<_> = (0..workers).map(|_| worker(&address)).collect();
    for _ in 0..kills {
        let until = Instant::now() + Duration::from_millis(rng.random_range(50..900));
        while Instant::now() < until {
            let batch = written.batch(&mut rng);
            f0_learning_client::create_observations(store.db(), &batch).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let index = rng.random_range(0..workers);
        running[index].0.kill().unwrap();
        running[index].0.wait().unwrap();
        running[index] = worker(&address);
    }
    let began = Instant::now();
    let (mut before, mut moved) = ((0, 0, [0; 3]), Instant::now());
    loop {
        let (rewards, quarantined) = store.counts().await.unwrap();
        let stats = store.all_stats(None).await.unwrap();
        let counted = |window: &str| {
            let of_window = stats.iter().filter(|stats| stats.window.as_str() == window);
            of_window.map(|stats| stats.stats.n).sum::<u64>()
        };
        let counts = [counted("1h"), counted("24h"), counted("7d")];
        let found = (rewards, quarantined, counts);
        let (valid, invalid) = (written.valid, written.invalid);
        let too_many =
            rewards > valid || quarantined > invalid || counts.iter().any(|n| *n > valid);
        if found == (valid, invalid, [valid; 3]) {
            println!(
                "{workers} workers, {kills} kills: {valid} observations scored and counted once in \
                 each window, {invalid} in quarantine; finished {:.1} s after the last kill",
                began.elapsed().as_secs_f64()
            );
            return Ok(());
        }
        if found != before {
            (before, moved) = (found, Instant::now());
        }
        if too_many || moved.elapsed() > PATIENCE {
            return Err(format!(
                "rewards, quarantine and counts: {found:?}, expected {valid} and {invalid}"
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

//! A backlog worked off by `f0-learning score`, whose memory is read while it works.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::process::{BINARY, Process, memory};
use crate::server::Server;
use crate::{Result, connect};

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Looks at memory that are printed, evenly spread over the run.
const SHOWN: usize = 10;

pub async fn run(total: usize) -> Result<()> {
    let server = Server::start(true)?;
    let store = connect(&server, "demo-backlog").await?;
    eprintln!("writing {total} observations");
    Load::last_hour(total).write(&store).await?;
    eprintln!("scoring them");
    let began = Instant::now();
    let mut job = Process::spawn(
        Command::new(BINARY)
            .arg("score")
            .env("FIRESTORE_EMULATOR_HOST", server.address())
            .env("GOOGLE_CLOUD_PROJECT", "demo-backlog")
            .stdout(Stdio::inherit()),
    )?;
    let id = job.0.id();
    let mut looks: Vec<u64> = Vec::new();
    let mut peak = 0;
    let status = loop {
        if let Some(status) = job.0.try_wait()? {
            break status;
        }
        looks.extend(memory(id, "VmRSS:"));
        peak = memory(id, "VmHWM:").unwrap_or(peak);
        tokio::time::sleep(LOOK_EVERY).await;
    };
    if !status.success() {
        return Err("scoring failed".into());
    }
    let seconds = began.elapsed().as_secs_f64();
    let server_peak = memory(server.id(), "VmHWM:").unwrap_or(0);
    let shown: Vec<_> = looks
        .iter()
        .step_by((looks.len() / SHOWN).max(1))
        .map(|kib| (kib / 1024).to_string())
        .collect();
    println!(
        "{total} observations in {seconds:.0} s ({:.0}/s): peak memory of the job {} MiB, over \
         time {} MiB; of the store {} MiB",
        total as f64 / seconds,
        peak / 1024,
        shown.join(" "),
        server_peak / 1024,
    );
    server.stop()
}

//! `f0-learning score` works off a backlog while its memory is sampled.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::process::{BINARY, Process, memory};
use crate::server::Server;
use crate::{Result, connect};

const SAMPLE_EVERY: Duration = Duration::from_millis(200);
/// The number of memory samples that are printed, evenly spread over the run.
const PRINTED: usize = 10;

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
    let mut samples: Vec<u64> = Vec::new();
    let mut peak = 0;
    let status = loop {
        if let Some(status) = job.0.try_wait()? {
            break status;
        }
        samples.extend(memory(id, "VmRSS:"));
        peak = memory(id, "VmHWM:").unwrap_or(peak);
        tokio::time::sleep(SAMPLE_EVERY).await;
    };
    if !status.success() {
        return Err("scoring failed".into());
    }
    let seconds = began.elapsed().as_secs_f64();
    let server_peak = memory(server.id(), "VmHWM:").unwrap_or(0);
    let printed: Vec<_> = samples
        .iter()
        .step_by((samples.len() / PRINTED).max(1))
        .map(|kib| (kib / 1024).to_string())
        .collect();
    println!(
        "{total} observations in {seconds:.0} s ({:.0}/s): memory of the job {} MiB at its peak, \
         {} MiB over time; of the store {} MiB at its peak",
        total as f64 / seconds,
        peak / 1024,
        printed.join(" "),
        server_peak / 1024,
    );
    server.stop()
}

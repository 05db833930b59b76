//! A router over models that follows the policy `router-core`:
//!
//!     cargo run -p rust-router -- --requests 200
//!
//! It connects to the database that FIRESTORE_EMULATOR_HOST and GOOGLE_CLOUD_PROJECT select, serves
//! simulated requests, records an observation of each, and prints how often each arm was used.

mod models;
mod router;
mod tally;

use std::error::Error;
use std::process::ExitCode;

use f0_learning_client::{
    ActivePolicy, Clock, DEFAULT_REFRESH, Db, Recorder, RecorderOptions, SamplingPolicy,
    connection_from_env,
};

use router::Router;
use tracing_subscriber::filter::LevelFilter;

const POLICY: &str = "router-core";

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_max_level(LevelFilter::WARN).with_writer(std::io::stderr).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let requests = requests(std::env::args().skip(1))?;
    #[expect(clippy::disallowed_methods, reason = "a program reads its own environment")]
    let connection = connection_from_env(|name| std::env::var(name).ok())?;
    let db = Db::connect(&connection).await?;
    let policy = ActivePolicy::follow(db.clone(), POLICY, DEFAULT_REFRESH).await?;
    // The service compares arms only if it knows all of their outcomes (`minSampleRate` is 1).
    let options =
        RecorderOptions { sampling: SamplingPolicy::KEEP_ALL, ..RecorderOptions::default() };
    let recorder = Recorder::start(db, options, Clock::system());

    let mut router = Router::new(&policy, &recorder);
    for request in 0..requests {
        router.serve(request).await?;
    }

    let report = recorder.close().await;
    print!("{}", router.tally());
    println!("{} observations written, {} failed", report.written, report.failed);
    if report.failed > 0 {
        return Err("cannot record all observations: see the log".into());
    }
    Ok(())
}

fn requests(mut arguments: impl Iterator<Item = String>) -> Result<u64, String> {
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, ..) => Ok(200),
        (Some("--requests"), Some(number), None) => number
            .parse()
            .map_err(|_| format!("invalid --requests {number:?}: expected a whole number")),
        _ => Err("usage: rust-router [--requests NUMBER]".to_owned()),
    }
}

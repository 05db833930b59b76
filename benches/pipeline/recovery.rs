//! A worker is killed during a pass: the time until a second running worker has scored everything.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use f0_learning::jobs::score::ScoreOptions;
use f0_learning::store::Store;
use f0_learning_core::Clock;
use f0_learning_core::sharding::Shard;
use f0_learning_core::stats::Window;

use crate::load::{COMPONENTS, Load};
use crate::process::{BINARY, Process};
use crate::server::{Server, http};
use crate::{Result, connect, median};

/// Two chunks: the pass is killed in one of them.
const OBSERVATIONS: usize = 40_000;

/// How far ahead of now the observations are stamped, in milliseconds: all are written by then, so
/// that one pass finds them all.
const AHEAD_MS: i64 = 8_000;

/// How much later in its pass each kill comes than the kill before.
const LATER: Duration = Duration::from_millis(200);

const POLL_EVERY: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(600);

pub async fn run(lease_seconds: usize, kills: usize) -> Result<()> {
    let server = Server::start(false)?;
    let (mut all, mut waits, mut works) = (Vec::new(), Vec::new(), Vec::new());
    println!("leases of {lease_seconds} s, {OBSERVATIONS} observations, timers of 1 s:");
    for kill in 0..kills {
        let recovery = recover(&server, kill, lease_seconds).await?;
        println!("  {recovery}");
        all.push(recovery.total);
        waits.push(recovery.lease);
        works.push(recovery.total - recovery.lease);
    }
    println!(
        "  medians: {:.1} s from the kill until all was scored and counted, of which {:.1} s until \
         the lease expired, and {:.1} s after that",
        median(all),
        median(waits),
        median(works)
    );
    server.stop()
}

/// Times in seconds since the kill.
struct Recovery {
    rewards: u64,
    lease: f64,
    total: f64,
}

impl std::fmt::Display for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rewards, lease, total } = self;
        let work = total - lease;
        write!(
            f,
            "killed at {rewards} rewards; the lease expired after {lease:.1} s; all was scored and \
             counted after {total:.1} s, {work:.1} s later"
        )
    }
}

async fn recover(server: &Server, kill: usize, lease_seconds: usize) -> Result<Recovery> {
    let project = format!("demo-recovery-{kill}");
    let store = connect(server, &project).await?;
    let mut first = worker(server, &project, lease_seconds).await?;
    let holder = until(async || Ok(store.lease("score").await?)).await?.holder;
    let _second = worker(server, &project, lease_seconds).await?;
    let stamp = Clock::system().now() + AHEAD_MS;
    // All have the same time, so that a pass finds either none of them or all.
    let times = stamp..stamp;
    Load { numbers: 0..OBSERVATIONS, times, components: COMPONENTS, shards: 0 }
        .write(&store)
        .await?;
    if Clock::system().now() > stamp + ScoreOptions::default().settle_ms {
        return Err("the observations were not written in time".into());
    }
    until(async || Ok(store.cursor(Shard::All).await?.pending)).await?;
    tokio::time::sleep(LATER * u32::try_from(kill)?).await;
    first.kill()?;
    let began = Instant::now();
    let killed_at = Clock::system().now();
    let lease = store.lease("score").await?.ok_or("no lease")?;
    let (rewards, _) = store.counts().await?;
    if lease.holder != holder {
        return Err("the worker had lost its lease before it was killed".into());
    }
    if counted(&store).await? == OBSERVATIONS as u64 {
        return Err("the pass had ended before it was killed".into());
    }
    until(async || Ok((counted(&store).await? == OBSERVATIONS as u64).then_some(()))).await?;
    let total = began.elapsed().as_secs_f64();
    if store.counts().await? != (OBSERVATIONS as u64, 0) {
        return Err("the number of rewards differs from the number of observations".into());
    }
    let lease = (lease.until - killed_at).max(0) as f64 / 1_000.0;
    Ok(Recovery { rewards, lease, total })
}

/// Observations counted in the longest window.
async fn counted(store: &Store) -> Result<u64> {
    let stats = store.all_stats(None).await?;
    let week = stats.iter().filter(|stats| stats.window == Window::SevenDays);
    Ok(week.map(|stats| stats.stats.n).sum())
}

/// Starts `serve` and waits for its first pass.
async fn worker(server: &Server, project: &str, lease_seconds: usize) -> Result<Process> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let process = Process::spawn(
        Command::new(BINARY)
            .args(["serve", "--score-cron", "* * * * * *"])
            .args(["--port", &port.to_string(), "--lease-seconds", &lease_seconds.to_string()])
            .env("FIRESTORE_EMULATOR_HOST", server.address())
            .env("GOOGLE_CLOUD_PROJECT", project)
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )?;
    let address = format!("127.0.0.1:{port}");
    until(async || {
        // It may not listen yet.
        let answer = http(&address, "GET", "/readyz", "").await;
        Ok(answer.is_ok_and(|(status, _)| status == 200).then_some(()))
    })
    .await?;
    Ok(process)
}

/// Polls until there is a result.
async fn until<T>(poll: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(found) = poll().await? {
            return Ok(found);
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
    Err("timed out after ten minutes".into())
}

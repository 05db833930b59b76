//! A worker that is killed in the midst of a pass, and how long it takes until another one, which
//! runs beside it, has scored everything.

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

/// How long after now the observations are stamped, in milliseconds: all are written by then, so
/// that one pass finds them all.
const AHEAD_MS: i64 = 8_000;

/// Between two kills, how much later in the pass the next one comes.
const LATER: Duration = Duration::from_millis(200);

const LOOK_EVERY: Duration = Duration::from_millis(50);
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
         the lease had run out, and {:.1} s after that",
        median(all),
        median(waits),
        median(works)
    );
    server.stop()
}

/// Seconds, from the kill on.
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
            "killed at {rewards} rewards; the lease ran for another {lease:.1} s; all was scored and \
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
    // The same for all: a pass finds either none of them or all.
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
        return Err("the worker that was killed had lost its lease before".into());
    }
    if counted(&store).await? == OBSERVATIONS as u64 {
        return Err("the pass had ended before it was killed".into());
    }
    until(async || Ok((counted(&store).await? == OBSERVATIONS as u64).then_some(()))).await?;
    let total = began.elapsed().as_secs_f64();
    if store.counts().await? != (OBSERVATIONS as u64, 0) {
        return Err("there is not one reward for each observation".into());
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

/// `serve`, with its first pass behind it.
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

/// Looks until there is something to see.
async fn until<T>(look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err("it did not come about in ten minutes".into())
}

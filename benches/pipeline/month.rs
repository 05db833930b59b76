//! The memory of a worker over a month of virtual time: windows advance, retention archives and
//! deletes, and memory must not grow. The worker is a separate process that runs each pass on
//! command, at a given time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use f0_learning::jobs::retain::MIN_DAYS;
use f0_learning::store::Store;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use firestore_kit::Connection;

use crate::load::{DAY_END, Load};
use crate::process::{Process, memory, reset_peak};
use crate::server::Server;
use crate::time::Time;
use crate::worker::{Job, Worker};
use crate::{Result, connect};

const PROJECT: &str = "demo-month";
const START: i64 = DAY_END - DAY_END % DAY_MS;
const COMPONENTS: usize = 50;
const DAYS: i64 = 30;
const SAMPLE_DAYS: i64 = 3;
const AN_HOUR: usize = 2_000;
const PASSES_AN_HOUR: usize = 4;

/// Retention keeps the minimum, so that it works for most of the month.
const KEPT_DAYS: u32 = MIN_DAYS;

/// The first argument of the worker process, before the address of the store and the folder of the
/// archive.
pub const WORKER: &str = "month-worker";

pub async fn run() -> Result<()> {
    let server = Server::start(false)?;
    let store = connect(&server, PROJECT).await?;
    let archive = tempfile::tempdir()?;
    let mut worker = Remote::start(&server, archive.path())?;
    let began = Instant::now();
    println!(
        "{DAYS} days, {AN_HOUR} observations an hour over {COMPONENTS} components, {KEPT_DAYS} days \
         kept:\n{:>6} {:>12} {:>14} {:>13}",
        "day", "worker MiB", "peak MiB", "store MiB"
    );
    for hour in 0..DAYS * 24 {
        work_for_an_hour(&store, &mut worker, hour).await?;
        if (hour + 1) % (SAMPLE_DAYS * 24) == 0 {
            let id = worker.process.0.id();
            let mib = |id, line| memory(id, line).unwrap_or(0) / 1024;
            println!(
                "{:>6} {:>12} {:>14} {:>13}",
                (hour + 1) / 24,
                mib(id, "VmRSS:"),
                mib(id, "VmHWM:"),
                mib(server.id(), "VmRSS:")
            );
            reset_peak(id)?;
        }
    }
    worker.pass(Job::Score, START + DAYS * DAY_MS + MINUTE_MS)?;
    // Retention deletes whole days: it kept each day that ended less than `KEPT_DAYS` days ago.
    let kept = AN_HOUR as u64 * 24 * (u64::from(KEPT_DAYS) + 1);
    let (rewards, _) = store.counts().await?;
    if rewards != kept {
        return Err(format!("{rewards} rewards are left, expected {kept}").into());
    }
    println!("{kept} observations are left; {:.0} s elapsed", began.elapsed().as_secs_f64());
    server.stop()
}

async fn work_for_an_hour(store: &Store, worker: &mut Remote, hour: i64) -> Result<()> {
    const BATCH: usize = AN_HOUR / PASSES_AN_HOUR;
    const STEP: i64 = HOUR_MS / PASSES_AN_HOUR as i64;
    let mut now = START + hour * HOUR_MS;
    let mut number = hour as usize * AN_HOUR;
    for _ in 0..PASSES_AN_HOUR {
        let (numbers, times) = (number..number + BATCH, now..now + STEP);
        Load { numbers, times, components: COMPONENTS, shards: 0 }.write(store).await?;
        (number, now) = (number + BATCH, now + STEP);
        worker.pass(Job::Score, now)?;
    }
    for job in [Job::Reconcile, Job::Tune, Job::Check, Job::Guard] {
        worker.pass(job, now)?;
    }
    if hour % 24 == 3 {
        worker.pass(Job::Retain, now)?;
    }
    Ok(())
}

/// The worker process: the benchmark writes a line for each pass, and reads a line in answer.
struct Remote {
    process: Process,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Remote {
    fn start(server: &Server, archive: &Path) -> Result<Self> {
        let mut process = Process::spawn(
            Command::new(std::env::current_exe()?)
                .args([WORKER, server.address()])
                .arg(archive)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        )?;
        let input = process.0.stdin.take().ok_or("no standard input")?;
        let output = process.0.stdout.take().ok_or("no standard output")?;
        Ok(Self { process, input, output: BufReader::new(output) })
    }

    fn pass(&mut self, job: Job, now: i64) -> Result<()> {
        writeln!(self.input, "{} {now}", job.name())?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer)? == 0 {
            return Err(format!("the worker ended during a pass of {}", job.name()).into());
        }
        if job == Job::Retain {
            eprint!("{answer}");
        }
        Ok(())
    }
}

/// The main function of the worker process.
pub async fn worker(arguments: &[String]) -> Result<()> {
    let [address, archive] = arguments else {
        return Err("expected the address of the store and the archive folder".into());
    };
    let store = Store::connect(&Connection::local(PROJECT, address)).await?;
    let time = Time::at(START);
    let mut worker = Worker::new(&store, &time, true, Path::new(archive), KEPT_DAYS)?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let (job, now) = line.split_once(' ').ok_or("no time")?;
        let job = Job::of_name(job).ok_or("unknown job")?;
        time.set(now.parse()?);
        worker.hold(job).await?;
        println!("{}", worker.pass(job).await?);
    }
    Ok(())
}

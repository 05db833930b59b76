//! The command line of the local Firestore, for every program that offers it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::meter::PricesError;
use crate::server::{Builder, Running};
use crate::{Budget, Concurrency, Error, Plan, PlanError, Prices, Server, indexes, rules};

/// The longest answer of a meter that is printed.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

/// The options and commands of a program that runs the local Firestore.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: Serve,
}

/// What the program does instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Work with security rules
    #[command(subcommand)]
    Rules(rules::Command),
    /// Work with indexes
    #[command(subcommand)]
    Indexes(indexes::command::Command),
    /// Print what the operations of a running server would have cost on Firestore
    Meter(MeterOptions),
}

/// Which server to ask, and how to print its answer.
#[derive(Debug, Args)]
pub struct MeterOptions {
    /// Address of the meter
    #[arg(long, default_value = "127.0.0.1:8081")]
    addr: SocketAddr,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// The options of a server on its own.
#[derive(Debug, Args)]
pub struct Serve {
    /// Address of the gRPC endpoint
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub addr: SocketAddr,
    #[command(flatten)]
    pub settings: Settings,
}

/// The options of any server.
#[derive(Debug, Args)]
pub struct Settings {
    /// Folder to keep the data in; without it, data is lost when the server stops
    #[arg(long)]
    data: Option<PathBuf>,
    /// Address of the meter of billed operations; the next port by default
    #[arg(long)]
    meter_addr: Option<SocketAddr>,
    /// How read-write transactions are kept apart: pessimistic (reads take locks) or optimistic
    #[arg(long, value_name = "MODE", default_value_t = Concurrency::Pessimistic)]
    concurrency: Concurrency,
    /// Faults to inject: a seed, or a file with a fault plan as JSON
    #[arg(long, value_name = "SEED|FILE")]
    faults: Option<String>,
    /// File of the security rules for users; without it, every caller may do everything
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// File of indexes, such as firestore.indexes.json; queries that they do not serve are refused.
    /// May be given several times: each file must serve every query
    #[arg(long, value_name = "FILE")]
    indexes: Vec<PathBuf>,
    /// File to record the shapes of queries in, for `indexes suggest`
    #[arg(long, value_name = "FILE")]
    record_queries: Option<PathBuf>,
    /// File of the prices of operations; by default prices.json of this version
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Fail at the end if more document reads were billed
    #[arg(long, value_name = "N")]
    max_reads: Option<u64>,
    /// Fail at the end if more document writes were billed
    #[arg(long, value_name = "N")]
    max_writes: Option<u64>,
    /// Fail at the end if more document deletes were billed
    #[arg(long, value_name = "N")]
    max_deletes: Option<u64>,
}

/// An option cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error(transparent)]
    Faults(#[from] PlanError),
    #[error(transparent)]
    Prices(#[from] PricesError),
    #[error(transparent)]
    Start(#[from] Error),
}

/// The meter of a server cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MeterError {
    #[error("cannot read the meter at {0}: {1}; pass the meter's address as --addr")]
    Unreachable(SocketAddr, std::io::Error),
    #[error("cannot read the meter at {0}: it answered {1:?}")]
    Refused(SocketAddr, String),
}

impl Settings {
    /// The faults to inject.
    ///
    /// # Errors
    /// If the plan cannot be read.
    pub fn faults(&self) -> Result<Plan, PlanError> {
        Plan::of_argument(self.faults.as_deref())
    }

    /// Whether files of indexes are given.
    pub fn has_indexes(&self) -> bool {
        !self.indexes.is_empty()
    }

    /// A server with these options, without the faults.
    ///
    /// # Errors
    /// If the prices cannot be read.
    pub fn builder(self) -> Result<Builder, PricesError> {
        let budget = Budget {
            max_reads: self.max_reads,
            max_writes: self.max_writes,
            max_deletes: self.max_deletes,
        };
        let builder = Server::builder()
            .data_dir(self.data)
            .meter_addr(self.meter_addr)
            .concurrency(self.concurrency)
            .rules(self.rules)
            .indexes(self.indexes)
            .record_queries(self.record_queries)
            .prices(Prices::open(self.prices.as_deref())?)
            .budget(budget);
        Ok(builder)
    }
}

impl Serve {
    /// Starts the server.
    ///
    /// # Errors
    /// If an option cannot be used or the server does not start.
    pub async fn start(self) -> Result<Running, OptionsError> {
        let faults = self.settings.faults()?;
        let builder = self.settings.builder()?.addr(self.addr).faults(faults);
        Ok(builder.start().await?)
    }
}

impl MeterOptions {
    /// Asks the meter of a running server; returns the text to print.
    ///
    /// # Errors
    /// If no meter answers at the address.
    pub async fn run(&self) -> Result<String, MeterError> {
        let path = if self.json { "/meter" } else { "/meter/table" };
        let answer = get(self.addr, path).await;
        let answer = answer.map_err(|error| MeterError::Unreachable(self.addr, error))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) == Some("200") {
            Ok(body.trim_end().to_owned())
        } else {
            Err(MeterError::Refused(self.addr, status.to_owned()))
        }
    }
}

async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0 answers are not cut into chunks.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer).await?;
    Ok(answer)
}

//! `firestore`: only the local Firestore.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use firestore_local::{Concurrency, Plan, Running, Server, rules};

use super::shutdown;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work with security rules
    #[command(subcommand)]
    Rules(rules::Command),
}

#[derive(Debug, Args)]
struct Serve {
    /// Address of the gRPC endpoint
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// Folder to keep the data in; without it the data is gone when the server ends
    #[arg(long)]
    data: Option<PathBuf>,
    /// Address of the meter of billed operations; the next port by default
    #[arg(long)]
    meter_addr: Option<SocketAddr>,
    /// How read-write transactions are kept apart: pessimistic (reads take locks) or optimistic
    #[arg(long, value_name = "MODE", default_value_t = Concurrency::Pessimistic)]
    concurrency: Concurrency,
    /// What goes wrong: a seed, or a file that holds a plan as JSON
    #[arg(long, value_name = "SEED|FILE")]
    faults: Option<String>,
    /// File of the security rules for users; without it, every caller may do everything
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
}

pub async fn run(options: Options) -> Result<()> {
    match options.command {
        Some(Command::Rules(command)) => {
            let answer = command.run()?;
            say!("{answer}");
            Ok(answer.check()?)
        }
        None => serve(options.serve).await,
    }
}

async fn serve(options: Serve) -> Result<()> {
    let builder = Server::builder()
        .addr(options.addr)
        .data_dir(options.data)
        .meter_addr(options.meter_addr)
        .concurrency(options.concurrency)
        .faults(Plan::of_argument(options.faults.as_deref())?)
        .rules(options.rules);
    let end = shutdown::requested()?;
    let server = builder.start().await?;
    say!("Firestore listens on {}; meter on http://{}/meter", server.addr(), server.meter_addr());
    end.await;
    stop(server).await;
    Ok(())
}

/// Stops the server and prints the operations that Firestore would have billed.
pub async fn stop(server: Running) {
    let meter = server.meter();
    server.shutdown().await;
    say!("{meter}");
}

//! The `firestore-local` program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use firestore_local::{Concurrency, Plan, Server, rules};
use tokio::signal::unix::{SignalKind, signal};

/// A local Firestore: google.firestore.v1 over gRPC.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
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
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    match arguments.command {
        Some(Command::Rules(command)) => {
            let answer = command.run()?;
            println!("{answer}");
            Ok(answer.check()?)
        }
        None => serve(arguments.serve).await,
    }
}

async fn serve(arguments: Serve) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::builder()
        .addr(arguments.addr)
        .data_dir(arguments.data)
        .meter_addr(arguments.meter_addr)
        .concurrency(arguments.concurrency)
        .faults(Plan::of_argument(arguments.faults.as_deref())?)
        .rules(arguments.rules)
        .start()
        .await?;
    println!("listening on {}; meter on http://{}/meter", server.addr(), server.meter_addr());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let bill = server.meter();
    server.shutdown().await;
    println!("{bill}");
    Ok(())
}

//! The `firestore-local` program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use firestore_local::{Concurrency, Plan, Server};
use tokio::signal::unix::{SignalKind, signal};

/// A local Firestore: google.firestore.v1 over gRPC.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
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
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::builder()
        .addr(arguments.addr)
        .data_dir(arguments.data)
        .meter_addr(arguments.meter_addr)
        .concurrency(arguments.concurrency)
        .faults(Plan::of_argument(arguments.faults.as_deref())?)
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

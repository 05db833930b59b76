//! The `firestore-local` program.

use std::process::ExitCode;

use clap::Parser;
use firestore_local::options::{Command, Options, Serve};
use tokio::signal::unix::{SignalKind, signal};

/// A local Firestore: google.firestore.v1 over gRPC.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().init();
    match run(Arguments::parse().options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    match options.command {
        Some(Command::Rules(command)) => {
            let answer = command.run()?;
            println!("{answer}");
            Ok(answer.check()?)
        }
        Some(Command::Meter(command)) => {
            println!("{}", command.run().await?);
            Ok(())
        }
        Some(Command::Indexes(command)) => {
            let report = command.run()?;
            println!("{report}");
            Ok(report.check()?)
        }
        None => serve(options.serve).await,
    }
}

async fn serve(options: Serve) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = options.start().await?;
    println!("listening on {}; meter on http://{}/meter", server.addr(), server.meter_addr());
    let ended = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server.warn_until(ended).await;
    let report = server.report();
    let exceeded = server.exceeded();
    server.shutdown().await;
    println!("{}", report.summary());
    exceeded.map_or(Ok(()), |exceeded| Err(exceeded.into()))
}

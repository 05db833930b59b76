//! The binary: arguments, logging, and an exit code. Everything else is in `cli`.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use f0_learning::observability::logging;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let json = std::env::var("LOG_FORMAT").is_ok_and(|format| format == "json");
    logging::start(arguments.verbosity(), json);
    match cli::run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", cli::one_line(&error));
            ExitCode::FAILURE
        }
    }
}

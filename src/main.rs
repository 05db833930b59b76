//! The binary: arguments, logging and exit code. Everything else is in `cli`.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use f0_learning::observability::logging;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    logging::start(arguments.verbosity(), arguments.logs_json());
    match cli::run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", cli::one_line(&error));
            ExitCode::FAILURE
        }
    }
}

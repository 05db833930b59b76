//! The binary: arguments, logging and exit code. Everything else is in `cli`.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use f0_learning::observability::{logging, printable};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match cli::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    logging::start(arguments.verbosity(), arguments.logs_json());
    match cli::run(arguments).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", printable::line(&cli::one_line(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Prints an error of the arguments, or the help. An error quotes what was passed: a text with hidden
/// characters, which may come from a document, is not printed as it is.
fn refuse(error: &clap::Error) -> ExitCode {
    let is_plain = |it: std::ffi::OsString| !it.to_string_lossy().contains(printable::is_hidden);
    if !error.use_stderr() || std::env::args_os().all(is_plain) {
        error.exit();
    }
    eprintln!("{}", printable::line(error.render().to_string().trim()));
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

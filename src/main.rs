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
    let colours = cli::Arguments::logs_colours();
    logging::start(arguments.verbosity(), arguments.logs_json(), colours);
    match cli::run(arguments).await {
        Ok(code) => code,
        Err(error) => {
            cli::report(&format!("error: {}", cli::one_line(&error)));
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
    cli::report(error.render().to_string().trim());
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

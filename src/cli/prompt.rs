//! Questions before a change. Each names the project that it changes.

use std::io::{BufRead, IsTerminal};

use anyhow::{Result, bail};
use f0_learning::store::Store;

use super::output;

/// Whether a person confirmed it on the terminal.
///
/// # Errors
/// Standard input is not a terminal.
pub fn confirmed(store: &Store, question: &str) -> Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("stdin is not a terminal: pass --yes to confirm");
    }
    output::ask(&format!("project {}: {question} [y/N] ", store.project()));
    let mut answer = String::new();
    if input.lock().read_line(&mut answer)? == 0 {
        // The end of the input, unlike an answer, leaves the cursor behind the question.
        output::ask_no_more();
    }
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

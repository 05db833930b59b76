//! Questions before a change. Each names the project that it changes.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Result, bail};
use f0_learning::store::Store;

/// Whether a person confirmed it on the terminal.
///
/// # Errors
/// Standard input is not a terminal.
pub fn confirmed(store: &Store, question: &str) -> Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("stdin is not a terminal: pass --yes to confirm");
    }
    say_part!("project {}: {question} [y/N] ", store.project());
    std::io::stdout().flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

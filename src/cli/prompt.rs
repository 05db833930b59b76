//! Questions before a change. Each names the project, so that nobody changes the wrong one.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Result, bail};
use f0_learning::store::Store;

/// Whether a person confirmed it on the terminal.
///
/// # Errors
/// Nobody can be asked.
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

//! `completions` and `man`: what shells and `man` know about the commands, from the commands themselves.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Command};
use clap_complete::Shell;

use super::output;

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell whose script is printed
    shell: Shell,
}

#[derive(Debug, Args)]
pub struct Man {
    /// The folder for the pages, one for each command
    folder: PathBuf,
}

const NAME: &str = env!("CARGO_PKG_NAME");

impl Completions {
    pub fn run(&self, mut command: Command) {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, NAME, &mut script);
        // Scripts hold tabs, and no text that was stored.
        output::print_own(&String::from_utf8_lossy(&script));
    }
}

impl Man {
    pub fn run(&self, command: Command) -> Result<()> {
        let shown = self.folder.display();
        std::fs::create_dir_all(&self.folder).with_context(|| format!("cannot create {shown}"))?;
        clap_mangen::generate_to(command, &self.folder)
            .with_context(|| format!("cannot write to {shown}"))?;
        say!("wrote the pages to {shown}; read one with `man -l {shown}/{NAME}.1`");
        Ok(())
    }
}

//! The command `indexes`.

use std::fmt;
use std::path::PathBuf;

use super::{IndexesError, IndexesFile, RecordError, Suggestions, read_record, suggest};

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Print the indexes that a recorded run lacks, and the declared ones that it does not use
    Suggest {
        /// Record of a run, which a server writes with --record-queries
        record: PathBuf,
        /// File of the declared indexes; several files are compared one by one
        #[arg(long, value_name = "FILE", default_value = "firestore.indexes.json")]
        indexes: Vec<PathBuf>,
        /// Fail if an index is missing or unused
        #[arg(long)]
        check: bool,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Indexes(#[from] IndexesError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("{missing} indexes are missing and {unused} are unused; see the list above")]
    Differs { missing: usize, unused: usize },
}

/// What the command found for each file.
#[derive(Debug)]
pub struct Report {
    files: Vec<(PathBuf, Suggestions)>,
    check: bool,
}

impl Command {
    /// Runs the command and returns what to print.
    ///
    /// # Errors
    /// If a file cannot be read or is not valid.
    pub fn run(&self) -> Result<Report, Error> {
        let Self::Suggest { record, indexes, check } = self;
        let shapes = read_record(record)?;
        let compare = |file: &PathBuf| {
            let declared = IndexesFile::open(file)?.current();
            Ok((file.clone(), suggest(&shapes, &declared)))
        };
        let files = indexes.iter().map(compare).collect::<Result<_, Error>>()?;
        Ok(Report { files, check: *check })
    }
}

impl Report {
    /// Fails if a difference was found and the command was to check.
    ///
    /// # Errors
    /// The number of missing and unused indexes.
    pub fn check(&self) -> Result<(), Error> {
        let (mut missing, mut unused) = (0, 0);
        for (_, found) in &self.files {
            missing += found.missing.len() + found.missing_overrides.len();
            unused += found.unused.len();
        }
        match missing + unused {
            0 => Ok(()),
            _ if !self.check => Ok(()),
            _ => Err(Error::Differs { missing, unused }),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (file, found)) in self.files.iter().enumerate() {
            if position > 0 {
                writeln!(f, "\n")?;
            }
            write!(f, "{}\n{found}", file.display())?;
        }
        Ok(())
    }
}

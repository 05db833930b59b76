//! The command `rules`.

use std::fmt;
use std::path::PathBuf;

use super::RulesFile;
use super::mutation::{Survey, survey};
use super::testing::{Case, Error, Report, parse, run};

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Run test cases against security rules; fails if a case fails
    Test(Files),
    /// Change the rules in one place at a time; fails if the test cases pass with such a change
    Mutate(Files),
}

#[derive(Clone, Debug, clap::Args)]
pub struct Files {
    /// File of cases: a JSON array, or one case a line
    cases: PathBuf,
    /// File of the security rules
    #[arg(long, default_value = "firestore.rules")]
    rules: PathBuf,
}

/// What a command found.
#[derive(Clone, Debug)]
pub enum Answer {
    Tested(Report),
    Mutated(Survey),
}

impl Command {
    /// Runs the command and returns what to print.
    ///
    /// # Errors
    /// If a file cannot be read or is not valid.
    pub fn run(&self) -> Result<Answer, Error> {
        let (Self::Test(files) | Self::Mutate(files)) = self;
        let rules = RulesFile::open(&files.rules)?.current();
        let cases = files.cases()?;
        Ok(match self {
            Self::Test(_) => Answer::Tested(run(&rules, &cases)?),
            Self::Mutate(_) => Answer::Mutated(survey(&rules, &cases)?),
        })
    }
}

impl Files {
    fn cases(&self) -> Result<Vec<Case>, Error> {
        let file = &self.cases;
        let text = std::fs::read_to_string(file)
            .map_err(|source| Error::Read { file: file.clone(), source })?;
        parse(&text).map_err(|reason| Error::Cases { file: file.clone(), reason })
    }
}

impl Answer {
    /// Fails if a case failed or a mutant survived.
    ///
    /// # Errors
    /// How many failed or survived.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::Tested(report) => report.check(),
            Self::Mutated(survey) => survey.check(),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tested(report) => report.fmt(f),
            Self::Mutated(survey) => survey.fmt(f),
        }
    }
}

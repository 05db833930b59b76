//! Whether the deployed security rules are those of a file.

use std::path::Path;

use f0_learning::security_rules::{Database, EXPECTED, RulesError, deployed, first_difference};
use firestore_kit::Connection;

use super::finding::{Finding, Verdict};

const NAME: &str = "rules";
const DEPLOY: &str = "firebase deploy --only firestore:rules";

pub async fn check(connection: &Connection, file: Option<&Path>) -> Finding {
    let (expected, named) = match file {
        None => (EXPECTED.to_owned(), "firestore.rules of this version".to_owned()),
        Some(file) => match std::fs::read_to_string(file) {
            Ok(text) => (text, file.display().to_string()),
            Err(error) => {
                let detail = format!("cannot read {}: {error}", file.display());
                return Finding::fail(NAME, detail, "correct --rules");
            }
        },
    };
    if connection.emulator.is_some() {
        let detail = "a local Firestore enforces the file that it was started with, if any";
        return Finding::new(NAME, Verdict::NotChecked, detail);
    }
    let name = connection.database.as_deref().unwrap_or("(default)");
    let database = Database { project: &connection.project, name };
    of_deployed(deployed(database).await, &expected, &named)
}

fn of_deployed(deployed: Result<String, RulesError>, expected: &str, named: &str) -> Finding {
    match deployed {
        Ok(text) => match first_difference(&text, expected) {
            None => Finding::ok(NAME, format!("the deployed rules are {named}")),
            Some(line) => {
                let detail =
                    format!("the deployed rules differ from {named}, first in line {line}");
                Finding::new(NAME, Verdict::Warn, detail).with_action(&format!(
                    "{DEPLOY}; or, if the project has rules of its own, name their file with --rules"
                ))
            }
        },
        Err(error @ RulesError::NotDeployed(_)) => {
            Finding::new(NAME, Verdict::Warn, error).with_action(DEPLOY)
        }
        Err(error @ RulesError::Denied(_)) => Finding::new(NAME, Verdict::NotChecked, error)
            .with_action(
                "give the account the role roles/firebaserules.viewer, and enable the API \
                 firebaserules.googleapis.com",
            ),
        Err(error @ RulesError::Unknown(_)) => {
            Finding::new(NAME, Verdict::NotChecked, error).with_action("repeat the check")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_differ_or_are_missing_are_looked_at_and_unknown_ones_are_not_checked() {
        let denied = || Err(RulesError::Denied("p".to_owned()));
        let missing = || Err(RulesError::NotDeployed("(default)".to_owned()));
        let cases = [
            (Ok("a\n".to_owned()), Verdict::Ok, "the deployed rules are f"),
            (
                Ok("b\n".to_owned()),
                Verdict::Warn,
                "the deployed rules differ from f, first in line 1",
            ),
            (missing(), Verdict::Warn, "no security rules are deployed for database (default)"),
            (
                denied(),
                Verdict::NotChecked,
                "the account may not read the security rules of project p",
            ),
        ];
        for (deployed, verdict, detail) in cases {
            let found = of_deployed(deployed, "a", "f");
            assert_eq!((found.verdict, found.detail.as_str()), (verdict, detail));
        }
    }
}

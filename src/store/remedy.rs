//! What a person can do about a document that cannot be read: the command that repairs it.

use crate::store::collection::{CONFIG, EXPERIMENTS, POLICIES, STATE, STATS};
use firestore_kit::name_of_part;

/// The repair of a document, which continues "cannot read ...; ".
pub fn remedy(document: &str) -> String {
    // The path of a field may follow the path of its document.
    let (collection, id) = document.split_once('/').unwrap_or((document, ""));
    let run = |command: &str| format!("run `f0-learning {command}`");
    match collection {
        STATE => match id.split_once('|') {
            Some(("experiment", experiment)) => {
                run(&format!("experiments stop {}", shell_word(experiment)))
            }
            _ => run(&format!("rebuild --document {}", shell_word(document))),
        },
        STATS => match id.split_once('|').and_then(|(part, _)| name_of_part(part)) {
            Some(component) => run(&format!("rebuild --component {}", shell_word(&component))),
            None => "delete the document: scoring writes it again".to_owned(),
        },
        CONFIG => {
            let id = id.split(' ').next().unwrap_or_default();
            let repair = run(&format!("seed --only {}", shell_word(&format!("{CONFIG}/{id}"))));
            format!("correct the document, or {repair} to begin with the defaults")
        }
        POLICIES => {
            let policy = id.split_once('@').map_or(id, |(policy, _)| policy);
            let replace = match policy {
                "" => "a rollback replaces it".to_owned(),
                policy => run(&format!("policies rollback {}", shell_word(policy))),
            };
            format!("correct the document; if the version is active, {replace}")
        }
        EXPERIMENTS if !id.is_empty() => {
            let stop = run(&format!("experiments stop {}", shell_word(id)));
            format!("correct the document, or {stop}")
        }
        _ => "correct the document".to_owned(),
    }
}

/// The path of a document of state, which repairs name.
pub fn state_path(id: &str) -> String {
    format!("{STATE}/{id}")
}

/// The id of a document of state by its path; `None` if the path is not one.
pub fn state_id(path: &str) -> Option<&str> {
    path.strip_prefix(STATE)?.strip_prefix('/')
}

/// A text as one word of a shell.
pub fn shell_word(text: &str) -> String {
    let is_plain = |symbol: char| symbol.is_ascii_alphanumeric() || "-_./:@".contains(symbol);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_names_the_command_that_repairs_it() {
        for (document, expected) in [
            (
                "ops_state/series|router:gpt-5",
                "run `f0-learning rebuild --document 'ops_state/series|router:gpt-5'`",
            ),
            ("ops_state/cursor", "run `f0-learning rebuild --document ops_state/cursor`"),
            ("ops_state/experiment|e-1", "run `f0-learning experiments stop e-1`"),
            ("ops_stats/a%2Fb|7d", "run `f0-learning rebuild --component a/b`"),
            ("ops_policies/router-core@1.0.0", "run `f0-learning policies rollback router-core`"),
            ("config/tuning policies.x", "run `f0-learning seed --only config/tuning`"),
        ] {
            let found = remedy(document);
            assert!(found.contains(expected), "{document}: {found}");
        }
    }

    #[test]
    fn a_name_with_quotes_stays_one_word_of_the_shell() {
        assert_eq!(shell_word("it's|x"), r"'it'\''s|x'");
    }
}

//! The parser and the evaluator never panic.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Pieces of rules files, to reach deeper than arbitrary text does.
const PIECES: [&str; 60] = [
    "rules_version",
    "=",
    "'2'",
    ";",
    "service",
    "cloud.firestore",
    "{",
    "}",
    "match",
    "/a",
    "/{b}",
    "/{c=**}",
    "allow",
    "read",
    "write",
    ":",
    "if",
    "true",
    "false",
    "null",
    "(",
    ")",
    "[",
    "]",
    ",",
    "&&",
    "||",
    "!",
    "==",
    "!=",
    "<",
    "<=",
    "in",
    "is",
    "string",
    "?",
    "+",
    "-",
    "*",
    "/",
    "%",
    "1",
    "2.5",
    "'x'",
    "b'y'",
    "\"",
    "request",
    "resource",
    ".data",
    ".auth",
    "get",
    "exists",
    "$(",
    "function",
    "f",
    "let",
    "return",
    "//",
    "/*",
    "\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_text_is_parsed_or_refused(text in "\\PC{0,200}") {
        let _ = Ruleset::parse(&text);
    }

    #[test]
    fn arbitrary_tokens_are_parsed_or_refused(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60),
        spaced in any::<bool>(),
    ) {
        let text = pieces.join(if spaced { " " } else { "" });
        let _ = Ruleset::parse(&text);
        let _ = Ruleset::parse(&format!(
            "service cloud.firestore {{ match /a/{{b}} {{ allow read: if {text}; }} }}"
        ));
    }

    #[test]
    fn a_damaged_file_is_parsed_or_refused(
        sample in prop::sample::select(&samples::ALL[..]),
        at in any::<prop::sample::Index>(),
        length in 0_usize..6,
        by in "[ -~]{0,3}",
    ) {
        let mut text: Vec<char> = sample.chars().collect();
        let start = at.index(text.len());
        let end = (start + length).min(text.len());
        text.splice(start..end, by.chars());
        let text: String = text.into_iter().collect();
        if let Err(error) = Ruleset::parse(&text) {
            prop_assert!(error.at.line >= 1 && error.at.line <= text.lines().count() + 1);
        }
    }

    #[test]
    fn arbitrary_expressions_are_evaluated(
        pieces in prop::collection::vec(
            prop::sample::select(&[
                "request", "resource", "id", "1", "2.5", "'x'", "null", "true", "[1, 'a']",
                "{'a': 1}", "/a/$(id)", ".data", ".a", "[0]", "['a']", "[0:1]", ".size()", ".keys()",
                ".get('a', 1)", ".toSet()", ".hasAny(['a'])", ".lower()", ".split('x')", " == ",
                " + ", " - ", " * ", " / ", " % ", " < ", " in ", " is string", " && ", " || ", "!",
                " ? ", " : ", "(", ")", "math.round(", "duration.value(1, 's')", "request.time",
            ][..]),
            1..12,
        ),
    ) {
        let condition = pieces.concat();
        let text = format!(
            "service cloud.firestore {{ match /databases/{{d}}/documents/{{c}}/{{id}} {{ allow \
             read, write: if {condition}; }} }}"
        );
        if let Ok(rules) = Ruleset::parse(&text) {
            let states = [json!({"a": 1}), json!({"a": [1, {"b": null}]})];
            let who = json!({"sub": "u"});
            let _ = ask(&rules, &World::default(), who, Method::Update, "c/d", states).to_string();
        }
    }
}

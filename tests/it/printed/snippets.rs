//! The files that pages print in other languages can be read. `.ci/printed` compiles those that need other
//! tools.

use serde_json::Value;

use super::page;

/// The languages of blocks, and who checks them.
const LANGUAGES: &[(&str, &str)] = &[
    ("", "a sample of output, compared with what was printed"),
    ("text", "a drawing"),
    ("console", "run"),
    ("sh", "run"),
    ("json", "parsed below"),
    ("ts", ".ci/printed"),
    ("python", ".ci/printed"),
    ("go", ".ci/printed"),
    ("rust,ignore", "crates/client/tests/it/printed.rs"),
];

#[test]
fn every_printed_json_can_be_read() {
    let mut found = 0;
    for page in page::all() {
        for block in page::blocks(&page).into_iter().filter(|it| it.language == "json") {
            let read = serde_json::from_str::<Value>(&block.text);
            assert!(read.is_ok(), "{page}, line {}: {read:?}", block.line);
            found += 1;
        }
    }
    assert!(found > 3, "the pages print more JSON than {found} blocks");
}

#[test]
fn every_block_of_a_page_has_a_language_that_is_checked() {
    for page in page::all() {
        for block in page::blocks(&page) {
            let is_known = LANGUAGES.iter().any(|(language, _)| *language == block.language);
            assert!(is_known, "{page}, line {}: nothing checks {:?}", block.line, block.language);
        }
    }
}

//! Document ids: which texts Firestore accepts, and how any name becomes one.

/// Firestore's limit on a document id, in bytes.
const MAX_ID_BYTES: usize = 1_500;

/// Whether Firestore accepts the text as a document id ("Quotas and limits", collections,
/// documents and fields): not empty, no `/`, not `.` or `..`, not of the form `__.*__`.
pub fn is_document_id(id: &str) -> bool {
    let reserved = id == "." || id == ".." || (id.starts_with("__") && id.ends_with("__"));
    (1..=MAX_ID_BYTES).contains(&id.len()) && !id.contains('/') && !reserved
}

/// A name as a part of a document id: percent-encodes `/`, which an id must not contain, `%`
/// itself, and `|`, which separates the parts of composite ids. Any other name is unchanged, so
/// that ids stay readable.
pub fn id_part(name: &str) -> String {
    let mut id = String::with_capacity(name.len());
    for symbol in name.chars() {
        match symbol {
            '/' => id.push_str("%2F"),
            '%' => id.push_str("%25"),
            '|' => id.push_str("%7C"),
            other => id.push(other),
        }
    }
    id
}

/// The name of which this is the [`id_part`]; `None` if it is of no name.
pub fn name_of_part(part: &str) -> Option<String> {
    let mut pieces = part.split('%');
    let mut name = pieces.next()?.to_owned();
    for piece in pieces {
        let (symbol, rest) = [("2F", '/'), ("25", '%'), ("7C", '|')]
            .into_iter()
            .find_map(|(code, symbol)| Some((symbol, piece.strip_prefix(code)?)))?;
        name.push(symbol);
        name.push_str(rest);
    }
    (id_part(&name) == part).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slashes_are_encoded_and_plain_names_are_unchanged() {
        assert_eq!(id_part("router:gpt-5"), "router:gpt-5");
        assert_eq!(id_part("router:meta/llama%|x"), "router:meta%2Fllama%25%7Cx");
    }

    #[test]
    fn ids_that_firestore_reserves_or_cannot_store_are_rejected() {
        for id in ["a", "router-core@1.0.0", "series|router:x", "...", "__a", "a__"] {
            assert!(is_document_id(id), "{id}");
        }
        for id in ["", ".", "..", "a/b", "__a__", "____", "__"] {
            assert!(!is_document_id(id), "{id}");
        }
        assert!(is_document_id(&"x".repeat(MAX_ID_BYTES)));
        assert!(!is_document_id(&"x".repeat(MAX_ID_BYTES + 1)));
    }

    proptest! {
        #[test]
        fn different_names_never_share_an_id(a in "[a/%|25FC7]{0,8}", b in "[a/%|25FC7]{0,8}") {
            prop_assert_eq!(a == b, id_part(&a) == id_part(&b));
        }

        #[test]
        fn a_name_is_read_from_its_id(name in "[a/%|25FC7]{0,8}") {
            prop_assert_eq!(name_of_part(&id_part(&name)), Some(name));
        }
    }
}

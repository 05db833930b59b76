//! Names as document ids. An id may not hold `/`, and a component's name may (`router:org/model`).

/// Percent-encodes what an id may not hold, `%` itself, and `|`, which separates the parts of our
/// composed ids. Every other name is its own id, so that people can read them.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_with_slashes_become_ids_and_plain_names_stay() {
        assert_eq!(id_part("router:gpt-5"), "router:gpt-5");
        assert_eq!(id_part("router:meta/llama%|x"), "router:meta%2Fllama%25%7Cx");
    }

    proptest! {
        #[test]
        fn different_names_never_share_an_id(a in "[a/%|25FC7]{0,8}", b in "[a/%|25FC7]{0,8}") {
            prop_assert_eq!(a == b, id_part(&a) == id_part(&b));
        }
    }
}

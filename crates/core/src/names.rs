//! The rules that Firestore sets for the ids of documents and the names of fields.
//!
//! Checking them before a write turns a rejected commit into an error that names the value.

use thiserror::Error;

/// The most bytes that a document id or a field name may have.
pub const MAX_NAME_BYTES: usize = 1_500;

/// Why Firestore does not accept a document id or a field name. The message completes a sentence
/// that begins with the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    #[error("is empty")]
    Empty,
    #[error("is {bytes} bytes long, must be at most {MAX_NAME_BYTES}")]
    TooLong { bytes: usize },
    #[error("contains a slash")]
    Slash,
    #[error("is a path segment: must not be `.` or `..`")]
    Dots,
    #[error("has the form __x__, which Firestore reserves")]
    Reserved,
}

/// Whether Firestore accepts `id` as the id of a document.
///
/// # Errors
/// The first rule that the id breaks.
pub fn check_document_id(id: &str) -> Result<(), NameError> {
    check_field_name(id)?;
    if id.contains('/') {
        return Err(NameError::Slash);
    }
    if matches!(id, "." | "..") {
        return Err(NameError::Dots);
    }
    Ok(())
}

/// Whether Firestore accepts `name` as the name of a field.
///
/// # Errors
/// The first rule that the name breaks.
pub fn check_field_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong { bytes: name.len() });
    }
    // `__` and `___` are too short to have a name between two pairs of underscores.
    if name.len() >= 4 && name.starts_with("__") && name.ends_with("__") {
        return Err(NameError::Reserved);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_rejects_its_names() {
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for (id, error) in [
            ("", NameError::Empty),
            (long.as_str(), NameError::TooLong { bytes: MAX_NAME_BYTES + 1 }),
            ("a/b", NameError::Slash),
            (".", NameError::Dots),
            ("..", NameError::Dots),
            ("____", NameError::Reserved),
            ("__a__", NameError::Reserved),
        ] {
            assert_eq!(check_document_id(id), Err(error), "{id}");
        }
        for id in ["a", "...", "__", "___", "__a", "a__", &long[1..]] {
            assert_eq!(check_document_id(id), Ok(()), "{id}");
        }
    }

    #[test]
    fn a_field_name_may_contain_slashes_and_dots() {
        for name in ["a/b", ".", ".."] {
            assert_eq!(check_field_name(name), Ok(()), "{name}");
        }
        assert_eq!(check_field_name("__a__"), Err(NameError::Reserved));
        assert_eq!(check_field_name(""), Err(NameError::Empty));
    }
}

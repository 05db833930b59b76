//! Lines of untrusted files: a line that is too long or not text is an error of its own and does not
//! end the file.

use std::io::{self, BufRead};

use f0_learning::import::{ReadError, Unmapped};
use f0_learning_core::names::NameError;
use f0_learning_core::observation::Rejection;
use serde_json::Value as Json;
use thiserror::Error;

/// Firestore documents are at most 1 MiB; their JSON can be longer.
const MAX_LINE_BYTES: usize = 4 << 20;

/// Why a file is refused whose records are all left out.
pub const NONE_FITS: &str =
    "no record fits the mapping: pass the --profile of the tool that wrote the file";

/// Why a line cannot be imported.
#[derive(Debug, PartialEq, Error)]
pub enum LineError {
    #[error("invalid line: expected at most {MAX_LINE_BYTES} bytes, got {bytes}")]
    TooLong { bytes: usize },
    #[error("invalid line: expected UTF-8")]
    NotUtf8,
    #[error("invalid JSON: {0}")]
    NotJson(String),
    #[error("invalid line: expected a JSON object")]
    NotObject,
    #[error("invalid id: expected a string, got {0}")]
    IdType(Json),
    #[error("invalid id {id:?}: the id {detail}")]
    Id { id: String, detail: NameError },
    #[error(transparent)]
    Observation(#[from] Rejection),
    #[error(transparent)]
    Unmapped(Unmapped),
    /// The mapping takes other records.
    #[error("{0}")]
    LeftOut(String),
    #[error("{0}")]
    Read(String),
    /// Firestore refused the document.
    #[error("{0}")]
    Refused(String),
}

impl From<ReadError> for LineError {
    fn from(error: ReadError) -> Self {
        Self::Read(error.to_string())
    }
}

/// The next line without its end, or its error; `None` at the end of the file.
pub fn next_line(reader: &mut impl BufRead) -> io::Result<Option<Result<String, LineError>>> {
    let mut line = Vec::new();
    let mut length = 0;
    loop {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            if length == 0 {
                return Ok(None);
            }
            break;
        }
        let newline = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..newline.unwrap_or(available.len())];
        if length + part.len() <= MAX_LINE_BYTES {
            line.extend_from_slice(part);
        }
        length += part.len();
        let used = newline.map_or(part.len(), |index| index + 1);
        reader.consume(used);
        if newline.is_some() {
            break;
        }
    }
    if length > MAX_LINE_BYTES {
        return Ok(Some(Err(LineError::TooLong { bytes: length })));
    }
    Ok(Some(String::from_utf8(line).map_err(|_| LineError::NotUtf8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Result<String, LineError>> {
        let mut reader = io::BufReader::with_capacity(7, bytes);
        std::iter::from_fn(|| next_line(&mut reader).unwrap()).collect()
    }

    #[test]
    fn lines_longer_than_the_buffer_are_read_whole() {
        let text: Vec<_> = lines(b"first line\n\nthird, unended").into_iter().flatten().collect();
        assert_eq!(text, ["first line", "", "third, unended"]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn lines_after_an_invalid_line_are_read() {
        let mut bytes = b"good\n\xff\xfe\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', MAX_LINE_BYTES + 1));
        bytes.extend_from_slice(b"\ngood again\n");
        let found = lines(&bytes);
        assert_eq!(found.len(), 4);
        assert_eq!((&found[0], &found[3]), (&Ok("good".to_owned()), &Ok("good again".to_owned())));
        assert!(found[1].is_err() && found[2].is_err());
    }
}

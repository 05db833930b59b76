//! Lines of a file that may hold anything: each comes with its number, and one that is too long
//! or not text is an error of its own, not the end of the file.

use std::io::{self, BufRead};

/// Firestore takes no document beyond 1 MiB; its JSON can be somewhat longer.
const MAX_LINE_BYTES: usize = 4 << 20;

/// The next line without its end, or what is wrong with it; `None` at the end of the file.
pub fn next_line(reader: &mut impl BufRead) -> io::Result<Option<Result<String, String>>> {
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
        let problem = format!("{length} bytes long; a line holds at most {MAX_LINE_BYTES}");
        return Ok(Some(Err(problem)));
    }
    Ok(Some(String::from_utf8(line).map_err(|_| "not UTF-8".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Result<String, String>> {
        let mut reader = io::BufReader::with_capacity(7, bytes);
        std::iter::from_fn(|| next_line(&mut reader).unwrap()).collect()
    }

    #[test]
    fn lines_come_whole_whatever_the_buffer() {
        let text: Vec<_> = lines(b"first line\n\nthird, unended").into_iter().flatten().collect();
        assert_eq!(text, ["first line", "", "third, unended"]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_bad_line_does_not_hide_its_neighbours() {
        let mut bytes = b"good\n\xff\xfe\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', MAX_LINE_BYTES + 1));
        bytes.extend_from_slice(b"\ngood again\n");
        let found = lines(&bytes);
        assert_eq!(found.len(), 4);
        assert_eq!((&found[0], &found[3]), (&Ok("good".to_owned()), &Ok("good again".to_owned())));
        assert!(found[1].is_err() && found[2].is_err());
    }
}

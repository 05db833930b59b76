//! The records of a file in any of its formats.

use std::io::BufRead;

use super::record::{Bound, ReadError, Record};
use super::{csv, json, otlp};

/// How a file is written.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::Display, schemars::JsonSchema,
)]
#[schemars(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Format {
    /// A table with a header.
    Csv,
    /// Objects one after the other, one a line or not, or an array of objects.
    Json,
    /// Traces of OpenTelemetry as JSON.
    Otlp,
}

/// Calls `take` with the number of each record and the record, until it returns `false`. Numbers count
/// lines of a CSV file, and records of other files, from 1.
///
/// # Errors
/// The rest of the file cannot be read: after an invalid text nothing says where the next record starts.
pub fn read(
    format: Format,
    reader: impl BufRead,
    take: &mut dyn FnMut(u64, Result<Record, ReadError>) -> bool,
) -> Result<(), ReadError> {
    let bound = Bound::default();
    match format {
        Format::Csv => csv::rows(reader, &bound, take),
        Format::Json => json::values(reader, &bound, take),
        Format::Otlp => {
            let mut number = 0;
            json::values(reader, &bound, &mut |_, element| {
                let spans = match element {
                    Ok(element) => otlp::spans(&element).into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                };
                spans.into_iter().all(|span| {
                    number += 1;
                    take(number, span)
                })
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    fn records(format: Format, text: &str) -> (Vec<String>, Option<String>) {
        let mut all = Vec::new();
        let end = read(format, text.as_bytes(), &mut |number, record| {
            let shown = record.map_or_else(|it| it.to_string(), |it| Json::Object(it).to_string());
            all.push(format!("{number} {shown}"));
            true
        });
        (all, end.err().map(|error| error.to_string()))
    }

    #[test]
    fn objects_are_read_from_lines_arrays_and_lists_within_an_object() {
        let expected = vec![r#"1 {"a":1}"#.to_owned(), r#"2 {"a":2}"#.to_owned()];
        for text in [
            "{\"a\":1}\n{\"a\":2}\n",
            "\n [ {\"a\":1},\n {\"a\":2} ] \n",
            r#"{"meta":{"page":1},"data":[{"a":1},{"a":2}],"more":[1]}"#,
        ] {
            assert_eq!(records(Format::Json, text), (expected.clone(), None), "{text}");
        }
        let field = records(Format::Json, r#"{"data":{"x":[1]},"items":"none"}"#);
        assert_eq!(field.0, [r#"1 {"data":{"x":[1]},"items":"none"}"#]);
        assert_eq!(records(Format::Json, "").0.len(), 0);
        let (read, error) = records(Format::Json, "{\"a\":1}\n[3]\n{oops}");
        assert_eq!(read, [r#"1 {"a":1}"#, "2 invalid record: expected a JSON object"]);
        assert!(error.unwrap().starts_with("cannot read the JSON: "));
    }

    #[test]
    fn rows_are_read_with_their_headers_and_a_long_row_is_an_error_of_its_own() {
        let text = "id,model,cost\n1,\"a, b\",0.5\n2,,\n3,x,1,9\n4,y,2\n";
        let (rows, error) = records(Format::Csv, text);
        assert_eq!(error, None);
        assert_eq!(
            rows,
            [
                r#"2 {"cost":"0.5","id":"1","model":"a, b"}"#,
                r#"3 {"id":"2"}"#,
                "4 invalid row: expected at most 3 columns, got 4",
                r#"5 {"cost":"2","id":"4","model":"y"}"#,
            ]
        );
    }

    #[test]
    fn a_record_without_an_end_is_refused_before_it_fills_the_memory() {
        let endless = "\"".to_owned() + &"x".repeat(40 << 20);
        for format in [Format::Csv, Format::Json] {
            let text = match format {
                Format::Csv => format!("a\n{endless}"),
                _ => format!("[{endless}"),
            };
            let (_, error) = records(format, &text);
            assert_eq!(error.as_deref(), Some("invalid record: expected at most 16777216 bytes"));
        }
    }
}

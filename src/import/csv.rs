//! Tables with a header as records. Every value is a text, and an empty one is left out.

use std::io::Read;

use csv::{ReaderBuilder, StringRecord};
use serde_json::{Map, Value as Json};

use super::record::{Bound, ReadError, Record};

/// Calls `take` with each row until it returns `false`.
pub fn rows(
    reader: impl Read,
    bound: &Bound,
    take: &mut dyn FnMut(u64, Result<Record, ReadError>) -> bool,
) -> Result<(), ReadError> {
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(bound.limit(reader));
    let headers = reader.headers().map_err(|error| bound.explain(error.into()))?.clone();
    let (mut row, mut number) = (StringRecord::new(), 1);
    loop {
        bound.restart();
        number += 1;
        match reader.read_record(&mut row) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let record = if row.len() > headers.len() {
                    Err(ReadError::Columns { expected: headers.len(), got: row.len() })
                } else {
                    Ok(record(&headers, &row))
                };
                if !take(number, record) {
                    return Ok(());
                }
            }
            Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
                if !take(number, Err(ReadError::NotUtf8)) {
                    return Ok(());
                }
            }
            Err(error) => return Err(bound.explain(error.into())),
        }
    }
}

fn record(headers: &StringRecord, row: &StringRecord) -> Map<String, Json> {
    let filled = headers.iter().zip(row).filter(|(_, text)| !text.trim().is_empty());
    filled.map(|(name, text)| (name.trim().to_owned(), Json::from(text.trim()))).collect()
}

//! Parquet, written and read column by column. Every column is optional; text is UTF-8.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use super::table::{Column, KEY, Key, Table, Values};

/// Values that a column takes before the size of its page is looked at. A value may have a mebibyte.
const VALUES_AT_ONCE: usize = 16;

/// A file that is written in parts, so that only one of them is in memory as a table.
#[derive(Default)]
pub struct File {
    writer: Option<SerializedFileWriter<Vec<u8>>>,
    keys: Vec<Key>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("rows", &self.keys.len())
            .field("bytes", &self.bytes())
            .finish()
    }
}

impl File {
    /// The bytes that are written up to now.
    pub fn bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, SerializedFileWriter::bytes_written)
    }

    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Adds the rows of a table. All tables of a file have the same columns.
    pub fn add(&mut self, mut table: Table) -> Result<()> {
        let columns = table.all_columns();
        if self.writer.is_none() {
            self.writer = Some(writer(&columns)?);
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut group = writer.next_row_group()?;
        for column in columns {
            let mut out = group.next_column()?.ok_or_else(|| {
                ParquetError::General("the schema has too few columns".to_owned())
            })?;
            write(&mut out, column.values)?;
            out.close()?;
        }
        group.close()?;
        self.keys.extend(table.keys);
        Ok(())
    }

    /// The bytes of the file, and the keys of its rows.
    pub fn finish(mut self) -> Result<(Vec<u8>, Vec<Key>)> {
        if self.writer.is_none() {
            self.add(Table::default())?;
        }
        match self.writer {
            Some(writer) => Ok((writer.into_inner()?, self.keys)),
            None => Err(ParquetError::General("it has no columns".to_owned())),
        }
    }
}

fn writer(columns: &[Column]) -> Result<SerializedFileWriter<Vec<u8>>> {
    let schema = Type::group_type_builder("document")
        .with_fields(columns.iter().map(field).collect::<Result<_>>()?)
        .build()?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_write_batch_size(VALUES_AT_ONCE)
        .build();
    SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))
}

fn field(column: &Column) -> Result<Arc<Type>> {
    let (physical, logical) = match column.values {
        Values::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Values::Whole(_) => (Physical::INT64, None),
        Values::Number(_) => (Physical::DOUBLE, None),
    };
    let builder = Type::primitive_type_builder(column.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical);
    Ok(Arc::new(builder.build()?))
}

fn write(out: &mut SerializedColumnWriter<'_>, values: Values) -> Result<()> {
    match values {
        Values::Text(values) => {
            let text = |text: String| ByteArray::from(text.into_bytes());
            write_as::<ByteArrayType>(out, values.into_iter().map(|it| it.map(text)))
        }
        Values::Whole(values) => write_as::<Int64Type>(out, values.into_iter()),
        Values::Number(values) => write_as::<DoubleType>(out, values.into_iter()),
    }
}

fn write_as<T: DataType>(
    out: &mut SerializedColumnWriter<'_>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<()> {
    let mut present = Vec::new();
    let mut levels = Vec::new();
    for value in values {
        levels.push(i16::from(value.is_some()));
        present.extend(value);
    }
    out.typed::<T>().write_batch(&present, Some(&levels), None)?;
    Ok(())
}

/// The keys of all rows of a file, in their order.
pub fn keys(file: Bytes) -> Result<Vec<Key>> {
    let reader = SerializedFileReader::new(file)?;
    let mut keys = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let ids = read::<ByteArrayType>(&*group, 0, |reader| match reader {
            ColumnReader::ByteArrayColumnReader(reader) => Some(reader),
            _ => None,
        })?;
        let whole = |column| {
            read::<Int64Type>(&*group, column, |reader| match reader {
                ColumnReader::Int64ColumnReader(reader) => Some(reader),
                _ => None,
            })
        };
        let (ts, updated) = (whole(1)?, whole(2)?);
        for ((id, ts), updated) in ids.into_iter().zip(ts).zip(updated) {
            let id = String::from_utf8(id.data().to_vec())
                .map_err(|error| ParquetError::General(format!("invalid id: {error}")))?;
            keys.push(Key { id, ts, updated });
        }
    }
    Ok(keys)
}

/// A row of a file: its key, and the values of the columns that were asked for.
#[derive(Debug)]
pub struct Row {
    pub key: Key,
    pub texts: Vec<Option<String>>,
    pub numbers: Vec<Option<f64>>,
}

/// Rows that are in memory together: each may have a text of a mebibyte.
const ROWS_AT_ONCE: usize = 16;

/// Calls `each` with every row of a file, in order, with these columns of text and of numbers. A column
/// that the file does not have has no value in any row.
pub fn rows<E: From<ParquetError>>(
    file: Bytes,
    texts: &[&str],
    numbers: &[&str],
    mut each: impl FnMut(Row) -> Result<(), E>,
) -> Result<(), E> {
    let keys = keys(file.clone())?;
    let mut keys = keys.into_iter();
    let reader = SerializedFileReader::new(file)?;
    let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
    let index = |name: &&str| columns.iter().position(|column| column.name() == *name);
    let texts: Vec<_> = texts.iter().map(|name| (*name, index(name))).collect();
    let numbers: Vec<_> = numbers.iter().map(|name| (*name, index(name))).collect();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
        let mut texts = open_all(&*group, &texts)?;
        let mut numbers = open_all(&*group, &numbers)?;
        while left > 0 {
            let n = left.min(ROWS_AT_ONCE);
            left -= n;
            let read = texts.iter_mut().map(|column| column.texts(n));
            let mut read_texts = by_row(read.collect::<Result<_>>()?, n).into_iter();
            let read = numbers.iter_mut().map(|column| column.numbers(n));
            let mut read_numbers = by_row(read.collect::<Result<_>>()?, n).into_iter();
            for key in keys.by_ref().take(n) {
                let texts = read_texts.next().unwrap_or_default();
                let numbers = read_numbers.next().unwrap_or_default();
                each(Row { key, texts, numbers })?;
            }
        }
    }
    Ok(())
}

/// The values of each of `n` rows, from those of each column.
fn by_row<T>(columns: Vec<Vec<T>>, n: usize) -> Vec<Vec<T>> {
    let mut rows: Vec<Vec<T>> = (0..n).map(|_| Vec::with_capacity(columns.len())).collect();
    for column in columns {
        for (row, value) in rows.iter_mut().zip(column) {
            row.push(value);
        }
    }
    rows
}

/// A column that is read a few values at a time; without a reader, the file does not have it.
struct ColumnOfRows<'a> {
    name: &'a str,
    reader: Option<ColumnReader>,
}

fn open_all<'a>(
    group: &dyn RowGroupReader,
    columns: &[(&'a str, Option<usize>)],
) -> Result<Vec<ColumnOfRows<'a>>> {
    let open = |(name, index): &(&'a str, Option<usize>)| {
        let reader = index.map(|index| group.get_column_reader(index)).transpose()?;
        Ok(ColumnOfRows { name, reader })
    };
    columns.iter().map(open).collect()
}

impl ColumnOfRows<'_> {
    fn wrong(&self, detail: &str) -> ParquetError {
        ParquetError::General(format!("cannot read column {}: {detail}", self.name))
    }

    fn texts(&mut self, n: usize) -> Result<Vec<Option<String>>> {
        let values = match &mut self.reader {
            None => return Ok(vec![None; n]),
            Some(ColumnReader::ByteArrayColumnReader(reader)) => take(reader, n)?,
            Some(_) => return Err(self.wrong("it is not text")),
        };
        let values = values.ok_or_else(|| self.wrong("it has too few rows"))?;
        let text = |value: Option<ByteArray>| {
            let text = value.map(|value| String::from_utf8(value.data().to_vec())).transpose();
            text.map_err(|error| self.wrong(&error.to_string()))
        };
        values.into_iter().map(text).collect()
    }

    fn numbers(&mut self, n: usize) -> Result<Vec<Option<f64>>> {
        let values = match &mut self.reader {
            None => return Ok(vec![None; n]),
            Some(ColumnReader::DoubleColumnReader(reader)) => take(reader, n)?,
            Some(_) => return Err(self.wrong("it is not a number")),
        };
        values.ok_or_else(|| self.wrong("it has too few rows"))
    }
}

/// The next `n` values of a column; `None` where it has fewer.
fn take<T: DataType>(reader: &mut Typed<T>, n: usize) -> Result<Option<Vec<Option<T::T>>>> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    while levels.len() < n {
        let (records, ..) =
            reader.read_records(n - levels.len(), Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Ok(None);
        }
    }
    let mut values = values.into_iter();
    let present = levels.iter().map(|level| if *level == 0 { None } else { values.next() });
    Ok(Some(present.collect()))
}

type Typed<T> = parquet::column::reader::ColumnReaderImpl<T>;

/// A column of the key, which has a value in every row.
fn read<T: DataType>(
    group: &dyn RowGroupReader,
    column: usize,
    typed: impl FnOnce(ColumnReader) -> Option<Typed<T>>,
) -> Result<Vec<T::T>> {
    let rows = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
    let wrong = || {
        ParquetError::General(format!(
            "cannot read column {}: unexpected type or length",
            KEY[column]
        ))
    };
    let mut reader = typed(group.get_column_reader(column)?).ok_or_else(wrong)?;
    let (mut values, mut levels) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    while values.len() < rows {
        let (records, ..) =
            reader.read_records(rows - values.len(), Some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
    }
    if values.len() == rows { Ok(values) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_file_can_be_read() {
        let keys: Vec<_> = (0..1_000)
            .map(|n| Key { id: format!("id-{n}"), ts: 1_780_000_000_000 + n, updated: n * 3 })
            .collect();
        let columns = vec![
            Column { name: "component", values: Values::Text(vec![None; 1_000]) },
            Column {
                name: "score",
                values: Values::Number((0..1_000).map(|n| Some(f64::from(n))).collect()),
            },
        ];
        let mut file = File::default();
        file.add(Table { keys: keys.clone(), columns: columns.clone() }).unwrap();
        file.add(Table { keys: keys.clone(), columns }).unwrap();
        let (file, written) = file.finish().unwrap();
        assert_eq!(super::keys(Bytes::from(file.clone())).unwrap(), written);
        assert_eq!(written[1_000..], keys);
        let mut scores = Vec::new();
        rows(Bytes::from(file.clone()), &["component", "id"], &["score", "absent"], |row| {
            assert_eq!(row.texts, [None, Some(row.key.id)]);
            assert_eq!(row.numbers[1], None);
            scores.extend(row.numbers[0]);
            Ok::<_, ParquetError>(())
        })
        .unwrap();
        assert_eq!((scores.len(), scores[0], scores[1_999]), (2_000, 0.0, 999.0));
        let cut = Bytes::from(file).slice(..500);
        assert!(super::keys(cut).is_err());
    }
}

//! Parquet, written and read column by column. Every column is optional; text is UTF-8.

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

/// The file that holds a table.
pub fn encode(table: &Table) -> Result<Vec<u8>> {
    let columns = table.all_columns();
    let schema = Type::group_type_builder("document")
        .with_fields(columns.iter().map(field).collect::<Result<_>>()?)
        .build()?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for column in &columns {
        let mut out = group
            .next_column()?
            .ok_or_else(|| ParquetError::General("the schema has too few columns".to_owned()))?;
        write(&mut out, &column.values)?;
        out.close()?;
    }
    group.close()?;
    writer.into_inner()
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

fn write(out: &mut SerializedColumnWriter<'_>, values: &Values) -> Result<()> {
    match values {
        Values::Text(values) => {
            let text = |text: &String| ByteArray::from(text.as_str());
            write_as::<ByteArrayType>(out, values.iter().map(|it| it.as_ref().map(text)))
        }
        Values::Whole(values) => write_as::<Int64Type>(out, values.iter().copied()),
        Values::Number(values) => write_as::<DoubleType>(out, values.iter().copied()),
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

/// The values of one column of text, in the order of the rows.
type Texts = Vec<Option<String>>;

/// The keys of a file and the columns of text with these names; `None` for one that it does not have.
pub fn texts(file: Bytes, names: &[&str]) -> Result<(Vec<Key>, Vec<Option<Texts>>)> {
    let keys = keys(file.clone())?;
    let reader = SerializedFileReader::new(file)?;
    let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let Some(index) = columns.iter().position(|column| column.name() == *name) else {
            found.push(None);
            continue;
        };
        let mut texts = Vec::with_capacity(keys.len());
        for group in 0..reader.num_row_groups() {
            texts.extend(column_of_text(&*reader.get_row_group(group)?, index, name)?);
        }
        found.push(Some(texts));
    }
    Ok((keys, found))
}

fn column_of_text(group: &dyn RowGroupReader, index: usize, name: &str) -> Result<Texts> {
    let wrong =
        |detail: &str| ParquetError::General(format!("cannot read column {name}: {detail}"));
    let rows = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
    let ColumnReader::ByteArrayColumnReader(mut reader) = group.get_column_reader(index)? else {
        return Err(wrong("it is not text"));
    };
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    while levels.len() < rows {
        let (records, ..) =
            reader.read_records(rows - levels.len(), Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Err(wrong("it has too few rows"));
        }
    }
    let mut values = values.into_iter();
    let text = |level: &i16| match level {
        0 => Ok(None),
        _ => {
            let value = values.next().ok_or_else(|| wrong("it has too few values"))?;
            let text = String::from_utf8(value.data().to_vec());
            text.map(Some).map_err(|error| wrong(&error.to_string()))
        }
    };
    levels.iter().map(text).collect()
}

/// The values of one column of numbers; `None` if the file does not have it.
pub fn numbers(file: Bytes, name: &str) -> Result<Option<Vec<Option<f64>>>> {
    let wrong =
        |detail: &str| ParquetError::General(format!("cannot read column {name}: {detail}"));
    let reader = SerializedFileReader::new(file)?;
    let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
    let Some(index) = columns.iter().position(|column| column.name() == name) else {
        return Ok(None);
    };
    let mut numbers = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
        let ColumnReader::DoubleColumnReader(mut column) = group.get_column_reader(index)? else {
            return Err(wrong("it is not a number"));
        };
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        while levels.len() < rows {
            let (records, ..) =
                column.read_records(rows - levels.len(), Some(&mut levels), None, &mut values)?;
            if records == 0 {
                return Err(wrong("it has too few rows"));
            }
        }
        let mut values = values.into_iter();
        numbers.extend(levels.iter().map(|level| if *level == 0 { None } else { values.next() }));
    }
    Ok(Some(numbers))
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
        let file = encode(&Table { keys: keys.clone(), columns }).unwrap();
        assert_eq!(super::keys(Bytes::from(file.clone())).unwrap(), keys);
        let cut = Bytes::from(file).slice(..500);
        assert!(super::keys(cut).is_err());
    }
}

//! The memory that a decoded document takes.

use firestore::gcloud_sdk::google::firestore::v1::{Document, Value, value::ValueType};

use super::Fields;

/// What the allocator adds to a text, in bytes.
const ALLOCATION: usize = 16;

/// About the bytes of memory that a document takes. A value of one byte takes as much as a text of fifty.
pub fn memory(document: &Document) -> usize {
    size_of::<Document>() + document.name.len() + ALLOCATION + of_fields(&document.fields)
}

fn of_fields(fields: &Fields) -> usize {
    // A hash table is at least half full after it grew.
    let entry = 2 * (size_of::<String>() + size_of::<Value>() + 1);
    let of = |(name, value): (&String, &Value)| name.len() + ALLOCATION + beyond(value);
    fields.len() * entry + fields.iter().map(of).sum::<usize>()
}

/// The bytes that a value takes besides itself.
fn beyond(value: &Value) -> usize {
    match value.value_type.as_ref() {
        Some(ValueType::StringValue(text) | ValueType::ReferenceValue(text)) => {
            text.len() + ALLOCATION
        }
        Some(ValueType::BytesValue(data)) => data.len() + ALLOCATION,
        Some(ValueType::ArrayValue(array)) => {
            let values = array.values.capacity() * size_of::<Value>();
            values + array.values.iter().map(beyond).sum::<usize>()
        }
        Some(ValueType::MapValue(map)) => of_fields(&map.fields),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use firestore::gcloud_sdk::google::firestore::v1::ArrayValue;

    use super::super as value;
    use super::*;

    #[test]
    fn many_small_values_take_more_memory_than_a_text_of_their_length() {
        let with =
            |value| Document { fields: value::fields([("meta", value)]), ..Document::default() };
        let text = memory(&with(value::string("x".repeat(10_000))));
        assert!((10_000..11_000).contains(&text), "{text}");
        let values = vec![value::boolean(true); 10_000];
        let flags = Value { value_type: Some(ValueType::ArrayValue(ArrayValue { values })) };
        let flags = memory(&with(flags));
        assert!(flags > 40 * text, "{flags}");
    }
}

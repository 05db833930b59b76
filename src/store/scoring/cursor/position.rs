//! The position of an observation in the order of scoring.

use std::cmp::Ordering;

use firestore_kit::proto::{Document, Value, value::ValueType};

use firestore_kit::value;

/// A position in the order (`ts`, document id) of observations.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// As stored: an integer or a double.
    pub ts: Value,
    /// The document's full resource name.
    pub name: String,
}

impl Position {
    /// The position of a document. A `ts` that is not a number, which may have a mebibyte, is kept as
    /// null.
    pub fn of(document: &Document) -> Self {
        let ts = match document.fields.get("ts").and_then(|ts| ts.value_type.as_ref()) {
            None => Value::default(),
            Some(ValueType::IntegerValue(whole)) => value::int(*whole),
            Some(ValueType::DoubleValue(number)) => value::double(*number),
            Some(_) => Value { value_type: Some(ValueType::NullValue(0)) },
        };
        Self { ts, name: document.name.clone() }
    }

    pub(in crate::store) fn cursor_values(&self) -> Vec<Value> {
        vec![self.ts.clone(), value::reference(self.name.clone())]
    }

    /// Whether this position comes after `other` in Firestore's order of (`ts`, name).
    pub fn is_after(&self, other: &Self) -> bool {
        self.compare(other).is_gt()
    }

    pub(in crate::store) fn compare(&self, other: &Self) -> Ordering {
        compare_numbers(&self.ts, &other.ts).then_with(|| self.name.cmp(&other.name))
    }

    /// The last of these positions.
    pub fn furthest<'a>(positions: impl Iterator<Item = &'a Self>) -> Option<Self> {
        positions.reduce(|a, b| if b.is_after(a) { b } else { a }).cloned()
    }

    /// Whether a range of times can include it: NaN and infinity are in no range.
    pub fn is_number(&self) -> bool {
        match self.ts.value_type {
            Some(ValueType::IntegerValue(_)) => true,
            Some(ValueType::DoubleValue(number)) => number < f64::INFINITY,
            _ => false,
        }
    }

    /// `ts` in epoch milliseconds, with its fraction; 0 if it is not a number.
    pub fn ts_number(&self) -> f64 {
        if self.is_number() { as_f64(self.ts.value_type.as_ref()) } else { 0.0 }
    }

    /// `ts` in epoch milliseconds, rounded towards zero.
    pub fn ts_ms(&self) -> i64 {
        match self.ts.value_type {
            Some(ValueType::IntegerValue(whole)) => whole,
            #[expect(clippy::cast_possible_truncation, reason = "saturation is intended")]
            Some(ValueType::DoubleValue(number)) => number as i64,
            _ => 0,
        }
    }
}

fn compare_numbers(a: &Value, b: &Value) -> Ordering {
    match (a.value_type.as_ref(), b.value_type.as_ref()) {
        (Some(ValueType::IntegerValue(a)), Some(ValueType::IntegerValue(b))) => a.cmp(b),
        (a, b) => as_f64(a).total_cmp(&as_f64(b)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "times in milliseconds are far below 2^53")]
fn as_f64(value: Option<&ValueType>) -> f64 {
    match value {
        Some(ValueType::IntegerValue(whole)) => *whole as f64,
        Some(ValueType::DoubleValue(number)) => *number,
        _ => f64::NEG_INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(ts: Value, id: &str) -> Position {
        Position { ts, name: format!("projects/p/databases/d/documents/ops_observations/{id}") }
    }

    #[test]
    fn positions_are_ordered_by_time_and_then_by_name() {
        let base = position(value::int(10), "b");
        assert!(position(value::int(10), "c").is_after(&base));
        assert!(position(value::double(10.5), "a").is_after(&base));
        assert!(!position(value::double(10.0), "a").is_after(&base));
        assert!(!base.is_after(&base));
    }
}

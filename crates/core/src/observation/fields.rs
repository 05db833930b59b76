//! Reading the fields of a document, independent of its format.

use serde_json::Value;

/// The value of a field, reduced to the types that an observation uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Str(&'a str),
    /// Any other type, by its name ("a map", "a timestamp").
    Other(&'static str),
}

impl Scalar<'_> {
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Double(_) => "a number",
            Self::Str(_) => "text",
            Self::Other(name) => name,
        }
    }
}

/// A document: JSON in this crate, Firestore's values in the store.
pub trait Fields {
    fn field(&self, name: &str) -> Option<Scalar<'_>>;
}

impl Fields for serde_json::Map<String, Value> {
    fn field(&self, name: &str) -> Option<Scalar<'_>> {
        self.get(name).map(|value| match value {
            Value::Null => Scalar::Null,
            Value::Bool(it) => Scalar::Bool(*it),
            Value::Number(it) => match (it.as_i64(), it.as_f64()) {
                (Some(int), _) => Scalar::Int(int),
                (None, Some(double)) => Scalar::Double(double),
                (None, None) => Scalar::Other("a number beyond double precision"),
            },
            Value::String(it) => Scalar::Str(it),
            Value::Array(_) => Scalar::Other("an array"),
            Value::Object(_) => Scalar::Other("a map"),
        })
    }
}

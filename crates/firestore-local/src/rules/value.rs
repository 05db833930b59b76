//! The values of the rules language.
//!
//! A query is checked without looking at documents, so a value may also be unknown: it belongs to a
//! field that the query does not fix. Comparisons then have three outcomes, and `None` means that
//! documents decide.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::model::time::Micros;
use crate::proto::{self, value::ValueType};

/// The types that `is` knows.
pub const TYPES: [&str; 16] = [
    "bool",
    "bytes",
    "constraint",
    "duration",
    "float",
    "int",
    "latlng",
    "list",
    "map",
    "map_diff",
    "null",
    "number",
    "path",
    "set",
    "string",
    "timestamp",
];

#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    List(Arc<[Value]>),
    /// Without duplicates, in the order of insertion.
    Set(Arc<[Value]>),
    Map(Arc<Map>),
    /// Nanoseconds since 1970.
    Timestamp(i128),
    /// Nanoseconds.
    Duration(i128),
    LatLng(f64, f64),
    Path(Arc<Path>),
    MapDiff(Arc<(Map, Map)>),
    /// Depends on a document that the query may find.
    Unknown(Arc<Facts>),
}

#[derive(Clone, Debug, Default)]
pub struct Map {
    pub fields: BTreeMap<String, Value>,
    /// Whether there may be other fields, of which nothing is known.
    pub open: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    pub segments: Vec<String>,
}

/// What a query guarantees about an unknown value.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub tests: Vec<(Comparison, Value)>,
    /// Whether there is a value, so that to evaluate it cannot fail.
    pub exists: bool,
    /// Elements of the list.
    pub contains: Vec<Value>,
    /// The number that the value equals. It is an integer or a double: the two compare equal, so a
    /// query for one finds the other.
    pub number: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    NotEqual,
}

impl Value {
    pub fn text(text: &str) -> Self {
        Self::String(text.into())
    }

    pub fn unknown() -> Self {
        Self::Unknown(Arc::default())
    }

    /// Something that there is, and of which nothing else is known.
    pub fn present() -> Self {
        Self::Unknown(Arc::new(Facts { exists: true, ..Facts::default() }))
    }

    /// Whether documents may make the evaluation of this value fail.
    pub fn may_fail(&self) -> bool {
        matches!(self, Self::Unknown(facts) if !facts.exists)
    }

    pub fn list(all: impl IntoIterator<Item = Self>) -> Self {
        Self::List(all.into_iter().collect())
    }

    /// A set of the distinct values. Only for values that are known.
    pub fn set(all: impl IntoIterator<Item = Self>) -> Self {
        let mut distinct: Vec<Self> = Vec::new();
        for value in all {
            if !distinct.iter().any(|other| equal(other, &value) == Some(true)) {
                distinct.push(value);
            }
        }
        Self::Set(distinct.into())
    }

    pub fn map<K: Into<String>>(fields: impl IntoIterator<Item = (K, Self)>) -> Self {
        let fields = fields.into_iter().map(|(key, value)| (key.into(), value)).collect();
        Self::Map(Arc::new(Map { fields, open: false }))
    }

    pub fn path(segments: impl IntoIterator<Item = String>) -> Self {
        Self::Path(Arc::new(Path { segments: segments.into_iter().collect() }))
    }

    /// The name of the value's type, for `is` and for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Map(_) => "map",
            Self::Timestamp(_) => "timestamp",
            Self::Duration(_) => "duration",
            Self::LatLng(..) => "latlng",
            Self::Path(_) => "path",
            Self::MapDiff(_) => "map_diff",
            Self::Unknown(_) => "unknown",
        }
    }

    pub fn is_type(&self, wanted: &str) -> bool {
        self.kind() == wanted
            || (wanted == "number" && matches!(self, Self::Int(_) | Self::Float(_)))
    }

    /// Whether no part of the value is unknown.
    pub fn is_known(&self) -> bool {
        match self {
            Self::Unknown(_) => false,
            Self::List(all) | Self::Set(all) => all.iter().all(Self::is_known),
            Self::Map(map) => map.is_known(),
            Self::MapDiff(maps) => maps.0.is_known() && maps.1.is_known(),
            _ => true,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "the language compares and divides as doubles")]
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Int(whole) => Some(*whole as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// A document's value.
    pub fn of_proto(value: &proto::Value) -> Self {
        match value.value_type.as_ref() {
            None | Some(ValueType::NullValue(_)) => Self::Null,
            Some(ValueType::BooleanValue(flag)) => Self::Bool(*flag),
            Some(ValueType::IntegerValue(whole)) => Self::Int(*whole),
            Some(ValueType::DoubleValue(number)) => Self::Float(*number),
            Some(ValueType::TimestampValue(time)) => Self::time(Micros::from(time)),
            Some(ValueType::StringValue(text)) => Self::text(text),
            Some(ValueType::BytesValue(data)) => Self::Bytes(data.as_slice().into()),
            Some(ValueType::ReferenceValue(name)) => Self::reference(name),
            Some(ValueType::GeoPointValue(point)) => Self::LatLng(point.latitude, point.longitude),
            Some(ValueType::ArrayValue(array)) => {
                Self::list(array.values.iter().map(Self::of_proto))
            }
            Some(ValueType::MapValue(map)) => {
                Self::map(map.fields.iter().map(|(key, value)| (key, Self::of_proto(value))))
            }
            Some(_) => Self::Null,
        }
    }

    /// What a document's value can be that equals `value` in a query. A whole number may be an
    /// integer or a double there.
    pub fn equal_in_query(self) -> Self {
        let either = |number| {
            Self::Unknown(Arc::new(Facts {
                exists: true,
                number: Some(number),
                ..Facts::default()
            }))
        };
        match self {
            Self::Int(number) => either(number),
            Self::Float(number) => match whole_number(number) {
                Some(whole) => either(whole),
                None => self,
            },
            Self::List(all) => Self::list(all.iter().cloned().map(Self::equal_in_query)),
            Self::Map(map) => {
                let fields = map.fields.iter();
                let fields =
                    fields.map(|(key, value)| (key.clone(), value.clone().equal_in_query()));
                Self::Map(Arc::new(Map { fields: fields.collect(), open: map.open }))
            }
            other => other,
        }
    }

    pub fn time(Micros(micros): Micros) -> Self {
        Self::Timestamp(i128::from(micros) * 1_000)
    }

    /// The path of a resource name. It begins with `databases`, without the project.
    pub fn reference(name: &str) -> Self {
        let mut segments = name.split('/').map(str::to_owned).collect::<Vec<_>>();
        if segments.first().is_some_and(|first| first == "projects") && segments.len() > 2 {
            segments.drain(..2);
        }
        Self::path(segments)
    }

    /// A value of JSON. Objects with one key that begins with `$` are values that JSON lacks:
    /// `$timestamp`, `$bytes` (text), `$latlng`, `$path`, `$float`; `$now` is seconds from `now`.
    pub fn of_json(json: &serde_json::Value, now: i128) -> Result<Self, String> {
        Ok(match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(flag) => Self::Bool(*flag),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(whole) => Self::Int(whole),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Self::text(text),
            serde_json::Value::Array(all) => {
                let all = all.iter().map(|value| Self::of_json(value, now));
                Self::List(all.collect::<Result<_, _>>()?)
            }
            serde_json::Value::Object(fields) => {
                let mut entries = fields.iter();
                if let (Some((key, value)), None) = (entries.next(), entries.next())
                    && key.starts_with('$')
                {
                    return special(key, value, now);
                }
                let fields = fields
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), Self::of_json(value, now)?)))
                    .collect::<Result<_, String>>()?;
                Self::Map(Arc::new(Map { fields, open: false }))
            }
        })
    }
}

/// The integer that a double equals.
#[expect(clippy::cast_possible_truncation, reason = "the number is checked to be in range")]
fn whole_number(number: f64) -> Option<i64> {
    let limit = 9_223_372_036_854_775_808.0;
    ((-limit..limit).contains(&number) && number.fract() == 0.0).then_some(number as i64)
}

fn special(key: &str, value: &serde_json::Value, now: i128) -> Result<Value, String> {
    let malformed = || format!("invalid value of {key}: {value}");
    let text = || value.as_str().ok_or_else(malformed);
    Ok(match key {
        "$timestamp" => {
            Value::Timestamp(super::time::parse_rfc3339(text()?).ok_or_else(malformed)?)
        }
        "$now" => {
            let seconds = value.as_i64().ok_or_else(malformed)?;
            Value::Timestamp(now + i128::from(seconds) * super::time::SECOND)
        }
        "$bytes" => Value::Bytes(text()?.as_bytes().into()),
        "$path" => Value::path(segments(text()?)),
        "$float" => Value::Float(value.as_f64().ok_or_else(malformed)?),
        "$latlng" => match value.as_array().map(Vec::as_slice) {
            Some([latitude, longitude]) => Value::LatLng(
                latitude.as_f64().ok_or_else(malformed)?,
                longitude.as_f64().ok_or_else(malformed)?,
            ),
            _ => return Err(malformed()),
        },
        _ => return Err(format!("unknown value {key}")),
    })
}

/// The segments of a path that is written with or without a slash at its start.
pub fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

impl Map {
    fn is_known(&self) -> bool {
        !self.open && self.fields.values().all(Value::is_known)
    }

    pub fn get(&self, key: &str) -> Option<Value> {
        match self.fields.get(key) {
            Some(value) => Some(value.clone()),
            None => self.open.then(Value::unknown),
        }
    }

    /// Whether the map has the key; `None` if documents decide.
    pub fn has(&self, key: &str) -> Option<bool> {
        match self.fields.contains_key(key) {
            true => Some(true),
            false => (!self.open).then_some(false),
        }
    }

    /// The map at a path of keys, created as an open map if it is missing.
    pub fn insert(&mut self, path: &[String], value: Value) {
        let Some((first, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            self.fields.insert(first.clone(), value);
            return;
        }
        let mut inner = match self.fields.get(first) {
            Some(Value::Map(inner)) => (**inner).clone(),
            _ => Self { fields: BTreeMap::new(), open: true },
        };
        inner.insert(rest, value);
        self.fields.insert(first.clone(), Value::Map(Arc::new(inner)));
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| write!(f, "/{segment}"))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Int(whole) => write!(f, "{whole}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::String(text) => write!(f, "{text:?}"),
            Self::Path(path) => write!(f, "{path}"),
            Self::List(all) | Self::Set(all) => {
                f.write_str("[")?;
                for (index, value) in all.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{value}")?;
                }
                f.write_str("]")
            }
            Self::Map(map) => {
                f.write_str("{")?;
                for (index, (key, value)) in map.fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{key:?}: {value}")?;
                }
                f.write_str(if map.open { ", ..}" } else { "}" })
            }
            other => write!(f, "a {}", other.kind()),
        }
    }
}

/// All of these outcomes: false if one is, else undecided if one is.
pub fn all(outcomes: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let mut decided = Some(true);
    for outcome in outcomes {
        match outcome {
            Some(false) => return Some(false),
            Some(true) => {}
            None => decided = None,
        }
    }
    decided
}

/// Any of these outcomes: true if one is, else undecided if one is.
pub fn any(outcomes: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    all(outcomes.into_iter().map(|outcome| outcome.map(|flag| !flag))).map(|flag| !flag)
}

/// Whether a list or set holds a value.
pub fn contains(all: &[Value], wanted: &Value) -> Option<bool> {
    any(all.iter().map(|value| equal(value, wanted)))
}

/// `==`. Values of different types differ, except that numbers compare as numbers.
pub fn equal(a: &Value, b: &Value) -> Option<bool> {
    let known = match (a, b) {
        (Value::Unknown(facts), other) | (other, Value::Unknown(facts)) => {
            return facts.decide(Comparison::NotEqual, other).map(|differ| !differ);
        }
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            order(a, b) == Some(Ordering::Equal)
        }
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Some(false);
            }
            return all(a.iter().zip(b.iter()).map(|(a, b)| equal(a, b)));
        }
        (Value::Set(a), Value::Set(b)) => {
            if a.len() != b.len() {
                return Some(false);
            }
            return all(a.iter().map(|value| contains(b, value)));
        }
        (Value::Map(a), Value::Map(b)) => return equal_maps(a, b),
        (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Duration(a), Value::Duration(b)) => {
            a == b
        }
        (Value::LatLng(a, b), Value::LatLng(c, d)) => a == c && b == d,
        (Value::Path(a), Value::Path(b)) => a == b,
        (Value::MapDiff(a), Value::MapDiff(b)) => {
            return all([equal_maps(&a.0, &b.0), equal_maps(&a.1, &b.1)]);
        }
        _ => false,
    };
    Some(known)
}

fn equal_maps(a: &Map, b: &Map) -> Option<bool> {
    let common = |key: &String| match (a.fields.get(key), b.fields.get(key)) {
        (Some(a), Some(b)) => equal(a, b),
        (Some(_), None) => {
            if b.open {
                None
            } else {
                Some(false)
            }
        }
        (None, Some(_)) => {
            if a.open {
                None
            } else {
                Some(false)
            }
        }
        (None, None) => Some(true),
    };
    let decided = all(a.fields.keys().chain(b.fields.keys()).map(common));
    if decided == Some(true) && (a.open || b.open) { None } else { decided }
}

/// The order of two values of one type, if the type has an order and neither is NaN.
pub fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            a.as_float()?.partial_cmp(&b.as_float()?)
        }
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Duration(a), Value::Duration(b)) => {
            Some(a.cmp(b))
        }
        _ => None,
    }
}

impl Facts {
    /// Whether the unknown value is of a type; `None` if documents decide.
    pub fn is_type(&self, wanted: &str) -> Option<bool> {
        self.number?;
        match wanted {
            "number" => Some(true),
            "int" | "float" => None,
            _ => Some(false),
        }
    }

    /// What the facts say about a comparison of the unknown value with another.
    pub fn decide(&self, wanted: Comparison, other: &Value) -> Option<bool> {
        if let Some(number) = self.number {
            return compared(&Value::Int(number), wanted, other);
        }
        self.tests.iter().find_map(|(fact, bound)| {
            if (*fact, wanted) == (Comparison::NotEqual, Comparison::NotEqual) {
                return (equal(bound, other) == Some(true)).then_some(true);
            }
            implied(*fact, wanted, order(bound, other)?)
        })
    }
}

fn compared(value: &Value, wanted: Comparison, other: &Value) -> Option<bool> {
    if let Value::Unknown(facts) = other {
        // Two unknown values compare only if both are numbers.
        return compared(value, wanted, &Value::Int(facts.number?));
    }
    if wanted == Comparison::NotEqual {
        return equal(value, other).map(|same| !same);
    }
    let order = order(value, other)?;
    Some(match wanted {
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual | Comparison::NotEqual => order.is_ge(),
    })
}

/// Whether `value FACT bound` implies `value WANTED other` or its opposite. `order` is that of
/// `bound` to `other`.
fn implied(fact: Comparison, wanted: Comparison, order: Ordering) -> Option<bool> {
    use Comparison::{Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let strict = matches!(fact, Less | Greater);
    match fact {
        Greater | GreaterOrEqual => {
            // The value is above everything below the bound.
            let above = order.is_gt() || (order.is_eq() && strict);
            let at_least = order.is_ge();
            match wanted {
                Greater | NotEqual => above.then_some(true),
                GreaterOrEqual => at_least.then_some(true),
                Less => at_least.then_some(false),
                LessOrEqual => above.then_some(false),
            }
        }
        Less | LessOrEqual => {
            let below = order.is_lt() || (order.is_eq() && strict);
            let at_most = order.is_le();
            match wanted {
                Less | NotEqual => below.then_some(true),
                LessOrEqual => at_most.then_some(true),
                Greater => at_most.then_some(false),
                GreaterOrEqual => below.then_some(false),
            }
        }
        NotEqual => None,
    }
}

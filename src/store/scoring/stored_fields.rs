//! The fields of stored documents for the parser of observations, queries of one shard, and the
//! field that says which config rewards were scored under.

use f0_learning_core::observation::{Fields as ObservationFields, Scalar};
use f0_learning_core::reward::ScoredUnder;
use f0_learning_core::sharding::Shard;
use firestore_kit::Query;
use firestore_kit::proto::{Value, value::ValueType};
use firestore_kit::value::{self, Fields};

/// Queries over the documents of one shard.
pub(in crate::store) trait OfShard {
    /// Selects only documents with the shard's number; all documents if sharding is off.
    fn of_shard(self, shard: Shard) -> Self;
}

impl OfShard for Query {
    fn of_shard(self, shard: Shard) -> Self {
        match shard {
            Shard::All => self,
            Shard::One(number) => self.equal("shard", value::int(i64::from(number))),
        }
    }
}

/// The fields of a stored document, for the parser of observations.
#[derive(Debug)]
pub struct StoredFields<'a>(pub &'a Fields);

impl ObservationFields for StoredFields<'_> {
    fn field(&self, name: &str) -> Option<Scalar<'_>> {
        let value = self.0.get(name)?;
        Some(match value.value_type.as_ref() {
            None | Some(ValueType::NullValue(_)) => Scalar::Null,
            Some(ValueType::BooleanValue(flag)) => Scalar::Bool(*flag),
            Some(ValueType::IntegerValue(number)) => Scalar::Int(*number),
            Some(ValueType::DoubleValue(number)) => Scalar::Double(*number),
            Some(ValueType::StringValue(text)) => Scalar::Str(text),
            Some(ValueType::TimestampValue(_)) => Scalar::Other("a timestamp"),
            Some(ValueType::BytesValue(_)) => Scalar::Other("bytes"),
            Some(ValueType::ReferenceValue(_)) => Scalar::Other("a reference"),
            Some(ValueType::GeoPointValue(_)) => Scalar::Other("a geo point"),
            Some(ValueType::ArrayValue(_)) => Scalar::Other("an array"),
            Some(ValueType::MapValue(_)) => Scalar::Other("a map"),
            Some(_) => Scalar::Other("an unknown kind of value"),
        })
    }
}

/// The field of a statistic with the config that its rewards were scored under. Releases that do
/// not know it ignore it.
pub(in crate::store) const SCORED_UNDER: &str = "scoredUnder";

pub(in crate::store) fn scored_under_field(stamp: Option<&ScoredUnder>) -> Option<(String, Value)> {
    stamp.map(|stamp| (SCORED_UNDER.to_owned(), stamp_value(stamp)))
}

pub(in crate::store) fn stamp_value(stamp: &ScoredUnder) -> Value {
    let ScoredUnder { version, fingerprint, since, replaced } = stamp;
    let mut fields = value::fields([
        ("version", value::string(version)),
        ("fingerprint", value::string(fingerprint)),
        ("since", value::int(*since)),
    ]);
    fields.extend(replaced.iter().map(|it| ("replaced".to_owned(), value::string(it))));
    value::map(fields)
}

/// The stamp in a field; `None` if there is none.
pub(in crate::store) fn scored_under(
    fields: &Fields,
    field: &str,
) -> Result<Option<ScoredUnder>, String> {
    let Some(map) = value::as_map(fields, field) else { return Ok(None) };
    value::from_fields(map).map(Some).map_err(|error| format!("{field}: {error}"))
}

//! Values that pass through JSON unchanged. JSON lacks some of Firestore's types (Timestamps,
//! references, bytes, points, the infinities); an edit of the JSON of a map must not turn the
//! values next to it into text.

use firestore::gcloud_sdk::google::firestore::v1::{ArrayValue, MapValue, Value, value::ValueType};
use serde_json::{Map, Value as Json};

use super::{Fields, from_json, to_json};

/// A value that would have to be replaced, although JSON cannot express its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotJson {
    pub path: String,
    /// The stored type, with its article.
    pub kind: &'static str,
}

impl NotJson {
    fn within(mut self, name: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => name.to_owned(),
            inner => format!("{name}.{inner}"),
        };
        self
    }
}

/// The fields of `json`. A value that is as [`fields_to_json`](super::fields_to_json) shows it in
/// `before` is taken from there, with its type.
///
/// # Errors
/// A changed value whose type in `before` is one that JSON lacks.
pub fn over(before: &Fields, json: &Map<String, Json>) -> Result<Fields, NotJson> {
    let field = |(name, json): (&String, &Json)| {
        let value = one(before.get(name), json).map_err(|error| error.within(name))?;
        Ok((name.clone(), value))
    };
    json.iter().map(field).collect()
}

fn one(before: Option<&Value>, json: &Json) -> Result<Value, NotJson> {
    let Some(before) = before else { return Ok(from_json(json)) };
    if to_json(before) == *json {
        return Ok(before.clone());
    }
    match (before.value_type.as_ref(), json) {
        // A removed value leaves nothing whose type could be lost.
        (_, Json::Null) => Ok(from_json(json)),
        (Some(ValueType::MapValue(map)), Json::Object(object)) => {
            let fields = over(&map.fields, object)?;
            Ok(Value { value_type: Some(ValueType::MapValue(MapValue { fields })) })
        }
        (Some(ValueType::ArrayValue(array)), Json::Array(items)) => {
            let values = items.iter().map(|item| {
                // Items have no names: an unchanged one may have moved.
                let same = array.values.iter().find(|value| to_json(value) == *item);
                same.cloned().unwrap_or_else(|| from_json(item))
            });
            let array = ArrayValue { values: values.collect() };
            Ok(Value { value_type: Some(ValueType::ArrayValue(array)) })
        }
        (kind, _) => match kind_beyond_json(kind) {
            Some(kind) => Err(NotJson { path: String::new(), kind }),
            None => Ok(from_json(json)),
        },
    }
}

/// The name of a type that JSON lacks.
fn kind_beyond_json(kind: Option<&ValueType>) -> Option<&'static str> {
    match kind? {
        ValueType::TimestampValue(_) => Some("a Timestamp"),
        ValueType::ReferenceValue(_) => Some("a reference"),
        ValueType::BytesValue(_) => Some("bytes"),
        ValueType::GeoPointValue(_) => Some("a GeoPoint"),
        ValueType::DoubleValue(number) if !number.is_finite() => Some("not a finite number"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{self as value, fields_to_json};
    use super::*;

    fn before() -> Fields {
        value::fields([
            ("at", value::timestamp(value::from_epoch_micros(5))),
            ("key", value::bytes(vec![1, 2])),
            ("most", value::double(f64::INFINITY)),
            ("doc", value::reference("projects/p/databases/d/documents/a/b".to_owned())),
            (
                "nested",
                value::map(value::fields([("at", value::timestamp(value::from_epoch_micros(7)))])),
            ),
            ("n", value::double(1.0)),
        ])
    }

    #[test]
    fn values_that_json_lacks_pass_through_an_edit_unchanged() {
        let mut json = fields_to_json(&before());
        json.insert("n".to_owned(), json!(2));
        json["nested"]["more"] = json!(true);
        let after = over(&before(), &json).unwrap();
        for name in ["at", "key", "most", "doc"] {
            assert_eq!(after[name], before()[name], "{name}");
        }
        let nested = value::as_map(&after, "nested").unwrap();
        assert_eq!(nested["at"], value::timestamp(value::from_epoch_micros(7)));
        assert_eq!(nested["more"], value::boolean(true));
        assert_eq!(after["n"], value::int(2));
    }

    #[test]
    fn replacing_a_value_that_json_lacks_is_refused_by_name() {
        let mut json = fields_to_json(&before());
        json["nested"]["at"] = json!("tomorrow");
        let refused = over(&before(), &json).unwrap_err();
        assert_eq!(refused, NotJson { path: "nested.at".to_owned(), kind: "a Timestamp" });
        json["nested"]["at"] = Json::Null;
        json.remove("key");
        let after = over(&before(), &json).unwrap();
        assert!(!after.contains_key("key"));
    }
}

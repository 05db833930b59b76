//! Traces of OpenTelemetry in OTLP's JSON encoding, as records: one for each span, with the attributes
//! of the span and its resource as fields.

use serde_json::{Map, Value as Json};

/// The spans of a `resourceSpans` element. Attributes of the span win over those of the resource.
pub fn spans(element: &Map<String, Json>) -> Vec<Map<String, Json>> {
    let resource = element.get("resource").map(attributes).unwrap_or_default();
    let scopes = list(element, "scopeSpans", "scope_spans");
    let spans = scopes.iter().filter_map(Json::as_object).flat_map(|it| list(it, "spans", "spans"));
    spans.filter_map(|span| Some(record(span.as_object()?, &resource))).collect()
}

fn record(span: &Map<String, Json>, resource: &Map<String, Json>) -> Map<String, Json> {
    let mut record = resource.clone();
    record.extend(attributes(&Json::Object(span.clone())));
    for (name, value) in span {
        match (name.as_str(), value) {
            ("attributes" | "events" | "links", _) => {}
            ("status", Json::Object(status)) => {
                for (field, value) in status {
                    record.insert(format!("status.{field}"), value.clone());
                }
            }
            _ => {
                record.insert(name.clone(), value.clone());
            }
        }
    }
    record
}

fn list<'a>(map: &'a Map<String, Json>, name: &str, other: &str) -> &'a [Json] {
    let found = map.get(name).or_else(|| map.get(other));
    found.and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// `{"attributes": [{"key": k, "value": {"stringValue": v}}, ...]}` as fields.
fn attributes(owner: &Json) -> Map<String, Json> {
    let listed = owner.as_object().map_or(&[][..], |it| list(it, "attributes", "attributes"));
    let pair = |attribute: &Json| {
        let key = attribute.get("key")?.as_str()?.to_owned();
        let value = attribute.get("value")?.as_object()?.iter().next()?;
        Some((key, plain(value.0, value.1)))
    };
    listed.iter().filter_map(pair).collect()
}

/// Whole numbers of 64 bits are texts in OTLP's JSON.
fn plain(kind: &str, value: &Json) -> Json {
    match (kind, value) {
        ("intValue", Json::String(text)) => {
            text.parse::<i64>().map_or_else(|_| value.clone(), Json::from)
        }
        _ => value.clone(),
    }
}

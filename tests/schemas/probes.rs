//! Documents that differ from a valid one in a single place: every field removed, and replaced by each
//! of many values.

use serde_json::{Map, Value as Json, json};

/// A document that differs from a valid one in the value at `path`; absent if `value` is `None`.
#[derive(Debug)]
pub struct Probe {
    /// With dots, as in `weights.cost`.
    pub path: String,
    pub value: Option<Json>,
    pub document: Json,
}

/// Of every type, and on both sides of every bound.
fn values() -> Vec<Json> {
    let texts =
        ["", " ", "x", "ab\u{1}", "\u{7f}", "success", "SUCCESS", "a@1.0.0", "a@1.0", "1.0.0"];
    let more = ["1.0.0-rc.1+b", "01.0.0", "a/b@1.0.0", ".a", ".a@1.0.0", "x:{arm}", "{arm}:{arm}"];
    let known = ["belief", "proof", "identify", "draft", "csv", "rolled-back"];
    let long = [200, 201, 400, 401, 1_500, 1_501].map(|n| json!("v".repeat(n)));
    let whole = [
        -1,
        0,
        1,
        2,
        365,
        366,
        720,
        721,
        999,
        1_000,
        1_001,
        604_800_000,
        604_800_001,
        1_000_000,
        1_000_001,
        4_294_967_295,
        4_294_967_296,
        946_684_799_999,
        946_684_800_000,
        1_000_000_000_000,
        1_000_000_000_001,
        4_102_444_800_000,
        4_102_444_800_001_i64,
    ];
    let parts = [
        9e-7,
        1e-6,
        0.000_9,
        0.000_976,
        0.000_976_562_5,
        0.001,
        0.5,
        0.500_1,
        0.999,
        1.000_1,
        1.5,
        -0.1,
        1_000.5,
        50.0,
        1e-300,
    ];
    let mut all = vec![Json::Null, json!(true), json!([]), json!(["x"]), json!([1]), json!({})];
    all.extend([json!({ "x": 1 }), json!({ "x": "y" }), json!({ "x": ["y"] })]);
    all.extend(texts.into_iter().chain(more).chain(known).map(Json::from));
    all.extend(long);
    all.extend(whole.map(Json::from));
    all.extend(parts.map(Json::from));
    all
}

pub fn of(valid: &Json) -> Vec<Probe> {
    let mut probes = Vec::new();
    for place in places(valid) {
        let path = place.join(".");
        for value in values() {
            let document = changed(valid, &place, Some(&value));
            probes.push(Probe { path: path.clone(), value: Some(value), document });
        }
        let document = changed(valid, &place, None);
        probes.push(Probe { path, value: None, document });
    }
    probes
}

/// Every field of every object, and a field `unknown` in each that is none of those.
fn places(value: &Json) -> Vec<Vec<String>> {
    let Json::Object(fields) = value else { return Vec::new() };
    let mut all = vec![vec!["unknown".to_owned()]];
    for (name, inner) in fields {
        all.push(vec![name.clone()]);
        all.extend(places(inner).into_iter().map(|it| [vec![name.clone()], it].concat()));
    }
    all
}

fn changed(value: &Json, place: &[String], new: Option<&Json>) -> Json {
    let mut fields: Map<String, Json> = value.as_object().cloned().unwrap_or_default();
    match (place, new) {
        ([name], Some(new)) => drop(fields.insert(name.clone(), new.clone())),
        ([name], None) => drop(fields.remove(name)),
        ([name, rest @ ..], _) => {
            let inner = changed(&fields[name], rest, new);
            fields.insert(name.clone(), inner);
        }
        ([], _) => {}
    }
    Json::Object(fields)
}

//! Fuzzing of the parser, the evaluator and the proofs of queries.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value as Json, json};

use super::testing::{Case, Expected, run};
use super::*;
use crate::fuzz::{Random, fuzz};
use crate::model::path::{DocumentName, Parent};
use crate::model::query::Query;
use crate::proto::structured_query::{
    CollectionSelector, CompositeFilter, FieldFilter, FieldReference, Filter, Order,
    composite_filter, field_filter::Operator, filter::FilterType,
};
use crate::proto::value::ValueType;
use crate::proto::{ArrayValue, Document};

/// Words and symbols of the language.
const WORDS: [&str; 64] = [
    "rules_version = '2';",
    "service",
    "cloud.firestore",
    "match",
    "allow",
    "read",
    "write",
    "get",
    "list",
    "create",
    "update",
    "delete",
    "if",
    "function",
    "let",
    "return",
    "true",
    "false",
    "null",
    "request",
    "resource",
    "request.auth.uid",
    "request.auth.token.role",
    "request.time",
    "request.query.limit",
    "request.resource.data",
    "resource.data",
    "database",
    "is",
    "in",
    "string",
    "int",
    "number",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "/",
    "$(",
    "=**",
    "=",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "*",
    "%",
    "?",
    ":",
    ";",
    ",",
    ".",
    "'",
    "\"",
    "//",
];

fn index(random: &mut Random, text: &str) -> usize {
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Changes a text a few times: removes, repeats, inserts and moves pieces of it or of another text.
fn damaged(random: &mut Random, text: &str, other: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..=random.below(6) {
        let (a, b) = (index(random, &text), index(random, &text));
        let range = a.min(b)..a.max(b).min(a.min(b) + 40);
        let range = range.start
            ..(range.end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        match random.below(6) {
            0 => text.replace_range(range, ""),
            1 => text.insert_str(a, random.pick(&WORDS)),
            2 => text.replace_range(range, random.pick(&WORDS)),
            3 => {
                let piece = text[range].repeat(1 + random.below(30));
                text.insert_str(b, &piece);
            }
            4 => {
                let (c, d) = (index(random, other), index(random, other));
                text.insert_str(a, &other[c.min(d)..c.max(d)]);
            }
            _ => {
                let symbol = char::from_u32(u32::try_from(random.below(0x3000)).unwrap());
                text.insert(a, symbol.unwrap_or('\u{fffd}'));
            }
        }
        if text.len() > 20_000 {
            text.truncate(index(random, &text));
        }
    }
    text
}

/// An expression. With `fields`, its leaves are mostly fields of the resource.
fn expression(random: &mut Random, depth: usize, fields: bool) -> String {
    let numbers = ["0", "1", "2", "1.0", "1.5", "-1", "9223372036854775807", "1e300", "0.0 / 0.0"];
    if depth == 0 || random.one_in(5) {
        let field = ["resource.data.a", "resource.data.b", "resource.data.c", "resource.data['a']"];
        return match random.below(if fields { 12 } else { 10 }) {
            0 => "true".to_owned(),
            1 => "null".to_owned(),
            2 | 3 => random.pick(&numbers).to_owned(),
            4 => random.pick(&["'a'", "'b'", "''", "'ä'", "b'a'"]).to_owned(),
            5 => random
                .pick(&["request.auth.uid", "request.auth", "request.method", "id", "resource.id"])
                .to_owned(),
            6 => random
                .pick(&["request.time", "duration.value(1, 'd')", "latlng.value(1, 2)"])
                .to_owned(),
            7 => random
                .pick(&["resource", "resource.data", "request.resource.data", "/a/$(id)"])
                .to_owned(),
            _ => random.pick(&field).to_owned(),
        };
    }
    let part = |random: &mut Random| expression(random, depth - 1, fields);
    match random.below(18) {
        0 | 1 => format!("({} && {})", part(random), part(random)),
        2 | 3 => format!("({} || {})", part(random), part(random)),
        4 => format!("!({})", part(random)),
        5..=8 => {
            let operator = random.pick(&["==", "!=", "<", "<=", ">", ">="]);
            format!("({} {operator} {})", part(random), part(random))
        }
        9 => format!(
            "({} {} {})",
            part(random),
            random.pick(&["+", "-", "*", "/", "%"]),
            part(random)
        ),
        10 => format!("({} in [{}, {}])", part(random), part(random), part(random)),
        11 => format!("({} in {})", part(random), part(random)),
        12 => {
            let kinds =
                ["int", "float", "number", "string", "bool", "list", "map", "null", "timestamp"];
            format!("({} is {})", part(random), random.pick(&kinds))
        }
        13 => format!("({} ? {} : {})", part(random), part(random), part(random)),
        14 => {
            let method = random.pick(&[
                "size()",
                "keys()",
                "toSet()",
                "lower()",
                "hasAny([1, 'a'])",
                "hasAll([1])",
                "hasOnly(['a', 'b'])",
                "get('a', 1)",
                "diff({})",
                "split('a')",
                "concat([1])",
                "matches('a*')",
                "values()",
                "affectedKeys()",
                "removeAll([1])",
            ]);
            format!("({}).{method}", part(random))
        }
        15 => format!("[{}, {}][{}]", part(random), part(random), random.below(3)),
        16 => format!(
            "{{'a': {}, 'b': {}}}.{}",
            part(random),
            part(random),
            random.pick(&["a", "b", "c"])
        ),
        _ => {
            let function = random.pick(&[
                "string",
                "int",
                "float",
                "bool",
                "math.abs",
                "math.floor",
                "hashing.md5",
                "f",
            ]);
            format!("{function}({})", part(random))
        }
    }
}

fn file(random: &mut Random, condition: &str) -> String {
    let body = expression(random, 2, false).replace("id", "x");
    format!(
        "rules_version = '2'; service cloud.firestore {{ match /databases/{{d}}/documents {{ \
         function f(x) {{ let y = {body}; return y == x || x; }} \
         match /c/{{id}} {{ allow read, write: if {condition}; }} }} }}"
    )
}

fn small(random: &mut Random) -> Json {
    match random.below(12) {
        0 => json!(null),
        1 => json!(true),
        2..=4 => json!(random.below(3)),
        5 => json!({"$float": 1.0}),
        6 => json!(1.5),
        7 => json!("a"),
        8 => json!("b"),
        9 => json!([1, "a"]),
        10 => json!([{"$float": 1.0}]),
        _ => json!({"a": random.below(2)}),
    }
}

fn object(random: &mut Random) -> Json {
    let mut all = json!({});
    for field in ["a", "b", "c"] {
        if !random.one_in(4) {
            all[field] = small(random);
        }
    }
    all
}

/// Asks for every method and for a query; asking twice must have the same answer.
fn evaluate(random: &mut Random, rules: &Ruleset) {
    let (before, after) = (object(random), object(random));
    let operators = ["==", "!=", "<", ">=", "in", "not-in", "array-contains", "array-contains-any"];
    let filters = (0..random.below(3)).map(|_| {
        let field = random.pick(&["a", "b", "a.b", "__name__"]).to_owned();
        (field, random.pick(&operators).to_owned(), small(random))
    });
    let filters: Vec<_> = filters.filter(|(_, _, value)| !value.is_object()).collect();
    let cases = Method::ALL.map(|method| Case {
        name: String::new(),
        who: json!({"uid": "a", "role": "admin", "n": 1}).as_object().cloned(),
        method: method.as_str().to_owned(),
        path: if method == Method::List { "c" } else { "c/x" }.to_owned(),
        before: Some(before.clone()),
        after: Some(after.clone()),
        documents: BTreeMap::default(),
        documents_after: BTreeMap::default(),
        filters: filters.clone(),
        order_by: Vec::new(),
        limit: Some(3),
        offset: 0,
        group: false,
        time: None,
        expected: Expected::Allow,
        line: None,
    });
    let ask = || {
        let report = run(rules, &cases).map_err(|error| error.to_string());
        report.map(|report| report.to_string())
    };
    assert_eq!(ask(), ask());
}

fn rules_input(random: &mut Random) {
    let text = match random.below(3) {
        0 => {
            let (text, other) = (random.pick(&samples::ALL), random.pick(&samples::ALL));
            damaged(random, text, other)
        }
        1 => {
            let words: Vec<&str> = (0..random.below(60)).map(|_| random.pick(&WORDS)).collect();
            let text = words.join(random.pick(&["", " ", "\n"]));
            if random.one_in(2) { text } else { file(random, &text) }
        }
        _ => {
            let depth = 1 + random.below(5);
            let condition = expression(random, depth, false);
            let text = file(random, &condition);
            if random.one_in(4) { damaged(random, &text, samples::ALL[0]) } else { text }
        }
    };
    match Ruleset::parse(&text) {
        Ok(rules) => evaluate(random, &rules),
        Err(error) => {
            let lines = text.split('\n').count();
            assert!((1..=lines).contains(&error.at.line), "{error} in\n{text}");
        }
    }
}

#[test]
fn rules_are_parsed_or_refused_and_decide_the_same_twice() {
    fuzz("rules", rules_input);
}

fn to_proto(json: &Json) -> proto::Value {
    let kind = match json {
        Json::Bool(flag) => ValueType::BooleanValue(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => ValueType::IntegerValue(whole),
            None => ValueType::DoubleValue(number.as_f64().unwrap()),
        },
        Json::String(text) => ValueType::StringValue(text.clone()),
        Json::Array(all) => {
            ValueType::ArrayValue(ArrayValue { values: all.iter().map(to_proto).collect() })
        }
        Json::Object(map) => match map.get("$float") {
            Some(number) => ValueType::DoubleValue(number.as_f64().unwrap()),
            None => {
                let fields = map.iter().map(|(key, value)| (key.clone(), to_proto(value)));
                ValueType::MapValue(proto::MapValue { fields: fields.collect() })
            }
        },
        Json::Null => ValueType::NullValue(0),
    };
    proto::Value { value_type: Some(kind) }
}

/// A query over the collection `c`.
fn query(random: &mut Random) -> StructuredQuery {
    let field = |path: &str| Some(FieldReference { field_path: path.to_owned() });
    let filters = (0..1 + random.below(3)).map(|_| {
        let operator = [
            Operator::Equal,
            Operator::Equal,
            Operator::NotEqual,
            Operator::LessThan,
            Operator::LessThanOrEqual,
            Operator::GreaterThan,
            Operator::GreaterThanOrEqual,
            Operator::ArrayContains,
            Operator::In,
            Operator::NotIn,
            Operator::ArrayContainsAny,
        ][random.below(11)];
        let value =
            if matches!(operator, Operator::In | Operator::NotIn | Operator::ArrayContainsAny) {
                json!([small(random), small(random)])
            } else {
                small(random)
            };
        let filter = FieldFilter {
            field: field(random.pick(&["a", "b", "c", "a.a"])),
            op: operator.into(),
            value: Some(to_proto(&value)),
        };
        Filter { filter_type: Some(FilterType::FieldFilter(filter)) }
    });
    let filters = filters.collect();
    let op = if random.one_in(3) {
        composite_filter::Operator::Or
    } else {
        composite_filter::Operator::And
    };
    let filter = CompositeFilter { op: op.into(), filters };
    let selector = CollectionSelector { collection_id: "c".to_owned(), all_descendants: false };
    let order_by = if random.one_in(4) {
        vec![Order { field: field(random.pick(&["a", "b"])), direction: 1 }]
    } else {
        Vec::new()
    };
    StructuredQuery {
        from: vec![selector],
        r#where: Some(Filter { filter_type: Some(FilterType::CompositeFilter(filter)) }),
        order_by,
        ..StructuredQuery::default()
    }
}

/// A literal among those that queries and documents use.
fn literal(random: &mut Random) -> &'static str {
    random.pick(&["0", "1", "1.0", "1.5", "2", "null", "true", "'a'", "'b'", "[1, 'a']", "[1.0]"])
}

/// A condition on fields that a query may well prove.
fn likely(random: &mut Random, depth: usize) -> String {
    if depth > 0 && !random.one_in(3) {
        let (a, b) = (likely(random, depth - 1), likely(random, depth - 1));
        return match random.below(4) {
            0 => format!("!({a})"),
            1 => format!("({a} && {b})"),
            _ => format!("({a} || {b})"),
        };
    }
    let field = random.pick(&["a", "b", "c", "a.a"]);
    let (one, two) = (literal(random), literal(random));
    match random.below(10) {
        0..=3 => {
            let operator = random.pick(&["==", "!=", "<", "<=", ">", ">="]);
            format!("resource.data.{field} {operator} {one}")
        }
        4 => format!("{one} {} resource.data.{field}", random.pick(&["<", "<=", ">", ">=", "!="])),
        5 => {
            let kind = random.pick(&["int", "float", "number", "string", "bool", "list", "map"]);
            format!("resource.data.{field} is {kind}")
        }
        6 => format!("resource.data.{field} in [{one}, {two}]"),
        7 => format!("{one} in resource.data.{field}"),
        8 => {
            let method = random.pick(&["hasAny", "hasAll"]);
            format!("resource.data.{field}.{method}([{one}, {two}])")
        }
        _ => random
            .pick(&[
                "'a' in resource.data",
                "resource.data.get('a', 1) == 1",
                "resource.data.a + 1 > 1",
                "resource.data.a / 2 == 0",
                "resource.data.a[0] == 1",
                "resource.data.a.size() > 0",
                "resource.data.a == resource.data.b",
                "resource.data.a < resource.data.b",
                "[resource.data.a, true][1]",
                "f(resource.data.a) == 1",
                "resource.data != {}",
            ])
            .to_owned(),
    }
}

/// How many documents were compared with a proof.
static PROVEN: AtomicU64 = AtomicU64::new(0);

/// If a query is allowed, each document that it finds is allowed.
fn proof_input(random: &mut Random) {
    let depth = 1 + random.below(4);
    let condition = match random.below(3) {
        0 => expression(random, depth, true),
        _ => likely(random, depth - 1),
    };
    let Ok(rules) = Ruleset::parse(&file(random, &condition)) else { return };
    let query = query(random);
    let root = format!("projects/p/{DATABASE}");
    let Ok(parsed) = Query::parse(Parent::parse(&root).unwrap(), query.clone()) else { return };
    let who = claims(json!({"sub": "a"}));
    let (world, budget) = (World::default(), Budget::default());
    let context = Context {
        claims: &who,
        time: Micros(i64::try_from(NOW / 1_000).unwrap()),
        documents: &world,
        budget: &budget,
        coverage: None,
    };
    if !rules.decide_query(context, &segments(DATABASE), &query).allowed {
        return;
    }
    let name = format!("{root}/c/a");
    for _ in 0..20 {
        let json = object(random);
        let fields: HashMap<String, proto::Value> =
            json.as_object().unwrap().iter().map(|(key, it)| (key.clone(), to_proto(it))).collect();
        let document = Document { name: name.clone(), fields, ..Document::default() };
        if parsed.matches(&DocumentName::parse(&name).unwrap(), &document).is_none() {
            continue;
        }
        let path = full("c/a");
        let change = Change {
            method: Method::List,
            path: &path,
            before: resource(&path, &document.fields),
            after: Value::Null,
        };
        let decision = rules.decide(context, change);
        PROVEN.fetch_add(1, Ordering::Relaxed);
        assert!(
            decision.allowed,
            "{condition}\nis proven by {:?}\nbut {decision} for {json}",
            query.r#where
        );
    }
}

#[test]
fn a_query_that_is_allowed_finds_only_documents_that_are_allowed() {
    fuzz("proofs", proof_input);
    let compared = PROVEN.load(Ordering::Relaxed);
    eprintln!("proofs: {compared} documents compared");
    // A few hundred are within reach of the shortest run; without any, nothing was tested.
    assert!(compared > 0);
}

//! Fuzzing of the checks, the plans and the results of structured queries.

use prost::Message as _;

use super::*;
use crate::fuzz::{Random, fuzz};
use crate::model::path::Parent;
use crate::proto::Cursor;

const PATHS: [&str; 12] =
    ["a", "b", "a.b", "__name__", "", "a..b", "`a`", "`a b`.c", "1a", "a.", "__x__", "é"];

fn value(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 8 } else { 10 }) {
        0 => null(),
        1 => int(i64::try_from(random.below(4)).unwrap()),
        2 => int(*[i64::MIN, i64::MAX].get(random.below(2)).unwrap()),
        3 => double([0.5, -0.0, f64::NAN, f64::INFINITY, 1e300][random.below(5)]),
        4 => string(random.pick(&["", "a", "ab", "\0", "ä"])),
        5 => reference(random.pick(&["c/a", "c", "", "c/a/c/b"])),
        6 => Value { value_type: None },
        7 => Value { value_type: Some(ValueType::ReferenceValue("x".to_owned())) },
        8 => array((0..random.below(4)).map(|_| value(random, depth - 1)).collect()),
        _ => map(&[("m", value(random, depth - 1))]),
    }
}

fn filter(random: &mut Random, depth: usize) -> ProtoFilter {
    match random.below(if depth == 0 { 8 } else { 11 }) {
        0..=5 => {
            let op = Operator::try_from(i32::try_from(random.below(12)).unwrap());
            test(random.pick(&PATHS), op.unwrap_or_default(), value(random, 2))
        }
        6 => {
            let op = unary_filter::Operator::try_from(i32::try_from(random.below(7)).unwrap());
            unary(random.pick(&PATHS), op.unwrap_or_default())
        }
        7 => ProtoFilter { filter_type: None },
        8 | 9 => all((0..random.below(5)).map(|_| filter(random, depth - 1)).collect()),
        _ => any_of((0..random.below(5)).map(|_| filter(random, depth - 1)).collect()),
    }
}

fn cursor(random: &mut Random) -> Option<Cursor> {
    random.one_in(4).then(|| Cursor {
        values: (0..random.below(4)).map(|_| value(random, 1)).collect(),
        before: random.one_in(2),
    })
}

fn query(random: &mut Random) -> StructuredQuery {
    let depth = [0, 1, 2, 3, 20][random.below(5)];
    let small = |random: &mut Random| i32::try_from(random.below(6)).unwrap() - 1;
    StructuredQuery {
        from: (0..[1, 1, 1, 0, 2][random.below(5)])
            .map(|_| CollectionSelector {
                collection_id: random.pick(&["c", "c", "d", "", "c/d", "__c__"]).to_owned(),
                all_descendants: random.one_in(3),
            })
            .collect(),
        r#where: (!random.one_in(5)).then(|| filter(random, depth)),
        order_by: (0..random.below(3))
            .map(|_| order(random.pick(&PATHS), random.one_in(2)))
            .collect(),
        start_at: cursor(random),
        end_at: cursor(random),
        limit: random.one_in(2).then(|| small(random)),
        offset: if random.one_in(3) { small(random) } else { 0 },
        ..StructuredQuery::default()
    }
}

fn documents(random: &mut Random) -> Vec<Document> {
    let paths = ["c/a", "c/b", "c/a/c/b", "d/a", "c/ä", "c/__id3__"];
    let mut found = Vec::new();
    for path in paths {
        let mut pairs = Vec::new();
        for name in ["a", "b"] {
            if !random.one_in(4) {
                pairs.push((name, value(random, 2)));
            }
        }
        found.push(document(path, &pairs));
    }
    found
}

fn input(random: &mut Random) {
    let mut asked = query(random);
    if random.one_in(3) {
        // The bytes of a request that was tampered with.
        let mut bytes = asked.encode_to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() + 1);
            match (random.below(3), bytes.get_mut(at)) {
                (0, Some(byte)) => *byte ^= 1 << random.below(8),
                (1, Some(_)) => drop(bytes.remove(at)),
                _ => bytes.insert(at, u8::try_from(random.below(256)).unwrap()),
            }
        }
        let Ok(decoded) = StructuredQuery::decode(&bytes[..]) else { return };
        asked = decoded;
    }
    let parent = Parent::parse(random.pick(&[
        ROOT,
        ROOT,
        concat!("projects/p/databases/d/documents", "/c/a"),
    ]));
    let Ok(query) = Query::parse(parent.unwrap(), asked.clone()) else { return };
    let _ = format!("{:?}", query.plan());
    let all = documents(random);
    let matching = all
        .iter()
        .filter(|it| query.matches(&DocumentName::parse(&it.name).unwrap(), it).is_some())
        .count();
    let found = query.run(all.iter().cloned());
    let expected = matching.saturating_sub(query.offset).min(query.limit.unwrap_or(usize::MAX));
    assert_eq!(found.documents.len(), expected, "{asked:?}");
    let mut last = None;
    for document in found.documents {
        let name = DocumentName::parse(&document.name).unwrap();
        let key = query.matches(&name, &document);
        assert!(key.is_some() && key > last, "{asked:?}");
        last = key;
    }
}

#[test]
fn queries_are_refused_or_find_each_match_once_in_order() {
    fuzz("queries", input);
}

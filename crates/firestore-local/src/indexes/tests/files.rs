//! What a file may hold, and what a mistake in it is answered with.

use serde_json::json;

use super::super::{Composite, FieldIndex, Indexes, Mode, Scope};
use super::indexes;

fn error(text: &str) -> String {
    Indexes::parse(text).unwrap_err().to_string()
}

/// A file with one index.
fn with_index(entry: &str) -> String {
    format!("{{\n\"indexes\": [\n{entry}\n]\n}}")
}

fn fields(fields: &str) -> String {
    with_index(&format!(
        "{{\"collectionGroup\": \"c\", \"queryScope\": \"COLLECTION\",\n\"fields\": [{fields}]}}"
    ))
}

#[test]
fn a_file_as_the_cli_writes_it_is_read_with_its_comments() {
    let text = r#"{
      // The indexes of "c".
      "indexes": [
        {
          "collectionGroup": "c", /* ** a group */ "queryScope": "COLLECTION_GROUP",
          "density": "SPARSE_ALL", "apiScope": "ANY_API", "multikey": false, "unique": false,
          "shardCount": 1,
          "fields": [
            { "fieldPath": "a", "order": "ASCENDING" },
            { "fieldPath": "`http://x`", "arrayConfig": "CONTAINS" },
            { "fieldPath": "__name__", "order": "DESCENDING" }
          ]
        },
        {
          "collectionGroup": "v", "queryScope": "COLLECTION",
          "fields": [{ "fieldPath": "e", "vectorConfig": { "dimension": 3, "flat": {} } }]
        }
      ],
      "fieldOverrides": [
        {
          "collectionGroup": "c", "fieldPath": "expires", "ttl": true,
          "indexes": [{ "order": "ASCENDING" }]
        },
        { "collectionGroup": "c", "fieldPath": "*", "ttl": false, "indexes": [] }
      ]
    }"#;
    let parsed = Indexes::parse(text).unwrap();
    let Composite { group, scope, columns, name_descending } = &parsed.composites[0];
    assert_eq!((group.as_str(), *scope, *name_descending), ("c", Scope::CollectionGroup, true));
    assert_eq!(columns[1].path.segments(), ["http://x"]);
    assert_eq!(
        columns.iter().map(|it| it.mode).collect::<Vec<_>>(),
        [Mode::Ascending, Mode::Contains]
    );
    assert_eq!(parsed.composites[1].columns[0].mode, Mode::Vector);
    let ascending = FieldIndex { scope: Scope::Collection, mode: Mode::Ascending };
    assert_eq!(parsed.overrides[0].indexes, [ascending]);
    assert_eq!(parsed.overrides[1].path, None);
}

#[test]
fn a_mistake_is_refused_with_its_place_and_what_was_expected() {
    let a = r#"{"fieldPath": "a", "order": "ASCENDING"}"#;
    let b = r#"{"fieldPath": "b", "order": "ASCENDING"}"#;
    let t = |path: &str| format!(r#"{{"fieldPath": "{path}", "arrayConfig": "CONTAINS"}}"#);
    let index = |extra: &str| {
        with_index(&format!(
            r#"{{"collectionGroup": "c", "queryScope": "COLLECTION", "fields": [{a}, {b}]{extra}}}"#
        ))
    };
    let overriding = |entries: &str| format!(r#"{{"indexes": [], "fieldOverrides": [{entries}]}}"#);
    let exempt =
        |path: &str| format!(r#"{{"collectionGroup": "c", "fieldPath": "{path}", "indexes": []}}"#);
    for (text, expected) in [
        (String::new(), "EOF while parsing"),
        (
            "{\"indexes\": [],\n \"fieldOverides\": []}".to_owned(),
            "unknown field `fieldOverides`, expected `indexes` or `fieldOverrides` at line 2",
        ),
        ("{}".to_owned(), "missing field `indexes`"),
        (
            with_index(r#"{"collectionGroup": "c", "queryScope": "GROUP", "fields": []}"#),
            "unknown variant `GROUP`, expected `COLLECTION` or `COLLECTION_GROUP` at line 3",
        ),
        (
            with_index(r#"{"collectionGroup": "a/b", "queryScope": "COLLECTION", "fields": []}"#),
            "indexes[0].collectionGroup: expected a collection id, got \"a/b\"",
        ),
        (
            fields(&format!("{a}, {{\"fieldPath\": \"b\", \"order\": \"UP\"}}")),
            "unknown variant `UP`, expected `ASCENDING` or `DESCENDING` at line 4",
        ),
        (
            fields(&format!("{a}, {{\"fieldPath\": \"b\"}}")),
            "indexes[0].fields[1]: expected `order` or `arrayConfig`, got neither",
        ),
        (
            fields(&format!(
                "{a}, {{\"fieldPath\": \"b\", \"order\": \"ASCENDING\", \"arrayConfig\": \"CONTAINS\"}}"
            )),
            "indexes[0].fields[1]: expected one of",
        ),
        (
            fields(&format!("{a}, {{\"fieldPath\": \"b..c\", \"order\": \"ASCENDING\"}}")),
            "indexes[0].fields[1].fieldPath: expected a field path, got \"b..c\"",
        ),
        (fields(a), "indexes[0].fields: expected at least two fields"),
        (
            fields(&format!("{a}, {a}")),
            "indexes[0].fields[1]: expected each field once, got a twice",
        ),
        (
            fields(&format!("{}, {}", t("a"), t("b"))),
            "expected at most one field with `arrayConfig`",
        ),
        (
            fields(&format!("{{\"fieldPath\": \"__name__\", \"order\": \"ASCENDING\"}}, {a}")),
            "expected `__name__` as the last field",
        ),
        (
            index(r#", "density": "DENSE""#),
            "indexes[0].density: expected SPARSE_ALL, as for the Standard edition, got DENSE",
        ),
        (
            index(r#", "apiScope": "MONGODB_COMPATIBLE_API""#),
            "indexes[0].apiScope: expected ANY_API",
        ),
        (index(r#", "unique": true"#), "indexes[0].unique: expected false"),
        (
            overriding(&format!("{}, {}", exempt("f"), exempt("f"))),
            "fieldOverrides[1]: expected one entry for each field, got the field of fieldOverrides[0]",
        ),
        (
            overriding(r#"{"collectionGroup": "c", "fieldPath": "f", "indexes": [{}]}"#),
            "fieldOverrides[0].indexes[0]: expected `order` or `arrayConfig`, got neither",
        ),
        (overriding(r#"{"collectionGroup": "c", "fieldPath": "f"}"#), "missing field `indexes`"),
    ] {
        let got = error(&text);
        assert!(got.contains(expected), "{text}\nexpected {expected}\ngot {got}");
    }
}

#[test]
fn an_index_is_declared_once() {
    let twice = super::file("c(a,b) c(b,a) c(a,b)").to_string();
    let expected =
        "indexes[2]: expected an index that is declared once, got the same as indexes[0]";
    assert_eq!(error(&twice), expected);
    // The direction of the name that a definition does not give is that of the last field.
    assert!(Indexes::parse(&super::file("c(a,b) c(a,b,__name__)").to_string()).is_err());
    assert_eq!(indexes("c(a,b) g(a,b) c(a,-b) c(a,b,-__name__)").composites.len(), 4);
}

#[test]
fn files_beyond_the_limits_of_a_database_are_refused() {
    let many =
        |count: usize| (0..count).map(|n| format!("c(a,f{n})")).collect::<Vec<_>>().join(" ");
    assert_eq!(indexes(&many(1_000)).composites.len(), 1_000);
    let got = error(&super::file(&many(1_001)).to_string());
    assert_eq!(got, "indexes: expected at most 1000 entries, got 1001");
    let wide = |count: usize| {
        let columns: Vec<_> = (0..count).map(|n| format!("f{n}")).collect();
        super::file(&format!("c({})", columns.join(",")))
    };
    assert!(Indexes::parse(&wide(100).to_string()).is_ok());
    let got = error(&wide(101).to_string());
    assert_eq!(got, "indexes[0].fields: expected at most 100 fields, got 101");
    let exempt: Vec<_> = (0..1_001)
        .map(|n| json!({ "collectionGroup": "c", "fieldPath": format!("f{n}"), "indexes": [] }))
        .collect();
    let got = error(&json!({ "indexes": [], "fieldOverrides": exempt }).to_string());
    assert_eq!(got, "fieldOverrides: expected at most 1000 entries, got 1001");
}

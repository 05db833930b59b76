//! `docs/schema`: the JSON Schemas of what people, components and receivers of notifications write and
//! read, generated from the types that the service reads them with.
//!
//! `F0_WRITE_SCHEMAS=1 cargo test --test schemas` writes the files again.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod agreement;
mod probes;
mod readers;

use std::path::{Path, PathBuf};

use f0_learning::import::Mapping;
use f0_learning_core::document::{Flags, Notice, Policy, ScoringConfig};
use f0_learning_core::observation::ObservationDocument;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::tuning::TuningConfig;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::Value as Json;

/// Every file by its name.
fn generated() -> [(&'static str, Json); 8] {
    [
        ("observation", schema_of::<ObservationDocument>()),
        ("policy", schema_of::<Policy>()),
        ("flags", schema_of::<Flags>()),
        ("reward_config", schema_of::<RewardConfig>()),
        ("tuning", schema_of::<TuningConfig>()),
        ("scoring", schema_of::<ScoringConfig>()),
        ("mapping", schema_of::<Mapping>()),
        ("notification", schema_of::<Notice>()),
    ]
}

fn schema_of<T: JsonSchema>() -> Json {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(plain));
    settings.into_generator().into_root_schema_for::<T>().into()
}

/// Without the formats of Rust's numbers, which other languages lack, and with descriptions of a line a
/// paragraph.
fn plain(schema: &mut Schema) {
    if let Some(Json::String(_)) = schema.get("format") {
        schema.remove("format");
    }
    if let Some(Json::String(text)) = schema.get_mut("description") {
        let paragraphs = text.split("\n\n").map(|it| it.replace('\n', " "));
        *text = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema").join(format!("{name}.json"))
}

#[expect(clippy::disallowed_methods, reason = "a person asks the test for new files by it")]
fn is_writing() -> bool {
    std::env::var_os("F0_WRITE_SCHEMAS").is_some()
}

#[test]
fn the_files_are_those_that_the_types_generate() {
    for (name, schema) in generated() {
        let text = format!("{schema:#}\n");
        if is_writing() {
            std::fs::write(path(name), &text).unwrap();
        }
        let found = std::fs::read_to_string(path(name)).unwrap_or_default();
        assert_eq!(
            found, text,
            "docs/schema/{name}.json differs: run \
             F0_WRITE_SCHEMAS=1 cargo test --test schemas, then clients/generate"
        );
    }
    let files = std::fs::read_dir(path("x").parent().unwrap()).unwrap().count();
    assert_eq!(files, generated().len(), "docs/schema has a file that no type generates");
}

#[test]
fn descriptions_name_nothing_that_only_rust_has() {
    for (name, schema) in generated() {
        for words in ["[`", "::", "_ms"] {
            assert!(!schema.to_string().contains(words), "{name} contains {words}");
        }
    }
}

//! The readers of the documents of `docs/schema`, by its names: what the service does with what it is
//! given.

use f0_learning::import::Mapping;
use f0_learning::store::{ConfigDocument, check_config};
use f0_learning_core::document::{Notice, Policy};
use f0_learning_core::observation::Observation;
use firestore_kit::value;
use serde_json::{Map, Value as Json};

/// Whether the service takes a document.
pub fn read(name: &str, document: &Json) -> Result<(), String> {
    match name {
        "mapping" => said(Mapping::parse(&document.to_string())),
        _ => {
            let fields = document.as_object().ok_or("not an object")?;
            read_fields(name, fields)
        }
    }
}

fn read_fields(name: &str, fields: &Map<String, Json>) -> Result<(), String> {
    let config = |document| said(check_config(document, fields));
    match name {
        "observation" => said(Observation::parse_strictly("o-1", fields)),
        "policy" => {
            let stored = value::fields_from_json(fields);
            let policy: Policy = value::from_fields(&stored).map_err(|it| it.to_string())?;
            policy.key().ok_or("the id or the version is invalid")?;
            said(policy.params.model_weights())
        }
        "notification" => said(value::from_fields::<Notice>(&value::fields_from_json(fields))),
        "flags" => config(ConfigDocument::Flags),
        "reward_config" => config(ConfigDocument::RewardConfig),
        "tuning" => config(ConfigDocument::Tuning),
        "scoring" => config(ConfigDocument::Scoring),
        other => panic!("no reader of {other}"),
    }
}

fn said<T, E: std::fmt::Display>(read: Result<T, E>) -> Result<(), String> {
    read.map(|_| ()).map_err(|error| error.to_string())
}

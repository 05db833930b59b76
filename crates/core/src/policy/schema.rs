//! The rules of ids, versions and parameters as JSON Schema. The patterns use only what the regular
//! expressions of all languages have, so no looking ahead.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::{MAX_ARM_BYTES, MAX_ID_BYTES, MAX_VERSION_BYTES, Params};

const ID: &str = "[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}";
/// Of three numbers without leading zeros, with a pre-release and a build if there are any.
const VERSION: &str = r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?";

pub(crate) fn id_pattern() -> String {
    format!("^{ID}$")
}

pub(crate) fn id_rule() -> Value {
    json!({ "minLength": 1, "maxLength": MAX_ID_BYTES, "pattern": id_pattern() })
}

pub(crate) const MAX_KEY_BYTES: usize = MAX_ID_BYTES + 1 + MAX_VERSION_BYTES;

pub(crate) fn key_pattern() -> String {
    format!("^{ID}@{VERSION}$")
}

/// A semantic version.
pub(crate) struct VersionText;

impl JsonSchema for VersionText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "A semantic version with numbers of 64 bits, such as `1.0.2`.",
            "type": "string", "maxLength": MAX_VERSION_BYTES, "pattern": format!("^{VERSION}$"),
        })
    }
}

/// The share of traffic of each arm: numbers from 0 to 1 that add up to 1.
#[derive(JsonSchema)]
#[schemars(extend("minProperties" = 1, "propertyNames" = { "minLength": 1, "maxLength": MAX_ARM_BYTES }))]
struct Weights(#[expect(dead_code, reason = "only its schema is used")] BTreeMap<String, Share>);

#[derive(JsonSchema)]
#[schemars(inline)]
struct Share(
    #[expect(dead_code, reason = "only its schema is used")]
    #[schemars(range(min = 0.0, max = 1.0))]
    f64,
);

/// The parameters of a version. Components define them; these have a meaning to the service
/// (`modelWeights`) and to the packages for components (the others).
#[derive(JsonSchema)]
#[schemars(rename = "Params", rename_all = "camelCase", extend("additionalProperties" = true))]
#[expect(dead_code, reason = "only its schema is used")]
struct KnownParams {
    /// The service tunes these. Absent in a policy that does not route over arms.
    model_weights: Option<Weights>,
    /// The errors after which a request is tried with another arm, such as `timeout`.
    fallback_on: Option<Vec<String>>,
    /// How long an arm is left out after such errors, in milliseconds.
    #[schemars(range(min = 0.0))]
    cooldown_ms: Option<f64>,
    /// After how many such errors in a row an arm is left out. The default is 1.
    #[schemars(range(min = 1))]
    cooldown_after: Option<u32>,
}

impl JsonSchema for Params {
    fn schema_name() -> Cow<'static, str> {
        KnownParams::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        KnownParams::json_schema(generator)
    }
}

//! The shape of the documents that [`Observation::parse`](super::Observation::parse) reads, field by
//! field. It has the same bounds; no code reads or writes this type.

use schemars::JsonSchema;
use serde_json::Value;

use super::{
    MAX_COMPONENT_BYTES, MAX_COST_USD, MAX_DURATION_MS, MAX_ERROR_CODE_BYTES, MAX_TOKENS, MAX_TS,
    MIN_PROPENSITY, MIN_SAMPLE_RATE, MIN_TS, Outcome,
};
use crate::policy::schema::{MAX_KEY_BYTES, key_pattern};
use crate::sharding::MAX_SHARDS;

/// Without control characters, and not only blanks.
const COMPONENT: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0][^\x00-\x1f\x7f-\x9f]*$";

/// An observation: what a component records about one action, as a document of `ops_observations`. A
/// field that is null counts as absent, and other fields are ignored. An invalid `id`, `ts`,
/// `component`, `outcome`, `sampleRate` or `propensity` rejects the document; any other invalid field
/// costs only itself.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Observation", rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
pub struct ObservationDocument {
    /// If present, the id of the document.
    id: Option<String>,
    /// When the action happened, in epoch milliseconds: from 2000 to 2100.
    #[schemars(range(min = MIN_TS, max = MAX_TS))]
    ts: i64,
    /// Who acted, such as `AutoScaler`, or `router:gpt-5` for the arm `gpt-5` of a router: text of at
    /// most 400 bytes in UTF-8, not only blanks.
    #[schemars(length(min = 1, max = MAX_COMPONENT_BYTES), pattern(COMPONENT))]
    component: String,
    outcome: Outcome,
    /// At most seven days.
    #[schemars(range(min = 0.0, max = MAX_DURATION_MS))]
    duration_ms: f64,
    #[schemars(range(min = 0.0, max = MAX_TOKENS))]
    tokens_in: Option<u64>,
    #[schemars(range(min = 0.0, max = MAX_TOKENS))]
    tokens_out: Option<u64>,
    #[schemars(range(min = 0.0, max = MAX_COST_USD))]
    cost_usd: Option<f64>,
    /// `{id}@{version}` of the policy that the action used. The id must not have the form
    /// `__x__`. The id and the version have at most 200 bytes each.
    #[schemars(length(max = MAX_KEY_BYTES), pattern(key_pattern()))]
    policy_version: Option<String>,
    /// Text of at most 1,500 bytes in UTF-8, or a number, such as HTTP's 429.
    error_code: Option<ErrorCode>,
    /// The probability with which such an observation is recorded. The default is 1, and
    /// `minSampleRate` of `config/scoring` (0.001) is the smallest rate that counts.
    #[schemars(range(min = MIN_SAMPLE_RATE, max = 1.0))]
    sample_rate: Option<f64>,
    /// The probability of the arm that was used, if it was not drawn by the policy's weights. Its
    /// product with `sampleRate` must be at least the smallest sample rate.
    #[schemars(range(min = MIN_PROPENSITY, max = 1.0))]
    propensity: Option<f64>,
    /// Below `shards` of `config/scoring`.
    #[schemars(range(max = MAX_SHARDS - 1))]
    shard: Option<u32>,
    /// Any value. The service ignores it.
    meta: Option<Value>,
}

#[derive(Debug, JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum ErrorCode {
    Text(#[schemars(length(max = MAX_ERROR_CODE_BYTES))] String),
    Number(f64),
}

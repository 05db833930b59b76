//! Fault plans: which faults to inject, and when. A plan can be written as JSON. It makes the same
//! decisions for the same sequence of requests.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use tonic::Code;

/// The RPCs that answer with a stream.
const STREAMS: [&str; 5] =
    ["BatchGetDocuments", "RunQuery", "RunAggregationQuery", "Write", "Listen"];

/// The RPCs whose requests are a stream, too.
const BOTH_WAYS: [&str; 2] = ["Write", "Listen"];

/// The longest delay in a plan that is generated from a seed.
const MAX_DELAY_MILLIS: u64 = 200;

/// A fault that is injected into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// The request is refused before it is carried out.
    Refuse { code: FaultCode },
    /// The request is carried out as usual after a delay.
    #[serde(rename_all = "camelCase")]
    Delay { millis: u64 },
    /// A stream of answers fails with UNAVAILABLE after `after` answers, or at its end if it has
    /// fewer. This applies only to RPCs that answer with a stream.
    Cut { after: usize },
    /// The request waits for [`Running::release`](crate::Running::release) before it is carried
    /// out, so that requests that arrive later may come first.
    Hold,
    /// The request is carried out, and its answer waits for a release. This does not apply to RPCs
    /// with streams in both directions.
    HoldAnswer,
    /// The request is carried out, and the client gets UNAVAILABLE.
    LoseAnswer,
    /// The connection is closed before the request is carried out.
    Drop,
    /// The request is carried out, and the connection is closed before the answer is sent.
    DropAnswer,
}

/// The status codes that a refusal may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FaultCode {
    Aborted,
    Unavailable,
    DeadlineExceeded,
    ResourceExhausted,
    Internal,
    PermissionDenied,
    InvalidArgument,
}

impl From<FaultCode> for Code {
    fn from(code: FaultCode) -> Self {
        match code {
            FaultCode::Aborted => Self::Aborted,
            FaultCode::Unavailable => Self::Unavailable,
            FaultCode::DeadlineExceeded => Self::DeadlineExceeded,
            FaultCode::ResourceExhausted => Self::ResourceExhausted,
            FaultCode::Internal => Self::Internal,
            FaultCode::PermissionDenied => Self::PermissionDenied,
            FaultCode::InvalidArgument => Self::InvalidArgument,
        }
    }
}

impl Fault {
    /// The name of its counter.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Refuse { .. } => "refuse",
            Self::Delay { .. } => "delay",
            Self::Cut { .. } => "cut",
            Self::Hold => "hold",
            Self::HoldAnswer => "holdAnswer",
            Self::LoseAnswer => "loseAnswer",
            Self::Drop => "drop",
            Self::DropAnswer => "dropAnswer",
        }
    }

    /// Whether the fault can occur in requests of this RPC.
    fn applies_to(self, rpc: &str) -> bool {
        match self {
            Self::Cut { .. } => STREAMS.contains(&rpc),
            Self::HoldAnswer => !BOTH_WAYS.contains(&rpc),
            _ => true,
        }
    }

    pub(crate) const fn delay(self) -> Option<Duration> {
        match self {
            Self::Delay { millis } => Some(Duration::from_millis(millis)),
            _ => None,
        }
    }
}

/// A fault and the requests that it is injected into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The RPC's name in the protocol, such as `Commit`; any RPC if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc: Option<String>,
    /// The id of a collection that the request names; any request if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// The fewest bytes of a request; a request of any size if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least_bytes: Option<usize>,
    pub fault: Fault,
    /// The probability, in 0..=1, for each matching request.
    #[serde(default = "always", deserialize_with = "probability")]
    pub probability: f64,
    /// How many matching requests pass before the first fault.
    #[serde(default)]
    pub after: u64,
    /// The most faults that the rule injects; unlimited if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

const fn always() -> f64 {
    1.0
}

/// Deserializes a probability, and refuses a number outside of 0..=1.
fn probability<'de, D: Deserializer<'de>>(source: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(source)?;
    if (0.0..=1.0).contains(&number) {
        Ok(number)
    } else {
        let message = format!("invalid probability {number}: expected one between 0 and 1");
        Err(D::Error::custom(message))
    }
}

impl Rule {
    /// Injects the fault into every request.
    pub fn always(fault: Fault) -> Self {
        Self {
            rpc: None,
            collection: None,
            at_least_bytes: None,
            fault,
            probability: 1.0,
            after: 0,
            times: None,
        }
    }

    /// Injects the fault into every request of an RPC.
    pub fn on(rpc: &str, fault: Fault) -> Self {
        Self { rpc: Some(rpc.to_owned()), ..Self::always(fault) }
    }

    /// Restricts the rule to requests that name a collection.
    #[must_use]
    pub fn of(self, collection: &str) -> Self {
        Self { collection: Some(collection.to_owned()), ..self }
    }

    /// Restricts the rule to requests of at least so many bytes.
    #[must_use]
    pub fn at_least(self, bytes: usize) -> Self {
        Self { at_least_bytes: Some(bytes), ..self }
    }

    #[must_use]
    pub fn with_probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }

    /// Restricts the rule to one request: the next one after `after` matching requests.
    #[must_use]
    pub fn once_after(self, after: u64) -> Self {
        Self { after, times: Some(1), ..self }
    }

    pub(super) fn matches(&self, rpc: &str, collections: &[&str], bytes: usize) -> bool {
        self.fault.applies_to(rpc)
            && self.rpc.as_ref().is_none_or(|it| it == rpc)
            && self.collection.as_ref().is_none_or(|it| collections.contains(&it.as_str()))
            && self.at_least_bytes.is_none_or(|least| bytes >= least)
    }
}

/// Rules, and the seed that their decisions are drawn from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    #[serde(default)]
    pub seed: u64,
    pub rules: Vec<Rule>,
}

/// Why a command line argument is not a plan.
#[derive(Debug, Error)]
pub enum PlanError {
    #[error("invalid faults {argument:?}: expected a seed or a readable file: {source}")]
    File { argument: String, source: std::io::Error },
    #[error("invalid fault plan in {file}: {source}")]
    Content { file: String, source: serde_json::Error },
}

impl Plan {
    /// The plan that a command line argument selects: a seed, or a file with a plan as JSON.
    /// Without an argument, no faults are injected.
    pub fn of_argument(argument: Option<&str>) -> Result<Self, PlanError> {
        let Some(argument) = argument else { return Ok(Self::default()) };
        if let Ok(seed) = argument.parse() {
            return Ok(Self::from_seed(seed));
        }
        let text = std::fs::read_to_string(argument)
            .map_err(|source| PlanError::File { argument: argument.to_owned(), source })?;
        serde_json::from_str(&text)
            .map_err(|source| PlanError::Content { file: argument.to_owned(), source })
    }

    pub fn new(seed: u64, rules: Vec<Rule>) -> Self {
        Self { seed, rules }
    }

    /// The plan without faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// A mix of all kinds of faults: about one request in fifteen fails or is answered late.
    pub fn from_seed(seed: u64) -> Self {
        use Fault::{Cut, Delay, Drop, DropAnswer, LoseAnswer, Refuse};
        use FaultCode::{Aborted, DeadlineExceeded, Internal, ResourceExhausted, Unavailable};
        let below = |salt: u64, limit: u64| draw(seed, salt, 0) % limit;
        let refuse = |code| Refuse { code };
        let delay = |salt| Delay { millis: 1 + below(salt, MAX_DELAY_MILLIS) };
        let cut = |salt, least: usize, span: u8| {
            let more = below(salt, span.into());
            Cut { after: least + usize::try_from(more).unwrap_or_default() }
        };
        let rules = [
            ("Commit", refuse(Aborted), 0.02),
            ("Commit", refuse(Unavailable), 0.01),
            ("Commit", LoseAnswer, 0.02),
            ("Commit", DropAnswer, 0.01),
            ("Commit", Drop, 0.01),
            ("Commit", delay(1), 0.02),
            ("BatchWrite", refuse(ResourceExhausted), 0.02),
            ("BatchWrite", LoseAnswer, 0.02),
            ("BatchWrite", DropAnswer, 0.01),
            ("RunQuery", cut(2, 1, 40), 0.03),
            ("RunQuery", refuse(DeadlineExceeded), 0.01),
            ("RunQuery", delay(3), 0.02),
            ("BatchGetDocuments", refuse(Unavailable), 0.02),
            ("BatchGetDocuments", cut(4, 0, 3), 0.01),
            ("RunAggregationQuery", refuse(Internal), 0.02),
            ("BeginTransaction", refuse(Unavailable), 0.02),
            ("GetDocument", refuse(Unavailable), 0.02),
            ("GetDocument", delay(5), 0.02),
            ("Listen", cut(6, 1, 20), 0.05),
            ("Write", cut(7, 1, 20), 0.05),
        ];
        let rules = rules
            .map(|(rpc, fault, probability)| Rule::on(rpc, fault).with_probability(probability));
        Self { seed, rules: rules.into() }
    }
}

/// Draws 64 bits for a seed, a rule and the number of a request (splitmix64; Steele, Lea and Flood
/// 2014).
pub(super) fn draw(seed: u64, rule: u64, request: u64) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = seed
        .wrapping_add(rule.wrapping_add(1).wrapping_mul(0xd1b5_4a32_d192_ed03))
        .wrapping_add(request.wrapping_add(1).wrapping_mul(GOLDEN));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

//! What goes wrong, and when: a plan that can be written down, and that comes out the same each
//! time it is asked in the same order.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use tonic::Code;

/// The RPCs that are answered by a stream.
const STREAMS: [&str; 5] =
    ["BatchGetDocuments", "RunQuery", "RunAggregationQuery", "Write", "Listen"];

/// Those of them whose requests are a stream, too.
const BOTH_WAYS: [&str; 2] = ["Write", "Listen"];

/// The longest delay of a plan that follows from a seed.
const MAX_DELAY_MILLIS: u64 = 200;

/// Something that goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// The request is refused before anything is done.
    Refuse { code: FaultCode },
    /// The request is answered as usual, so much later.
    #[serde(rename_all = "camelCase")]
    Delay { millis: u64 },
    /// A stream of answers breaks off with UNAVAILABLE after so many of them, or at its end where
    /// it has fewer. Only requests that are answered by a stream meet it.
    Cut { after: usize },
    /// The request waits until [`Running::release`](crate::Running::release) lets it go, and is
    /// carried out then: what others do meanwhile comes before it.
    Hold,
    /// The request is carried out, and its answer waits until it is released. A stream in both
    /// directions does not meet it.
    HoldAnswer,
    /// The request is carried out, and the client is told UNAVAILABLE.
    LoseAnswer,
    /// The connection is closed before anything is done.
    Drop,
    /// The request is carried out, and the connection closed instead of an answer.
    DropAnswer,
}

/// Status codes that a fault may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FaultCode {
    Aborted,
    Unavailable,
    DeadlineExceeded,
    ResourceExhausted,
    Internal,
    PermissionDenied,
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
        }
    }
}

impl Fault {
    /// What counters call it.
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

    /// Whether a request of this RPC can meet the fault at all.
    fn concerns(self, rpc: &str) -> bool {
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

/// Which requests a fault befalls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The RPC as the protocol calls it, such as `Commit`; any where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc: Option<String>,
    /// The id of a collection that the request names; any where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    pub fault: Fault,
    /// In 0..=1, of the requests that match.
    #[serde(default = "always", deserialize_with = "probability")]
    pub probability: f64,
    /// So many matching requests are let through first.
    #[serde(default)]
    pub after: u64,
    /// The fault comes at most so often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

const fn always() -> f64 {
    1.0
}

/// A number that is a probability; a plan with another was written by mistake.
fn probability<'de, D: Deserializer<'de>>(source: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(source)?;
    if (0.0..=1.0).contains(&number) {
        Ok(number)
    } else {
        Err(D::Error::custom(format!("a probability is between 0 and 1, not {number}")))
    }
}

impl Rule {
    /// The fault for every request.
    pub fn always(fault: Fault) -> Self {
        Self { rpc: None, collection: None, fault, probability: 1.0, after: 0, times: None }
    }

    /// The fault for every request of an RPC.
    pub fn on(rpc: &str, fault: Fault) -> Self {
        Self { rpc: Some(rpc.to_owned()), ..Self::always(fault) }
    }

    #[must_use]
    pub fn of(self, collection: &str) -> Self {
        Self { collection: Some(collection.to_owned()), ..self }
    }

    #[must_use]
    pub fn with_probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }

    /// Only the request after so many that match.
    #[must_use]
    pub fn once_after(self, after: u64) -> Self {
        Self { after, times: Some(1), ..self }
    }

    pub(super) fn matches(&self, rpc: &str, collections: &[&str]) -> bool {
        self.fault.concerns(rpc)
            && self.rpc.as_ref().is_none_or(|it| it == rpc)
            && self.collection.as_ref().is_none_or(|it| collections.contains(&it.as_str()))
    }
}

/// A seed, and what it decides about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    #[serde(default)]
    pub seed: u64,
    pub rules: Vec<Rule>,
}

/// Why an argument names no plan.
#[derive(Debug, Error)]
pub enum PlanError {
    #[error("{argument:?} is no seed, and no file that can be read: {source}")]
    File { argument: String, source: std::io::Error },
    #[error("{file} holds no plan of faults: {source}")]
    Content { file: String, source: serde_json::Error },
}

impl Plan {
    /// The plan that a command line names: a seed, or a file that holds a plan as JSON; nothing
    /// goes wrong where it names none.
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

    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// Some of everything: about one request in fifteen fails, or is answered late.
    pub fn from_seed(seed: u64) -> Self {
        use Fault::{Cut, Delay, Drop, DropAnswer, LoseAnswer, Refuse};
        use FaultCode::{Aborted, DeadlineExceeded, Internal, ResourceExhausted, Unavailable};
        let some = |salt: u64, below: u64| draw(seed, salt, 0) % below;
        let refuse = |code| Refuse { code };
        let delay = |salt| Delay { millis: 1 + some(salt, MAX_DELAY_MILLIS) };
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
            ("RunQuery", Cut { after: 1 + some(2, 40) as usize }, 0.03),
            ("RunQuery", refuse(DeadlineExceeded), 0.01),
            ("RunQuery", delay(3), 0.02),
            ("BatchGetDocuments", refuse(Unavailable), 0.02),
            ("BatchGetDocuments", Cut { after: some(4, 3) as usize }, 0.01),
            ("RunAggregationQuery", refuse(Internal), 0.02),
            ("BeginTransaction", refuse(Unavailable), 0.02),
            ("GetDocument", refuse(Unavailable), 0.02),
            ("GetDocument", delay(5), 0.02),
            ("Listen", Cut { after: 1 + some(6, 20) as usize }, 0.05),
            ("Write", Cut { after: 1 + some(7, 20) as usize }, 0.05),
        ];
        let rules = rules
            .map(|(rpc, fault, probability)| Rule::on(rpc, fault).with_probability(probability));
        Self { seed, rules: rules.into() }
    }
}

/// 64 bits that follow from the seed, the rule and the number of the request (splitmix64; Steele,
/// Lea and Flood 2014).
pub(super) fn draw(seed: u64, rule: u64, request: u64) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = seed
        .wrapping_add(rule.wrapping_add(1).wrapping_mul(0xd1b5_4a32_d192_ed03))
        .wrapping_add(request.wrapping_add(1).wrapping_mul(GOLDEN));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

//! Parsing a document into an [`Observation`], or into the reason why it is not one.
//!
//! SDKs write numbers differently (JavaScript writes `234` as an integer and `234.5` as a double,
//! Python either), so every number field accepts both.

use super::malformed::Unusable;
use super::rejection::quoted;
use super::{Fields, Malformed, Observation, Outcome, Rejection, RejectionReason, Scalar};
use crate::number::{Lossy, whole_i64, whole_u64};
use crate::policy::PolicyKey;
use crate::sharding::MAX_SHARDS;
use crate::time::{HOUR_MS, MINUTE_MS};

/// How far the `ts` of an observation may be after the time when Firestore stored the document. A
/// clock that is further ahead is broken, and its observations would be scored that much later.
pub const MAX_AHEAD_OF_WRITING_MS: i64 = HOUR_MS;
/// Seven days: no single action lasts longer than the longest window.
pub const MAX_DURATION_MS: f64 = 604_800_000.0;
/// Far above the cost of any action, and far below the size at which sums of costs lose cents.
pub const MAX_COST_USD: f64 = 1_000_000.0;
/// Far above the tokens of any action.
pub const MAX_TOKENS: f64 = 1e12;
/// 2000-01-01 in epoch milliseconds: earlier values are seconds that were taken for milliseconds.
pub const MIN_TS: i64 = 946_684_800_000;
/// 2100-01-01 in epoch milliseconds: later values are microseconds that were taken for milliseconds.
pub const MAX_TS: i64 = 4_102_444_800_000;
/// One in a million: a single observation represents at most a million actions.
pub const MIN_SAMPLE_RATE: f64 = 1e-6;
/// An arm that is chosen less often would not collect enough observations within years.
pub const MIN_PROPENSITY: f64 = 1e-3;
/// Leaves room for escapes and the name of the window within the 1,500 bytes of a document id.
pub const MAX_COMPONENT_BYTES: usize = 400;
/// The longest text that Firestore indexes.
pub const MAX_ERROR_CODE_BYTES: usize = 1_500;

impl Observation {
    /// Parses the document `id`. A field that is null counts as absent, and unknown fields (such as
    /// `meta`) are ignored. An invalid optional field costs only itself: the observation is without
    /// it, and names it in `malformed`. Documents with invalid fields are often failures, so that
    /// rejecting them would make their component look better than it is.
    ///
    /// # Errors
    /// The first invalid field among those that an observation cannot be counted without: `id`,
    /// `sampleRate`, `ts`, `component`, `outcome` and `propensity`. An invalid `sampleRate` or
    /// `propensity` is not replaced by 1: nothing is known about how many actions the document
    /// represents, and any number would favour some component.
    pub fn parse(id: &str, fields: &impl Fields) -> Result<Self, Rejection> {
        Self::read(id, fields).map(|(observation, _)| observation)
    }

    /// Parses a document that can still be corrected: any invalid field is an error.
    ///
    /// # Errors
    /// The first field that is invalid.
    pub fn parse_strictly(id: &str, fields: &impl Fields) -> Result<Self, Rejection> {
        match Self::read(id, fields)? {
            (_, Some(rejection)) => Err(rejection),
            (observation, None) => Ok(observation),
        }
    }

    /// The observation, and its first invalid optional field.
    fn read(id: &str, fields: &impl Fields) -> Result<(Self, Option<Rejection>), Rejection> {
        let document = Document(fields);
        document.check_id(id)?;
        let sample_rate = document.within("sampleRate", MIN_SAMPLE_RATE, 1.0)?.unwrap_or(1.0);
        let mut unusable = Unusable::default();
        let mut observation = Self {
            id: id.to_owned(),
            ts: document.timestamp("ts")?,
            component: document.component("component")?.to_owned(),
            outcome: document.outcome("outcome")?,
            duration_ms: unusable.usable(document.duration("durationMs").map(Some)),
            tokens_in: unusable.usable(document.tokens("tokensIn")),
            tokens_out: unusable.usable(document.tokens("tokensOut")),
            cost_usd: unusable.usable(document.within("costUsd", 0.0, MAX_COST_USD)),
            policy_version: unusable.usable(document.policy_version("policyVersion")),
            error_code: unusable.usable(document.error_code("errorCode")),
            propensity: document.propensity("propensity", sample_rate)?,
            sample_rate,
            malformed: Malformed::default(),
        };
        // Shards are read where observations are stored; here `shard` is only checked.
        unusable.usable(document.shard("shard"));
        observation.malformed = unusable.fields;
        Ok((observation, unusable.first))
    }
}

/// What is known of a document that is not an observation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub component: Option<String>,
    /// Epoch milliseconds.
    pub ts: Option<i64>,
    /// The policy version that it names, as `{id}@{version}`.
    pub policy_version: Option<String>,
}

impl Origin {
    pub fn of(fields: &impl Fields) -> Self {
        let document = Document(fields);
        Self {
            component: document.component("component").ok().map(str::to_owned),
            ts: document.timestamp("ts").ok(),
            policy_version: document.policy_version("policyVersion").ok().flatten(),
        }
    }
}

impl Observation {
    /// Checks that `ts` is not too far after `written`, the time when Firestore stored the document
    /// (epoch milliseconds).
    ///
    /// # Errors
    /// A `ts` more than [`MAX_AHEAD_OF_WRITING_MS`] after `written`.
    pub fn check_clock(self, written: i64) -> Result<Self, Rejection> {
        let ahead = self.ts.saturating_sub(written);
        if ahead <= MAX_AHEAD_OF_WRITING_MS {
            return Ok(self);
        }
        Err(RejectionReason::AheadOfWriting { minutes: ahead / MINUTE_MS }.at("ts"))
    }

    /// Checks that `ts` is not before the time up to which documents were archived. Whether an
    /// observation before it was counted can no longer be read.
    ///
    /// # Errors
    /// A `ts` before `archived_before`.
    pub fn check_archived(&self, archived_before: Option<i64>) -> Result<(), Rejection> {
        match archived_before.filter(|before| self.ts < *before) {
            None => Ok(()),
            Some(before) => Err(RejectionReason::Archived { before }.at("ts")),
        }
    }
}

struct Document<'a, F>(&'a F);

impl<'a, F: Fields> Document<'a, F> {
    fn present(&self, field: &'static str) -> Option<Scalar<'a>> {
        self.0.field(field).filter(|value| *value != Scalar::Null)
    }

    fn text(&self, field: &'static str) -> Result<Option<&'a str>, Rejection> {
        match self.present(field) {
            None => Ok(None),
            Some(Scalar::Str(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(field, other, "text")),
        }
    }

    fn number(&self, field: &'static str) -> Result<Option<f64>, Rejection> {
        match self.present(field) {
            None => Ok(None),
            // Above 2^53 the double is not exact, but every bound is far below.
            Some(Scalar::Int(value)) => Ok(Some(value.to_f64())),
            Some(Scalar::Double(value)) => Ok(Some(value)),
            Some(other) => Err(wrong_type(field, other, "a number")),
        }
    }

    /// A number within bounds; NaN and the infinities are outside of every bound.
    fn within(&self, field: &'static str, min: f64, max: f64) -> Result<Option<f64>, Rejection> {
        match self.number(field)? {
            // Adding zero turns -0.0, which is within bounds that start at 0, into 0.
            Some(value) if (min..=max).contains(&value) => Ok(Some(value + 0.0)),
            Some(value) => Err(RejectionReason::OutOfRange { value, min, max }.at(field)),
            None => Ok(None),
        }
    }

    fn check_id(&self, id: &str) -> Result<(), Rejection> {
        match self.text("id")? {
            Some(value) if value != id => {
                let (value, id) = (quoted(value), quoted(id));
                Err(RejectionReason::OtherId { value, id }.at("id"))
            }
            _ => Ok(()),
        }
    }

    fn timestamp(&self, field: &'static str) -> Result<i64, Rejection> {
        let value = required(field, self.number(field)?)?;
        let (min, max) = (MIN_TS.to_f64(), MAX_TS.to_f64());
        if (min..=max).contains(&value) {
            return Ok(whole_i64(whole(field, value)?));
        }
        let unit = [("seconds", 1e3), ("microseconds", 1e-3), ("nanoseconds", 1e-6)]
            .into_iter()
            .find(|(_, to_ms)| (min..=max).contains(&(value * to_ms)));
        let reason = match unit {
            Some((unit, _)) => RejectionReason::WrongUnit { value, unit },
            None => RejectionReason::OutOfRange { value, min, max },
        };
        Err(reason.at(field))
    }

    fn component(&self, field: &'static str) -> Result<&'a str, Rejection> {
        let text = required(field, self.text(field)?)?;
        if text.trim().is_empty() {
            return Err(RejectionReason::Empty.at(field));
        }
        at_most(field, text, MAX_COMPONENT_BYTES)?;
        match text.char_indices().find(|(_, it)| it.is_control()) {
            Some((at, found)) => Err(RejectionReason::ControlCharacter { found, at }.at(field)),
            None => Ok(text),
        }
    }

    fn outcome(&self, field: &'static str) -> Result<Outcome, Rejection> {
        let text = required(field, self.text(field)?)?;
        let unknown = |_| RejectionReason::UnknownOutcome { value: quoted(text) }.at(field);
        text.parse().map_err(unknown)
    }

    fn duration(&self, field: &'static str) -> Result<f64, Rejection> {
        required(field, self.within(field, 0.0, MAX_DURATION_MS)?)
    }

    fn tokens(&self, field: &'static str) -> Result<Option<u64>, Rejection> {
        match self.within(field, 0.0, MAX_TOKENS)? {
            Some(value) => Ok(Some(whole_u64(whole(field, value)?))),
            None => Ok(None),
        }
    }

    fn shard(&self, field: &'static str) -> Result<Option<()>, Rejection> {
        let last = f64::from(MAX_SHARDS - 1);
        match self.within(field, 0.0, last)? {
            Some(value) => whole(field, value).map(|_| None),
            None => Ok(None),
        }
    }

    /// No observation may represent more actions than the smallest sample rate allows.
    fn propensity(&self, field: &'static str, sample_rate: f64) -> Result<Option<f64>, Rejection> {
        let least = (MIN_SAMPLE_RATE / sample_rate).clamp(MIN_PROPENSITY, 1.0);
        self.within(field, least, 1.0)
    }

    fn policy_version(&self, field: &'static str) -> Result<Option<String>, Rejection> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        match text.parse::<PolicyKey>() {
            Ok(_) => Ok(Some(text.to_owned())),
            Err(why) => {
                let (value, why) = (quoted(text), why.to_string());
                Err(RejectionReason::NotAPolicyVersion { value, why }.at(field))
            }
        }
    }

    /// Codes are names in some systems and numbers in others (HTTP's 429); both are kept as text.
    fn error_code(&self, field: &'static str) -> Result<Option<String>, Rejection> {
        match self.present(field) {
            None => Ok(None),
            Some(Scalar::Str(text)) => {
                at_most(field, text, MAX_ERROR_CODE_BYTES)?;
                Ok(Some(text.to_owned()))
            }
            Some(Scalar::Int(code)) => Ok(Some(code.to_string())),
            Some(Scalar::Double(code)) if code.is_finite() => Ok(Some(code.to_string())),
            Some(other) => Err(wrong_type(field, other, "text")),
        }
    }
}

fn required<T>(field: &'static str, value: Option<T>) -> Result<T, Rejection> {
    value.ok_or_else(|| RejectionReason::Missing.at(field))
}

fn whole(field: &'static str, value: f64) -> Result<f64, Rejection> {
    if value.fract() == 0.0 {
        Ok(value)
    } else {
        Err(RejectionReason::Fraction { value }.at(field))
    }
}

fn at_most(field: &'static str, text: &str, max: usize) -> Result<(), Rejection> {
    let bytes = text.len();
    if bytes <= max { Ok(()) } else { Err(RejectionReason::TooLong { bytes, max }.at(field)) }
}

fn wrong_type(field: &'static str, found: Scalar<'_>, expected: &'static str) -> Rejection {
    RejectionReason::WrongType { found: found.type_name(), expected }.at(field)
}

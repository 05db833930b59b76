//! From a document's fields to an [`Observation`], or to the reason why not.
//!
//! SDKs differ in what they make of a number (JavaScript writes `234` as an integer and `234.5` as
//! a double, Python either), so every number field takes both.

use super::rejection::quoted;
use super::{Fields, Observation, Outcome, Problem, Rejection, Scalar};
use crate::policy::PolicyKey;

/// How far an observation's `ts` may lie after the moment when Firestore took the document. A
/// clock that is wrong by more is broken, and what it stamps would be scored that much later.
pub const MAX_AHEAD_OF_WRITING_MS: i64 = 60 * 60_000;
/// Seven days. No single action of a component lasts longer than the longest window.
pub const MAX_DURATION_MS: f64 = 604_800_000.0;
/// Far above any single action, far below where a sum of costs could lose its cents.
pub const MAX_COST_USD: f64 = 1_000_000.0;
pub const MAX_TOKENS: f64 = 1e12;
/// 2000-01-01 in epoch milliseconds: before it lie seconds taken for milliseconds.
pub const MIN_TS: i64 = 946_684_800_000;
/// 2100-01-01 in epoch milliseconds: after it lie microseconds taken for milliseconds.
pub const MAX_TS: i64 = 4_102_444_800_000;
/// One in a million: a single observation may not stand for more than that.
pub const MIN_SAMPLE_RATE: f64 = 1e-6;
/// An arm that is taken less often than this teaches nothing within years.
pub const MIN_PROPENSITY: f64 = 1e-3;
/// Leaves room for escapes and the window's name within the 1,500 bytes of a document id.
pub const MAX_COMPONENT_BYTES: usize = 400;
/// The longest text that Firestore indexes.
pub const MAX_ERROR_CODE_BYTES: usize = 1_500;

impl Observation {
    /// Reads the document `id`. A field that is null counts as absent; fields that an
    /// observation does not have (`meta` above all) are none of its business.
    pub fn parse(id: &str, fields: &impl Fields) -> Result<Self, Rejection> {
        let document = Document(fields);
        document.check_id(id)?;
        let sample_rate = document.within("sampleRate", MIN_SAMPLE_RATE, 1.0)?.unwrap_or(1.0);
        Ok(Self {
            id: id.to_owned(),
            ts: document.timestamp("ts")?,
            component: document.component("component")?.to_owned(),
            outcome: document.outcome("outcome")?,
            duration_ms: document.duration("durationMs")?,
            tokens_in: document.tokens("tokensIn")?,
            tokens_out: document.tokens("tokensOut")?,
            cost_usd: document.within("costUsd", 0.0, MAX_COST_USD)?,
            policy_version: document.policy_version("policyVersion")?,
            error_code: document.error_code("errorCode")?,
            propensity: document.propensity("propensity", sample_rate)?,
            sample_rate,
        })
    }
}

/// What can be told of a document that is no observation: whose it is, and of when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub component: Option<String>,
    /// Epoch milliseconds.
    pub ts: Option<i64>,
}

impl Origin {
    pub fn of(fields: &impl Fields) -> Self {
        let document = Document(fields);
        Self {
            component: document.component("component").ok().map(str::to_owned),
            ts: document.timestamp("ts").ok(),
        }
    }
}

impl Observation {
    /// Refuses a `ts` that lies too far after `written`, when Firestore took the document (epoch
    /// milliseconds).
    pub fn check_clock(self, written: i64) -> Result<Self, Rejection> {
        let ahead = self.ts.saturating_sub(written);
        if ahead <= MAX_AHEAD_OF_WRITING_MS {
            return Ok(self);
        }
        Err(Problem::AheadOfWriting { minutes: ahead / 60_000 }.at("ts"))
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
            // Above 2^53 the double is not exact, but no bound is near there.
            Some(Scalar::Int(value)) => Ok(Some(value as f64)),
            Some(Scalar::Double(value)) => Ok(Some(value)),
            Some(other) => Err(wrong_type(field, other, "a number")),
        }
    }

    /// A number within bounds; NaN and the infinities lie within none.
    fn within(&self, field: &'static str, min: f64, max: f64) -> Result<Option<f64>, Rejection> {
        match self.number(field)? {
            // Adding zero turns -0.0, which passes for 0, into 0.
            Some(value) if (min..=max).contains(&value) => Ok(Some(value + 0.0)),
            Some(value) => Err(Problem::OutOfRange { value, min, max }.at(field)),
            None => Ok(None),
        }
    }

    fn check_id(&self, id: &str) -> Result<(), Rejection> {
        match self.text("id")? {
            Some(value) if value != id => {
                let (value, id) = (quoted(value), quoted(id));
                Err(Problem::OtherId { value, id }.at("id"))
            }
            _ => Ok(()),
        }
    }

    fn timestamp(&self, field: &'static str) -> Result<i64, Rejection> {
        let value = required(field, self.number(field)?)?;
        let (min, max) = (MIN_TS as f64, MAX_TS as f64);
        if (min..=max).contains(&value) {
            return Ok(whole(field, value)? as i64);
        }
        let unit = [("seconds", 1e3), ("microseconds", 1e-3), ("nanoseconds", 1e-6)]
            .into_iter()
            .find(|(_, to_ms)| (min..=max).contains(&(value * to_ms)));
        let problem = match unit {
            Some((unit, _)) => Problem::WrongUnit { value, unit },
            None => Problem::OutOfRange { value, min, max },
        };
        Err(problem.at(field))
    }

    fn component(&self, field: &'static str) -> Result<&'a str, Rejection> {
        let text = required(field, self.text(field)?)?;
        if text.trim().is_empty() {
            return Err(Problem::Empty.at(field));
        }
        at_most(field, text, MAX_COMPONENT_BYTES)?;
        match text.char_indices().find(|(_, it)| it.is_control()) {
            Some((at, found)) => Err(Problem::ControlCharacter { found, at }.at(field)),
            None => Ok(text),
        }
    }

    fn outcome(&self, field: &'static str) -> Result<Outcome, Rejection> {
        let text = required(field, self.text(field)?)?;
        let unknown = |_| Problem::UnknownOutcome { value: quoted(text) }.at(field);
        text.parse().map_err(unknown)
    }

    fn duration(&self, field: &'static str) -> Result<f64, Rejection> {
        required(field, self.within(field, 0.0, MAX_DURATION_MS)?)
    }

    fn tokens(&self, field: &'static str) -> Result<Option<u64>, Rejection> {
        match self.within(field, 0.0, MAX_TOKENS)? {
            Some(value) => Ok(Some(whole(field, value)? as u64)),
            None => Ok(None),
        }
    }

    /// No observation may stand for more actions than the smallest sample rate allows.
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
                Err(Problem::NotAPolicyVersion { value, why }.at(field))
            }
        }
    }

    /// Codes are names in some systems and numbers (HTTP's 429) in others: both are kept as text.
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
    value.ok_or_else(|| Problem::Missing.at(field))
}

fn whole(field: &'static str, value: f64) -> Result<f64, Rejection> {
    if value.fract() == 0.0 { Ok(value) } else { Err(Problem::Fraction { value }.at(field)) }
}

fn at_most(field: &'static str, text: &str, max: usize) -> Result<(), Rejection> {
    let bytes = text.len();
    if bytes <= max { Ok(()) } else { Err(Problem::TooLong { bytes, max }.at(field)) }
}

fn wrong_type(field: &'static str, found: Scalar<'_>, expected: &'static str) -> Rejection {
    Problem::WrongType { found: found.type_name(), expected }.at(field)
}

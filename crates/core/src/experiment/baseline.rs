//! What was known of both versions when a stage began.

use serde::{Deserialize, Serialize};

use crate::appended::{self, Part};
use crate::estimate::Sample;
use crate::reward::ScoredUnder;
use crate::stats::{DecodeError, Samples};

/// The format that is written. A changed layout gets the next number, and the change keeps a reader
/// for each number before, and adds fixtures of it to `tests/formats.rs`.
const FORMAT: u8 = 1;

/// The samples of both versions at the start of a stage. Only later observations are compared:
/// otherwise a share that changes while other conditions change, too, would make the versions look
/// different.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    pub control: Samples,
    pub candidate: Samples,
    /// The configs that the rewards of control and candidate were scored under; stored beside the
    /// encoded samples.
    #[serde(skip)]
    pub scored_under: [Option<ScoredUnder>; 2],
}

#[derive(Serialize, Deserialize)]
struct Wire<T> {
    format: u8,
    baseline: T,
}

impl Baseline {
    /// What was counted since `before`, an earlier state. If rewards started again in between, all of
    /// them are later.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let of = |at: usize, now: &Samples, then: &Samples| {
            let stamps = [&before.scored_under[at], &self.scored_under[at]].map(Option::as_ref);
            let mut since = now.since(then);
            if ScoredUnder::has_restarted(stamps[0], stamps[1]) {
                since.reward = now.reward.clone();
            }
            since
        };
        Self {
            control: of(0, &self.control, &before.control),
            candidate: of(1, &self.candidate, &before.candidate),
            scored_under: self.scored_under.clone(),
        }
    }

    /// Whether the rewards of both versions were scored under one config.
    pub fn has_comparable_rewards(&self) -> bool {
        let [control, candidate] = &self.scored_under;
        ScoredUnder::is_same(control.as_ref(), candidate.as_ref())
    }

    /// The samples to compare: without rewards if they are of different configs.
    #[must_use]
    pub fn comparable(mut self) -> Self {
        if !self.has_comparable_rewards() {
            self.control.reward = Sample::default();
            self.candidate.reward = Sample::default();
        }
        self
    }

    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire { format: FORMAT, baseline: self };
        let mut bytes = postcard::to_allocvec(&wire)
            .expect("integers and sequences of known length always encode");
        let added = [&self.control, &self.candidate].map(|it| [it.rejected, it.uncounted]);
        appended::append(&mut bytes, Part::Rejected, &added);
        bytes
    }

    /// Reads the bytes that [`Baseline::encode`] wrote.
    ///
    /// # Errors
    /// Any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(1) => {}
            Some(&found) => return Err(DecodeError::Format { found }),
            None => return Err(DecodeError::Inconsistent("they are empty")),
        }
        let (Wire { mut baseline, .. }, added): (Wire<Self>, Option<[[u64; 2]; 2]>) =
            appended::read(bytes, Part::Rejected).map_err(DecodeError::Encoding)?;
        // An earlier version did not count what was rejected.
        let unknown = [&baseline.control, &baseline.candidate].map(|it| [0, it.n()]);
        let [control, candidate] = added.unwrap_or(unknown);
        [baseline.control.rejected, baseline.control.uncounted] = control;
        [baseline.candidate.rejected, baseline.candidate.uncounted] = candidate;
        Ok(baseline)
    }
}

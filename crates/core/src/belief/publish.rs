//! Lazy moves: whether wanted weights are worth a version.

use super::settings::Settings;
use super::state::BeliefState;

/// How many versions are recent at `now`: each counts half after `patience_hours`.
pub(super) fn recent(settings: &Settings, state: &BeliefState, now: i64) -> f64 {
    let hours = super::history::hours(state.last_version, now).max(0.0);
    state.recent_versions * libm::exp2(-hours / settings.patience_hours)
}

/// An arm is starved of observations if its weight would rise by this multiple.
const STARVED: f64 = 3.0;

/// What a move changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move<'a> {
    pub held: &'a [f64],
    pub next: &'a [f64],
    /// The expected mean reward of each arm.
    pub means: &'a [f64],
    /// Which arms may have risen above the leader.
    pub risers: &'a [bool],
    pub recent: f64,
}

impl Move<'_> {
    /// The expected rise of the mean reward.
    pub fn gain(&self) -> f64 {
        let weights = self.next.iter().zip(self.held);
        weights.zip(self.means).map(|((next, held), mean)| (next - held) * mean).sum()
    }

    /// Whether the move gains enough, or gives an arm so much more traffic that it is worth the
    /// observations. Recent versions make both harder.
    pub fn is_worth_a_version(&self, settings: &Settings) -> bool {
        let patience = 1.0 + self.recent;
        let rises = self.next.iter().zip(self.held).map(|(next, held)| next - held);
        self.gain() >= settings.min_gain * patience
            || rises.zip(self.held).zip(self.risers).any(|((rise, held), is_riser)| {
                let is_starved = rise > STARVED * held;
                let least = match (is_riser, is_starved) {
                    (true, _) => settings.min_riser,
                    (false, true) => settings.min_starved,
                    (false, false) => settings.min_rise,
                };
                rise >= (least * patience).min(0.5)
            })
    }
}

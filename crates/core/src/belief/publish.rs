//! Lazy moves: whether wanted weights are worth a version.

use super::settings::Settings;
use super::state::BeliefState;

/// How many versions are recent at `now`: each counts half after `patience_hours`.
pub(super) fn recent(settings: &Settings, state: &BeliefState, now: i64) -> f64 {
    let hours = super::history::hours(state.last_version, now).max(0.0);
    state.recent_versions * libm::exp2(-hours / settings.patience_hours)
}

/// What a move changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move<'a> {
    pub held: &'a [f64],
    pub next: &'a [f64],
    /// The expected mean reward of each arm.
    pub means: &'a [f64],
    /// Actions an hour.
    pub traffic: f64,
    pub recent: f64,
}

impl Move<'_> {
    /// The expected rise of the mean reward.
    pub fn gain(&self) -> f64 {
        let weights = self.next.iter().zip(self.held);
        weights.zip(self.means).map(|((next, held), mean)| (next - held) * mean).sum()
    }

    pub fn is_worth_a_version(&self, settings: &Settings) -> bool {
        let patience = 1.0 + self.recent;
        if self.gain() * self.traffic * settings.horizon_hours > settings.switch_cost * patience
            && settings.switch_cost > 0.0
        {
            return true;
        }
        self.held.iter().zip(self.next).any(|(held, next)| {
            let least = (settings.move_share * held.max(*next))
                .clamp(settings.move_least, settings.move_most);
            (next - held).abs() >= (least * patience).min(0.5)
        })
    }
}

//! Where the jobs take the time from, and when they refuse it.

use std::fmt;

use super::JobError;
use crate::store::{PassTimes, Result, Store, StoreError};
use f0_learning_core::Clock;
use f0_learning_core::plural::count;
use f0_learning_core::time::{DAY_MS, HOUR_MS, Utc};

/// The time of passes and leases. What a pass writes cannot be undone if its time was wrong: windows
/// of statistics only move forward, and old documents are deleted. So production asks Firestore, and
/// no clock of a worker's machine can do harm.
#[derive(Clone, Debug)]
pub enum Time {
    Server {
        store: Box<Store>,
        /// The clock of this machine. It decides nothing, but may show that a server's is wrong.
        machine: Clock,
    },
    /// A clock that a test or a benchmark controls.
    Given(Clock),
}

impl From<Store> for Time {
    fn from(store: Store) -> Self {
        Self::Server { store: Box::new(store), machine: Clock::system() }
    }
}

impl From<Clock> for Time {
    fn from(clock: Clock) -> Self {
        Self::Given(clock)
    }
}

/// How long after a mark of the last pass the next one is stored: one write in an hour.
const MARK_EVERY_MS: i64 = HOUR_MS;

/// How far the time may lie before the last pass. Nothing decides by less: an observation may be this far
/// ahead of its writing.
const MAX_BACK_MS: i64 = HOUR_MS;

/// The longest pause after which the time of a local server is taken without a second clock, and how far
/// the clock of this machine may differ from it where one is needed.
const UNCONFIRMED_MS: i64 = DAY_MS;

/// The longest pause after which the time of a local server is taken at all. A person who returns to
/// older data can say that it is right.
const MAX_PAUSE_MS: i64 = 366 * DAY_MS;

impl Time {
    /// The time at which a pass begins, in epoch milliseconds, asked for now.
    ///
    /// # Errors
    /// Firestore did not answer, or its time is implausible. Without a time the pass must not run.
    pub async fn begin_pass(&self) -> Result<i64, TimeError> {
        let store = match self {
            Self::Server { store, .. } => store,
            Self::Given(clock) => return Ok(clock.now()),
        };
        let times = store.pass_times().await?;
        self.check(times)?;
        let is_marked = times.is_marked
            && times.last.is_some_and(|last| times.now.saturating_sub(last) < MARK_EVERY_MS);
        if !is_marked {
            store.mark_pass(times.now).await?;
        }
        Ok(times.now)
    }

    /// Whether a pass may run at these times.
    ///
    /// # Errors
    /// The present is implausible: it lies an hour before the last pass. Or the server is a local one,
    /// and it lies more than a year after the last pass, or more than a day where the clock of this
    /// machine differs by more than a day.
    pub fn check(&self, times: PassTimes) -> Result<(), Implausible> {
        match self {
            Self::Server { store, machine } if store.db().is_local() => {
                check(times, Trust::Local { machine: machine.now() })
            }
            Self::Server { .. } => check(times, Trust::Google),
            Self::Given(_) => Ok(()),
        }
    }

    /// The present by Firestore's clock, in epoch milliseconds, asked for now.
    ///
    /// # Errors
    /// Firestore did not answer.
    pub async fn now(&self) -> Result<i64> {
        match self {
            Self::Server { store, .. } => store.now().await,
            Self::Given(clock) => Ok(clock.now()),
        }
    }

    /// The present by Firestore's clock, without a read if it has answered anything before.
    ///
    /// # Errors
    /// Firestore did not answer.
    pub async fn estimate(&self) -> Result<i64> {
        match self {
            Self::Server { store, .. } => match store.db().estimated_time() {
                Some(time) => Ok(time),
                None => store.now().await,
            },
            Self::Given(clock) => Ok(clock.now()),
        }
    }
}

/// What is known of the clock of a server.
#[derive(Clone, Copy, Debug)]
enum Trust {
    /// Google keeps its clocks right: after any pause its time is the present.
    Google,
    /// The clock of a machine, which may be wrong. This machine may be another one.
    Local { machine: i64 },
}

/// Why a pass has no time.
#[derive(Debug, thiserror::Error)]
pub enum TimeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Implausible(#[from] Implausible),
}

impl JobError for TimeError {}

/// A time at which no pass runs, because it would end every window and archive what is recent, or take
/// observations for premature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Implausible {
    now: i64,
    last: i64,
    /// What the clock of this machine says, where it differs.
    machine: Option<i64>,
}

impl fmt::Display for Implausible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { now, last, machine } = *self;
        let (apart, side) = match now < last {
            true => (last.saturating_sub(now), "before"),
            false => (now.saturating_sub(last), "after"),
        };
        let apart = match apart / DAY_MS {
            0 | 1 => count(apart / HOUR_MS, "hour"),
            days => count(days, "day"),
        };
        let (now, last) = (Utc(now), Utc(last));
        write!(
            f,
            "cannot run a pass: Firestore's time, {now}, is {apart} {side} the last pass at {last}"
        )?;
        if let Some(machine) = machine {
            write!(f, ", and the clock of this machine says {}", Utc(machine))?;
        }
        f.write_str(
            "; correct the clock that is wrong, or run `f0-learning clock accept` if Firestore's time is \
             right",
        )
    }
}

/// Whether a pass may run at this time.
fn check(times: PassTimes, trust: Trust) -> Result<(), Implausible> {
    let PassTimes { now, last: Some(last), .. } = times else { return Ok(()) };
    let pause = now.saturating_sub(last);
    let refused = |machine| Err(Implausible { now, last, machine });
    match trust {
        _ if pause < -MAX_BACK_MS => refused(None),
        Trust::Local { .. } if pause > MAX_PAUSE_MS => refused(None),
        Trust::Local { machine } if pause > UNCONFIRMED_MS => {
            let differs = now.saturating_sub(machine).saturating_abs() > UNCONFIRMED_MS;
            if differs { refused(Some(machine)) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_780_000_000_000;

    /// Whether a pass may run so long after the last one, where the clock of this machine is so far ahead.
    fn runs(pause: i64, ahead: i64) -> [bool; 2] {
        let times = PassTimes { now: START + pause, last: Some(START), is_marked: true };
        let local = Trust::Local { machine: START + pause + ahead };
        [check(times, Trust::Google).is_ok(), check(times, local).is_ok()]
    }

    #[test]
    fn a_service_that_was_off_for_weeks_starts_by_itself() {
        for pause in [0, HOUR_MS, DAY_MS, 45 * DAY_MS, 360 * DAY_MS] {
            assert_eq!(runs(pause, 0), [true; 2], "{pause}");
        }
        assert!(runs(10_000 * DAY_MS, -10_000 * DAY_MS)[0], "Google's time is the present");
        let times = PassTimes { now: START, last: None, is_marked: false };
        assert!(check(times, Trust::Local { machine: 0 }).is_ok(), "there was no pass yet");
    }

    #[test]
    fn a_wrong_clock_of_this_machine_stops_nothing_that_goes_on() {
        for ahead in [DAY_MS, -DAY_MS, 30 * DAY_MS, -START, 10_000 * DAY_MS, i64::MAX / 2] {
            assert_eq!(runs(2 * HOUR_MS, ahead), [true; 2], "{ahead}");
            assert!(runs(40 * DAY_MS, ahead)[0], "{ahead}");
        }
    }

    #[test]
    fn a_local_server_whose_time_is_far_ahead_is_refused() {
        assert_eq!(runs(400 * DAY_MS, 0), [true, false]);
        assert_eq!(runs(2 * DAY_MS, -2 * DAY_MS), [true, false], "the clocks differ");
        assert_eq!(runs(2 * DAY_MS, 3 * DAY_MS), [true, false], "the clocks differ");
    }

    #[test]
    fn a_time_before_the_last_pass_is_refused() {
        assert_eq!(runs(-HOUR_MS, 0), [true; 2]);
        assert_eq!(runs(-HOUR_MS - 1, 0), [false; 2]);
        assert_eq!(runs(-START, 0), [false; 2]);
    }

    #[test]
    fn the_refusal_names_both_times_and_the_command_that_goes_on() {
        let refused = Implausible { now: START + 400 * DAY_MS, last: START, machine: None };
        assert_eq!(
            refused.to_string(),
            "cannot run a pass: Firestore's time, 2027-07-02 20:26 UTC, is 400 days after the last pass at \
             2026-05-28 20:26 UTC; correct the clock that is wrong, or run `f0-learning clock accept` if \
             Firestore's time is right"
        );
        let refused = Implausible { now: START, last: START + 5 * HOUR_MS, machine: Some(0) };
        let text = refused.to_string();
        assert!(text.contains("is 5 hours before the last pass"), "{text}");
        assert!(text.contains("the clock of this machine says 1970-01-01 00:00 UTC"), "{text}");
    }
}

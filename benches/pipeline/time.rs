//! A clock that the benchmark sets, and the timers of `serve` on that clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use f0_learning_core::Clock;

use crate::Result;

/// Epoch milliseconds.
#[derive(Clone, Debug)]
pub struct Time(Arc<AtomicI64>);

impl Time {
    pub fn at(ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(ms)))
    }

    pub fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::Relaxed);
    }

    pub fn clock(&self) -> Clock {
        let time = self.clone();
        Clock::from_fn(move || time.now())
    }
}

/// A cron expression of the kind that `Schedule::default` has: `*`, `*/n` or a number for second,
/// minute and hour, and `*` for the other three fields.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    second: Field,
    minute: Field,
    hour: Field,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Every(i64),
    At(i64),
}

impl Field {
    fn parse(text: &str) -> Result<Self> {
        Ok(match (text, text.strip_prefix("*/")) {
            ("*", _) => Self::Every(1),
            (_, Some(step)) => Self::Every(step.parse()?),
            (number, None) => Self::At(number.parse()?),
        })
    }

    fn holds(self, value: i64) -> bool {
        match self {
            Self::Every(step) => value % step == 0,
            Self::At(number) => value == number,
        }
    }
}

impl Timer {
    pub fn parse(expression: &str) -> Result<Self> {
        let fields: Vec<_> = expression.split_whitespace().collect();
        match &fields[..] {
            [second, minute, hour, "*", "*", "*"] => Ok(Self {
                second: Field::parse(second)?,
                minute: Field::parse(minute)?,
                hour: Field::parse(hour)?,
            }),
            _ => Err(format!("cannot parse the timer {expression:?}: expected *, */n or a number")
                .into()),
        }
    }

    /// Whether it is due in the second that begins at this time (UTC).
    pub fn is_due(self, ms: i64) -> bool {
        let seconds = ms.div_euclid(1_000);
        self.second.holds(seconds.rem_euclid(60))
            && self.minute.holds(seconds.div_euclid(60).rem_euclid(60))
            && self.hour.holds(seconds.div_euclid(3_600).rem_euclid(24))
    }
}

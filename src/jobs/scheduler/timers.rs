//! The cron timers, and the watch over them.
//!
//! tokio-cron-scheduler stores when each timer is due by the wall clock, and waits until then. After
//! the wall clock is set back it would wait for as long as the clock was ahead. So a task compares the
//! wall clock with the monotonic one, and sets the timers again after a jump.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_cron_scheduler::{Job as Timer, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ScheduleError;
use crate::jobs::JobName;
use crate::observability::health::Health;
use f0_learning_core::Clock;

/// How often the clocks are compared.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// The largest difference between the clocks, in milliseconds, that is no jump: time services slew a
/// clock by far less between two comparisons.
const MAX_SLEW_MS: i64 = 10_000;

/// How long after it was due a timer is set again. The scheduler looks every half second.
const GRACE: Duration = Duration::from_secs(10);

/// The longest wait for the scheduler to set the timers again.
const PATIENCE: Duration = Duration::from_secs(10);

type Tick = Arc<dyn Fn() + Send + Sync>;

pub(super) struct Timers {
    scheduler: JobScheduler,
    timers: Vec<OnTimer>,
}

/// A job on its timer.
struct OnTimer {
    job: JobName,
    expression: String,
    tick: Tick,
    ticks: Arc<AtomicU64>,
    id: Uuid,
    watched: Watched,
}

impl Timers {
    pub async fn new() -> Result<Self, ScheduleError> {
        Ok(Self { scheduler: JobScheduler::new().await.map_err(Box::new)?, timers: Vec::new() })
    }

    pub async fn add(
        &mut self,
        job: JobName,
        expression: &str,
        tick: Tick,
    ) -> Result<(), ScheduleError> {
        let ticks = Arc::new(AtomicU64::new(0));
        let timer = timer(expression, &tick, &ticks).map_err(|source| {
            let (expression, source) = (expression.to_owned(), Box::new(source));
            ScheduleError::Expression { job, expression, source }
        })?;
        let id = self.scheduler.add(timer).await.map_err(Box::new)?;
        let expression = expression.to_owned();
        self.timers.push(OnTimer { job, expression, tick, ticks, id, watched: Watched::default() });
        Ok(())
    }

    pub async fn start(&self) -> Result<(), ScheduleError> {
        Ok(self.scheduler.start().await.map_err(Box::new)?)
    }

    pub async fn shutdown(&mut self) -> Result<(), JobSchedulerError> {
        self.scheduler.shutdown().await
    }

    /// Sets all timers again, from the present of the wall clock.
    async fn set_again(&mut self) -> Result<(), JobSchedulerError> {
        for it in &mut self.timers {
            self.scheduler.remove(&it.id).await?;
            it.id = self.scheduler.add(timer(&it.expression, &it.tick, &it.ticks)?).await?;
        }
        Ok(())
    }

    /// Forgets when the ticks are due: the wall clock, from which that was found, has jumped.
    fn forget_due(&mut self) {
        for it in &mut self.timers {
            it.watched = Watched::default();
        }
    }

    /// Finds when the next tick of each job is due, and returns whether one is overdue.
    async fn look(&mut self, moment: Moment, health: &Health) -> bool {
        let mut is_overdue = false;
        for it in &mut self.timers {
            let ticks = it.ticks.load(Ordering::Relaxed);
            let next = self.scheduler.next_tick_for_job(it.id).await.ok().flatten();
            let next = next.map(|next| next.timestamp_millis());
            if let Some(due) = it.watched.look(ticks, next, moment) {
                health.tick_is_due(it.job.as_str(), due);
            }
            is_overdue |= it.watched.is_overdue(moment.monotonic);
        }
        is_overdue
    }
}

/// What the watch knows of a timer.
#[derive(Debug, Default)]
struct Watched {
    /// The number of ticks when the timer was last looked at.
    seen: Option<u64>,
    /// When the next tick is due, by the monotonic clock.
    due: Option<Instant>,
}

impl Watched {
    /// Looks at a timer after its number of `ticks`, whose `next` tick is due by the wall clock, in
    /// epoch milliseconds. Returns when that is by the monotonic clock, if it was found now.
    fn look(&mut self, ticks: u64, next: Option<i64>, moment: Moment) -> Option<Instant> {
        if self.seen != Some(ticks) {
            (self.seen, self.due) = (Some(ticks), None);
        }
        if self.due.is_some() {
            return None;
        }
        // A tick of the past is due now: the scheduler has not looked yet.
        let wait = next?.saturating_sub(moment.wall).max(0);
        self.due = Some(moment.monotonic + Duration::from_millis(wait.unsigned_abs()));
        self.due
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now > due + GRACE)
    }
}

fn timer(
    expression: &str,
    tick: &Tick,
    ticks: &Arc<AtomicU64>,
) -> Result<Timer, JobSchedulerError> {
    let (tick, ticks) = (tick.clone(), ticks.clone());
    Timer::new(expression, move |_, _| {
        ticks.fetch_add(1, Ordering::Relaxed);
        tick();
    })
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: i64,
    monotonic: Instant,
}

impl Moment {
    fn now(wall: &Clock) -> Self {
        Self { wall: wall.now(), monotonic: Instant::now() }
    }

    /// By how many milliseconds the wall clock has jumped since `earlier`.
    fn jump_since(self, earlier: Self) -> Option<i64> {
        let passed = self.monotonic.saturating_duration_since(earlier.monotonic).as_millis();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        let jump = self.wall.saturating_sub(earlier.wall).saturating_sub(passed);
        (jump.saturating_abs() > MAX_SLEW_MS).then_some(jump)
    }
}

/// Watches the clocks and the timers until `stop`.
pub(super) async fn watch(
    timers: Arc<Mutex<Timers>>,
    wall: Clock,
    health: Arc<Health>,
    stop: CancellationToken,
) {
    let mut last = Moment::now(&wall);
    loop {
        let moment = Moment::now(&wall);
        let jump = moment.jump_since(last);
        last = moment;
        if let Some(jump) = jump {
            health.clock_jumped(jump);
            tracing::warn!(
                seconds = jump / 1_000,
                "the wall clock jumped, or the machine was suspended: setting the timers again"
            );
        }
        let mut timers = timers.lock().await;
        if jump.is_some() {
            timers.forget_due();
        }
        let is_overdue = timers.look(moment, &health).await;
        if jump.is_some() || is_overdue {
            match tokio::time::timeout(PATIENCE, timers.set_again()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "cannot set the timers again"),
                Err(_) => tracing::error!("cannot set the timers again: the scheduler is stuck"),
            }
            // A tick that was overdue must not count against the timers that are new.
            timers.forget_due();
        }
        drop(timers);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WATCH_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_difference_between_the_clocks_is_a_jump() {
        let start = Moment { wall: 1_780_000_000_000, monotonic: Instant::now() };
        let after = |wall: i64, monotonic: u64| {
            let monotonic = start.monotonic + Duration::from_millis(monotonic);
            Moment { wall: start.wall + wall, monotonic }.jump_since(start)
        };
        assert_eq!(after(2_000, 2_000), None);
        assert_eq!(after(3_600_000, 3_600_000), None, "a late comparison is no jump");
        assert_eq!(after(12_000, 2_000), None);
        assert_eq!(after(-18_000_000, 2_000), Some(-18_002_000));
        assert_eq!(after(18_002_000, 2_000), Some(18_000_000));
        assert_eq!(after(i64::MIN / 2, 0), Some(i64::MIN / 2));
    }
    /// The watch over one timer for `seconds`: how often it would set the timer again, and after how many
    /// seconds for the first time. The scheduler starts the job `delay` milliseconds after each multiple
    /// of `period`, until `dies`. The watch begins `phase` milliseconds after such a multiple, and each
    /// comparison takes a little time, so that all phases follow.
    fn resets(period: i64, phase: i64, delay: i64, dies: i64, seconds: i64) -> (u32, Option<i64>) {
        let start = Moment { wall: 1_780_000_000_000 + phase, monotonic: Instant::now() };
        let (mut watched, mut resets, mut first) = (Watched::default(), 0, None);
        for passed in (0..seconds * 1_000).step_by(2_003) {
            let moment = Moment {
                wall: start.wall + passed,
                monotonic: start.monotonic + Duration::from_millis(passed.unsigned_abs()),
            };
            let shown = (phase + passed).min(dies);
            let done = (shown - delay).div_euclid(period);
            let next = 1_780_000_000_000 + (done + 1) * period;
            watched.look(u64::try_from(done + 1).unwrap(), Some(next), moment);
            if watched.is_overdue(moment.monotonic) {
                resets += 1;
                first = first.or(Some(passed / 1_000));
                watched = Watched::default();
            }
        }
        (resets, first)
    }

    #[test]
    fn a_timer_that_ticks_is_never_set_again_however_often_it_is_watched() {
        for period in [1_000, 2_000, 3_000, 4_000, 60_000, 600_000] {
            for phase in [0, 1, 499, 500, 1_000, 1_999] {
                for delay in [0, 1, 250, 500, 900] {
                    let found = resets(period, phase, delay, i64::MAX, 3_600);
                    assert_eq!(found.0, 0, "every {period} ms, watched at {phase}, {delay} late");
                }
            }
        }
    }

    #[test]
    fn a_timer_that_stops_is_set_again_soon_after_its_tick_was_due() {
        for period in [1_000, 2_000, 60_000] {
            let found = resets(period, 7, 250, 90_000, 600);
            let first = found.1.unwrap();
            let due = (90_000 / period + 1) * period / 1_000;
            assert!((due..=due + 13).contains(&first), "every {period} ms: after {first} s");
        }
    }
}

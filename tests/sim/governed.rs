//! Worlds in which the tuner always has moves to make, while people approve, freeze, pin and refuse: one
//! seed in three. The other worlds are too calm to use up a limit.

use f0_learning_core::document::FlagChanges;
use f0_learning_core::time::MINUTE_MS;
use rand::RngExt;

use crate::envelopes::POLICY;
use crate::steps::{Job, pass};
use crate::world::World;

/// A step does more than in other worlds.
const STEPS: u32 = 25;

/// After how many minutes another model is the best.
const REGIME_MINUTES: i64 = 200;

impl World {
    pub fn steps(&self) -> u32 {
        if self.is_governed() { STEPS } else { crate::STEPS }
    }

    pub fn governed_quality(&self, model: usize) -> f64 {
        let best = (self.minutes() / REGIME_MINUTES).rem_euclid(3);
        if i64::try_from(model) == Ok(best) { 0.95 } else { 0.35 }
    }

    pub async fn governed_step(&mut self) -> String {
        match self.rng.random_range(0..100) {
            0..44 => self.moves_are_due().await,
            44..56 => self.decided(0).await,
            56..62 => self.decided(1).await,
            62..70 => self.decided(2).await,
            70..73 => self.admin_rejects().await,
            73..84 => self.learning_is_on().await,
            84..86 => self.flags_change().await,
            86..89 => self.run(Job::Guard).await,
            89..94 => self.time_passes(),
            94..96 => self.admin_decides().await,
            96..98 => self.the_cap_changes().await,
            _ => self.worker_restarts().await,
        }
    }

    /// People decide, and then the tuner has moves to make.
    async fn decided(&mut self, what: u8) -> String {
        let decided = match what {
            0 => self.admin_approves().await,
            1 => self.admin_freezes().await,
            _ => self.admin_pins().await,
        };
        let done = self.moves_are_due().await;
        let unpinned = match what {
            2 => self.store.unpin(POLICY, &self.intent()).await.is_ok(),
            _ => false,
        };
        format!("{decided}; {done}{}", if unpinned { "; unpinned" } else { "" })
    }

    async fn learning_is_on(&mut self) -> String {
        let on = FlagChanges { enabled: Some(true), auto_activate_policies: Some(true) };
        self.change_flags(on).await
    }

    /// The components write, and a tuning pass sees it, several times in an hour.
    async fn moves_are_due(&mut self) -> String {
        let mut seen = Vec::new();
        for _ in 0..self.rng.random_range(2..4) {
            let count = self.rng.random_range(15..35);
            self.write(count).await;
            let index = self.a_worker_counts().await;
            if self.rng.random_bool(0.3) {
                seen.push(self.run(Job::Tune).await);
            } else {
                let answer = pass(&mut self.workers[index], Job::Tune).await;
                let report = self.answered(answer);
                self.hear(&report);
                seen.push(report);
            }
            let minutes = self.rng.random_range(1..15);
            self.advance(minutes * MINUTE_MS);
        }
        seen.join("; ")
    }
}

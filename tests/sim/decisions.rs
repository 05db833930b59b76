//! The decisions of admins, and whether each answer is true.

use f0_learning::store::{ChangeError, OverrideParams, Store, TUNER};
use f0_learning_core::audit::Action;
use f0_learning_core::document::FlagChanges;
use f0_learning_core::intent::{Intent, Watching};
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use firestore_local::{Fault, Plan, Rule};
use rand::RngExt;
use serde_json::json;

use crate::world::World;

const POLICY: &str = "router-core";

#[derive(Clone, Debug)]
enum Decision {
    Activate { key: PolicyKey, force: bool },
    Reject(PolicyKey),
    RollBack,
    Override { cooldown_ms: u32 },
}

impl Decision {
    async fn carry_out(&self, store: &Store, intent: &Intent) -> Result<(), ChangeError> {
        match self {
            Self::Activate { key, force } => store.activate(key, *force, intent).await.map(drop),
            Self::Reject(key) => store.reject(key, intent).await.map(drop),
            Self::RollBack => store.roll_back(POLICY, None, intent).await.map(drop),
            Self::Override { cooldown_ms } => {
                let set = json!({ "cooldownMs": cooldown_ms }).as_object().unwrap().clone();
                let params = OverrideParams::Set(set.into_iter().collect());
                store.override_policy(POLICY, &params, None, intent).await.map(drop)
            }
        }
    }
}

impl World {
    pub fn intent(&self) -> Intent {
        Intent::new("ada", self.now()).because("a simulation")
    }

    async fn decision(&mut self) -> Decision {
        let policies = self.store.policies(Some(POLICY)).await.unwrap();
        let drafts: Vec<PolicyKey> = policies
            .iter()
            .filter(|policy| policy.status == PolicyStatus::Draft)
            .filter_map(|policy| PolicyKey::new(&policy.id, policy.version.clone()).ok())
            .collect();
        let chosen = self.rng.random_range(0..drafts.len().max(1));
        match (self.rng.random_range(0..6), drafts.get(chosen)) {
            (0..3, Some(key)) => {
                Decision::Activate { key: key.clone(), force: self.rng.random_bool(0.3) }
            }
            (3, Some(key)) => Decision::Reject(key.clone()),
            (4, _) => Decision::RollBack,
            _ => Decision::Override { cooldown_ms: self.rng.random_range(0..100_000) },
        }
    }

    /// The number of an actor's entries in the trail, of one action or of all.
    pub async fn entries(&self, actor: &str, action: Option<&str>) -> usize {
        let trail = self.store.trail(POLICY, None).await.unwrap();
        let matches = |found: &str| action.is_none_or(|action| action == found);
        let entries = trail.iter().map(|record| &record.entry);
        entries.filter(|it| it.actor == actor && matches(&it.action)).count()
    }

    /// A change that is answered with success was made once, and a refused one was not made.
    pub async fn admin_decides(&mut self) -> String {
        let decision = self.decision().await;
        let before = self.entries("ada", None).await;
        if self.rng.random_bool(0.4) {
            let plan = self.trouble();
            self.server.set_faults(plan);
        }
        let answer = decision.carry_out(&self.store, &self.intent()).await;
        self.tally.faults += self.server.injected().values().sum::<u64>();
        self.server.set_faults(Plan::default());
        let made = self.entries("ada", None).await - before;
        let is_true = match &answer {
            Ok(()) => made == 1,
            // The commit may or may not have been made.
            Err(ChangeError::Store(_)) => made <= 1,
            Err(_) => made == 0,
        };
        let answer = answer.map_or_else(|error| error.to_string(), |()| "done".to_owned());
        if !is_true {
            self.truth.false_answer =
                Some(format!("{decision:?} made {made} entries, but the answer was: {answer}"));
        }
        format!("an admin decides, {decision:?}: {answer}")
    }

    /// One admin decides while the commit of another is in flight.
    pub async fn two_admins_decide(&mut self) -> String {
        let (first, second) = (self.decision().await, self.decision().await);
        let intent = match self.rng.random_bool(0.5) {
            true => self.intent().watched(Watching::Off),
            false => self.intent(),
        };
        let rule = Rule::on("Commit", Fault::Hold).once_after(0);
        self.server.set_faults(Plan::new(0, vec![rule]));
        let mut overlapped = false;
        {
            let running = first.carry_out(&self.store, &intent);
            tokio::pin!(running);
            tokio::select! {
                _ = &mut running => {}
                () = self.server.until_held() => {
                    overlapped = true;
                    second.carry_out(&self.store, &intent).await.ok();
                    self.server.release();
                    running.await.ok();
                }
            }
        }
        self.server.set_faults(Plan::default());
        self.tally.rivals += u64::from(overlapped);
        format!("two admins decide at once, {first:?} and {second:?}")
    }

    pub async fn flags_change(&mut self) -> String {
        let enabled = self.rng.random_bool(0.7);
        self.set_flags(enabled).await
    }

    /// Changes the flags; they must hold from the moment of the acknowledgement.
    pub async fn set_flags(&mut self, enabled: bool) -> String {
        let auto = self.rng.random_bool(0.85);
        let changes = FlagChanges { enabled: Some(enabled), auto_activate_policies: Some(auto) };
        self.change_flags(changes).await
    }

    pub async fn change_flags(&mut self, changes: FlagChanges) -> String {
        let enabled = changes.enabled.unwrap_or_default();
        let auto = changes.auto_activate_policies.unwrap_or_default();
        if self.store.set_flags(changes, &self.intent()).await.is_ok() {
            self.truth.switched_off = !enabled;
            self.truth.by_job = self.entries(TUNER, None).await;
            self.truth.auto_off = !(enabled && auto);
            // What was activated before the flags changed was allowed.
            self.truth.moves_checked = self.trail_length().await;
        }
        format!("flags: enabled {enabled}, autoActivatePolicies {auto}")
    }

    async fn trail_length(&self) -> usize {
        self.store.trail(POLICY, None).await.unwrap().len()
    }

    /// Counts the drafts and activations of the tune job.
    pub async fn count_the_jobs_changes(&mut self) {
        self.tally.proposed = self.entries(TUNER, Some(Action::Propose.as_str())).await as u64;
        self.tally.activated = self.entries(TUNER, Some(Action::Activate.as_str())).await as u64;
    }
}

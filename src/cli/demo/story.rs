//! What every act of the demo needs: the store, what the router did, and patience.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use f0_learning::store::{ChangeError, Store};
use f0_learning_core::document::Policy;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use semver::Version;

use super::POLICY;
use super::platform::Routed;
use crate::cli::output::{self, Style};

/// The name under which the demo decides.
pub const ADMIN: &str = "demo-admin";

/// The arm that gets worse.
pub const ARM: &str = "gpt-5";

/// How long an act waits for a job.
pub const JOB: Duration = Duration::from_secs(120);

/// How long the router needs to follow a new version.
pub const FOLLOW: Duration = Duration::from_secs(4);

const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Story {
    pub store: Store,
    pub routed: Routed,
    /// Where the pages are served.
    pub page: SocketAddr,
    /// Whether nobody is asked to decide.
    pub auto: bool,
}

/// How many acts there are.
const ACTS: u8 = 7;

/// Announces an act: a title, and what to look for.
pub fn announce(number: u8, title: &str, about: &str) {
    say!();
    output::print_marked(Style::Heading, &format!("Act {number} of {ACTS}: {title}"), "");
    say_lines!("  {}", output::wrapped(about, 2));
}

/// Tells what happened.
pub fn tell(text: &str) {
    say_lines!("  {}", output::wrapped(text, 2));
}

impl Story {
    /// Looks every second until there is something to see; `None` if there is nothing within `limit`.
    pub async fn wait<T, F>(&self, limit: Duration, look: impl Fn() -> F) -> Result<Option<T>>
    where
        F: Future<Output = Result<Option<T>>>,
    {
        let looking = async {
            loop {
                if let Some(found) = look().await? {
                    return Ok(found);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(limit, looking).await.ok().transpose()
    }

    /// The intent of the demo's admin.
    pub async fn intent(&self, reason: &str) -> Result<Intent> {
        Ok(Intent::new(ADMIN, self.store.now().await?).because(reason))
    }

    pub async fn active(&self) -> Result<Policy> {
        let standing = self.store.standing_policies(POLICY).await?;
        let active = standing.into_iter().rfind(|it| it.status == PolicyStatus::Active);
        active.context("router-core has no active version")
    }

    /// A version as it is stored now.
    pub async fn version(&self, version: &Version) -> Result<Policy> {
        let key = PolicyKey::new(POLICY, version.clone())?;
        self.store.policy(&key).await?.with_context(|| format!("{key} does not exist any more"))
    }

    /// Activates a draft, and says so; or says why it cannot be activated any more, because a person or
    /// the tuner decided otherwise in the meantime.
    pub async fn activate(&self, draft: &Policy) -> Result<()> {
        let key = PolicyKey::new(POLICY, draft.version.clone())?;
        let intent = self.intent("the demo's admin read its evidence").await?;
        match self.store.activate(&key, true, &intent).await {
            Ok(changed) => {
                tell(&format!("{ADMIN} activates {key} (audit entry {}).", changed.audit_id));
            }
            Err(ChangeError::Store(error)) => return Err(error.into()),
            Err(refused) => tell(&format!("{ADMIN} does not activate it: {refused}.")),
        }
        Ok(())
    }

    /// What a person decided that keeps the jobs from changing the policy, if anything.
    pub async fn why_nothing_is_tuned(&self) -> Result<Option<String>> {
        if !self.store.flags().await?.tuning_enabled() {
            return Ok(Some("learning.enabled is off".to_owned()));
        }
        let active = self.active().await?;
        Ok(active.pin_reason_text().map(|why| format!("{POLICY} is pinned: {why}")))
    }

    /// The newest draft that promises at least this gain over the active version.
    pub async fn draft(&self, gain: f64) -> Result<Option<Policy>> {
        let standing = self.store.standing_policies(POLICY).await?;
        let is_active = |it: &&Policy| it.status == PolicyStatus::Active;
        let active = standing.iter().rfind(is_active).map(|it| it.version.clone());
        let mut drafts = standing.into_iter().filter(|it| it.status == PolicyStatus::Draft);
        Ok(drafts.rfind(|it| {
            it.parent_version == active && it.expected_gain.is_some_and(|found| found >= gain)
        }))
    }
}

/// Who made a version active.
pub fn by(active: &Policy) -> &str {
    active.activated_by.as_deref().unwrap_or(&active.created_by)
}

/// The weights of a version in a line.
pub fn weights(policy: &Policy) -> String {
    let weights = policy.params.model_weights().ok().flatten().unwrap_or_default();
    let weights: Vec<_> = weights.iter().map(|(arm, it)| format!("{arm} {it:.3}")).collect();
    weights.join(", ")
}

/// A share in percent; unknown without requests.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "unknown".to_owned(), |it| format!("{:.0}%", it * 100.0))
}

//! The active version of a policy, kept up to date in the background.

use std::sync::Arc;
use std::time::Duration;

use f0_learning_core::document::Policy;
use f0_learning_core::policy::{Arm, Params, PolicyKey, PolicyStatus, draw_arm};
use firestore_kit::{Db, Error, Query, Result, value};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::contract::POLICIES;

/// How often the active version is read again. Each read is billed as one document (two while an
/// admin has left two versions active), and a rollback takes effect within this time.
pub const DEFAULT_REFRESH: Duration = Duration::from_secs(60);

/// A policy's active version. Reading it never waits: it is the last version that was read, and a
/// background task replaces it.
#[derive(Debug)]
pub struct ActivePolicy {
    current: watch::Receiver<Option<Arc<Policy>>>,
    refresh: JoinHandle<()>,
}

/// What a unit is to be served with.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice<'a> {
    /// `{id}@{version}`: what the observation names as `policyVersion`.
    pub policy_version: String,
    pub params: &'a Params,
    /// Whether this is the candidate of an experiment.
    pub is_candidate: bool,
}

impl ActivePolicy {
    /// Reads the active version of policy `id`, and again every `refresh`. A read that fails keeps
    /// the last version and is logged.
    ///
    /// # Errors
    /// The first read failed. A policy without an active version is not an error:
    /// [`current`](Self::current) is `None` until there is one.
    pub async fn follow(db: Db, id: &str, refresh: Duration) -> Result<Self> {
        let (sender, current) = watch::channel(read(&db, id).await?.map(Arc::new));
        let id = id.to_owned();
        let refresh = tokio::spawn(async move {
            loop {
                tokio::time::sleep(refresh).await;
                match read(&db, &id).await {
                    Ok(found) => {
                        sender.send_replace(found.map(Arc::new));
                    }
                    Err(error) => {
                        tracing::warn!(policy = id, %error, "cannot read the active policy; keeping the last version");
                    }
                }
            }
        });
        Ok(Self { current, refresh })
    }

    /// The version that was active when it was last read; `None` if there was none.
    pub fn current(&self) -> Option<Arc<Policy>> {
        self.current.borrow().clone()
    }

    /// Waits until another version was read.
    pub async fn changed(&mut self) -> Option<Arc<Policy>> {
        // The sender lives as long as the task, which ends only with this value.
        let _ = self.current.changed().await;
        self.current.borrow_and_update().clone()
    }
}

impl Drop for ActivePolicy {
    fn drop(&mut self) {
        self.refresh.abort();
    }
}

/// The version and params for a unit (a user, a session, a request): the candidate's if an
/// experiment gives the unit to it, otherwise the active version's.
pub fn choose<'a>(policy: &'a Policy, unit: &str) -> Choice<'a> {
    let (version, params) = policy.choose(unit);
    Choice {
        policy_version: format!("{}@{version}", policy.id),
        params,
        is_candidate: *version != policy.version,
    }
}

impl Choice<'_> {
    /// Draws an arm by `params.modelWeights`; `u` is uniform in `[0, 1)`. `None` where the params
    /// hold no valid weights.
    pub fn draw(&self, u: f64) -> Option<Arm> {
        draw_arm(&self.params.model_weights().ok()??, u)
    }

    /// Draws an arm at random.
    pub fn draw_random(&self) -> Option<Arm> {
        self.draw(rand::random())
    }
}

async fn read(db: &Db, id: &str) -> Result<Option<Policy>> {
    PolicyKey::check_id(id).map_err(|error| Error::decode(id, "a policy id", error))?;
    let query = Query::of(POLICIES)
        .equal("id", value::string(id))
        .equal("status", value::string(PolicyStatus::Active.as_str()));
    let documents = db.query_all(POLICIES, query.build()).await?;
    let mut versions = Vec::new();
    for document in &documents {
        match decode_policy(document) {
            Ok(policy) => versions.push(policy),
            Err(error) => tracing::error!(%error, "skipping a policy version"),
        }
    }
    Ok(Policy::highest(versions))
}

/// Reads a document of `ops_policies`.
///
/// # Errors
/// The document does not decode, or its fields name another version than its id does.
pub fn decode_policy(document: &firestore_kit::proto::Document) -> Result<Policy> {
    let path = || format!("{POLICIES}/{}", value::document_id(document));
    let failed = |detail: &dyn std::fmt::Display| Error::decode(path(), "a policy version", detail);
    let json = serde_json::Value::Object(value::fields_to_json(&document.fields));
    let policy: Policy = serde_json::from_value(json).map_err(|error| failed(&error))?;
    if policy.name() != value::document_id(document) {
        return Err(failed(&format!("its fields say {}", policy.name())));
    }
    Ok(policy)
}

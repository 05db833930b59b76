//! The active version of a policy, kept up to date in the background.

use std::sync::Arc;
use std::time::Duration;

use f0_learning_core::document::Policy;
use f0_learning_core::policy::{Arm, Params, PolicyKey, PolicyStatus, draw_arm, draw_arm_of_unit};
use firestore_kit::proto::Document;
use firestore_kit::{Db, Error, Query, Result, Timestamp, value};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::contract::POLICIES;
use crate::random;

/// How often the active version is read again. Each read is billed as one document (two while an
/// admin has left two versions active), and a rollback takes effect within this time.
pub const DEFAULT_REFRESH: Duration = Duration::from_secs(60);

/// The active version of a policy. Reading it never waits: it is the last version that was read, and
/// a background task replaces it. Dropping it ends the task.
#[derive(Debug)]
pub struct ActivePolicy {
    current: watch::Receiver<Option<Arc<Version>>>,
    refresh: JoinHandle<()>,
}

/// A version as it was read. A change of its candidate is a change of the document, too.
#[derive(Debug)]
struct Version {
    policy: Arc<Policy>,
    update_time: Option<Timestamp>,
}

impl Version {
    fn is_same(&self, other: &Self) -> bool {
        self.policy.version == other.policy.version && self.update_time == other.update_time
    }
}

/// What to serve a unit with.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice<'a> {
    /// `{id}@{version}`, for the field `policyVersion` of the observation.
    pub policy_version: String,
    pub params: &'a Params,
    /// Whether this is the candidate of an experiment.
    pub is_candidate: bool,
}

impl ActivePolicy {
    /// Reads the active version of policy `id`, and again after each `refresh`. If a later read
    /// fails, the last version stays current and the failure is logged.
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
                    Ok(found) => replace(&sender, found),
                    Err(error) => tracing::warn!(
                        policy = id,
                        %error,
                        "cannot read the active policy; keeping the last version"
                    ),
                }
            }
        });
        Ok(Self { current, refresh })
    }

    /// The version that was active when it was last read; `None` if there was none.
    pub fn current(&self) -> Option<Arc<Policy>> {
        self.current.borrow().as_ref().map(|version| version.policy.clone())
    }

    /// Waits until a read returns another version, or the same one with another candidate, and
    /// returns it.
    pub async fn changed(&mut self) -> Option<Arc<Policy>> {
        // The sender lives as long as the task, which ends only when this value is dropped.
        let _ = self.current.changed().await;
        self.current.borrow_and_update().as_ref().map(|version| version.policy.clone())
    }
}

impl Drop for ActivePolicy {
    fn drop(&mut self) {
        self.refresh.abort();
    }
}

fn replace(sender: &watch::Sender<Option<Arc<Version>>>, found: Option<Version>) {
    sender.send_if_modified(|current| {
        let is_same = match (&*current, &found) {
            (Some(current), Some(found)) => current.is_same(found),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            *current = found.map(Arc::new);
        }
        !is_same
    });
}

/// The version and params for a unit (a user, a session, a request): the holdback's or the candidate's
/// if the unit belongs to their share, otherwise the active version's.
pub fn choose<'a>(policy: &'a Policy, unit: &str) -> Choice<'a> {
    let (version, params) = policy.choose(unit);
    Choice {
        policy_version: format!("{}@{version}", policy.id),
        params,
        is_candidate: policy.candidate.as_ref().is_some_and(|it| it.version == *version),
    }
}

impl Choice<'_> {
    /// Draws an arm by `params.modelWeights`; `u` is uniform in `[0, 1)`. `None` if the params have
    /// no valid weights.
    pub fn draw(&self, u: f64) -> Option<Arm> {
        draw_arm(&self.params.model_weights().ok()??, u)
    }

    /// The arm of a unit (a user, a session) by `params.modelWeights`: the unit keeps it as long as the
    /// weights allow. `None` if the params have no valid weights.
    pub fn draw_for(&self, unit: &str) -> Option<Arm> {
        draw_arm_of_unit(&self.params.model_weights().ok()??, unit)
    }

    /// Draws an arm at random by `params.modelWeights`.
    pub fn draw_random(&self) -> Option<Arm> {
        self.draw(random::uniform())
    }
}

/// The highest active version; there can be several if an admin edited documents by hand.
async fn read(db: &Db, id: &str) -> Result<Option<Version>> {
    PolicyKey::check_id(id).map_err(|error| Error::decode(id, "a policy id", error))?;
    let query = Query::of(POLICIES)
        .equal("id", value::string(id))
        .equal("status", value::string(PolicyStatus::Active.as_str()));
    let documents = db.query_all(POLICIES, query.build()).await?;
    let decode = |document: &Document| match decode_policy(document) {
        Ok(policy) => Some(Version { policy: Arc::new(policy), update_time: document.update_time }),
        Err(error) => {
            tracing::error!(%error, "skipping a policy version");
            None
        }
    };
    let versions = documents.iter().filter_map(decode);
    Ok(versions.max_by(|a, b| a.policy.version.cmp(&b.policy.version)))
}

/// Reads a document of `ops_policies`.
///
/// # Errors
/// The document does not decode, or its fields are those of another version than its id.
pub fn decode_policy(document: &Document) -> Result<Policy> {
    let malformed = |detail: &dyn std::fmt::Display| {
        let path = format!("{POLICIES}/{}", value::document_id(document));
        Error::decode(path, "a policy version", detail)
    };
    let policy: Policy = value::from_fields(&document.fields).map_err(|error| malformed(&error))?;
    if policy.name() != value::document_id(document) {
        return Err(malformed(&format!("its fields are those of {}", policy.name())));
    }
    Ok(policy)
}

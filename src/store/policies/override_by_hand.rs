//! A version written by an admin: active at once, with the version it replaces as its parent.

use semver::Version;
use serde_json::Value as Json;

use crate::store::Store;
use crate::store::change::{Asked, ChangeError, ChangeResult, Changed, Decided};
use crate::store::collection::POLICIES;
use crate::store::lifecycle::{
    PARAMS, PolicySnapshot, activation_fields, archive_writes, check_policy_id, document_id,
    params_over, policy_key, transition_entry,
};
use f0_learning_core::audit::Action;
use f0_learning_core::document::Policy;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::lifecycle::{self, Plan, Refusal};
use f0_learning_core::policy::{EditError, Params, PolicyKey};
use firestore_kit::value::{self, Fields};
use firestore_kit::write;

/// The params of the new version.
#[derive(Clone, Debug)]
pub enum OverrideParams {
    /// Those of the active version, with these values at these paths.
    Set(Vec<(String, Json)>),
    /// Exactly these.
    Whole(Params),
}

impl OverrideParams {
    /// The params of the new version over those of the active one, validated.
    pub fn over(&self, parent: &Policy) -> Result<Params, EditError> {
        let params = match self {
            Self::Whole(params) => params.clone(),
            Self::Set(assignments) => {
                let set = |params: Params, (path, value): &(String, Json)| {
                    params.set(path, value.clone())
                };
                assignments.iter().try_fold(parent.params.clone(), set)?
            }
        };
        params.check_override(&parent.params, &parent.name())?;
        Ok(params)
    }
}

impl Store {
    /// Creates a new version and makes it active.
    ///
    /// # Errors
    /// [`ChangeError::Moved`] if `expected` is given and another version is active.
    pub async fn override_policy(
        &self,
        id: &str,
        params: &OverrideParams,
        expected: Option<&Version>,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        check_policy_id(id)?;
        let target = format!("the override of {id}");
        self.change(&target, Asked::of(Action::Override, id), intent, |transaction| async move {
            let snapshot = self.snapshot(id, &transaction).await?;
            let Some((parent, document)) = snapshot.serving() else {
                self.require_policy(id, &transaction).await?;
                let refusal = Refusal::NoneActive;
                return Err(ChangeError::Refused { name: id.to_owned(), refusal });
            };
            if let Some(expected) = expected.filter(|expected| *expected != parent) {
                return Err(ChangeError::Moved {
                    id: id.to_owned(),
                    expected: expected.to_string(),
                    found: parent.to_string(),
                });
            }
            let parent_policy = self.decode_policy(document)?;
            let refused = |source| ChangeError::Params { name: parent_policy.name(), source };
            let params = params.over(&parent_policy).map_err(refused)?;
            let params = params_over(document, &params).map_err(refused)?;
            let version = self.free_version(id, parent, &transaction).await?;
            let key = policy_key(id, &version)?;
            let plan = lifecycle::override_with(&snapshot.versions(), &key.version)
                .map_err(|refusal| ChangeError::Refused { name: id.to_owned(), refusal })?;
            let mut writes = archive_writes(&snapshot, &plan, intent.now);
            let fields = new_version_fields(&snapshot, &plan, &key, parent, params, intent);
            let name = self.db.name(POLICIES, &document_id(id, &key.version));
            writes.push(write::create(name, fields));
            let action = Action::Override;
            let mut entry = transition_entry(&plan, action, id, intent);
            writes.extend(self.experiments_after(&snapshot, &plan, action, intent, &mut entry)?);
            Ok(Decided { writes, entry })
        })
        .await
    }
}

fn new_version_fields(
    snapshot: &PolicySnapshot,
    plan: &Plan,
    key: &PolicyKey,
    parent: &Version,
    params: Fields,
    intent: &Intent,
) -> Fields {
    let mut fields = activation_fields(snapshot, plan, intent);
    fields.extend(value::fields([
        ("id", value::string(key.id.as_str())),
        ("version", value::string(key.version.to_string())),
        ("createdAt", value::int(intent.now)),
        ("createdBy", value::string(intent.actor.as_str())),
        ("parentVersion", value::string(parent.to_string())),
        (PARAMS, value::map(params)),
    ]));
    let reason = intent.reason.as_deref().unwrap_or("no reason was given");
    let notes = format!("Overridden by hand from {parent}: {reason}");
    fields.insert("notes".to_owned(), value::string(notes));
    fields.extend(snapshot.carried());
    fields
}

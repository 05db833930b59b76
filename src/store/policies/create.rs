//! The first version of a policy, written by a person.

use crate::store::Store;
use crate::store::change::{Asked, ChangeError, ChangeResult, Changed, Decided};
use crate::store::collection::POLICIES;
use crate::store::lifecycle::{PARAMS, check_policy_id, document_id};
use f0_learning_core::audit::Action;
use f0_learning_core::intent::Intent;
use f0_learning_core::policy::lifecycle::StatusChange;
use f0_learning_core::policy::{EditError, Params, PolicyKey, PolicyStatus};
use firestore_kit::value::{self, Fields};
use firestore_kit::{Query, write};

/// The first version of a policy.
#[derive(Clone, Debug)]
pub struct FirstVersion {
    pub key: PolicyKey,
    pub params: Params,
    pub notes: Option<String>,
    /// Whether it is a draft; otherwise it is active at once.
    pub is_draft: bool,
}

impl FirstVersion {
    /// Whether the params can be those of a version: the rules of an override.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), EditError> {
        self.params.check_override(&Params::default(), &self.key.to_string())
    }

    const fn status(&self) -> PolicyStatus {
        if self.is_draft { PolicyStatus::Draft } else { PolicyStatus::Active }
    }

    fn fields(&self, intent: &Intent) -> Fields {
        let mut fields = value::fields([
            ("id", value::string(self.key.id.as_str())),
            ("version", value::string(self.key.version.to_string())),
            ("status", value::string(self.status().as_str())),
            ("createdAt", value::int(intent.now)),
            ("createdBy", value::string(intent.actor.as_str())),
            (PARAMS, value::map(value::fields_from_json(&self.params.0))),
        ]);
        if !self.is_draft {
            fields.insert("activatedAt".to_owned(), value::int(intent.now));
            fields.insert("activatedBy".to_owned(), value::string(intent.actor.as_str()));
        }
        if let Some(notes) = &self.notes {
            fields.insert("notes".to_owned(), value::string(notes.as_str()));
        }
        fields
    }
}

impl Store {
    /// Creates a policy with its first version.
    ///
    /// # Errors
    /// [`ChangeError::Params`] if the params are invalid, [`ChangeError::Outdated`] if the policy has a
    /// version already, even one that cannot be read.
    pub async fn create_policy(
        &self,
        first: &FirstVersion,
        intent: &Intent,
    ) -> ChangeResult<Changed> {
        let (id, version) = (&first.key.id, &first.key.version);
        check_policy_id(id)?;
        first
            .check()
            .map_err(|source| ChangeError::Params { name: first.key.to_string(), source })?;
        let asked = Asked::of(Action::Seed, id);
        self.change(&format!("the policy {id}"), asked, intent, |transaction| async move {
            let of_policy = Query::of(POLICIES).equal("id", value::string(id.as_str())).limit(1);
            let found = self.db.query_in(POLICIES, of_policy.build(), &transaction).await?;
            let document = document_id(id, version);
            let is_taken = self.db.get_in(POLICIES, &document, &transaction).await?.is_some();
            if is_taken || !found.is_empty() {
                return Err(ChangeError::Outdated(
                    "the policy exists already; `policies override` writes another version of it",
                ));
            }
            let mut entry = intent.entry(Action::Seed, id);
            entry.to = Some(version.to_string());
            entry.changes =
                vec![StatusChange { version: version.clone(), from: None, to: first.status() }];
            let name = self.db.name(POLICIES, &document);
            Ok(Decided { writes: vec![write::create(name, first.fields(intent))], entry })
        })
        .await
    }
}

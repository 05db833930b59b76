//! Reading versions.

use std::collections::BTreeSet;

use firestore_kit::proto::Document;
use semver::Version;

use super::document::document_id;
use crate::store::Result;
use crate::store::Store;
use crate::store::collection::POLICIES;
use f0_learning_core::document::Policy;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use firestore_kit::Query;
use firestore_kit::TransactionId;
use firestore_kit::value;
use firestore_kit::{Page, PageRequest, by_name};

/// How many of a policy's latest versions are read where its recent history matters.
pub(in crate::store) const RECENT_VERSIONS: usize = 20;

#[derive(Clone, Debug, Default)]
pub struct PolicyFilter {
    pub id: Option<String>,
    pub status: Option<PolicyStatus>,
}

impl Store {
    /// The active versions of all policies, in the order of id and version.
    pub async fn active_policies(&self) -> Result<Vec<Policy>> {
        let query =
            Query::of(POLICIES).equal("status", value::string(PolicyStatus::Active.as_str()));
        let documents = self.db.query_all(POLICIES, query.build()).await?;
        Ok(sorted(self.decode_sound(&documents)))
    }

    /// Every version of every policy, or of one, in the order of id and version.
    pub async fn policies(&self, id: Option<&str>) -> Result<Vec<Policy>> {
        let mut query = Query::of(POLICIES);
        if let Some(id) = id {
            query = query.equal("id", value::string(id));
        }
        let documents = self.db.query_all(POLICIES, query.build()).await?;
        Ok(sorted(self.decode_sound(&documents)))
    }

    /// The versions that match, a page at a time, in the order of their document ids.
    pub async fn policies_page(
        &self,
        filter: &PolicyFilter,
        page: &PageRequest,
    ) -> Result<Page<Policy>> {
        let mut query = Query::of(POLICIES);
        if let Some(id) = &filter.id {
            query = query.equal("id", value::string(id.as_str()));
        }
        if let Some(status) = filter.status {
            query = query.equal("status", value::string(status.as_str()));
        }
        let documents =
            self.db.query_all(POLICIES, by_name(&self.db, query, POLICIES, page)).await?;
        Page::of(page, &documents, |documents| Ok(self.decode_sound(documents)))
    }

    /// A policy's active versions and open drafts, in the order of their versions.
    pub async fn standing_policies(&self, id: &str) -> Result<Vec<Policy>> {
        let mut snapshot = Vec::new();
        for status in [PolicyStatus::Active, PolicyStatus::Draft] {
            let query = with_status(id, status).build();
            snapshot.extend(self.decode_sound(&self.db.query_all(POLICIES, query).await?));
        }
        Ok(sorted(snapshot))
    }

    pub async fn policy(&self, key: &PolicyKey) -> Result<Option<Policy>> {
        let document = self.db.get(POLICIES, &key.to_string()).await?;
        document.map(|document| self.decode_policy(&document)).transpose()
    }

    /// A policy's latest versions, newest first.
    pub async fn recent_versions(&self, id: &str) -> Result<Vec<Policy>> {
        Ok(self.decode_sound(&self.db.query_all(POLICIES, recent(id).build()).await?))
    }

    /// The ids of all policies. Leaps from one to the next: one read for each policy, however
    /// many versions it has.
    pub async fn policy_ids(&self) -> Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        let mut last: Option<String> = None;
        loop {
            let mut query = Query::of(POLICIES).select(&["id"]).ascending("id").limit(1);
            if let Some(last) = &last {
                query = query.start_after(vec![value::string(last.as_str())]);
            }
            let documents = self.db.query_all(POLICIES, query.build()).await?;
            // An id that is no text comes after all that are.
            let found = documents.first().and_then(|found| value::as_str(&found.fields, "id"));
            let Some(id) = found else { return Ok(ids) };
            ids.insert(id.clone());
            last = Some(id);
        }
    }

    /// The active versions of one policy as documents, read inside a transaction: that another
    /// becomes active meanwhile makes its commit fail.
    pub(in crate::store) async fn active_documents(
        &self,
        id: &str,
        transaction: &TransactionId,
    ) -> Result<Vec<Document>> {
        self.documents_with_status(id, PolicyStatus::Active, transaction).await
    }

    pub(in crate::store) async fn documents_with_status(
        &self,
        id: &str,
        status: PolicyStatus,
        transaction: &TransactionId,
    ) -> Result<Vec<Document>> {
        self.db.query_in(POLICIES, with_status(id, status).build(), transaction).await
    }

    /// A version number that no version of the policy has, read inside a transaction.
    pub(in crate::store) async fn free_version(
        &self,
        id: &str,
        parent: &Version,
        transaction: &TransactionId,
    ) -> Result<Version> {
        let documents = self.db.query_in(POLICIES, recent(id).build(), transaction).await?;
        let versions: Vec<Version> = documents
            .iter()
            .filter_map(|found| value::as_str(&found.fields, "version")?.parse().ok())
            .collect();
        let mut version = f0_learning_core::policy::next_free_patch(parent, &versions);
        // Recent versions are those created last; an old one may have a higher number.
        loop {
            let name = self.db.name(POLICIES, &document_id(id, &version));
            let found = self.db.get_many(vec![name], Some(transaction)).await?;
            if found.is_empty() {
                return Ok(version);
            }
            version = f0_learning_core::policy::next_patch(&version);
        }
    }
}

fn with_status(id: &str, status: PolicyStatus) -> Query {
    Query::of(POLICIES)
        .equal("id", value::string(id))
        .equal("status", value::string(status.as_str()))
}

fn recent(id: &str) -> Query {
    Query::of(POLICIES)
        .equal("id", value::string(id))
        .descending("createdAt")
        .limit(RECENT_VERSIONS)
}

fn sorted(mut policies: Vec<Policy>) -> Vec<Policy> {
    policies.sort_by(|a, b| (&a.id, &a.version).cmp(&(&b.id, &b.version)));
    policies
}

//! Reading policy versions.

use std::collections::{BTreeMap, BTreeSet};

use firestore_kit::proto::Document;
use semver::Version;

use crate::store::collection::POLICIES;
use crate::store::lifecycle::{TUNER, UnreadableVersion, document_id, log_skipped};
use crate::store::{Result, Store};
use f0_learning_core::document::Policy;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use firestore_kit::{Page, PageOrder, PageRequest, Query, Transaction, Unreadable, value};

/// The number of a policy's latest versions that count as recent.
pub(in crate::store) const RECENT_VERSIONS: usize = 20;

/// The active versions of all policies, in the order of id and version.
#[derive(Clone, Debug, Default)]
pub struct ActiveVersions {
    pub readable: Vec<Policy>,
    /// Those that cannot be read. They are active all the same: components may have read them before.
    pub unreadable: Vec<UnreadableVersion>,
}
/// The number of a policy's latest versions that arms are compared within.
const COMPARED_VERSIONS: usize = 64;

/// Versions read together, if they are small.
const READ_AT_ONCE: usize = 50;

/// The drafts by people that a policy's standing versions include.
const PROPOSED_DRAFTS: usize = 50;

/// The weight of each arm.
type Weights = BTreeMap<String, f64>;

#[derive(Clone, Debug, Default)]
pub struct PolicyFilter {
    pub id: Option<String>,
    pub status: Option<PolicyStatus>,
}

impl PolicyFilter {
    /// Whether a version with this status is listed; one whose status is unknown always is.
    fn includes(&self, status: Option<PolicyStatus>) -> bool {
        self.status.is_none() || status.is_none() || self.status == status
    }
}

impl Store {
    /// The active versions of all policies that can be read, in the order of id and version.
    pub async fn active_policies(&self) -> Result<Vec<Policy>> {
        Ok(self.active_versions().await?.readable)
    }

    /// The active versions of all policies, also those that cannot be read.
    pub async fn active_versions(&self) -> Result<ActiveVersions> {
        self.read_active(None).await
    }

    /// The same for the first versions in the order of their documents, at most `limit`.
    pub async fn first_active_versions(&self, limit: usize) -> Result<ActiveVersions> {
        self.read_active(Some(limit)).await
    }

    async fn read_active(&self, limit: Option<usize>) -> Result<ActiveVersions> {
        let active = value::string(PolicyStatus::Active.as_str());
        let query = Query::of(POLICIES).equal("status", active);
        let query = limit.into_iter().fold(query, Query::limit);
        let documents = self.db.query_all(POLICIES, query.build()).await?;
        let (readable, mut unreadable) = self.decode_policies(&documents);
        unreadable.sort_by(|a, b| (&a.policy, &a.name).cmp(&(&b.policy, &b.name)));
        Ok(ActiveVersions { readable: sorted(readable), unreadable })
    }

    /// The versions of every policy, or of one, that cannot be read.
    pub async fn unreadable_versions(&self, id: Option<&str>) -> Result<Vec<UnreadableVersion>> {
        // A document may be wrong about its policy: its own id counts, too.
        let is_of = |version: &UnreadableVersion| {
            id.is_none_or(|id| version.policy == id || version.name.starts_with(&format!("{id}@")))
        };
        let unreadable = |document: Document| {
            let (_, mut unreadable) = self.decode_policies(std::slice::from_ref(&document));
            unreadable.pop().filter(is_of)
        };
        self.db.query_map(POLICIES, Query::of(POLICIES).build(), unreadable).await
    }

    /// Every version of every policy, or of one, in the order of id and version.
    pub async fn policies(&self, id: Option<&str>) -> Result<Vec<Policy>> {
        let mut query = Query::of(POLICIES);
        if let Some(id) = id {
            query = query.equal("id", value::string(id));
        }
        let decode = |document: Document| {
            self.decode_readable_policies(std::slice::from_ref(&document)).pop()
        };
        Ok(sorted(self.db.query_map(POLICIES, query.build(), decode).await?))
    }

    /// The versions that match, one page at a time, in the order of their document ids.
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
        let order = PageOrder::ByName;
        let read = order.read(&self.db, POLICIES, query, page).await?;
        let mut found = Page::decoded(order, page, &read, |document| self.decode_policy(document));
        for unreadable in &found.unreadable {
            let Unreadable { document, why } = unreadable;
            tracing::error!(document, why, "a policy version cannot be read");
        }
        // A filter may miss one by the very field that cannot be read: the first page shows them all.
        if filter.id.is_some() || filter.status.is_some() {
            found.unreadable.clear();
            if page.after.is_none() {
                let all = self.unreadable_versions(filter.id.as_deref()).await?.into_iter();
                let matching = all.filter(|it| filter.includes(it.status));
                found.unreadable = matching.map(Into::into).collect();
            }
        }
        Ok(found)
    }

    /// The open drafts of all policies that can be read, in the order of id and version; at most
    /// `limit`.
    pub async fn open_drafts(&self, limit: usize) -> Result<Vec<Policy>> {
        let status = value::string(PolicyStatus::Draft.as_str());
        let query = Query::of(POLICIES).equal("status", status).limit(limit).build();
        Ok(sorted(self.decode_readable_policies(&self.db.query_all(POLICIES, query).await?)))
    }

    /// A policy's active versions and open drafts, in the order of their versions. Of the drafts that
    /// people created and that were never active, it holds the first fifty: anyone who may create
    /// drafts can create any number of them.
    pub async fn standing_policies(&self, id: &str) -> Result<Vec<Policy>> {
        let (readable, unreadable) = self.standing_versions(id).await?;
        log_skipped(&unreadable);
        Ok(readable)
    }

    /// The same, and those that cannot be read.
    pub async fn standing_versions(
        &self,
        id: &str,
    ) -> Result<(Vec<Policy>, Vec<UnreadableVersion>)> {
        let (mut versions, mut unreadable, mut proposed) = (Vec::new(), Vec::new(), 0);
        for status in [PolicyStatus::Active, PolicyStatus::Draft] {
            let mut after = None;
            loop {
                let query = with_status(id, status).ascending("__name__");
                let query = match after {
                    Some(name) => query.start_after(vec![value::reference(name)]),
                    None => query,
                };
                let found = self.db.query_page(POLICIES, query, READ_AT_ONCE).await?;
                let (readable, others) = self.decode_policies(&found.documents);
                unreadable.extend(others);
                for policy in readable {
                    let is_proposed = status == PolicyStatus::Draft
                        && policy.created_by != TUNER
                        && policy.activated_at.is_none();
                    proposed += usize::from(is_proposed);
                    if !is_proposed || proposed <= PROPOSED_DRAFTS {
                        versions.push(policy);
                    }
                }
                after = found.documents.last().map(|last| last.name.clone());
                if !found.more {
                    break;
                }
            }
        }
        Ok((sorted(versions), unreadable))
    }

    pub async fn policy(&self, key: &PolicyKey) -> Result<Option<Policy>> {
        let document = self.db.get(POLICIES, &key.to_string()).await?;
        document.map(|document| self.decode_policy(&document)).transpose()
    }

    /// A policy's latest versions, newest first.
    pub async fn recent_versions(&self, id: &str) -> Result<Vec<Policy>> {
        Ok(self.decode_readable_policies(&self.db.query_all(POLICIES, recent(id).build()).await?))
    }

    /// The weights of a policy's latest versions, newest first; versions without valid weights are left
    /// out.
    pub async fn weights_of_versions(&self, id: &str) -> Result<Vec<(Version, Weights)>> {
        let fields = ["id", "version", "status", "params"];
        let query = Query::of(POLICIES).equal("id", value::string(id)).descending("createdAt");
        let query = query.select(&fields).limit(COMPARED_VERSIONS);
        let found =
            self.decode_readable_policies(&self.db.query_all(POLICIES, query.build()).await?);
        let of = |policy: Policy| Some((policy.version, policy.params.model_weights().ok()??));
        Ok(found.into_iter().filter_map(of).collect())
    }

    /// The ids of all policies. Skips from one id to the next: one read for each policy, independent
    /// of the number of its versions.
    pub async fn policy_ids(&self) -> Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        let mut last: Option<String> = None;
        loop {
            let mut query = Query::of(POLICIES).select(&["id"]).ascending("id").limit(1);
            if let Some(last) = &last {
                query = query.start_after(vec![value::string(last.as_str())]);
            }
            let documents = self.db.query_all(POLICIES, query.build()).await?;
            // Ids of other types come after all strings.
            let found = documents.first().and_then(|found| value::as_str(&found.fields, "id"));
            let Some(id) = found else { return Ok(ids) };
            ids.insert(id.clone());
            last = Some(id);
        }
    }

    /// A version number that no version of the policy has, read inside a transaction.
    pub(in crate::store) async fn free_version(
        &self,
        id: &str,
        parent: &Version,
        transaction: &Transaction,
    ) -> Result<Version> {
        let documents = self.db.query_in(POLICIES, recent(id).build(), transaction).await?;
        let versions: Vec<Version> = documents
            .iter()
            .filter_map(|found| value::as_str(&found.fields, "version")?.parse().ok())
            .collect();
        let mut version = f0_learning_core::policy::next_free_patch(parent, &versions);
        // Recent versions are those created last; an older one may have a higher number.
        loop {
            let found = self.db.get_in(POLICIES, &document_id(id, &version), transaction).await?;
            if found.is_none() {
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

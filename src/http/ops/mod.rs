//! `/ops`: one file for each kind of resource.

pub mod config;
pub mod envelopes;
pub mod experiments;
pub mod flags;
pub mod policies;
pub mod records;
pub mod transitions;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::auth::Caller;
use super::problem::Problem;
use super::views::same_variants;
use crate::store::remedy;
use f0_learning_core::hash::Fingerprint;
use f0_learning_core::intent::{self, IdempotencyKey, Intent, MAX_KEY_CHARS};
use f0_learning_core::policy::PolicyKey;
use firestore_kit::{DEFAULT_PAGE, MAX_PAGE, Page, PageRequest};

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    items: Vec<T>,
    /// Documents of the list that cannot be read; absent if all can be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unreadable: Vec<Unreadable>,
    /// Pass it as `cursor` to get the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// A document that cannot be read.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unreadable {
    document: String,
    /// Why it cannot be read.
    reason: String,
    /// What to do about it.
    action: String,
}

impl From<firestore_kit::Unreadable> for Unreadable {
    fn from(it: firestore_kit::Unreadable) -> Self {
        let action = remedy(&it.document);
        Self { document: it.document, reason: it.why, action: action.to_owned() }
    }
}

impl<T> List<T> {
    /// A list that has only one page.
    fn whole(items: Vec<impl Into<T>>) -> Self {
        let items = items.into_iter().map(Into::into).collect();
        Self { items, unreadable: Vec::new(), next_cursor: None }
    }

    fn of<U>(page: Page<U>, shape: impl Fn(U) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(shape).collect(),
            unreadable: page.unreadable.into_iter().map(Into::into).collect(),
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

/// `limit` and `cursor` of a request for a page.
pub fn page(limit: Option<u64>, cursor: Option<&str>) -> Result<PageRequest, Problem> {
    let limit = usize::try_from(limit.unwrap_or(DEFAULT_PAGE as u64)).unwrap_or(usize::MAX);
    if !(1..=MAX_PAGE).contains(&limit) {
        let detail = format!("invalid limit: expected 1 to {MAX_PAGE}, got {limit}");
        return Err(Problem::bad_request(detail));
    }
    let after = cursor.map(str::parse).transpose();
    let after = after.map_err(|error| Problem::bad_request(format!("{error}")))?;
    Ok(PageRequest { limit, after })
}

/// The id of a policy in a request.
pub fn check_id(id: &str) -> Result<(), Problem> {
    PolicyKey::check_id(id)
        .map_err(|error| Problem::bad_request(format!("invalid id {id:?}: {error}")))
}

/// A policy's id: at most 200 letters, digits, `.`, `_` and `-`, not starting with a dot.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$", example = "router-core")]
#[expect(dead_code, reason = "a schema; handlers take a string and check it")]
pub struct PolicyId(String);

/// A semantic version (semver.org).
#[derive(ToSchema)]
#[schema(
    value_type = String,
    max_length = 200,
    pattern = "^(0|[1-9][0-9]{0,17})\\.(0|[1-9][0-9]{0,17})\\.(0|[1-9][0-9]{0,17})(-(0|[1-9][0-9]{0,17}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\\.(0|[1-9][0-9]{0,17}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\\+[0-9a-zA-Z-]+(\\.[0-9a-zA-Z-]+)*)?$",
    example = "1.0.2",
)]
#[expect(dead_code, reason = "a schema; handlers take a parsed version")]
pub struct SemanticVersion(String);

/// Whether an activation is watched, and rolled back if it proves to be worse.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Watching {
    #[default]
    On,
    Off,
}

same_variants!(Watching => intent::Watching { On, Off });

/// The headers of a change, for the description; [`Key`] and the credential read them.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "its fields describe headers that extractors read")]
pub struct ChangeHeaders {
    /// Requests with the same key are carried out once. White space around the key is ignored, as
    /// in every header.
    #[param(
        rename = "Idempotency-Key",
        nullable = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+[ \\t]*$"
    )]
    idempotency_key: Option<String>,
    /// A name to record in addition to the actor of the static token.
    #[param(
        rename = "X-Actor",
        nullable = false,
        max_length = 200,
        pattern = "^([^\\x00-\\x20\\x7f][^\\x00-\\x1f\\x7f]*[ \\t]*)?$"
    )]
    actor: Option<String>,
}

/// The header `Idempotency-Key`, if it was sent.
#[derive(Debug)]
pub struct Key(Option<String>);

impl FromRequestParts<Arc<Api>> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let key = value.as_bytes();
        let is_visible = key.iter().all(u8::is_ascii_graphic);
        if !is_visible || !(1..=MAX_KEY_CHARS).contains(&key.len()) {
            return Err(Problem::bad_request(format!(
                "invalid Idempotency-Key: expected 1 to {MAX_KEY_CHARS} visible ASCII characters"
            )));
        }
        Ok(Self(Some(String::from_utf8_lossy(key).into_owned())))
    }
}

impl Key {
    /// The intent of the caller of `request`.
    fn intent(
        self,
        caller: Caller,
        operation: &str,
        request: &impl Serialize,
        reason: Option<String>,
        now: i64,
    ) -> Result<Intent, Problem> {
        intent_of(caller, self.0, operation, request, reason, now)
    }
}

/// The intent of a caller, whose idempotency key stands for exactly this `request`.
pub fn intent_of(
    caller: Caller,
    key: Option<String>,
    operation: &str,
    request: &impl Serialize,
    reason: Option<String>,
    now: i64,
) -> Result<Intent, Problem> {
    if let Some(reason) = &reason {
        intent::check_plain("reason", reason)
            .map_err(|error| Problem::unprocessable(error.to_string()))?;
    }
    let key = key.map(|key| {
        let asked = serde_json::to_string(request).unwrap_or_default();
        let fingerprint = Fingerprint::new().text(operation).text(&asked).to_string();
        IdempotencyKey { key, fingerprint }
    });
    let Caller { actor, actor_name, .. } = caller;
    Ok(Intent { actor_name, reason, key, ..Intent::new(actor, now) })
}

//! `/ops`: one file for each thing that is asked for.

pub mod flags;
pub mod policies;
pub mod records;
pub mod transitions;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

use super::Api;
use super::auth::Caller;
use super::problem::Problem;
use crate::domain::digest::Digest;
use crate::store::{
    DEFAULT_PAGE, IdempotencyKey, Intent, MAX_KEY_BYTES, MAX_PAGE, Page, PageRequest,
};

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    items: Vec<T>,
    /// Give it as `cursor` to get the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

impl<T> List<T> {
    fn of<U>(page: Page<U>, shape: impl Fn(U) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(shape).collect(),
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

fn page(limit: Option<u64>, cursor: Option<&str>) -> Result<PageRequest, Problem> {
    let limit = usize::try_from(limit.unwrap_or(DEFAULT_PAGE as u64)).unwrap_or(usize::MAX);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is {limit}, must be 1 to {MAX_PAGE}")));
    }
    let after = cursor.map(str::parse).transpose();
    let after = after.map_err(|error| Problem::bad_request(format!("{error}")))?;
    Ok(PageRequest { limit, after })
}

/// The header `Idempotency-Key`, if it was sent.
#[derive(Debug)]
pub struct Key(Option<String>);

impl FromRequestParts<Arc<Api>> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default();
        if !(1..=MAX_KEY_BYTES).contains(&text.len()) {
            return Err(Problem::bad_request(format!(
                "Idempotency-Key must be 1 to {MAX_KEY_BYTES} visible ASCII characters"
            )));
        }
        Ok(Self(Some(text.to_owned())))
    }
}

impl Key {
    /// Who asks for `request`, and why.
    fn intent(
        self,
        caller: Caller,
        operation: &str,
        request: &impl Serialize,
        reason: Option<String>,
        now: i64,
    ) -> Intent {
        let key = self.0.map(|key| {
            let asked = serde_json::to_string(request).unwrap_or_default();
            let fingerprint = Digest::new().text(operation).text(&asked).to_string();
            IdempotencyKey { key, fingerprint }
        });
        Intent { actor: caller.actor, actor_name: caller.actor_name, reason, key, now }
    }
}

//! `/ops/config/{document}`: the documents of `config`, and changes of them with a preview.
#![expect(unused_qualifications, reason = "the code that utoipa generates has them")]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{ChangeHeaders, Key};
use crate::http::Api;
use crate::http::auth::{Admin, Reader};
use crate::http::extract::{Body, Params, Segments};
use crate::http::problem::{ChangeProblems, Problem, ReadProblems};
use crate::http::views::config::{ConfigChangeView, ConfigView};
use crate::jobs::preview::preview;
use crate::store::{ConfigDocument, Store};

/// A document of `config`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfigName {
    Flags,
    RewardConfig,
    Tuning,
    Scoring,
}

fn named(name: &str) -> Result<ConfigDocument, Problem> {
    name.parse().map_err(|_| {
        let names: Vec<_> = ConfigDocument::ALL.iter().map(|it| it.id()).collect();
        let shown: String = name.chars().take(100).collect();
        let detail = format!("unknown document {shown:?}: expected {}", names.join(", "));
        Problem::new(StatusCode::NOT_FOUND, detail)
    })
}

/// A document of `config` as it is stored.
#[utoipa::path(
    get, path = "/ops/config/{document}", tag = "config",
    params(("document" = ConfigName, Path, description = "The document")),
    responses(
        (status = 200, description = "The document", body = ConfigView),
        ReadProblems,
    ),
)]
pub async fn show(
    _: Reader,
    store: Store,
    Segments(name): Segments<String>,
) -> Result<Json<ConfigView>, Problem> {
    Ok(Json(store.config(named(&name)?).await?.into()))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PreviewParams {
    /// Whether only to check the content and to compute what it would do.
    #[serde(default)]
    preview: bool,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigRequest {
    /// The whole document.
    #[schema(value_type = Object)]
    content: Map<String, Value>,
    /// `seen` of the state that the change was made from. The request is refused if the document was
    /// changed since; without it, any state is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100, nullable = false)]
    seen: Option<String>,
    /// The reason, for the audit trail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    reason: Option<String>,
}

/// Replaces a document of `config`, or, with `preview=true`, only shows what that would do.
#[utoipa::path(
    put, path = "/ops/config/{document}", tag = "config", request_body = ConfigRequest,
    params(
        ("document" = ConfigName, Path, description = "The document"),
        PreviewParams,
        ChangeHeaders,
    ),
    responses(
        (status = 200, description = "Done, in one commit with its audit entry; or what it would do", body = ConfigChangeView),
        ChangeProblems,
    ),
)]
pub async fn change(
    Admin(caller): Admin,
    State(api): State<Arc<Api>>,
    store: Store,
    idempotency: Key,
    Segments(name): Segments<String>,
    Params(params): Params<PreviewParams>,
    Body(asked): Body<ConfigRequest>,
) -> Result<Json<ConfigChangeView>, Problem> {
    let document = named(&name)?;
    let (now, seen) = (api.now().await?, asked.seen.as_deref());
    let operation = format!("/ops/config/{}", document.id());
    let reason = asked.reason.clone();
    let intent = idempotency.intent(caller, &operation, &asked, reason, now)?;
    if params.preview {
        let found = preview(&store, document, &asked.content, seen, now).await?;
        return Ok(Json(found.into()));
    }
    let changed = store.change_config(document, &asked.content, seen, &intent).await?;
    let config = store.config(document).await?;
    Ok(Json(ConfigChangeView::made(changed, config)))
}

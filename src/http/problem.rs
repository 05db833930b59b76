//! Errors as `application/problem+json` (RFC 9457): what is wrong, and what to do about it.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use firestore_kit::tonic::Code;
use serde::Serialize;
use utoipa::openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::observability::printable;
use crate::store::{ChangeError, StoreError};
use f0_learning_core::policy::lifecycle::Refusal;

/// Seconds after which a request that failed for a temporary reason may be repeated.
const RETRY_AFTER_S: u32 = 2;

/// A problem as defined by RFC 9457. `type` is `about:blank`: the status is the class of problem.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    #[schema(example = "Conflict")]
    title: &'static str,
    #[schema(minimum = 400, maximum = 599, example = 409)]
    status: u16,
    /// What happened, to which item, and what to do.
    detail: String,
    /// Seconds, the same as in the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after: Option<u32>,
}

/// The problem of every request before Firestore was reached.
pub(super) fn away() -> Problem {
    let detail = "Firestore has not been reached yet: /readyz shows why";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).after(5)
}

/// The problems that a request to read may be answered with.
#[derive(Debug)]
pub struct ReadProblems;

/// The problems that a request to change something may be answered with; nothing was written then.
#[derive(Debug)]
pub struct ChangeProblems;

const BAD_REQUEST: (u16, &str) = (400, "The request is malformed.");
const UNAUTHORIZED: (u16, &str) = (401, "There is no valid credential.");
const FORBIDDEN: (u16, &str) = (403, "The credential lacks the role.");
const TOO_MANY_REQUESTS: (u16, &str) = (429, "Too many requests without a valid credential.");

impl IntoResponses for ReadProblems {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        described([
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            (404, "The requested item does not exist."),
            (409, "The stored data do not allow it."),
            TOO_MANY_REQUESTS,
            (503, "Firestore, or the issuer of tokens, cannot be reached at the moment."),
        ])
    }
}

impl IntoResponses for ChangeProblems {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        described([
            BAD_REQUEST,
            UNAUTHORIZED,
            FORBIDDEN,
            (404, "The policy or version does not exist."),
            (409, "The state of the policy does not allow it."),
            (408, "The body took too long to arrive."),
            (413, "The body is too large."),
            (422, "The request is well formed, but its values are invalid."),
            TOO_MANY_REQUESTS,
            (
                503,
                "Firestore, or the issuer of tokens, cannot be reached at the moment, or other \
                 callers keep changing the policy.",
            ),
        ])
    }
}

fn described<const N: usize>(
    problems: [(u16, &str); N],
) -> BTreeMap<String, RefOr<openapi::Response>> {
    let schema = || Ref::from_schema_name(Problem::name());
    let response = |description: &str| {
        let content = ContentBuilder::new().schema(Some(schema())).build();
        ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", content)
            .build()
    };
    problems.map(|(status, text)| (status.to_string(), response(text).into())).into()
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            // Clients print it.
            detail: printable::line(&detail.into()).into_owned(),
            retry_after: None,
        }
    }

    pub fn after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status(), self.retry_after);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let temporary = matches!(
            error.code(),
            Some(
                Code::Aborted
                    | Code::Unavailable
                    | Code::DeadlineExceeded
                    | Code::ResourceExhausted
            )
        );
        if temporary {
            tracing::warn!(%error, "Firestore cannot serve a request at the moment");
            let detail = format!("{error}; try again later");
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).after(RETRY_AFTER_S);
        }
        if matches!(error, StoreError::Decode { .. }) {
            // A document that was edited by hand is for its editor to fix; the server did not fail.
            return Self::new(StatusCode::CONFLICT, error.to_string());
        }
        tracing::error!(%error, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        use ChangeError as E;
        let status = match &error {
            E::UnknownPolicy(_)
            | E::UnknownVersion(_)
            | E::UnknownExperiment(_)
            | E::NoEnvelope(_) => StatusCode::NOT_FOUND,
            E::Refused { refusal: Refusal::Params(_), .. }
            | E::Params { .. }
            | E::PolicyId(..)
            | E::Experiment(_)
            | E::Envelope(..)
            | E::Length { .. }
            | E::NoMinEffect
            | E::NoReason
            | E::NoFlag
            | E::Config(_)
            | E::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            E::Refused { .. }
            | E::Stale(_)
            | E::Moved { .. }
            | E::NothingBefore(_)
            | E::ExperimentOver(_)
            | E::ExperimentMoved(_)
            | E::ExperimentRuns { .. }
            | E::ExperimentUnreadable { .. }
            | E::Pinned(..)
            | E::NotPinned(_)
            | E::SwitchedOff(_)
            | E::Outdated(_)
            | E::Renewed(_)
            | E::ConfigMoved(_)
            | E::ConfigUnchanged(_)
            | E::ForeignEntry(_)
            | E::LeftToPerson(_) => StatusCode::CONFLICT,
            E::Store(_) => match error {
                E::Store(error) => return error.into(),
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        };
        Self::new(status, error.to_string())
    }
}

pub fn not_found(uri: &Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    let detail = format!("unknown path {path}: /openapi.json lists all paths");
    Problem::new(StatusCode::NOT_FOUND, detail)
}

pub fn method_not_allowed(method: &Method, uri: &Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    let detail =
        format!("{path} does not support {method}: /openapi.json lists the methods of each path");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

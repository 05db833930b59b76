//! Errors as `application/problem+json` (RFC 9457): what is wrong, and what to do about it.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use firestore_kit::tonic::Code;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::store::{ChangeError, StoreError};
use f0_learning_core::policy::lifecycle::Refusal;

/// Seconds after which a request that met a passing condition may be made again.
const RETRY_AFTER_S: u32 = 2;

/// A problem, as RFC 9457 describes it. `type` is `about:blank`: the status says the class.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    #[schema(example = "Conflict")]
    title: &'static str,
    #[schema(minimum = 400, maximum = 599, example = 409)]
    status: u16,
    /// What happened, on what, and what to do.
    detail: String,
    /// Seconds, as the header `Retry-After` says too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after: Option<u32>,
}

/// How a request to read may be refused.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "its variants describe the answers; handlers return `Problem`")]
pub enum ReadProblems {
    /// The request is malformed.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// No valid credential.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// The credential lacks the role.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is no such thing.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// What is stored does not allow it.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// Too many requests without a valid credential.
    #[response(status = 429, content_type = "application/problem+json")]
    TooManyRequests(Problem),
    /// Firestore, or the issuer of tokens, cannot be reached at the moment.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// How a request to change something may be refused; nothing was written then.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "its variants describe the answers; handlers return `Problem`")]
pub enum ChangeProblems {
    /// The request is malformed.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// No valid credential.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// The credential lacks the role.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is no such policy or version.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The policy's state does not allow it.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The request reads well and makes no sense.
    #[response(status = 422, content_type = "application/problem+json")]
    Unprocessable(Problem),
    /// Too many requests without a valid credential.
    #[response(status = 429, content_type = "application/problem+json")]
    TooManyRequests(Problem),
    /// Firestore, or the issuer of tokens, cannot be reached at the moment, or others keep
    /// changing the policy.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
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

    fn status(&self) -> StatusCode {
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
        let passing = matches!(
            error.code(),
            Some(
                Code::Aborted
                    | Code::Unavailable
                    | Code::DeadlineExceeded
                    | Code::ResourceExhausted
            )
        );
        if passing {
            tracing::warn!(%error, "a request met a Firestore that could not serve it now");
            let detail = format!("{error}; try again");
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).after(RETRY_AFTER_S);
        }
        if matches!(error, StoreError::Decode { .. }) {
            // What somebody wrote by hand is for people to mend, not for us to fail on.
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
            E::UnknownPolicy(_) | E::UnknownVersion(_) | E::UnknownExperiment(_) => {
                StatusCode::NOT_FOUND
            }
            E::Refused { refusal: Refusal::Params(_), .. }
            | E::Params { .. }
            | E::PolicyId(..)
            | E::Experiment(_)
            | E::Length { .. }
            | E::NoMinEffect
            | E::NoReason
            | E::NoFlag
            | E::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            E::Refused { .. }
            | E::Stale(_)
            | E::Moved { .. }
            | E::NothingBefore(_)
            | E::ExperimentOver(_)
            | E::ExperimentMoved(_)
            | E::ExperimentRuns { .. }
            | E::Pinned(..)
            | E::NotPinned(_)
            | E::SwitchedOff(_)
            | E::LeftToPerson(_) => StatusCode::CONFLICT,
            E::Store(_) => match error {
                E::Store(error) => return error.into(),
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        };
        Self::new(status, error.to_string())
    }
}

pub async fn not_found(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    let detail = format!("there is nothing at {path}; /openapi.json says what there is");
    Problem::new(StatusCode::NOT_FOUND, detail)
}

pub async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    let detail = format!("{path} does not take {method}; /openapi.json says what it takes");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

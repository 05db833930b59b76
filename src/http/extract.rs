//! Extractors for handlers; every invalid request becomes a [`Problem`].

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::Api;
use super::problem::{self, Problem};
use super::server::BodyDeadline;
use crate::store::Store;

/// A JSON body of any content type: `curl -d` sends that of a form.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<Api>) -> Result<Self, Problem> {
        let bytes = read_body(request, state).await?;
        let parsed = serde_json::from_slice(&bytes)
            .map_err(|error| Problem::bad_request(format!("invalid body: {error}")))?;
        Ok(Self(parsed))
    }
}

/// The fields of a form, in their order.
#[derive(Debug)]
pub struct Form(pub Vec<(String, String)>);

impl FromRequest<Arc<Api>> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<Api>) -> Result<Self, Problem> {
        let bytes = read_body(request, state).await?;
        Ok(Self(url::form_urlencoded::parse(&bytes).into_owned().collect()))
    }
}

async fn read_body(request: Request, state: &Arc<Api>) -> Result<Bytes, Problem> {
    let deadline = request.extensions().get::<BodyDeadline>().copied();
    let body = Bytes::from_request(request, state);
    let read = match deadline {
        None => body.await,
        Some(BodyDeadline(at)) => match tokio::time::timeout_at(at, body).await {
            Ok(read) => read,
            Err(_) => return Err(late()),
        },
    };
    read.map_err(|rejection| {
        let detail = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                format!("invalid body: expected at most {} bytes", super::MAX_BODY_BYTES)
            }
            _ => rejection.body_text(),
        };
        Problem::new(rejection.status(), detail)
    })
}

fn late() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive")
}

/// The query string.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Api>> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Api>) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// The parts of the path.
#[derive(Debug)]
pub struct Segments<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Api>> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Api>) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// Reserves memory for a request that reads much, although it is a POST.
#[derive(Debug)]
pub struct MakesMuch;

impl FromRequestParts<Arc<Api>> for MakesMuch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        api.memory.reserve(parts).await?;
        Ok(Self)
    }
}

impl FromRequestParts<Arc<Api>> for Store {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        // Most changes answer with little, and must not wait for lists. A PUT may only be a preview.
        if [Method::GET, Method::PUT].contains(&parts.method) {
            api.memory.reserve(parts).await?;
        }
        api.store.get().map(|(store, _)| store.clone()).ok_or_else(problem::away)
    }
}

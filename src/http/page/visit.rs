//! Requests of people who logged in. A handler that takes a [`Visit`] cannot be reached without a
//! session, and one that takes a [`Posted`] not without the role `admin`, a form of the session, and
//! a page of this server as its origin.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use subtle::ConstantTimeEq;

use super::layout::Failure;
use crate::http::Api;
use crate::http::auth::Session;
use crate::http::extract::Form;
use crate::http::host::{KnownHost, is_same_origin};
use crate::http::ops::{self, intent_of};
use crate::store::Store;
use f0_learning_core::intent::Intent;
use firestore_kit::PageRequest;

/// A request with a session.
#[derive(Debug)]
pub struct Visit {
    pub api: Arc<Api>,
    pub store: Store,
    pub session: Session,
    pub now: i64,
    /// The path with its query.
    pub path: String,
    query: Fields,
}

/// The fields of a form or of a query.
#[derive(Debug, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A field that must be there.
    pub fn require(&self, name: &str) -> Result<&str, Failure> {
        self.get(name).ok_or_else(|| Failure::bad_request(format!("missing field {name}")))
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

impl Visit {
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name)
    }

    pub fn fields(&self) -> &Fields {
        &self.query
    }

    /// For pages that only admins may see.
    pub fn require_admin(&self) -> Result<(), Failure> {
        match self.session.is_admin() {
            true => Ok(()),
            false => Err(Failure::new(StatusCode::FORBIDDEN, "this page needs the role `admin`")),
        }
    }
}

impl FromRequestParts<Arc<Api>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Response> {
        KnownHost::from_request_parts(parts, api)
            .await
            .map_err(|it| Failure(it).into_response())?;
        let now = api.clock.now();
        let Some(session) = api.sessions.of_request(parts, now) else {
            return Err(to_login(parts));
        };
        let store = Store::from_request_parts(parts, api).await;
        let store = store.map_err(|problem| Failure(problem).into_response())?;
        let query = parts.uri.query().unwrap_or_default();
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let path = parts.uri.path_and_query().map_or("/", |it| it.as_str()).to_owned();
        Ok(Self { api: api.clone(), store, session, now, path, query: Fields(query) })
    }
}

/// The browser goes to the login: by a redirect, or, in a request by htmx, by the header that htmx
/// follows with the whole page.
fn to_login(parts: &Parts) -> Response {
    if parts.headers.contains_key("hx-request") || parts.uri.path() == "/page/events" {
        let mut response = StatusCode::UNAUTHORIZED.into_response();
        response.headers_mut().insert("hx-redirect", HeaderValue::from_static("/login"));
        return response;
    }
    Redirect::to("/login").into_response()
}

/// A form that an admin sent.
#[derive(Debug)]
pub struct Posted {
    pub visit: Visit,
    pub fields: Fields,
}

/// A form that anyone with a session sent.
#[derive(Debug)]
pub struct PostedByAnyone(pub Visit);

impl FromRequest<Arc<Api>> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Response> {
        let posted = posted(request, api).await?;
        posted.visit.require_admin().map_err(IntoResponse::into_response)?;
        Ok(posted)
    }
}

impl FromRequest<Arc<Api>> for PostedByAnyone {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Response> {
        posted(request, api).await.map(|posted| Self(posted.visit))
    }
}

async fn posted(request: Request, api: &Arc<Api>) -> Result<Posted, Response> {
    let (mut parts, body) = request.into_parts();
    let visit = Visit::from_request_parts(&mut parts, api).await?;
    check_origin(&parts).map_err(IntoResponse::into_response)?;
    let form = Form::from_request(Request::from_parts(parts, body), api).await;
    let Form(fields) = form.map_err(|problem| Failure(problem).into_response())?;
    let fields = Fields(fields);
    let sent = fields.get("csrf").unwrap_or_default();
    if !bool::from(sent.as_bytes().ct_eq(visit.session.csrf.as_bytes())) {
        let detail = "the form is not of this session: go back, reload the page and send it again";
        return Err(Failure::new(StatusCode::FORBIDDEN, detail).into_response());
    }
    Ok(Posted { visit, fields })
}

/// Refuses a form that a page of another server sent.
pub fn check_origin(parts: &Parts) -> Result<(), Failure> {
    match is_same_origin(parts) {
        true => Ok(()),
        false => {
            let detail = "the form was sent by a page of another server; nothing was changed";
            Err(Failure::new(StatusCode::FORBIDDEN, detail))
        }
    }
}

impl Posted {
    /// The intent of the admin; `operation` names the change.
    pub async fn intent(&self, operation: &str) -> Result<Intent, Failure> {
        let about = |name: &str| !["csrf", "key"].contains(&name);
        let asked: BTreeMap<_, Vec<_>> = self.fields.0.iter().filter(|(name, _)| about(name)).fold(
            BTreeMap::new(),
            |mut asked: BTreeMap<_, Vec<_>>, (name, value)| {
                asked.entry(name).or_default().push(value);
                asked
            },
        );
        let key = self.fields.get("key").map(str::to_owned);
        let reason = self.fields.get("reason").map(|it| it.trim().to_owned());
        let reason = reason.filter(|it| !it.is_empty());
        let caller = self.visit.session.caller.clone();
        let operation = format!("page {operation}");
        let now = self.visit.api.now().await?;
        Ok(intent_of(caller, key, &operation, &asked, reason, now)?)
    }
}

/// A random key for a form.
#[expect(clippy::disallowed_methods, reason = "two forms must not have the same key")]
pub fn form_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The page after `cursor`, or the first one.
pub fn page_request(cursor: Option<&str>, limit: usize) -> Result<PageRequest, Failure> {
    Ok(ops::page(Some(limit as u64), cursor)?)
}

/// A policy's id from a path.
pub fn check_id(id: &str) -> Result<(), Failure> {
    Ok(ops::check_id(id)?)
}

/// The answer to a change that was made: a page that says so, which a reload does not send again.
pub fn after(path: &str) -> Response {
    Redirect::to(path).into_response()
}

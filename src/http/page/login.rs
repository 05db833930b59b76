//! Logging in with the admin token or a Firebase ID token, and logging out.

use std::sync::Arc;

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::layout::{Failure, answering, bare};
use super::text::shown;
use super::visit::{Fields, PostedByAnyone, check_origin};
use crate::http::Api;
use crate::http::auth::{clear_cookie, log_in as authenticate};
use crate::http::extract::Form;
use crate::http::host::KnownHost;

pub async fn show(_: KnownHost, State(api): State<Arc<Api>>) -> Response {
    bare("Log in", &form(&api, None))
}

fn form(api: &Api, error: Option<&str>) -> Markup {
    html! {
        section.card.narrow {
            h1 { "Log in" }
            @if let Some(error) = error {
                p.alert role="alert" { (shown(error)) }
            }
            @if api.credentials.is_none() {
                p { "No credentials are configured, so that no one can log in. Set one of these "
                    "variables and restart the service:" }
                ul {
                    li { code { "ADMIN_TOKEN" } ": at least 32 characters, for example from "
                        code { "openssl rand -hex 32" } }
                    li { code { "FIREBASE_PROJECT_ID" } ": people log in with their Firebase ID token" }
                }
            } @else {
                form method="post" action="/login" {
                    label for="token" { "Admin token, or a Firebase ID token" }
                    input #token type="password" name="token" required autocomplete="current-password";
                    label for="name" { "Your name, for the audit trail (only with the admin token)" }
                    input #name type="text" name="name" maxlength="200" autocomplete="username";
                    div.actions { button.primary type="submit" { "Log in" } }
                }
                p.muted { "f0-learning dev prints its admin token when it starts." }
            }
        }
    }
}

pub async fn log_in(
    _: KnownHost,
    State(api): State<Arc<Api>>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    check_origin(&parts)?;
    let copy = Request::from_parts(parts.clone(), body);
    let Form(fields) = Form::from_request(copy, &api).await?;
    let fields = Fields(fields);
    let token = fields.get("token").unwrap_or_default();
    let name = fields.get("name").unwrap_or_default();
    match authenticate(&parts, &api, token, name).await {
        Ok(caller) => {
            tracing::info!(
                actor = caller.actor,
                name = caller.actor_name,
                "logged in to the pages"
            );
            let cookie = api.sessions.open(&caller, &parts, api.clock.now());
            Ok(with_cookie(Redirect::to("/").into_response(), &cookie))
        }
        Err(problem) => {
            let error = match problem.status() {
                StatusCode::UNAUTHORIZED => "the token is not valid",
                _ => problem.detail(),
            };
            Ok(answering(&problem, bare("Log in", &form(&api, Some(error)))))
        }
    }
}

pub async fn log_out(State(api): State<Arc<Api>>, request: Request) -> Result<Response, Response> {
    let (parts, body) = request.into_parts();
    let copy = Request::from_parts(parts.clone(), body);
    let PostedByAnyone(visit) = PostedByAnyone::from_request(copy, &api).await?;
    api.sessions.end(&visit.session, visit.now);
    tracing::info!(actor = visit.session.caller.actor, "logged out of the pages");
    Ok(with_cookie(Redirect::to("/login").into_response(), &clear_cookie(&parts)))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

//! The pages at `/`: what an admin looks at to see whether the system learns and what waits for a
//! decision, and from where an admin decides.
//!
//! The server renders all HTML, so that everything works without scripts. With them, the pages that
//! show state are fetched again when `events` reports a change. Reading needs a session, and a
//! change needs the role `admin` and a form of that session ([`visit`]). Changes call the same
//! functions of the store as `/ops`. No text from the store reaches a page except through [`text`]
//! and the templates, which escape it.

mod assets;
mod audit;
mod component;
mod components;
mod configuration;
mod events;
mod experiments;
mod flags;
mod layout;
mod login;
mod overview;
mod policies;
mod quarantine;
mod text;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::Api;
use super::problem::Problem;

/// What the requests for pages share.
#[derive(Debug, Default)]
pub struct Shared {
    overview: overview::Latest,
    events: events::Events,
}

/// Nothing from another host, and nothing inline: a name that escaped the templates could not run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/login", get(login::show).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/policies", get(policies::list))
        .route("/policies/{id}", get(policies::show))
        .route("/policies/{id}/override", get(policies::override_form))
        .route("/policies/{id}/envelope", get(policies::envelope_form))
        .route("/policies/{id}/test", get(policies::test_form).post(policies::start_test))
        .route("/policies/{id}/decide", get(policies::confirm).post(policies::decide))
        .route("/experiments", get(experiments::list))
        .route("/experiments/{id}/stop", get(experiments::confirm).post(experiments::stop))
        .route("/flags", get(flags::confirm).post(flags::change))
        .route("/components", get(components::list))
        .route("/components/{name}", get(component::show))
        .route("/quarantine", get(quarantine::list).post(quarantine::requeue))
        .route("/audit", get(audit::list))
        .route("/configuration", get(configuration::show))
        .route("/configuration/{document}", get(configuration::edit).post(configuration::save))
        .route("/configuration/{document}/preview", post(configuration::preview))
        .route("/page/events", get(events::listen))
        .route("/page/assets/{name}", get(assets::serve))
        .layer(map_response(protected))
}

/// A request for no page that failed.
pub fn failed(problem: Problem) -> Response {
    protect(layout::Failure(problem).into_response())
}

async fn protected(response: Response) -> Response {
    protect(response)
}

fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // `no-referrer` would make the browser send forms without their origin.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    let policy = HeaderName::from_static("cross-origin-opener-policy");
    headers.insert(policy, HeaderValue::from_static("same-origin"));
    response
}

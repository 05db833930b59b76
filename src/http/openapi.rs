//! The API's description, OpenAPI 3.1, generated from the handlers and their types.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::host::KnownHost;
use super::problem::Problem;
use super::{Api, ops, probes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "f0-learning",
        description = "Policies that learn from their outcomes: read observations and proposals, \
                       decide on them, and see who decided what.\n\nTimes are epoch \
                       milliseconds. Changes take an `Idempotency-Key`: requests with the same \
                       key are carried out once.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(Problem, ops::config::ConfigName)),
    modifiers(&Bearer),
    security(("bearer" = [])),
    tags(
        (name = "policies", description = "The versions of policies, and decisions on them"),
        (name = "experiments", description = "A/B tests of drafts, and watches of activations"),
        (name = "flags", description = "The kill switch, and automatic activation"),
        (name = "config", description = "The documents of `config`, and changes of them"),
        (name = "records", description = "Observations, statistics and the audit trail"),
        (name = "probes", description = "Health and metrics of the service"),
    ),
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "The static `ADMIN_TOKEN`, or a Firebase ID token with a `role` claim: `admin`, or \
                 `service` to read",
            ))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The routes with their description. Routes that change something exist only if credentials are
/// configured.
pub fn routes(changing: bool) -> OpenApiRouter<Arc<Api>> {
    let reading = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::health))
        .routes(routes!(probes::ready))
        .routes(routes!(probes::metrics))
        .routes(routes!(ops::policies::list))
        .routes(routes!(ops::policies::show))
        .routes(routes!(ops::policies::show_version))
        .routes(routes!(ops::policies::show_diff))
        .routes(routes!(ops::envelopes::show))
        .routes(routes!(ops::experiments::policy_history))
        .routes(routes!(ops::experiments::list))
        .routes(routes!(ops::experiments::show))
        .routes(routes!(ops::records::stats))
        .routes(routes!(ops::records::observations))
        .routes(routes!(ops::records::audit))
        .routes(routes!(ops::flags::read))
        .routes(routes!(ops::config::show));
    if !changing {
        return reading;
    }
    reading
        .routes(routes!(ops::transitions::activate))
        .routes(routes!(ops::transitions::reject))
        .routes(routes!(ops::transitions::rollback))
        .routes(routes!(ops::transitions::override_policy))
        .routes(routes!(ops::transitions::pin))
        .routes(routes!(ops::transitions::unpin))
        .routes(routes!(ops::transitions::repair))
        .routes(routes!(ops::envelopes::approve))
        .routes(routes!(ops::envelopes::freeze))
        .routes(routes!(ops::experiments::start))
        .routes(routes!(ops::experiments::stop))
        .routes(routes!(ops::flags::change))
        .routes(routes!(ops::config::change))
}

/// The description as it is published.
pub fn route(document: utoipa::openapi::OpenApi) -> Router<Arc<Api>> {
    Router::new().route("/openapi.json", get(async move |_: KnownHost| Json(document)))
}

/// The whole description, as a server with credentials publishes it.
pub fn document() -> utoipa::openapi::OpenApi {
    routes(true).into_openapi()
}

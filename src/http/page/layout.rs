//! What all pages have in common: the head, the navigation, and how errors are shown.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use firestore_kit::Unreadable;
use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::text::shown;
use crate::http::auth::Session;
use crate::http::problem::Problem;
use crate::store::{ChangeError, StoreError};

/// The pages of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Overview,
    Policies,
    Experiments,
    Components,
    Quarantine,
    Audit,
    Configuration,
}

const TABS: [(Tab, &str, &str); 7] = [
    (Tab::Overview, "/", "Overview"),
    (Tab::Policies, "/policies", "Policies"),
    (Tab::Experiments, "/experiments", "Experiments"),
    (Tab::Components, "/components", "Components"),
    (Tab::Quarantine, "/quarantine", "Quarantine"),
    (Tab::Audit, "/audit", "Audit"),
    (Tab::Configuration, "/configuration", "Configuration"),
];

/// For htmx: no inline style, no evaluation of text, no copy of a page in the browser's storage.
const HTMX: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"historyCacheSize":0,"selfRequestsOnly":true,"allowScriptTags":false}"#;

fn document(title: &str, header: &Markup, body: &Markup) -> Markup {
    let [style, script, htmx] = assets::paths();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                title { (title) " – f0-learning" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href=(style);
                script src=(htmx) defer {}
                script src=(script) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (header)
                main id="main" { (body) }
            }
        }
    }
}

/// A page for a caller who logged in.
pub fn page(session: &Session, tab: Tab, title: &str, body: &Markup) -> Response {
    let caller = &session.caller;
    let name = caller.actor_name.as_ref().unwrap_or(&caller.actor);
    let role = if session.is_admin() { "admin" } else { "read only" };
    let header = html! {
        header.bar {
            a.brand href="/" { "f0-learning" }
            nav aria-label="Pages" {
                @for (it, path, label) in TABS {
                    @if it != Tab::Audit || session.is_admin() {
                        a href=(path) aria-current=[(it == tab).then_some("page")] { (label) }
                    }
                }
            }
            form.who method="post" action="/logout" {
                span { (shown(name)) " · " (role) }
                input type="hidden" name="csrf" value=(session.csrf);
                button.quiet type="submit" { "Log out" }
            }
        }
    };
    Html(document(title, &header, body).into_string()).into_response()
}

/// A page for anyone.
pub fn bare(title: &str, body: &Markup) -> Response {
    let header = html! { header.bar { a.brand href="/" { "f0-learning" } } };
    Html(document(title, &header, body).into_string()).into_response()
}

/// A request that failed, as a page.
#[derive(Debug)]
pub struct Failure(pub Problem);

impl Failure {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self(Problem::new(status, detail))
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let title = problem.status().canonical_reason().unwrap_or("Error");
        let body = html! {
            section.card {
                h1 { (title) }
                p.alert role="alert" { (shown(problem.detail())) }
                p { a href="/" { "Back to the overview" } }
            }
        };
        answering(&problem, bare(title, &body))
    }
}

/// A page as the answer to a request that failed.
pub fn answering(problem: &Problem, mut page: Response) -> Response {
    *page.status_mut() = problem.status();
    if let Some(seconds) = problem.retry_after() {
        page.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    page
}

/// The documents of a list that cannot be read.
pub fn unreadable(documents: &[Unreadable]) -> Markup {
    html! {
        @for it in documents {
            p.alert { (shown(&it.document)) " cannot be read: " (shown(&it.why)) }
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        Self(error.into())
    }
}

/// Whether a form asks for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Required,
    Optional,
    /// The change has no audit entry.
    None,
}

/// A change that a form describes.
pub struct Confirmation<'a> {
    pub action: String,
    /// What the form sends besides the reason.
    pub hidden: Vec<(String, String)>,
    /// Choices above the reason.
    pub choices: Markup,
    pub reason: Reason,
    pub label: &'a str,
    pub is_dangerous: bool,
    pub cancel: String,
}

/// The form that makes a change. Its key makes sure that sending it twice changes one thing once.
pub fn confirmation(session: &Session, key: &str, it: &Confirmation) -> Markup {
    let class = if it.is_dangerous { "danger" } else { "primary" };
    html! {
        form.decide method="post" action=(it.action) {
            input type="hidden" name="csrf" value=(session.csrf);
            input type="hidden" name="key" value=(key);
            @for (name, value) in &it.hidden {
                input type="hidden" name=(name) value=(value);
            }
            (it.choices)
            @if it.reason != Reason::None {
                label for="reason" {
                    "Reason, for the audit trail" @if it.reason == Reason::Optional { " (optional)" }
                }
                input #reason type="text" name="reason" maxlength="500" autocomplete="off"
                    required[it.reason == Reason::Required];
            }
            div.actions {
                button class=(class) type="submit" { (it.label) }
                a.button href=(it.cancel) { "Cancel" }
            }
        }
    }
}

/// A notice that a change was made.
pub fn done(action: Option<&str>) -> Markup {
    html! {
        @if action.is_some() {
            p.notice role="status" { "Done. The change and its audit entry are stored." }
        }
    }
}

/// A part of a page that is fetched again when something changes.
pub fn live(path: &str, content: &Markup) -> Markup {
    html! {
        div #live data-live hx-get=(path) hx-select="#live" hx-swap="outerHTML"
            hx-trigger="page-changed from:body" {
            (content)
        }
    }
}

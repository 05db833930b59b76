//! The first page: whether the system learns, and what waits for a decision.

mod chart;
mod load;
mod view;

use axum::response::Response;

use super::layout::{Failure, Tab, done, live, page};
use super::visit::Visit;

pub use load::Latest;

pub async fn show(visit: Visit) -> Result<Response, Failure> {
    let found = visit.api.pages.overview.get(&visit).await?;
    let range = chart::Range::named(visit.query("range"), &found);
    let content = view::overview(&visit, &found, range);
    let body = maud::html! { (done(visit.query("done"))) (live(&visit.path, &content)) };
    Ok(page(&visit.session, Tab::Overview, "Overview", &body))
}

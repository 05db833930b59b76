//! Lists a page at a time. A cursor names the last document of a page, so that a page costs what
//! it holds, however far down it is, and stays right while documents come and go.

use std::fmt;
use std::str::FromStr;

use firestore::gcloud_sdk::google::firestore::v1::{Document, StructuredQuery, Value};
use thiserror::Error;

use crate::error::Result;
use crate::query::Query;
use crate::{Db, value};

pub const DEFAULT_PAGE: usize = 50;
pub const MAX_PAGE: usize = 200;

/// Firestore's limit on a document's id, in bytes.
const MAX_DOCUMENT_ID: usize = 1_500;

#[derive(Clone, Debug)]
pub struct PageRequest {
    /// At most so many items.
    pub limit: usize,
    pub after: Option<PageCursor>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: DEFAULT_PAGE, after: None }
    }
}

/// Items, and the cursor of the page after them, if there is more.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<PageCursor>,
}

/// Where a page ended: the last document's id, and its `ts` where the list is in that order.
///
/// Written as `id`, or as `ts~id`; a component may have written `ts` as an integer or a double.
#[derive(Clone, Debug, PartialEq)]
pub struct PageCursor {
    ts: Option<f64>,
    id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid cursor {0:?}: omit it to start from the beginning")]
pub struct InvalidCursor(String);

impl FromStr for PageCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidCursor> {
        let refused = || InvalidCursor(text.chars().take(80).collect());
        let (ts, id) = match text.split_once('~') {
            Some(("", id)) => (None, id),
            Some((ts, id)) => (Some(ts.parse().map_err(|_| refused())?), id),
            None => return Err(refused()),
        };
        let finite = ts.is_none_or(f64::is_finite);
        let possible = (1..=MAX_DOCUMENT_ID).contains(&id.len()) && !id.contains('/');
        let reserved = id == "." || id == ".." || (id.starts_with("__") && id.ends_with("__"));
        if !finite || !possible || reserved {
            return Err(refused());
        }
        Ok(Self { ts, id: id.to_owned() })
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ts {
            Some(ts) => write!(f, "{ts}~{}", self.id),
            None => write!(f, "~{}", self.id),
        }
    }
}

/// The page of a list in the order of document ids.
pub fn by_name(db: &Db, query: Query, collection: &str, page: &PageRequest) -> StructuredQuery {
    let query = query.ascending("__name__").limit(page.limit + 1);
    match &page.after {
        Some(PageCursor { id, .. }) => {
            query.start_after(vec![value::reference(db.name(collection, id))])
        }
        None => query,
    }
    .build()
}

/// The page of a list by `ts`, newest first.
pub fn newest_first(
    db: &Db,
    query: Query,
    collection: &str,
    page: &PageRequest,
) -> StructuredQuery {
    let query = query.descending("ts").descending("__name__").limit(page.limit + 1);
    match &page.after {
        Some(PageCursor { ts, id }) => {
            // Firestore compares integers and doubles by value; milliseconds are exact in both.
            let ts = value::double(ts.unwrap_or(f64::MAX));
            query.start_after(vec![ts, value::reference(db.name(collection, id))])
        }
        None => query,
    }
    .build()
}

impl<T> Page<T> {
    /// From the documents that a page's query gave: one more than the page holds where there is
    /// more.
    pub fn of(
        page: &PageRequest,
        documents: &[Document],
        decode: impl FnOnce(&[Document]) -> Result<Vec<T>>,
    ) -> Result<Self> {
        let shown = &documents[..documents.len().min(page.limit)];
        let next = (documents.len() > page.limit).then(|| shown.last().map(cursor_of)).flatten();
        Ok(Self { items: decode(shown)?, next })
    }
}

fn cursor_of(document: &Document) -> PageCursor {
    let ts = document.fields.get("ts").and_then(number);
    PageCursor { ts, id: value::document_id(document).to_owned() }
}

fn number(value: &Value) -> Option<f64> {
    value::to_json(value).as_f64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_reads_as_it_prints() {
        for text in ["1780000000000~abc", "1780000000000.5~a|b~c", "~router-core@1.0.0"] {
            assert_eq!(text.parse::<PageCursor>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_could_be_no_document_is_refused(text in ".{0,30}") {
            if let Ok(cursor) = text.parse::<PageCursor>() {
                prop_assert!(!cursor.id.is_empty() && !cursor.id.contains('/'));
            }
        }
    }
}

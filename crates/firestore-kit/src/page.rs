//! Lists, one page at a time. A cursor names the last document of a page, so that the cost of a page
//! depends only on its size, and pages stay correct while documents are added and deleted.

use std::fmt;
use std::str::FromStr;

use firestore::gcloud_sdk::google::firestore::v1::Document;
use thiserror::Error;

use crate::bounded::{Found, PAGE_BYTES};
use crate::error::{Error, Result};
use crate::names::is_document_id;
use crate::query::Query;
use crate::{Db, value};

pub const DEFAULT_PAGE: usize = 50;
pub const MAX_PAGE: usize = 200;

#[derive(Clone, Debug)]
pub struct PageRequest {
    /// The most items on the page.
    pub limit: usize,
    pub after: Option<PageCursor>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: DEFAULT_PAGE, after: None }
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOrder {
    /// By document id, ascending.
    ByName,
    /// By this field, descending; documents where it is not a finite number are not listed.
    NewestFirst(&'static str),
}

/// Items, and the cursor of the next page if there is one.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The documents of the page that cannot be read.
    pub unreadable: Vec<Unreadable>,
    pub next: Option<PageCursor>,
}

/// A document that is in a list, and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// As `collection/id`.
    pub document: String,
    pub why: String,
}

impl From<Error> for Unreadable {
    fn from(error: Error) -> Self {
        match error {
            Error::Decode { document, detail, .. } => Self { document, why: detail },
            other => Self { document: String::new(), why: other.to_string() },
        }
    }
}

/// The end of a page: the last document's id, and its order field where the list has one.
///
/// Written as `~id`, or as `number~id`; the field may be stored as an integer or as a double.
#[derive(Clone, Debug, PartialEq)]
pub struct PageCursor {
    number: Option<f64>,
    id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid cursor {0:?}: omit it to start from the beginning")]
pub struct InvalidCursor(String);

impl FromStr for PageCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidCursor> {
        let invalid = || InvalidCursor(text.chars().take(80).collect());
        let (number, id) = match text.split_once('~') {
            Some(("", id)) => (None, id),
            Some((number, id)) => (Some(number.parse().map_err(|_| invalid())?), id),
            None => return Err(invalid()),
        };
        if !number.is_none_or(f64::is_finite) || !is_document_id(id) {
            return Err(invalid());
        }
        Ok(Self { number, id: id.to_owned() })
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "{number}~{}", self.id),
            None => write!(f, "~{}", self.id),
        }
    }
}

impl PageOrder {
    /// The documents that `query` selects for one page, and one more than the page holds: [`Page::of`]
    /// concludes from it whether there is a next page. They are fewer if they would take more memory
    /// than [`PAGE_BYTES`].
    pub async fn read(
        self,
        db: &Db,
        collection: &str,
        query: Query,
        page: &PageRequest,
    ) -> Result<Found> {
        let mut all = Found::default();
        let mut rest = PageRequest { limit: page.limit + 1, after: page.after.clone() };
        loop {
            let query = self.query(db, collection, query.clone(), &rest);
            let found = db.query_page(collection, query, rest.limit).await?;
            all.more = found.more;
            let Some(last) = found.documents.last() else { return Ok(all) };
            rest.after = Some(self.cursor_of(last));
            rest.limit = rest.limit.saturating_sub(found.documents.len());
            all.bytes += found.bytes;
            all.documents.extend(found.documents);
            if !all.more || rest.limit == 0 || all.bytes >= PAGE_BYTES {
                return Ok(all);
            }
        }
    }

    /// The query, in this order, after the end of the previous page.
    fn query(self, db: &Db, collection: &str, query: Query, page: &PageRequest) -> Query {
        let after = page.after.as_ref();
        let name_of = |cursor: &PageCursor| value::reference(db.name(collection, &cursor.id));
        match (self, after) {
            (Self::ByName, None) => query.ascending("__name__"),
            (Self::ByName, Some(cursor)) => {
                query.ascending("__name__").start_after(vec![name_of(cursor)])
            }
            (Self::NewestFirst(field), after) => {
                let query = query.descending(field).descending("__name__");
                // Only finite numbers are between these: values of other types sort before and after
                // them, and a cursor could not name them.
                let query = query.end_before(vec![value::double(f64::NEG_INFINITY)]);
                // Firestore compares integers and doubles by value; milliseconds are exact in both.
                let number = |cursor: &PageCursor| value::double(cursor.number.unwrap_or(f64::MAX));
                match after {
                    None => query.start_at(vec![value::double(f64::MAX)]),
                    Some(cursor) => query.start_after(vec![number(cursor), name_of(cursor)]),
                }
            }
        }
    }

    fn cursor_of(self, document: &Document) -> PageCursor {
        let number = match self {
            Self::ByName => None,
            Self::NewestFirst(field) => {
                document.fields.get(field).and_then(|value| value::to_json(value).as_f64())
            }
        };
        PageCursor { number, id: value::document_id(document).to_owned() }
    }
}

impl<T> Page<T> {
    /// The page of the documents that [`PageOrder::read`] returned.
    pub fn of(
        order: PageOrder,
        page: &PageRequest,
        found: &Found,
        decode: impl FnOnce(&[Document]) -> Vec<T>,
    ) -> Self {
        let Found { documents, more, .. } = found;
        let shown = &documents[..documents.len().min(page.limit)];
        let last = shown.last().filter(|_| *more || documents.len() > page.limit);
        let next = last.map(|last| order.cursor_of(last));
        Self { items: decode(shown), unreadable: Vec::new(), next }
    }

    /// The same, with the documents that cannot be read: one of them must not hide the others.
    pub fn decoded(
        order: PageOrder,
        page: &PageRequest,
        found: &Found,
        decode: impl Fn(&Document) -> Result<T>,
    ) -> Self {
        let mut unreadable = Vec::new();
        let page = Self::of(order, page, found, |shown| {
            let decoded = shown.iter().filter_map(|document| {
                decode(document).map_err(|error| unreadable.push(error.into())).ok()
            });
            decoded.collect()
        });
        Self { unreadable, ..page }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_parses_from_its_own_text() {
        for text in ["1780000000000~abc", "1780000000000.5~a|b~c", "~router-core@1.0.0"] {
            assert_eq!(text.parse::<PageCursor>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_page_has_a_cursor_only_if_there_is_a_next_page() {
        let document = |n: i64| Document {
            name: format!("projects/p/databases/d/documents/things/{n}"),
            fields: value::fields([("at", value::int(n))]),
            ..Document::default()
        };
        let documents = vec![document(3), document(2), document(1)];
        let mut found = Found { documents, ..Found::default() };
        let page = |limit, order, found: &Found| {
            let request = PageRequest { limit, after: None };
            let page = Page::of(order, &request, found, |shown| vec![(); shown.len()]);
            (page.items.len(), page.next.map(|cursor| cursor.to_string()))
        };
        let newest_first = PageOrder::NewestFirst("at");
        assert_eq!(page(2, newest_first, &found), (2, Some("2~2".to_owned())));
        assert_eq!(page(2, PageOrder::ByName, &found), (2, Some("~2".to_owned())));
        assert_eq!(page(3, newest_first, &found), (3, None));
        found.more = true;
        assert_eq!(page(9, newest_first, &found), (3, Some("1~1".to_owned())));
    }

    proptest! {
        #[test]
        fn a_cursor_holds_a_valid_document_id(text in ".{0,30}") {
            if let Ok(cursor) = text.parse::<PageCursor>() {
                prop_assert!(is_document_id(&cursor.id));
            }
        }
    }
}

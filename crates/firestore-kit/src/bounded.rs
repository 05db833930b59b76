//! Reads whose memory is bounded in bytes, whatever is stored: a document may have a mebibyte, which
//! takes up to sixty times as much once it is decoded.
//!
//! - [`Db::query_page`] ends a page at [`PAGE_BYTES`], and asks for as many documents the next time
//!   as fitted the last time.
//! - [`Db::query_map`] and [`Db::get_map`] keep only what the caller takes from each document.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use firestore::gcloud_sdk::google::firestore::v1::{
    Document, DocumentMask, StructuredQuery, batch_get_documents_response::Result as Answer,
};

use crate::Db;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::value;

/// The most bytes that the documents of a page take in memory, except for its last document.
pub const PAGE_BYTES: usize = 4 << 20;

/// Documents on the first page of a kind, whose sizes are not known yet.
const FIRST_PAGE: usize = 64;

/// Documents whose names are sent in one request.
const NAMES_AT_ONCE: usize = 400;

/// Names that a filter takes (the maximum of `in`).
pub const NAMES_IN_FILTER: usize = 30;

/// Kinds of documents whose sizes are remembered; past this, all are forgotten.
const KINDS: usize = 64;

/// The documents of a page.
#[derive(Debug, Default)]
pub struct Found {
    pub documents: Vec<Document>,
    /// Whether more may follow: the page has as many documents as were asked for, or ended at
    /// [`PAGE_BYTES`].
    pub more: bool,
    /// The bytes that the documents take in memory.
    pub bytes: usize,
}

/// How many items from the front take at most `most` bytes together; at least one, if there is one.
pub fn fitting(most: usize, sizes: impl IntoIterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let mut sizes = sizes.into_iter().peekable();
    let least = usize::from(sizes.peek().is_some());
    let fit = sizes.take_while(|size| {
        bytes += size;
        bytes <= most
    });
    fit.count().max(least)
}

impl Found {
    /// The last document, if more may follow it.
    pub fn last(&self) -> Option<&Document> {
        self.documents.last().filter(|_| self.more)
    }
}

/// How many documents of a kind are asked for: as many as fitted into a page before, or twice as many
/// if they took less than half of it.
#[derive(Debug, Default)]
pub(crate) struct PageSizes(Mutex<HashMap<String, usize>>);

impl PageSizes {
    fn of(&self, kind: &str) -> usize {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.get(kind).copied().unwrap_or(FIRST_PAGE)
    }

    fn learn(&self, kind: String, asked: usize, fitted: usize, bytes: usize) {
        let next = match bytes {
            PAGE_BYTES.. => fitted.min(asked / 2).max(1),
            // A short page says nothing about a longer one.
            _ if fitted < asked => return,
            _ if bytes < PAGE_BYTES / 2 => asked.saturating_mul(2),
            _ => asked,
        };
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sizes.len() >= KINDS {
            sizes.clear();
        }
        sizes.insert(kind, next);
    }
}

/// The documents of one query differ from those of another by the fields that they have.
fn kind_of(target: &str, query: &StructuredQuery) -> String {
    let fields = query.select.iter().flat_map(|select| &select.fields);
    fields.fold(target.to_owned(), |kind, field| kind + " " + &field.field_path)
}

impl Db {
    /// The first documents of a query: at most `limit`, and no more than fit into [`PAGE_BYTES`]. There
    /// is at least one, if the query has any.
    pub async fn query_page(&self, target: &str, query: Query, limit: usize) -> Result<Found> {
        let mut query = query.build();
        let kind = kind_of(target, &query);
        let asked = self.sizes.of(&kind).min(limit.max(1));
        query.limit = Some(i32::try_from(asked).unwrap_or(i32::MAX));
        let (documents, bytes) = self
            .fold_query(
                target,
                &query,
                || (Vec::new(), 0),
                |(documents, bytes), document| {
                    *bytes += value::memory(&document);
                    documents.push(document);
                    *bytes < PAGE_BYTES
                },
            )
            .await?;
        self.sizes.learn(kind, asked, documents.len(), bytes);
        let more = documents.len() >= asked || bytes >= PAGE_BYTES;
        Ok(Found { documents, more, bytes })
    }

    /// What `take` makes of each document of a query, in order. Only that is kept.
    pub async fn query_map<T>(
        &self,
        target: &str,
        query: StructuredQuery,
        take: impl Fn(Document) -> Option<T>,
    ) -> Result<Vec<T>> {
        self.fold_query(target, &query, Vec::new, |taken, document| {
            taken.extend(take(document));
            true
        })
        .await
    }

    /// Adds the documents of a query to a value, until `add` returns `false`. Each attempt starts with a
    /// `new` value.
    async fn fold_query<T>(
        &self,
        target: &str,
        query: &StructuredQuery,
        new: impl Fn() -> T,
        add: impl Fn(&mut T, Document) -> bool,
    ) -> Result<T> {
        let failed = |status| Error::rpc("query", target, status);
        self.retry
            .run(|| async {
                let mut folded = new();
                let mut stream = self.query(query.clone()).await.map_err(failed)?;
                let mut is_first = true;
                while let Some(response) = stream.message().await.map_err(failed)? {
                    // Later messages may arrive long after the read.
                    if std::mem::take(&mut is_first) {
                        self.time.record(response.read_time);
                    }
                    let Some(document) = response.document else { continue };
                    if !add(&mut folded, document) {
                        break;
                    }
                }
                Ok(folded)
            })
            .await
    }

    /// What `take` makes of each document that exists among `names`, by name, in no order. Only that is
    /// kept. With `fields`, only these are read.
    pub async fn get_map<T>(
        &self,
        names: &[String],
        fields: Option<&[&str]>,
        take: impl Fn(Document) -> T,
    ) -> Result<HashMap<String, T>> {
        let mut found = HashMap::with_capacity(names.len());
        for some in names.chunks(NAMES_AT_ONCE) {
            let mask = fields.map(|fields| DocumentMask {
                field_paths: fields.iter().map(|field| (*field).to_owned()).collect(),
            });
            let taken = |document: Document| (document.name.clone(), take(document));
            found.extend(self.batch_get_map(some.to_vec(), mask, None, taken).await?.0);
        }
        Ok(found)
    }

    /// The names of the documents of a collection that exist among `names`, for names of which mostly
    /// all or none exist: a count of 30 names costs one read, and only where some of them exist and
    /// others do not, a read for each follows.
    pub async fn existing(&self, collection: &str, names: &[String]) -> Result<HashSet<String>> {
        let mut existing = HashSet::new();
        for some in names.chunks(NAMES_IN_FILTER) {
            let counted = match some {
                [_] => None,
                _ => Some(self.count(collection, Query::of(collection).among(some).build()).await?),
            };
            match counted {
                Some(0) => {}
                Some(n) if usize::try_from(n) == Ok(some.len()) => {
                    existing.extend(some.iter().cloned());
                }
                _ => {
                    let found = self.get_map(some, Some(&["__name__"]), |_| ()).await?;
                    existing.extend(found.into_keys());
                }
            }
        }
        Ok(existing)
    }

    /// The documents that exist among the first of these names, with all fields, and how many names
    /// those are: as many as fit into [`PAGE_BYTES`], and at least one.
    pub async fn get_page(
        &self,
        target: &str,
        names: &[String],
    ) -> Result<(HashMap<String, Document>, usize)> {
        let kind = format!("{target} by name");
        let mut asked = self.sizes.of(&kind).min(NAMES_AT_ONCE).min(names.len());
        loop {
            let names = &names[..asked];
            let page = self.batch_get_fold(names.to_vec(), None, None, NamedPage::default, add);
            let mut page = page.await?.0;
            // Answers may come in any order. Those after the first name without one are read again.
            let answered = names.iter().take_while(|name| page.is_answered(name)).count();
            self.sizes.learn(kind.clone(), asked, answered, page.bytes);
            if answered > 0 || asked <= 1 {
                let of_answered = names[..answered].iter();
                let found = of_answered.filter_map(|name| page.found.remove_entry(name)).collect();
                return Ok((found, answered.max(asked.min(1))));
            }
            asked = 1;
        }
    }
}

/// The answers of one request.
#[derive(Default)]
struct NamedPage {
    found: HashMap<String, Document>,
    missing: HashSet<String>,
    bytes: usize,
}

impl NamedPage {
    fn is_answered(&self, name: &str) -> bool {
        self.found.contains_key(name) || self.missing.contains(name)
    }
}

fn add(page: &mut NamedPage, answer: Answer) -> bool {
    match answer {
        Answer::Missing(name) => drop(page.missing.insert(name)),
        Answer::Found(document) => {
            page.bytes += value::memory(&document);
            page.found.insert(document.name.clone(), document);
        }
    }
    page.bytes < PAGE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_at_least_one_item() {
        assert_eq!(fitting(10, [4, 6, 1]), 2);
        assert_eq!(fitting(10, [11, 1]), 1);
        assert_eq!(fitting(10, []), 0);
    }

    #[test]
    fn a_page_holds_fewer_documents_after_a_large_one_and_more_after_a_small_one() {
        let sizes = PageSizes::default();
        let next = |asked, fitted, bytes| {
            sizes.learn("things".to_owned(), asked, fitted, bytes);
            sizes.of("things")
        };
        assert_eq!(sizes.of("things"), FIRST_PAGE);
        assert_eq!(next(64, 64, 64), 128);
        assert_eq!(next(128, 128, PAGE_BYTES * 3 / 4), 128);
        assert_eq!(next(128, 5, PAGE_BYTES), 5);
        assert_eq!(next(5, 5, 2 * PAGE_BYTES), 2);
        assert_eq!(next(2, 1, 9 * PAGE_BYTES), 1);
        assert_eq!(next(1, 1, 9 * PAGE_BYTES), 1);
        assert_eq!(next(1, 0, 0), 1, "an empty page says nothing");
        assert_eq!(next(1, 1, 10), 2);
    }
}

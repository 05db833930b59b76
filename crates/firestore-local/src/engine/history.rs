//! Earlier versions of documents, for reads at an earlier time. They are kept in memory, for at
//! most an hour (as Firestore keeps versions) and up to [`MAX_BYTES`].

use std::collections::{BTreeMap, HashMap, VecDeque};

use prost::Message;

use crate::model::time::{Micros, update_time};
use crate::proto::Document;

const MAX_AGE: i64 = 3_600 * 1_000_000;
const MAX_BYTES: usize = 32 << 20;

#[derive(Debug)]
pub struct History {
    /// By document key, and the time at which the version was superseded.
    versions: HashMap<Vec<u8>, BTreeMap<Micros, Document>>,
    /// Time, key and size of each version, in the order in which they were superseded.
    oldest_first: VecDeque<(Micros, Vec<u8>, usize)>,
    bytes: usize,
    /// Reads before this cannot be served.
    horizon: Micros,
}

impl History {
    pub fn since(horizon: Micros) -> Self {
        Self { versions: HashMap::new(), oldest_first: VecDeque::new(), bytes: 0, horizon }
    }

    pub fn horizon(&self, now: Micros) -> Micros {
        self.horizon.max(Micros(now.0 - MAX_AGE))
    }

    /// Keeps a version that was replaced or deleted at `superseded`.
    pub fn keep(&mut self, key: Vec<u8>, document: Document, superseded: Micros) {
        let size = document.encoded_len() + 2 * key.len() + 128;
        self.bytes += size;
        self.oldest_first.push_back((superseded, key.clone(), size));
        self.versions.entry(key).or_default().insert(superseded, document);
        while let Some((time, key, size)) = self.oldest_first.front() {
            if self.bytes <= MAX_BYTES && time.0 >= superseded.0 - MAX_AGE {
                break;
            }
            self.bytes -= size;
            self.horizon = self.horizon.max(*time);
            if let Some(versions) = self.versions.get_mut(key) {
                versions.remove(time);
                if versions.is_empty() {
                    let key = key.clone();
                    self.versions.remove(&key);
                }
            }
            self.oldest_first.pop_front();
        }
    }

    /// The version that was current at `time`, given that the stored one is newer.
    pub fn at(&self, key: &[u8], time: Micros) -> Option<Document> {
        let after = (std::ops::Bound::Excluded(time), std::ops::Bound::Unbounded);
        let (_, document) = self.versions.get(key)?.range(after).next()?;
        (update_time(document) <= time).then(|| document.clone())
    }

    /// The keys of documents that have earlier versions.
    pub fn keys_with_prefix<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = &'a Vec<u8>> {
        self.versions.keys().filter(move |key| key.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(micros: i64) -> Document {
        Document { update_time: Some(Micros(micros).into()), ..Document::default() }
    }

    #[test]
    fn the_version_at_a_time_is_the_one_that_was_superseded_next() {
        let mut history = History::since(Micros(0));
        let key = b"k".to_vec();
        history.keep(key.clone(), version(10), Micros(20));
        history.keep(key.clone(), version(30), Micros(40));
        let at = |time| history.at(&key, Micros(time)).map(|found| found.update_time.unwrap());
        assert_eq!(at(15), Some(Micros(10).into()));
        assert_eq!(at(25), None, "between deletion and creation");
        assert_eq!(at(35), Some(Micros(30).into()));
        assert_eq!(at(40), None);
        assert_eq!(at(5), None);
    }

    #[test]
    fn old_versions_are_dropped_and_the_horizon_advances() {
        let mut history = History::since(Micros(0));
        history.keep(b"k".to_vec(), version(1), Micros(2));
        history.keep(b"k".to_vec(), version(2), Micros(2 + MAX_AGE + 1));
        assert_eq!(history.at(b"k", Micros(1)), None);
        assert_eq!(history.horizon(Micros(0)), Micros(2));
    }
}

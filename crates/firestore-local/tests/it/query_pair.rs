//! Two servers with the same documents: one indexes every query, the other scans. Both must answer
//! every query alike.

use firestore_local::Server;
use tonic::Code;

use crate::support::Local;
use crate::support::v1::{StructuredQuery, Write};
use crate::support::values::Fields;
use crate::support::writes::put;

pub struct Pair {
    pub scanning: Local,
    pub indexing: Local,
}

impl Pair {
    pub async fn start() -> Self {
        Self {
            scanning: Local::of(Server::builder().index_threshold(usize::MAX - 1)).await,
            indexing: Local::of(Server::builder().index_threshold(0)).await,
        }
    }

    /// Starts both servers with documents, given by path.
    pub async fn with<const N: usize>(documents: [(&str, Fields); N]) -> Self {
        let pair = Self::start().await;
        let writes = documents.map(|(path, fields)| put(pair.name(path), fields));
        pair.commit(writes).await;
        pair
    }

    /// Both servers serve the same project, so that names are the same on both.
    pub fn name(&self, path: &str) -> String {
        self.scanning.name(path)
    }

    pub async fn commit(&self, writes: impl IntoIterator<Item = Write>) {
        let writes: Vec<_> = writes.into_iter().collect();
        self.scanning.commit(writes.clone()).await.unwrap();
        self.indexing.commit(writes).await.unwrap();
    }

    /// The paths of a query's documents, which are the same on both.
    pub async fn paths(&self, query: StructuredQuery) -> Vec<String> {
        let scanned = self.scanning.paths(query.clone()).await.unwrap();
        let indexed = self.indexing.paths(query.clone()).await.unwrap();
        assert_eq!(scanned, indexed, "scanned and indexed: {query:?}");
        // The second time the index exists already.
        let again = self.indexing.paths(query.clone()).await.unwrap();
        assert_eq!(scanned, again, "scanned and indexed: {query:?}");
        scanned
    }

    /// Checks the ids of a query's documents, given as one string.
    pub async fn expect(&self, query: StructuredQuery, ids: &str) {
        let paths = self.paths(query.clone()).await;
        let found: Vec<_> =
            paths.iter().map(|path| path.rsplit('/').next().unwrap_or_default()).collect();
        assert_eq!(found.join(" "), ids, "{query:?}");
    }

    pub async fn refuse(&self, query: StructuredQuery, code: Code, why: &str) {
        for local in [&self.scanning, &self.indexing] {
            match local.paths(query.clone()).await {
                Err(status) => assert_eq!(status.code(), code, "{why}: {status}"),
                Ok(found) => panic!("{why}: answered with {found:?}"),
            }
        }
    }
}

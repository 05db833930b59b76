//! The folder or bucket that holds the files.

use std::sync::Arc;

use ::parquet::errors::ParquetError;
use bytes::Bytes;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};
use url::Url;

use super::parquet::{self, File};
use super::table::Key;

pub use f0_learning_core::document::Manifest;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("invalid ARCHIVE_URL {url:?}: expected a folder or gs://BUCKET/PREFIX ({detail})")]
    Url { url: String, detail: String },
    #[error("cannot {operation} {path} in the archive: {source}")]
    Place { operation: &'static str, path: String, source: object_store::Error },
    #[error("cannot verify {path} in the archive: {detail}; no document was deleted")]
    Differs { path: String, detail: String },
}

type Result<T> = std::result::Result<T, ArchiveError>;

/// An archive. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive {
    place: Arc<dyn ObjectStore>,
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Archive {
    /// Opens the archive at `ARCHIVE_URL`: a folder, which is created if it does not exist, or
    /// `gs://BUCKET/PREFIX`, with the credentials of the environment.
    pub fn open(url: &str) -> Result<Self> {
        let wrong = |detail: String| ArchiveError::Url { url: url.to_owned(), detail };
        if url.trim().is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        let Ok(parsed) = Url::parse(url) else {
            return Self::folder(url).map_err(|error| wrong(error.to_string()));
        };
        match parsed.scheme() {
            "file" => {
                let folder = parsed.path().to_owned();
                Self::folder(&folder).map_err(|error| wrong(error.to_string()))
            }
            "gs" => Self::bucket(&parsed).map_err(|error| wrong(error.to_string())),
            other => Err(wrong(format!("unknown scheme {other}"))),
        }
    }

    fn folder(folder: &str) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { place: Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true)) })
    }

    fn bucket(url: &Url) -> std::result::Result<Self, Box<dyn std::error::Error>> {
        firestore_kit::tls::install_provider();
        let prefix = Path::from_url_path(url.path())?;
        let place = GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).build()?;
        Ok(Self { place: Arc::new(PrefixStore::new(place, prefix)) })
    }

    /// Puts a file at `staging`, reads it back, and returns its manifest. The file is moved to `path`
    /// by [`settle`](Self::settle).
    pub async fn stage(&self, file: File, staging: &str, path: &str) -> Result<Manifest> {
        let differs = |error: ParquetError| ArchiveError::Differs {
            path: staging.to_owned(),
            detail: error.to_string(),
        };
        let (bytes, keys) = file.finish().map_err(differs)?;
        let manifest = Manifest {
            path: path.to_owned(),
            count: keys.len() as u64,
            min_ts: keys.iter().map(|key| key.ts).min().unwrap_or_default(),
            max_ts: keys.iter().map(|key| key.ts).max().unwrap_or_default(),
            bytes: bytes.len() as u64,
            sha256: sha256(&bytes),
        };
        self.put(staging, bytes.into()).await?;
        if self.verified(staging, &manifest).await? != keys {
            let detail = "its keys differ from those written".to_owned();
            return Err(ArchiveError::Differs { path: staging.to_owned(), detail });
        }
        Ok(manifest)
    }

    /// Copies a staged file to the path in its manifest, stores the manifest, and returns the keys
    /// that were read back. It may be repeated at any time, by any worker.
    pub async fn settle(&self, staging: &str, manifest: &Manifest) -> Result<Vec<Key>> {
        if self.verified(&manifest.path, manifest).await.is_err() {
            let staged = self.get(staging).await?;
            self.put(&manifest.path, staged).await?;
        }
        let text = serde_json::to_vec_pretty(manifest).unwrap_or_default();
        self.put(&manifest_path(&manifest.path), text.into()).await?;
        self.verified(&manifest.path, manifest).await
    }

    /// The paths of the files in a folder and its folders, in their order.
    pub async fn files(&self, folder: &str) -> Result<Vec<String>> {
        let mut folders = vec![Path::from(folder)];
        let mut paths = Vec::new();
        while let Some(folder) = folders.pop() {
            let found = self.place.list_with_delimiter(Some(&folder)).await;
            let found = found.map_err(|source| failed("list", folder.as_ref(), source))?;
            paths.extend(found.objects.into_iter().map(|it| it.location.to_string()));
            folders.extend(found.common_prefixes);
        }
        paths.sort();
        Ok(paths)
    }

    /// A file, if it matches its manifest.
    pub async fn read(&self, path: &str) -> Result<Bytes> {
        let differs = |detail: String| ArchiveError::Differs { path: path.to_owned(), detail };
        let manifest = self.get(&manifest_path(path)).await?;
        let manifest: Manifest = serde_json::from_slice(&manifest)
            .map_err(|error| differs(format!("its manifest: {error}")))?;
        let file = self.get(path).await?;
        let found = sha256(&file);
        match found == manifest.sha256 {
            true => Ok(file),
            false => Err(differs(format!("expected SHA-256 {}, got {found}", manifest.sha256))),
        }
    }

    /// Removes a staged file; it is not an error if there is none.
    pub async fn discard(&self, staging: &str) -> Result<()> {
        match self.place.delete(&Path::from(staging)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(failed("delete", staging, source)),
        }
    }

    /// The keys of a file that matches its manifest.
    async fn verified(&self, path: &str, manifest: &Manifest) -> Result<Vec<Key>> {
        let differs = |detail: String| ArchiveError::Differs { path: path.to_owned(), detail };
        let file = self.get(path).await?;
        let found = sha256(&file);
        if found != manifest.sha256 {
            return Err(differs(format!("expected SHA-256 {}, got {found}", manifest.sha256)));
        }
        let keys = parquet::keys(file).map_err(|error| differs(error.to_string()))?;
        if keys.len() as u64 != manifest.count {
            return Err(differs(format!("expected {} rows, got {}", manifest.count, keys.len())));
        }
        Ok(keys)
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        let payload = PutPayload::from_bytes(bytes);
        let put = self.place.put(&Path::from(path), payload).await;
        put.map_err(|source| failed("write", path, source))?;
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Bytes> {
        let found = self.place.get(&Path::from(path)).await;
        let found = found.map_err(|source| failed("read", path, source))?;
        found.bytes().await.map_err(|source| failed("read", path, source))
    }
}

/// Manifests have a tree of their own, so that a query engine that reads all files of a folder finds
/// only Parquet.
fn manifest_path(path: &str) -> String {
    format!("manifests/{}.json", path.trim_end_matches(".parquet"))
}

fn failed(operation: &'static str, path: &str, source: object_store::Error) -> ArchiveError {
    ArchiveError::Place { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Table;

    fn file(n: i64) -> File {
        let key = |n| Key { id: format!("{n}"), ts: 100 + n, updated: n };
        let mut file = File::default();
        file.add(Table { keys: (0..n).map(key).collect(), columns: Vec::new() }).unwrap();
        file
    }

    fn archive() -> (tempfile::TempDir, Archive) {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::open(folder.path().join("a").to_str().unwrap()).unwrap();
        (folder, archive)
    }

    #[tokio::test]
    async fn a_staged_file_is_settled_once_and_again() {
        let (_folder, archive) = archive();
        let path = "observations/day=2026-05-28/part-1.parquet";
        let manifest = archive.stage(file(3), "staging/x", path).await.unwrap();
        assert_eq!((manifest.count, manifest.min_ts, manifest.max_ts), (3, 100, 102));
        for _ in 0..2 {
            assert_eq!(archive.settle("staging/x", &manifest).await.unwrap(), file(3).keys());
        }
        archive.discard("staging/x").await.unwrap();
        archive.discard("staging/x").await.unwrap();
        assert_eq!(archive.settle("staging/x", &manifest).await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_changed_file_is_detected() {
        let (_folder, archive) = archive();
        let manifest = archive.stage(file(3), "staging/x", "o/p.parquet").await.unwrap();
        archive.stage(file(4), "staging/x", "o/p.parquet").await.unwrap();
        let error = archive.settle("staging/x", &manifest).await.unwrap_err();
        assert!(error.to_string().contains("SHA-256"), "{error}");
    }

    #[test]
    fn an_invalid_archive_url_is_refused() {
        for url in ["", "ftp://host/x", "/proc/nowhere/x"] {
            let error = Archive::open(url).unwrap_err().to_string();
            assert!(error.contains("ARCHIVE_URL"), "{error}");
        }
    }
}

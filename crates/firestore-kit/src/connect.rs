//! Which Firestore to talk to, and the connection to it.

use std::sync::Arc;

use firestore::gcloud_sdk::google_cloud_auth::credentials::{
    CacheableResource, Credentials, CredentialsProvider, EntityTag,
};
use firestore::gcloud_sdk::google_cloud_auth::errors::CredentialsError;
use firestore::{FirestoreDb, FirestoreDbOptions};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::Db;
use crate::error::{Error, Result};

/// The project that local work happens in unless GOOGLE_CLOUD_PROJECT says otherwise. Projects
/// named `demo-` never exist in Google Cloud, so a slip cannot reach real data.
pub const LOCAL_PROJECT: &str = "demo-f0";

/// Where the data is: a project, and the address of a local server unless it is Google's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    pub project: String,
    pub database: Option<String>,
    /// `host:port` of a Firestore that takes plaintext and no credentials.
    pub emulator: Option<String>,
}

impl Connection {
    /// Reads GOOGLE_CLOUD_PROJECT, FIRESTORE_DATABASE and FIRESTORE_EMULATOR_HOST through `var`.
    ///
    /// # Errors
    /// [`Error::NotConfigured`] where neither project nor emulator is set: falling back to
    /// anything would let a misconfigured container write to a disk that vanishes.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name| var(name).filter(|text: &String| !text.trim().is_empty());
        let emulator = set("FIRESTORE_EMULATOR_HOST");
        let project = set("GOOGLE_CLOUD_PROJECT")
            .or_else(|| emulator.as_ref().map(|_| LOCAL_PROJECT.to_owned()))
            .ok_or(Error::NotConfigured)?;
        Ok(Self { project, database: set("FIRESTORE_DATABASE"), emulator })
    }

    pub fn local(project: impl Into<String>, address: impl ToString) -> Self {
        Self { project: project.into(), database: None, emulator: Some(address.to_string()) }
    }
}

impl Db {
    /// Connects. Against Google this finds the Application Default Credentials first.
    pub async fn connect(connection: &Connection) -> Result<Self> {
        crate::tls::install_provider();
        let mut options = FirestoreDbOptions::new(connection.project.clone());
        if let Some(database) = &connection.database {
            options = options.with_database_id(database.clone());
        }
        let db = match &connection.emulator {
            Some(address) => {
                let address = address.trim_start_matches("http://");
                let options = options.with_firebase_api_url(format!("http://{address}"));
                FirestoreDb::with_options_auth(options, Credentials::from(OwnerToken::new())).await
            }
            None => FirestoreDb::with_options(options).await,
        };
        let failed = |error: firestore::errors::FirestoreError| Error::Connect {
            target: connection
                .emulator
                .clone()
                .unwrap_or_else(|| format!("project {}", connection.project)),
            detail: error.to_string(),
        };
        Ok(Self { db: db.map_err(failed)?, retry: Arc::default() })
    }

    /// The connection itself, for those who speak the protocol.
    pub fn into_db(self) -> FirestoreDb {
        self.db
    }

    /// The project this store works in.
    pub fn project(&self) -> &str {
        &self.db.get_options().google_project_id
    }
}

/// The token by which local Firestores know a server, as opposed to a user whom rules judge.
#[derive(Debug)]
struct OwnerToken {
    /// Names the one header served, so that the client keeps it instead of asking at every call.
    tag: EntityTag,
}

impl OwnerToken {
    fn new() -> Self {
        Self { tag: EntityTag::new() }
    }
}

impl CredentialsProvider for OwnerToken {
    async fn headers(
        &self,
        extensions: http::Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        if extensions.get::<EntityTag>() == Some(&self.tag) {
            return Ok(CacheableResource::NotModified);
        }
        let owner = HeaderValue::from_static("Bearer owner");
        Ok(CacheableResource::New {
            entity_tag: self.tag.clone(),
            data: HeaderMap::from_iter([(AUTHORIZATION, owner)]),
        })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &'static [(&'static str, &'static str)]) -> Result<Connection> {
        Connection::from_env(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn an_emulator_without_a_project_means_the_demo_project() {
        let connection = env(&[("FIRESTORE_EMULATOR_HOST", "127.0.0.1:8080")]).unwrap();
        assert_eq!(connection, Connection::local(LOCAL_PROJECT, "127.0.0.1:8080"));
    }

    #[test]
    fn nothing_configured_is_an_error_that_says_what_to_set() {
        let message = env(&[("GOOGLE_CLOUD_PROJECT", " ")]).unwrap_err().to_string();
        assert!(message.contains("GOOGLE_CLOUD_PROJECT"), "{message}");
        assert!(message.contains("FIRESTORE_EMULATOR_HOST"), "{message}");
    }
}

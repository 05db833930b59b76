//! The address of a Firestore database, and the connection to it.

use std::sync::Arc;

use firestore::gcloud_sdk::google_cloud_auth::credentials::{
    CacheableResource, Credentials, CredentialsProvider, EntityTag,
};
use firestore::gcloud_sdk::google_cloud_auth::errors::CredentialsError;
use firestore::{FirestoreDb, FirestoreDbOptions};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::Db;
use crate::error::{Error, Result};

/// The project, the database, and the address of a local server if it is not Google's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    pub project: String,
    pub database: Option<String>,
    /// `host:port` of a local Firestore, which accepts plaintext and needs no credentials.
    pub emulator: Option<String>,
}

impl Connection {
    /// Reads GOOGLE_CLOUD_PROJECT, FIRESTORE_DATABASE and FIRESTORE_EMULATOR_HOST through `var`.
    /// With an emulator and no project, the project is `default_project`.
    ///
    /// # Errors
    /// [`Error::NotConfigured`] if neither project nor emulator is set: a fallback would let a
    /// misconfigured container write to a disk that is lost with it.
    pub fn from_env(default_project: &str, var: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name| var(name).filter(|text: &String| !text.trim().is_empty());
        let emulator = set("FIRESTORE_EMULATOR_HOST");
        let project = set("GOOGLE_CLOUD_PROJECT")
            .or_else(|| emulator.as_ref().map(|_| default_project.to_owned()))
            .ok_or(Error::NotConfigured)?;
        Ok(Self { project, database: set("FIRESTORE_DATABASE"), emulator })
    }

    /// A project of the local Firestore at `address`.
    pub fn local(project: impl Into<String>, address: impl ToString) -> Self {
        Self { project: project.into(), database: None, emulator: Some(address.to_string()) }
    }
}

impl Db {
    /// Connects. For a database of Google's, finds the Application Default Credentials first.
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

    /// The project of the database.
    pub fn project(&self) -> &str {
        &self.db.get_options().google_project_id
    }
}

/// The token that local Firestores grant full access; any other is a user, subject to the rules.
#[derive(Debug)]
struct OwnerToken {
    /// Identifies the only header there is, so that the client caches it.
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
        Connection::from_env("demo-project", |name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn an_emulator_without_a_project_uses_the_default_project() {
        let connection = env(&[("FIRESTORE_EMULATOR_HOST", "127.0.0.1:8080")]).unwrap();
        assert_eq!(connection, Connection::local("demo-project", "127.0.0.1:8080"));
    }

    #[test]
    fn without_a_configuration_the_error_names_the_variables_to_set() {
        let message = env(&[("GOOGLE_CLOUD_PROJECT", " ")]).unwrap_err().to_string();
        assert!(message.contains("GOOGLE_CLOUD_PROJECT"), "{message}");
        assert!(message.contains("FIRESTORE_EMULATOR_HOST"), "{message}");
    }
}

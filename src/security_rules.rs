//! The security rules that Firebase enforces for a database, read over the Firebase Rules API, and how
//! they differ from a file. Knows no Firestore and no job.

use std::time::Duration;

use firestore_kit::GoogleHeaders;
use reqwest::header::HeaderMap;
use reqwest::{Client, StatusCode};
use serde::Deserialize;

use crate::outgoing;

/// The address of the Firebase Rules API.
pub const GOOGLE: &str = "https://firebaserules.googleapis.com";

/// The rules that this version is written for.
pub const EXPECTED: &str = include_str!("../firestore.rules");

const TIMEOUT: Duration = Duration::from_secs(10);
/// Google accepts rules of 256 KB; this leaves room for how JSON escapes them.
const MAX_RESPONSE: usize = 2 << 20;

/// Why the deployed rules are not known.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error("no security rules are deployed for database {0}")]
    NotDeployed(String),

    #[error("the account may not read the security rules of project {0}")]
    Denied(String),

    #[error("cannot read the security rules: {0}")]
    Unknown(String),
}

impl From<reqwest::Error> for RulesError {
    fn from(error: reqwest::Error) -> Self {
        Self::Unknown(outgoing::with_cause(&error))
    }
}

/// A database whose rules are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Database<'a> {
    pub project: &'a str,
    /// `(default)` for the one without a name.
    pub name: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Release {
    ruleset_name: String,
}

#[derive(Deserialize)]
struct Ruleset {
    source: Source,
}

#[derive(Deserialize)]
struct Source {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    content: String,
}

/// The text of the deployed rules, read with the Application Default Credentials.
///
/// # Errors
/// There are none, or they cannot be read.
pub async fn deployed(database: Database<'_>) -> Result<String, RulesError> {
    let credentials = GoogleHeaders::find().await.map_err(RulesError::Unknown)?;
    let headers = credentials.current().await.map_err(RulesError::Unknown)?;
    deployed_at(GOOGLE, headers, database).await
}

/// The same at an address, with given credentials.
///
/// # Errors
/// There are none, or they cannot be read.
pub async fn deployed_at(
    address: &str,
    headers: HeaderMap,
    database: Database<'_>,
) -> Result<String, RulesError> {
    let client = outgoing::client(TIMEOUT, headers)?;
    let release = match database.name {
        "(default)" => "cloud.firestore".to_owned(),
        name => format!("cloud.firestore/{name}"),
    };
    let path = format!("projects/{}/releases/{release}", database.project);
    let release: Release = get(&client, address, &path, database).await?;
    let ruleset: Ruleset = get(&client, address, &release.ruleset_name, database).await?;
    let files = ruleset.source.files.into_iter().map(|file| file.content);
    Ok(files.collect::<Vec<_>>().join("\n"))
}

async fn get<T: serde::de::DeserializeOwned>(
    client: &Client,
    address: &str,
    path: &str,
    database: Database<'_>,
) -> Result<T, RulesError> {
    let response = client.get(format!("{address}/v1/{path}")).send().await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(RulesError::NotDeployed(database.name.to_owned())),
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
            return Err(RulesError::Denied(database.project.to_owned()));
        }
        status => return Err(RulesError::Unknown(format!("status {}", status.as_u16()))),
    }
    let body = outgoing::body(response, MAX_RESPONSE).await?;
    let body =
        body.ok_or_else(|| RulesError::Unknown(format!("more than {MAX_RESPONSE} bytes")))?;
    serde_json::from_slice(&body).map_err(|error| RulesError::Unknown(error.to_string()))
}

/// The number of the first line, from 1, in which the deployed rules differ from the expected ones;
/// `None` if they are the same but for white space at the ends of lines.
pub fn first_difference(deployed: &str, expected: &str) -> Option<usize> {
    let lines = |text: &str| -> Vec<String> {
        text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect()
    };
    let (deployed, expected) = (lines(deployed), lines(expected));
    let same = deployed.iter().zip(&expected).take_while(|(a, b)| a == b).count();
    (same < deployed.len() || same < expected.len()).then_some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named_and_white_space_at_the_end_is_not() {
        let cases = [
            ("a\nb\n", "a \r\nb\n\n", None),
            ("a\nb", "a\nc", Some(2)),
            ("a", "a\nb", Some(2)),
            ("a\nb", "a", Some(2)),
            ("", "a", Some(1)),
            ("  a", "a", Some(1)),
        ];
        for (deployed, expected, line) in cases {
            assert_eq!(first_difference(deployed, expected), line, "{deployed:?} {expected:?}");
        }
    }
}

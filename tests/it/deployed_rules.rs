//! The deployed security rules, read from a server that answers as the Firebase Rules API does.

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use f0_learning::security_rules::{Database, EXPECTED, RulesError, deployed_at, first_difference};
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::json;

/// Answers for the databases `(default)` and `other` of project `p`, to callers with a token.
async fn answer(request: Request) -> Response {
    if request.headers().get(header::AUTHORIZATION).is_none() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let body = match request.uri().path() {
        "/v1/projects/p/releases/cloud.firestore" => {
            json!({ "name": "projects/p/releases/cloud.firestore", "rulesetName": "projects/p/rulesets/1" })
        }
        "/v1/projects/p/releases/cloud.firestore/other" => {
            json!({ "rulesetName": "projects/p/rulesets/2" })
        }
        "/v1/projects/p/rulesets/1" => json!({
            "name": "projects/p/rulesets/1",
            "source": { "files": [{ "name": "firestore.rules", "content": EXPECTED }] },
        }),
        "/v1/projects/p/rulesets/2" => json!({
            "source": { "files": [{ "name": "a", "content": "rules_version = '1';" }] },
        }),
        "/v1/projects/large/releases/cloud.firestore" => {
            json!({ "rulesetName": "x".repeat(3 << 20) })
        }
        "/v1/projects/odd/releases/cloud.firestore" => json!({ "name": 1 }),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    axum::Json(body).into_response()
}

async fn ask(project: &str, name: &str, token: Option<&'static str>) -> Result<String, RulesError> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(answer)).await.unwrap();
    });
    let token = token.map(|it| (header::AUTHORIZATION, HeaderValue::from_static(it)));
    let headers: HeaderMap = token.into_iter().collect();
    let found = deployed_at(&address, headers, Database { project, name }).await;
    server.abort();
    found
}

#[tokio::test]
async fn the_rules_of_each_database_are_found() {
    let default = ask("p", "(default)", Some("Bearer x")).await.unwrap();
    assert_eq!(first_difference(&default, EXPECTED), None);
    let other = ask("p", "other", Some("Bearer x")).await.unwrap();
    assert_eq!(first_difference(&other, EXPECTED), Some(1));
}

#[tokio::test]
async fn missing_rules_and_missing_rights_are_told_apart_and_a_response_is_bounded() {
    let missing = ask("p", "third", Some("Bearer x")).await.unwrap_err();
    assert!(matches!(missing, RulesError::NotDeployed(_)), "{missing}");
    let denied = ask("p", "(default)", None).await.unwrap_err();
    assert!(matches!(denied, RulesError::Denied(_)), "{denied}");
    for project in ["large", "odd"] {
        let error = ask(project, "(default)", Some("Bearer x")).await.unwrap_err();
        assert!(matches!(error, RulesError::Unknown(_)), "{error}");
    }
}

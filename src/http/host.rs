//! Which names the routes without a credential answer to.
//!
//! A page in a browser on the operator's machine may point its own host name at this server (DNS
//! rebinding) and then read what needs no credential. Such a request carries the page's name in
//! `Host`; one that was meant for this server carries `localhost`, an address, or a name that the
//! operator allows.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};

use super::Api;
use super::problem::Problem;

/// The host names that are answered, in addition to `localhost` and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// `None`: any.
    names: Option<Vec<String>>,
}

impl Hosts {
    /// `localhost` and addresses.
    pub fn local() -> Self {
        Self { names: Some(Vec::new()) }
    }

    /// Every name: a front end has checked it already.
    pub fn any() -> Self {
        Self { names: None }
    }

    /// The names of a list with commas; `*` stands for all.
    pub fn named(list: &str) -> Self {
        let names = list.split(',').map(|name| name.trim().to_ascii_lowercase());
        let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
        Self { names: (!names.iter().any(|name| name == "*")).then_some(names) }
    }

    fn allow(&self, host: &str) -> bool {
        let Some(names) = &self.names else { return true };
        let host = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.ends_with(".localhost")
            || bare.parse::<IpAddr>().is_ok()
            || names.contains(&host)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The host that a request names, with its port.
fn host_of(parts: &Parts) -> Option<&str> {
    match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => Some(parts.headers.get(header::HOST)?.to_str().unwrap_or("?")),
    }
}

/// Whether a request was addressed to this machine by its own name, so that no other machine sees it.
pub fn is_loopback(parts: &Parts) -> bool {
    let host = without_port(host_of(parts).unwrap_or_default()).to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a request comes from a page of this server, as far as the browser says: programs other
/// than browsers send no `Origin`.
pub fn is_same_origin(parts: &Parts) -> bool {
    let Some(origin) = parts.headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some() && authority == host_of(parts)
}

/// A request that was addressed to this server by a name that it answers to.
#[derive(Debug)]
pub struct KnownHost;

impl FromRequestParts<Arc<Api>> for KnownHost {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        // HTTP/1.0 needs none, and no browser speaks it.
        let Some(host) = host_of(parts) else { return Ok(Self) };
        if api.front_end.hosts.allow(host) {
            return Ok(Self);
        }
        let host: String = host.chars().take(100).collect();
        let detail = format!(
            "unknown host {host}: use localhost or an address, or add the name to ALLOWED_HOSTS"
        );
        Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_no_page_can_have_are_answered_by_default() {
        let hosts = Hosts::local();
        for host in ["localhost", "LOCALHOST:8788", "127.0.0.1:1", "[::1]:80", "10.0.0.7"] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "?"] {
            assert!(!hosts.allow(host), "{host}");
        }
    }

    #[test]
    fn an_operator_may_allow_names_or_all() {
        let hosts = Hosts::named("f0.example, Metrics.Example");
        assert!(hosts.allow("metrics.example:80") && hosts.allow("F0.example."));
        assert!(!hosts.allow("other.example"));
        assert!(Hosts::named("*").allow("other.example"));
    }
}

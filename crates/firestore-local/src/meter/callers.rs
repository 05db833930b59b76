//! Who is billed: a caller's name, from the headers of its request.

use std::sync::RwLock;

use tonic::metadata::MetadataMap;

use super::tally::OTHER;
use crate::locks::{read, write};
use crate::rules::Claims;

/// The most callers with a line of their own. Later ones are counted as `other`.
const MAX_CALLERS: usize = 32;
const MAX_NAME_CHARS: usize = 64;

/// A caller that sends no name.
const SERVER: &str = "server";

/// The known callers; the first is `other`.
#[derive(Debug)]
pub struct Callers(RwLock<Vec<String>>);

impl Default for Callers {
    fn default() -> Self {
        Self(RwLock::new(vec![OTHER.to_owned()]))
    }
}

impl Callers {
    pub fn number(&self, name: &str) -> u16 {
        let position = |names: &[String]| names.iter().position(|known| known == name);
        if let Some(position) = position(&read(&self.0)) {
            return u16::try_from(position).unwrap_or_default();
        }
        let mut names = write(&self.0);
        let position = position(&names).unwrap_or_else(|| {
            if names.len() > MAX_CALLERS {
                return 0;
            }
            names.push(name.to_owned());
            names.len() - 1
        });
        u16::try_from(position).unwrap_or_default()
    }

    pub fn name(&self, number: u16) -> String {
        read(&self.0).get(usize::from(number)).cloned().unwrap_or_else(|| OTHER.to_owned())
    }
}

/// The name of a caller: its `x-caller` header; or the user of its token, with the claim `role`; or
/// the language of an official SDK (`x-goog-api-client`); or the program of `user-agent`; or
/// `server`.
pub fn name_of(headers: &MetadataMap, user: Option<&Claims>) -> String {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let name = if let Some(name) = header("x-caller").filter(|name| !name.trim().is_empty()) {
        name
    } else if let Some(claims) = user {
        return user_name(claims);
    } else {
        let sdk = header("x-goog-api-client").and_then(language);
        sdk.or_else(|| header("user-agent").and_then(program)).unwrap_or(SERVER)
    };
    short(name.trim())
}

fn short(name: &str) -> String {
    name.chars().filter(|char| !char.is_control()).take(MAX_NAME_CHARS).collect()
}

fn user_name(claims: &Claims) -> String {
    let role = claims.0.get("role").and_then(|role| role.as_str());
    let name = match (claims.uid(), role) {
        (Some(uid), Some(role)) => format!("user {uid} ({role})"),
        (Some(uid), None) => format!("user {uid}"),
        (None, _) => "user without id".to_owned(),
    };
    short(&name)
}

/// `gl-node/22.1 gccl/8.7` is `node`.
fn language(client: &str) -> Option<&str> {
    let part = client.split_whitespace().find_map(|part| part.strip_prefix("gl-"))?;
    part.split('/').next().filter(|name| !name.is_empty())
}

/// `tonic/0.14.9` is `tonic`.
fn program(agent: &str) -> Option<&str> {
    agent.split_whitespace().next()?.split('/').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(headers: &[(&'static str, &str)], user: Option<&str>) -> String {
        let mut map = MetadataMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let claims = user.map(|json| Claims(serde_json::from_str(json).unwrap()));
        name_of(&map, claims.as_ref())
    }

    #[test]
    fn a_caller_is_named_by_its_most_telling_header() {
        let node = ("x-goog-api-client", "gl-node/22.1 gccl/8.7 gax/5");
        let agent = ("user-agent", "tonic/0.14.9");
        assert_eq!(named(&[], None), "server");
        assert_eq!(named(&[agent], None), "tonic");
        assert_eq!(named(&[agent, node], None), "node");
        assert_eq!(named(&[node, ("x-caller", " router ")], None), "router");
        assert_eq!(named(&[node], Some(r#"{"sub":"alice"}"#)), "user alice");
        let admin = Some(r#"{"sub":"alice","role":"admin"}"#);
        assert_eq!(named(&[node], admin), "user alice (admin)");
        assert_eq!(named(&[("x-caller", &"x".repeat(200))], None).len(), MAX_NAME_CHARS);
    }

    #[test]
    fn callers_past_the_bound_are_other() {
        let callers = Callers::default();
        let numbers: Vec<_> = (0..100).map(|n| callers.number(&format!("c{n}"))).collect();
        assert_eq!(callers.name(numbers[0]), "c0");
        assert_eq!(callers.name(numbers[31]), "c31");
        assert!(numbers[32..].iter().all(|number| callers.name(*number) == "other"));
        assert_eq!(callers.number("c7"), numbers[7]);
    }
}

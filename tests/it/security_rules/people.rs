//! Who asks, for what, and what they may do.

use serde_json::{Value, json};

/// The project that all tokens are for, unless it is another one that is tested.
pub const PROJECT: &str = "demo-rules";

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    pub name: &'static str,
    /// What its token holds, in the words of the documentation.
    pub token: &'static str,
    /// The claims of the token; `None` for a server.
    pub claims: Option<Value>,
}

impl Caller {
    /// The name of the user, which its documents hold.
    pub fn uid(&self) -> String {
        let uid = self.claims.as_ref().and_then(|claims| claims["sub"].as_str());
        uid.unwrap_or("anonymous").to_owned()
    }
}

/// All callers. `now` is in epoch seconds.
pub fn callers(now: i64) -> Vec<Caller> {
    let of = |name, token, mut claims: Value| {
        if claims.get("aud").is_none() {
            claims["aud"] = json!(PROJECT);
        }
        if claims.get("exp").is_none() {
            claims["exp"] = json!(now + 3_600);
        }
        Caller { name, token, claims: Some(claims) }
    };
    vec![
        of("not signed in", "names no user", json!({})),
        of("user", "has no `role`", json!({"sub": "u"})),
        of(
            "service",
            "`role` is `service`, `component` is `router`",
            json!({"sub": "s", "role": "service", "component": "router"}),
        ),
        of(
            "service without component",
            "`role` is `service`",
            json!({"sub": "s", "role": "service"}),
        ),
        of(
            "service with a list of components",
            "`role` is `service`, `component` is `[\"router\"]`",
            json!({"sub": "s", "role": "service", "component": ["router"]}),
        ),
        of("admin", "`role` is `admin`", json!({"sub": "root", "role": "admin"})),
        of("role in a list", "`role` is `[\"admin\"]`", json!({"sub": "u", "role": ["admin"]})),
        of("role that is a number", "`role` is `1`", json!({"sub": "u", "role": 1})),
        of("role in other letters", "`role` is `Admin`", json!({"sub": "u", "role": "Admin"})),
        of(
            "role under other names",
            "`roles` and `admin`, but no `role`",
            json!({"sub": "u", "roles": "admin", "admin": true}),
        ),
        of(
            "expired admin",
            "`exp` is over",
            json!({"sub": "root", "role": "admin", "exp": now - 1}),
        ),
        of(
            "admin of another project",
            "`aud` is another project",
            json!({"sub": "root", "role": "admin", "aud": "another-project"}),
        ),
        Caller { name: "server", token: "none of these: IAM", claims: None },
    ]
}

/// A collection, with the id of a document.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub collection: &'static str,
    pub id: &'static str,
    /// How the documentation names it.
    pub title: &'static str,
}

const fn place(collection: &'static str, id: &'static str, title: &'static str) -> Place {
    Place { collection, id, title }
}

pub const PLACES: [Place; 13] = [
    place("ops_observations", "0f6b2c1e-aaaa", "`ops_observations`"),
    place("ops_rewards", "r", "`ops_rewards`"),
    place("ops_stats", "s", "`ops_stats`"),
    place("ops_policies", "p@1.0.0", "`ops_policies`"),
    place("ops_audit", "a", "`ops_audit`"),
    place("ops_experiments", "e", "`ops_experiments`"),
    place("ops_envelopes", "v", "`ops_envelopes`"),
    place("config", "bounds", "`config`, other documents"),
    place("config", "flags", "`config/flags`"),
    place("ops_quarantine", "q", "`ops_quarantine`"),
    place("ops_notices", "n", "`ops_notices`"),
    place("ops_state", "cursor", "`ops_state`"),
    place("anything", "x", "any other"),
];

impl Place {
    /// A document that a caller with the right to create one may create.
    pub fn valid(&self, uid: &str, now_ms: i64) -> Value {
        let actor = format!("firebase:{uid}");
        match self.collection {
            "ops_observations" => json!({"component": "router:a", "outcome": "success",
                "ts": now_ms, "durationMs": 12.5}),
            "ops_policies" => json!({"id": "p", "version": "1.0.0", "status": "draft",
                "params": {}, "createdBy": actor}),
            "ops_audit" => json!({"ts": now_ms, "actor": actor, "action": "note", "id": "p"}),
            _ => json!({"n": 1}),
        }
    }

    /// A document that no user may create; `None` where every document is valid.
    pub fn invalid(&self, uid: &str, now_ms: i64) -> Option<Value> {
        let mut document = self.valid(uid, now_ms);
        let (field, value) = match self.collection {
            "ops_observations" => ("reward", json!(1)),
            "ops_policies" => ("status", json!("active")),
            "ops_audit" => ("actor", json!("another")),
            _ => return None,
        };
        document[field] = value;
        Some(document)
    }
}

pub const METHODS: [&str; 5] = ["get", "list", "create", "update", "delete"];

/// What the rules are meant to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Allowed,
    Denied,
    /// The token is refused, whatever it asks for.
    Refused,
}

/// What a caller may do. `valid` is whether the document that it writes is.
pub fn expected(caller: &Caller, place: &Place, method: &str, valid: bool) -> Answer {
    let reads = matches!(method, "get" | "list");
    let creates = method == "create" && valid;
    let is_service = caller.name.starts_with("service");
    let allowed = match (caller.name, place.collection) {
        ("expired admin" | "admin of another project", _) => return Answer::Refused,
        ("server", _) => true,
        ("service", "ops_observations") => reads || creates,
        ("admin", "ops_policies" | "ops_audit") => reads || creates,
        ("admin", "config") => {
            reads || (place.id != "flags" && matches!(method, "create" | "update"))
        }
        (
            _,
            "ops_observations" | "ops_rewards" | "ops_stats" | "ops_experiments" | "ops_envelopes"
            | "ops_policies" | "config",
        ) => reads && (is_service || caller.name == "admin"),
        _ => false,
    };
    if allowed { Answer::Allowed } else { Answer::Denied }
}

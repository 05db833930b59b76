//! `firestore.rules`: who may do what with each collection, through every RPC of the protocol.
//!
//! The tables of `docs/security.md` are made from what these tests measure. That a case fails for
//! every change of a condition is checked by `.ci/rules-mutations`.

mod ask;
mod page;
mod people;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use f0_learning_core::Clock;
use firestore::gcloud_sdk::google::firestore::v1::firestore_client::FirestoreClient;
use firestore::gcloud_sdk::tonic::transport::Channel;
use firestore_kit::value::{self, Fields};
use firestore_local::Server;
use firestore_local::rules::Ruleset;
use firestore_local::rules::testing::{parse, run};
use serde_json::{Value, json};

use ask::{Asker, ways};
use page::Measured;
use people::{Answer, Caller, METHODS, PLACES, Place, callers, expected};

const RULES: &str = include_str!("../../../firestore.rules");
const CASES: &str = include_str!("../../rules/firestore.jsonl");

#[test]
fn the_cases_pass_and_see_every_condition_both_true_and_not_true() {
    let rules = Ruleset::parse(RULES).unwrap_or_else(|error| panic!("{error}"));
    let report = run(&rules, &parse(CASES).unwrap()).unwrap();
    assert_eq!(report.failed().count(), 0, "{report}");
    let open: Vec<String> = report
        .coverage
        .iter()
        .filter(|line| !line.is_complete())
        .map(|line| format!("{}: {}", line.at, line.text))
        .collect();
    assert!(open.is_empty(), "{}", open.join("\n"));
}

/// An unsigned token, as users send it to a local Firestore.
fn token(claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}.", encode(&json!({"alg": "none"})), encode(claims))
}

fn fields(document: &Value) -> Fields {
    value::fields_from_json(document.as_object().unwrap())
}

/// A server with the rules, and a client of it that has the rights of a server.
struct Ruled {
    server: Asker,
    client: FirestoreClient<Channel>,
    now_ms: i64,
    _running: firestore_local::Running,
}

impl Ruled {
    async fn start() -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/firestore.rules");
        let running = Server::builder().rules(Some(file.into())).start().await.unwrap();
        let url = format!("http://{}", running.addr());
        let client = FirestoreClient::connect(url).await.unwrap();
        let server = Asker::new(&client, "owner".to_owned());
        Self { server, client, now_ms: Clock::system().now(), _running: running }
    }

    fn asker(&self, caller: &Caller) -> Asker {
        let token = caller.claims.as_ref().map_or_else(|| "owner".to_owned(), token);
        Asker::new(&self.client, token)
    }

    /// Asks for one thing in every way; all ways must have the same answer.
    async fn measure(&self, caller: &Caller, place: &Place, method: &str, valid: bool) -> Answer {
        let (asker, uid) = (self.asker(caller), caller.uid());
        let stored = fields(&place.valid("root", self.now_ms));
        let before = (method != "create").then_some(&stored);
        let document = if valid {
            place.valid(&uid, self.now_ms)
        } else {
            place.invalid(&uid, self.now_ms).expect("only where a document can be invalid")
        };
        let document = fields(&document);
        let mut answers = Vec::new();
        self.server.set(place, before).await;
        for way in ways(method) {
            let answer = asker.ask(place, method, way, &document).await;
            let is_write = !matches!(method, "get" | "list");
            if is_write && answer == Answer::Allowed {
                let left = (method != "delete").then_some(&document);
                assert_eq!(self.server.stored(place).await.as_ref(), left, "{way}");
                self.server.set(place, before).await;
            }
            answers.push((way, answer));
        }
        let left = self.server.stored(place).await;
        assert_eq!(
            left.as_ref(),
            before,
            "a denied {method} of a {} changed a document",
            caller.name
        );
        let first = answers[0].1;
        assert!(
            answers.iter().all(|(_, answer)| *answer == first),
            "{} {method} {place:?}: {answers:?}",
            caller.name
        );
        first
    }
}

#[tokio::test]
async fn every_caller_may_do_exactly_what_the_page_says_through_every_rpc() {
    let ruled = Ruled::start().await;
    let callers = callers(ruled.now_ms / 1_000);
    let mut measured = Measured::new();
    let mut wrong = Vec::new();
    for caller in &callers {
        for (index, place) in PLACES.iter().enumerate() {
            for method in METHODS {
                for valid in [true, false] {
                    let writes = matches!(method, "create" | "update");
                    let has_invalid = writes && place.invalid("u", 0).is_some();
                    if !valid && !has_invalid {
                        continue;
                    }
                    let answer = ruled.measure(caller, place, method, valid).await;
                    let wanted = expected(caller, place, method, valid);
                    if answer != wanted {
                        wrong.push(format!(
                            "{} {method} {} valid={valid}: expected {wanted:?}, got {answer:?}",
                            caller.name, place.title
                        ));
                    }
                    measured.insert((caller.name, index, method, valid), answer);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    page::check(&page::render(&measured, &callers));
}

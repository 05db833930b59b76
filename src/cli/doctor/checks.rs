//! The checks, in the order in which one needs the other.

use std::time::Duration;

use f0_learning::store::{Probe, Store, StoreError};
use f0_learning_core::Clock;
use f0_learning_core::plural::count;
use f0_learning_core::sharding::Layout;
use firestore_kit::tonic::Code;
use firestore_kit::{Connection, RetryPolicy};
use tokio::time::Instant;

use super::finding::{Finding, Verdict};
use super::{Options, rules};
use crate::cli::condition::{self, Trouble};
use crate::cli::{format, one_line};

/// A person waits for the answer: calls are repeated once.
const RETRIES: RetryPolicy = RetryPolicy {
    attempts: 2,
    first_delay: Duration::from_millis(200),
    max_delay: Duration::from_millis(200),
};

/// Clocks of machines that are kept right differ by less.
const SKEW_MS: i64 = 5_000;

const DEPLOY_INDEXES: &str =
    "firebase deploy --only firestore:indexes, and wait until they are built";

pub async fn all(connection: &Connection, options: &Options) -> Vec<Finding> {
    let target = match &connection.emulator {
        Some(address) => format!("a local Firestore at {address}"),
        None => "Google's Firestore".to_owned(),
    };
    let database = connection.database.as_deref().unwrap_or("(default)");
    let mut found = vec![Finding::ok(
        "settings",
        format!("project {}, database {database}, {target}", connection.project),
    )];
    let store = match Store::connect(connection).await {
        Ok(store) => store.with_retry(RETRIES),
        Err(error) if connection.emulator.is_some() => {
            found.push(Finding::fail(
                "reachable",
                error,
                "start `f0-learning dev`, or correct FIRESTORE_EMULATOR_HOST",
            ));
            return found;
        }
        Err(error) => {
            found.push(Finding::fail(
                "credentials",
                error,
                "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
            ));
            return found;
        }
    };
    found.push(match store.db().is_local() {
        true => Finding::ok("credentials", "not needed by a local Firestore"),
        false => Finding::ok("credentials", "Application Default Credentials were found"),
    });
    let began = Instant::now();
    let now = match store.now().await {
        Ok(now) => now,
        Err(error) => {
            found.push(unreachable(&error));
            return found;
        }
    };
    let took = began.elapsed().as_millis();
    found.push(Finding::ok("reachable", format!("a read took {took} ms")));
    found.push(Finding::ok("mode", "the database answers in native mode"));
    let can_read = permissions(&store, options.read_only, &mut found).await;
    if can_read {
        indexes(&store, &mut found).await;
        found.push(rules::check(connection, options.rules.as_deref()).await);
        conditions(&store, now, &mut found).await;
    }
    found
}

/// Why the first read failed.
fn unreachable(error: &StoreError) -> Finding {
    let text = error.to_string();
    let is_datastore = text.contains("Datastore Mode") || text.contains("datastore mode");
    match error.code() {
        _ if is_datastore => Finding::fail(
            "mode",
            text,
            "the service needs native mode: create another database with \
             `gcloud firestore databases create`, and set FIRESTORE_DATABASE",
        ),
        Some(Code::NotFound) => Finding::fail(
            "reachable",
            text,
            "create the database: `gcloud firestore databases create`, or correct \
             GOOGLE_CLOUD_PROJECT and FIRESTORE_DATABASE",
        ),
        Some(Code::PermissionDenied | Code::Unauthenticated) => {
            Finding::fail("permissions", text, "give the account the role roles/datastore.user")
        }
        _ => Finding::fail(
            "reachable",
            text,
            "check the network, the address, and whether the API firestore.googleapis.com is enabled",
        ),
    }
}

fn of_result<T>(name: &str, well: &str, result: Result<T, StoreError>) -> Finding {
    match result {
        Ok(_) => Finding::ok(name, well),
        Err(error) => Finding::fail(name, error, "give the account the role roles/datastore.user"),
    }
}

/// Tries to read each collection and to write; gives whether all could be read.
async fn permissions(store: &Store, read_only: bool, found: &mut Vec<Finding>) -> bool {
    let probes = store.probes_of_collections();
    let mut refused = Vec::new();
    for probe in &probes {
        if let Err(error) = store.run_probe(probe).await {
            refused.push(error.to_string());
        }
    }
    let can_read = refused.is_empty();
    found.push(match can_read {
        true => Finding::ok("read", format!("{} collections can be read", probes.len())),
        false => Finding::fail(
            "read",
            refused.join("; "),
            "give the account the role roles/datastore.user",
        ),
    });
    if read_only {
        found.push(Finding::new("write", Verdict::NotChecked, "--read-only was given"));
        return can_read;
    }
    match store.probe_write().await {
        Ok(committed) => {
            found.push(Finding::ok("write", "a document of state was written"));
            found.push(clock(committed, Clock::system().now()));
            let transaction = store.probe_transaction().await;
            found.push(of_result(
                "transaction",
                "a document was read and written in one",
                transaction,
            ));
            found.push(of_result("delete", "the document was deleted", store.probe_delete().await));
        }
        Err(error) => found.push(of_result::<()>("write", "", Err(error))),
    }
    can_read
}

/// The clock of this machine against the time of a commit. The service takes its times from Firestore;
/// components stamp their observations by their own clocks.
fn clock(committed: i64, machine: i64) -> Finding {
    let skew = machine.saturating_sub(committed);
    let (apart, side) =
        (format::duration(skew.saturating_abs()), if skew < 0 { "behind" } else { "ahead of" });
    let text = format!("this machine is {apart} {side} Firestore's commit");
    match skew.saturating_abs() <= SKEW_MS {
        true => Finding::ok("clock", text),
        false => Finding::new("clock", Verdict::Warn, text)
            .with_action("correct the clock of this machine; components that stamp observations need a right one"),
    }
}

async fn indexes(store: &Store, found: &mut Vec<Finding>) {
    let layout = store.layout().await.map(|stored| stored.layout).unwrap_or_default();
    let probes: Vec<Probe> = store.probes_of_indexes(layout);
    let (mut missing, mut failed) = (Vec::new(), Vec::new());
    for probe in &probes {
        match store.run_probe(probe).await {
            Ok(()) => {}
            Err(error) if error.code() == Some(Code::FailedPrecondition) => {
                missing.push(probe.label.clone());
            }
            Err(error) => failed.push(format!("{}: {error}", probe.label)),
        }
    }
    let file = match layout {
        Layout { shards: 0 } => "firestore.indexes.json",
        Layout { .. } => "deploy/firestore.indexes.sharded.json",
    };
    if !missing.is_empty() {
        let detail = format!("no index serves {} (declared in {file})", missing.join("; "));
        found.push(Finding::fail("indexes", detail, DEPLOY_INDEXES));
    } else if failed.is_empty() {
        found.push(Finding::ok(
            "indexes",
            format!("{} kinds of queries were answered", probes.len()),
        ));
    }
    for detail in failed {
        found.push(Finding::new("indexes", Verdict::Warn, detail).with_action("repeat the check"));
    }
}

async fn conditions(store: &Store, now: i64, found: &mut Vec<Finding>) {
    report(found, "config", condition::of_config(store).await, |troubles| {
        (
            format!(
                "flags, reward_config, scoring and tuning of project {} are valid",
                store.project()
            ),
            troubles,
        )
    });
    report(found, "policies", condition::of_policies(store).await, |(n, troubles)| {
        let well = match n {
            1 => "the only policy has one active version".to_owned(),
            n => format!("each of {} has one active version", count(n, "policy")),
        };
        (well, troubles)
    });
    report(found, "scoring", condition::of_scoring(store, now).await, |scoring| {
        let backlog = condition::backlog(scoring.backlog);
        let moved = scoring.moved_at.map_or("never".to_owned(), |at| format::ago(at.min(now), now));
        (format!("{backlog} to score; the cursor moved {moved}"), scoring.troubles)
    });
    report(found, "workers", condition::of_workers(store, now).await, |(last, troubles)| {
        let pass = last.map_or("no pass yet".to_owned(), |at| {
            format!("a pass began {}; {}", format::ago(at, now), condition::MARKED_HOURLY)
        });
        (format!("{pass}; no lease was left behind"), troubles)
    });
}

/// Adds what is wrong, or that nothing is.
fn report<T>(
    found: &mut Vec<Finding>,
    name: &str,
    result: anyhow::Result<T>,
    read: impl FnOnce(T) -> (String, Vec<Trouble>),
) {
    let (well, troubles) = match result {
        Ok(result) => read(result),
        Err(error) => {
            found.push(Finding::fail(name, one_line(&error), "see the checks above"));
            return;
        }
    };
    if troubles.is_empty() {
        found.push(Finding::ok(name, well));
    }
    for Trouble { what, command, is_urgent } in troubles {
        let verdict = if is_urgent { Verdict::Fail } else { Verdict::Warn };
        let finding = Finding::new(name, verdict, what);
        found.push(match command {
            Some(command) => finding.with_action(&command),
            None => finding,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_seconds_wrong_is_a_warning_that_says_which_way() {
        assert_eq!(clock(10_000, 10_400).verdict, Verdict::Ok);
        let behind = clock(60_000, 0);
        assert_eq!(behind.verdict, Verdict::Warn);
        assert_eq!(behind.detail, "this machine is 60 s behind Firestore's commit");
    }

    #[test]
    fn the_first_read_that_fails_says_what_is_missing() {
        use firestore_kit::tonic::Status;
        let found = |status| unreachable(&StoreError::rpc("read", "config/flags", status));
        let datastore =
            "The Cloud Firestore API is not available for Firestore in Datastore Mode database";
        assert_eq!(found(Status::failed_precondition(datastore)).name, "mode");
        let missing = found(Status::not_found("The database (default) does not exist"));
        assert!(missing.action.unwrap().contains("databases create"));
        assert_eq!(found(Status::permission_denied("no")).name, "permissions");
        assert_eq!(found(Status::unavailable("away")).name, "reachable");
    }
}

//! What this process asks of Firestore.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::names::{family, single};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: String,
}

/// What the connection to Firestore has asked of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    pub reads: u64,
    pub writes: u64,
    pub deletes: u64,
    pub retries: u64,
    pub failures: BTreeMap<String, u64>,
}

type Count = Counter<u64, AtomicU64>;

#[derive(Debug)]
pub struct Counters {
    operations: Family<OperationLabels, Count>,
    retries: Count,
    failures: Family<CodeLabels, Count>,
}

impl Counters {
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            operations: family(
                registry,
                "firestore_billed_operations",
                "Operations that Google bills, estimated from the answers to this process",
            ),
            retries: single(
                registry,
                "firestore_retries",
                "Calls to Firestore that this process repeated",
            ),
            failures: family(
                registry,
                "firestore_failures",
                "Calls to Firestore that failed, by gRPC code; Aborted, AlreadyExists and \
                 FailedPrecondition also mean that another writer was first",
            ),
        }
    }

    /// Replaces the counts, which only grow.
    pub fn set(&self, requests: &Requests) {
        let Requests { reads, writes, deletes, retries, failures } = requests;
        for (operation, count) in [("read", reads), ("write", writes), ("delete", deletes)] {
            raise(&self.operations.get_or_create(&OperationLabels { operation }), *count);
        }
        raise(&self.retries, *retries);
        for (code, count) in failures {
            raise(&self.failures.get_or_create(&CodeLabels { code: code.clone() }), *count);
        }
    }
}

fn raise(counter: &Count, to: u64) {
    counter.inner().fetch_max(to, Ordering::Relaxed);
}

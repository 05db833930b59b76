//! BeginTransaction, Commit, Rollback and BatchWrite.

use firestore::gcloud_sdk::google::rpc;
use tonic::Status;

use super::{Service, guard};
use crate::engine::{Outcome, Written};
use crate::model::path::{Database, DocumentName};
use crate::model::write::Mutation;
use crate::proto::{
    BatchWriteRequest, BatchWriteResponse, BeginTransactionRequest, BeginTransactionResponse,
    CommitRequest, CommitResponse, Empty, RollbackRequest, Write, WriteResult,
};
use crate::transactions::Mode;

/// The most writes in one BatchWrite.
const MAX_BATCH: usize = 500;

pub fn begin(
    service: &Service,
    request: &BeginTransactionRequest,
) -> Result<BeginTransactionResponse, Status> {
    let database = Database::parse(&request.database)?;
    let (id, _) =
        service.transactions.begin(&service.engine, &database, request.options.as_ref())?;
    Ok(BeginTransactionResponse { transaction: id })
}

pub fn rollback(service: &Service, request: &RollbackRequest) -> Result<Empty, Status> {
    let database = Database::parse(&request.database)?;
    service.transactions.rollback(&service.engine, &database, &request.transaction)
}

pub async fn commit(service: &Service, request: CommitRequest) -> Result<CommitResponse, Status> {
    let database = Database::parse(&request.database)?;
    let transaction = (!request.transaction.is_empty()).then_some(&request.transaction[..]);
    let outcome = apply(service, &database, request.writes, transaction).await?;
    let write_results = outcome
        .results
        .into_iter()
        .map(|result| result.map(write_result))
        .collect::<Result<_, _>>()?;
    Ok(CommitResponse { write_results, commit_time: Some(outcome.time.into()) })
}

/// The operation to bill for a write.
enum Charge {
    Write(DocumentName),
    Delete(DocumentName),
}

fn parse(database: &Database, writes: Vec<Write>) -> Result<(Vec<Mutation>, Vec<Charge>), Status> {
    let mut charges = Vec::with_capacity(writes.len());
    let mut mutations = Vec::with_capacity(writes.len());
    for write in writes {
        let mutation = Mutation::parse(database, write)?;
        charges.push(charge(&mutation));
        mutations.push(mutation);
    }
    Ok((mutations, charges))
}

fn charge(mutation: &Mutation) -> Charge {
    let name = mutation.name.clone();
    if mutation.is_delete() { Charge::Delete(name) } else { Charge::Write(name) }
}

fn bill(service: &Service, charge: &Charge, written: &Written) {
    match charge {
        Charge::Write(name) => service.meter.wrote(name, written.index_entries),
        Charge::Delete(name) => service.meter.deleted(name, written.index_entries),
    }
}

/// Releases the locks of a transaction whose commit ends, however it ends.
struct Held<'a> {
    service: &'a Service,
    locks: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.service.engine.release_locks(self.locks);
    }
}

/// Applies all writes or none, inside a transaction if one is named.
pub async fn apply(
    service: &Service,
    database: &Database,
    writes: Vec<Write>,
    transaction: Option<&[u8]>,
) -> Result<Outcome, Status> {
    let (mutations, charges) = parse(database, writes)?;
    let transaction = match transaction {
        None => None,
        Some(id) => Some((id, service.transactions.end(&service.engine, database, id)?)),
    };
    let (reads, locks) = match transaction.as_ref().map(|(_, transaction)| &transaction.mode) {
        None => (None, None),
        Some(Mode::Pessimistic { reads, locks }) => (Some(reads.clone()), Some(*locks)),
        Some(Mode::Optimistic { reads, .. }) => (Some(reads.clone()), None),
        Some(Mode::ReadOnly(_)) if mutations.is_empty() => (None, None),
        Some(Mode::ReadOnly(_)) => {
            return Err(Status::invalid_argument(
                "Cannot modify entities in a read-only transaction",
            ));
        }
    };
    let held = locks.map(|locks| Held { service, locks });
    if let Some(locks) = locks {
        service.engine.commit_locks(locks)?;
    }
    let names: Vec<DocumentName> = match &transaction {
        None => Vec::new(),
        Some(_) => mutations.iter().map(|mutation| mutation.name.clone()).collect(),
    };
    let outcome = match &service.user {
        Some(user) => user.write(service, database, mutations, reads, locks).await,
        None => service.engine.write(database.clone(), mutations, true, reads, locks).await,
    };
    drop(held);
    if let (Some((id, transaction)), Err(_)) = (transaction, &outcome) {
        service.transactions.fail(&service.engine, id, transaction, &names);
    }
    let outcome = outcome?;
    for (charge, written) in charges.iter().zip(&outcome.results) {
        if let Ok(written) = written {
            bill(service, charge, written);
        }
    }
    Ok(outcome)
}

pub async fn batch(
    service: &Service,
    request: BatchWriteRequest,
) -> Result<BatchWriteResponse, Status> {
    let database = Database::parse(&request.database)?;
    if request.writes.len() > MAX_BATCH {
        return Err(Status::invalid_argument(format!(
            "A batch has at most {MAX_BATCH} writes, got {}",
            request.writes.len()
        )));
    }
    if service.user.is_some() {
        return guard::batch(service, &database, request.writes).await;
    }
    let mut parsed = Vec::with_capacity(request.writes.len());
    let mut names = std::collections::HashSet::new();
    for write in request.writes {
        let mutation = Mutation::parse(&database, write);
        if let Ok(mutation) = &mutation
            && !names.insert(mutation.name.clone())
        {
            return Err(Status::invalid_argument(format!(
                "The batch writes {} more than once",
                mutation.name
            )));
        }
        parsed.push(mutation);
    }
    let mut mutations = Vec::with_capacity(parsed.len());
    let mut charges = Vec::with_capacity(parsed.len());
    for mutation in parsed {
        charges.push(mutation.map(|mutation| {
            let charge = charge(&mutation);
            mutations.push(mutation);
            charge
        }));
    }
    let outcome = service.engine.write(database, mutations, false, None, None).await?;
    let mut outcomes = outcome.results.into_iter();
    let mut response = BatchWriteResponse::default();
    for charge in charges {
        let result = charge.and_then(|charge| {
            let missing = || Status::internal("a write has no outcome");
            let written = outcomes.next().ok_or_else(missing)??;
            bill(service, &charge, &written);
            Ok(written)
        });
        let (result, status) = match result {
            Ok(written) => (write_result(written), rpc::Status::default()),
            Err(status) => (WriteResult::default(), rpc_status(&status)),
        };
        response.write_results.push(result);
        response.status.push(status);
    }
    Ok(response)
}

pub fn rpc_status(status: &Status) -> rpc::Status {
    rpc::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    }
}

/// The result of a write. A delete has no update time.
pub fn write_result(written: Written) -> WriteResult {
    WriteResult {
        update_time: written.update_time.map(Into::into),
        transform_results: written.transform_results,
    }
}

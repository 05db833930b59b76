//! RunQuery and PartitionQuery.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::selector::{Selector, View, selector};
use super::{Answers, Service, refuse_explain};
use crate::model::path::{DocumentName, Parent};
use crate::model::query::Query;
use crate::proto::structured_query::Direction;
use crate::proto::{
    Cursor, PartitionQueryRequest, PartitionQueryResponse, RunQueryRequest, RunQueryResponse,
    StructuredQuery, Value, partition_query_request, run_query_request, run_query_response,
    value::ValueType,
};

/// The most answers that wait for a slow client. It bounds how much of a result is in memory.
const BUFFERED: usize = 64;

pub async fn run(
    service: &Service,
    request: RunQueryRequest,
) -> Result<Answers<RunQueryResponse>, Status> {
    refuse_explain(request.explain_options.as_ref())?;
    let parent = Parent::parse(&request.parent)?;
    let query = match request.query_type {
        Some(run_query_request::QueryType::StructuredQuery(query)) => {
            service.query_log.record(&query);
            Query::parse(parent, query)?
        }
        None => return Err(Status::invalid_argument("RunQuery has no query")),
    };
    service.indexes.admit(&query, [])?;
    let selector = selector!(run_query_request, request.consistency_selector, [NewTransaction]);
    let mut view = service.view(query.scope.parent.database(), selector).await?;
    view.lock_query(service, &query).await?;
    let (answers, stream) = mpsc::channel(BUFFERED);
    let service = service.clone();
    tokio::task::spawn_blocking(move || stream_answers(&service, &query, view, &answers));
    Ok(Box::pin(ReceiverStream::new(stream)))
}

type Sender = mpsc::Sender<Result<RunQueryResponse, Status>>;

fn stream_answers(service: &Service, query: &Query, view: View, answers: &Sender) {
    let read_time = Some(view.read_time.into());
    let mut new_transaction = view.new_transaction;
    let mut sent = 0;
    let mut emit = |document| {
        let answer = RunQueryResponse {
            transaction: new_transaction.take().unwrap_or_default(),
            document: Some(query.project(document)),
            read_time,
            ..RunQueryResponse::default()
        };
        sent += 1;
        answers.blocking_send(Ok(answer)).is_ok()
    };
    let outcome = service.engine.query(query, view.at, view.reads.as_ref(), &mut emit);
    match outcome {
        Err(status) => {
            let _ = answers.blocking_send(Err(status));
        }
        Ok(skipped) => {
            service.meter.queried(query, sent + skipped);
            let last = RunQueryResponse {
                transaction: new_transaction.take().unwrap_or_default(),
                read_time,
                skipped_results: i32::try_from(skipped).unwrap_or(i32::MAX),
                continuation_selector: Some(run_query_response::ContinuationSelector::Done(true)),
                ..RunQueryResponse::default()
            };
            let _ = answers.blocking_send(Ok(last));
        }
    }
}

/// Finds split points: names that divide the query's documents into parts of about equal size.
pub async fn partition(
    service: &Service,
    request: PartitionQueryRequest,
) -> Result<PartitionQueryResponse, Status> {
    let parent = Parent::parse(&request.parent)?;
    let structured = match request.query_type {
        Some(partition_query_request::QueryType::StructuredQuery(query)) => query,
        None => return Err(Status::invalid_argument("PartitionQuery has no query")),
    };
    if parent.depth() > 0 {
        return Err(Status::invalid_argument(
            "PartitionQuery takes the root of the documents as its parent, not a document",
        ));
    }
    check_partitionable(&structured)?;
    let query = Query::parse(parent, structured)?.unlimited();
    let count = usize::try_from(request.partition_count)
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| Status::invalid_argument("partition_count must be positive"))?;
    let selector = match request.consistency_selector {
        Some(partition_query_request::ConsistencySelector::ReadTime(time)) => Selector::At(time),
        None => Selector::Now,
    };
    let view = service.view(query.scope.parent.database(), selector).await?;
    let token = request.page_token;
    let page_size = usize::try_from(request.page_size).unwrap_or(0);
    let names = service
        .blocking(move |service| {
            let mut names: Vec<String> = Vec::new();
            service.engine.query(&query, view.at, None, &mut |document| {
                names.push(document.name);
                true
            })?;
            service.meter.aggregated(&query, names.len() as u64);
            Ok(names)
        })
        .await?;
    let points = split(&names, count);
    page(points, &token, page_size)
}

fn check_partitionable(query: &StructuredQuery) -> Result<(), Status> {
    let by_name = query.order_by.iter().all(|order| {
        order.field.as_ref().is_some_and(|field| field.field_path == "__name__")
            && order.direction != i32::from(Direction::Descending)
    });
    let group = query.from.iter().all(|selector| selector.all_descendants);
    if query.r#where.is_some() || query.limit.is_some() || query.offset != 0 || !by_name || !group {
        return Err(Status::invalid_argument(
            "PartitionQuery takes collection group queries ordered by name ascending, without \
             filters, limits, offsets and cursors",
        ));
    }
    Ok(())
}

/// At most `count` of `names`, which divide them into parts of about equal size.
fn split(names: &[String], count: usize) -> Vec<&String> {
    let count = count.min(names.len().saturating_sub(1));
    (1..=count).map(|part| &names[part * names.len() / (count + 1)]).collect()
}

fn page(
    points: Vec<&String>,
    token: &str,
    page_size: usize,
) -> Result<PartitionQueryResponse, Status> {
    // Names sort by their segments, not as strings.
    let after = match token {
        "" => None,
        token => Some(DocumentName::parse(token)?.key()),
    };
    let is_after = |name: &str| match &after {
        None => true,
        Some(after) => DocumentName::parse(name).is_ok_and(|name| name.key() > *after),
    };
    let mut rest = points.into_iter().filter(|name| is_after(name)).peekable();
    let size = if page_size == 0 { usize::MAX } else { page_size };
    let mut response = PartitionQueryResponse::default();
    let mut last = String::new();
    for name in rest.by_ref().take(size) {
        last.clone_from(name);
        let reference = ValueType::ReferenceValue(name.clone());
        let values = vec![Value { value_type: Some(reference) }];
        response.partitions.push(Cursor { values, before: true });
    }
    if rest.peek().is_some() {
        response.next_page_token = last;
    }
    Ok(response)
}

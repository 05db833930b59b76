//! RunAggregationQuery.

use tonic::Status;

use super::selector::selector;
use super::{Answers, Service, refuse_explain};
use crate::model::aggregate::Aggregates;
use crate::model::path::Parent;
use crate::model::query::Query;
use crate::proto::{
    AggregationResult, RunAggregationQueryRequest, RunAggregationQueryResponse,
    run_aggregation_query_request, structured_aggregation_query,
};

pub async fn run(
    service: &Service,
    request: RunAggregationQueryRequest,
) -> Result<Answers<RunAggregationQueryResponse>, Status> {
    refuse_explain(request.explain_options.as_ref())?;
    let parent = Parent::parse(&request.parent)?;
    let aggregation = match request.query_type {
        Some(run_aggregation_query_request::QueryType::StructuredAggregationQuery(query)) => query,
        None => return Err(Status::invalid_argument("RunAggregationQuery has no query")),
    };
    let mut aggregates = Aggregates::parse(&aggregation.aggregations)?;
    let query = match aggregation.query_type {
        Some(structured_aggregation_query::QueryType::StructuredQuery(query)) => {
            service.query_log.record(&query);
            let query = Query::parse(parent, query)?;
            service.indexes.admit(&query, aggregates.fields())?;
            query.aggregating(aggregates.fields())
        }
        None => return Err(Status::invalid_argument("The aggregation has no query")),
    };
    let selector =
        selector!(run_aggregation_query_request, request.consistency_selector, [NewTransaction]);
    let mut view = service.view(query.scope.parent.database(), selector).await?;
    view.lock_query(service, &query).await?;
    let answer = service
        .blocking(move |service| {
            let mut seen = 0;
            let skipped =
                service.engine.query(&query, view.at, view.reads.as_ref(), &mut |document| {
                    seen += 1;
                    aggregates.add(&document)
                })?;
            service.meter.aggregated(&query, seen + skipped as u64);
            Ok(RunAggregationQueryResponse {
                result: Some(AggregationResult { aggregate_fields: aggregates.results() }),
                transaction: view.new_transaction.unwrap_or_default(),
                read_time: Some(view.read_time.into()),
                ..RunAggregationQueryResponse::default()
            })
        })
        .await?;
    Ok(Box::pin(futures::stream::iter([Ok(answer)])))
}

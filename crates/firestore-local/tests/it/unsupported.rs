//! Unsupported features are answered UNIMPLEMENTED by name, because a wrong result would be worse.

use tonic::{Code, Status};

use crate::support::Local;
use crate::support::queries::*;
use crate::support::v1::structured_query::{FieldReference, FindNearest};
use crate::support::v1::{
    ExecutePipelineRequest, ExplainOptions, RunAggregationQueryRequest, RunQueryRequest,
    StructuredQuery, run_query_request::QueryType,
};
use crate::support::values::*;

fn expect<T: std::fmt::Debug>(outcome: Result<T, Status>, name: &str) {
    let status = outcome.expect_err("it is not supported");
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    assert!(status.message().contains(name), "{status}");
}

#[tokio::test]
async fn pipelines_are_unimplemented() {
    let local = Local::start().await;
    let request = ExecutePipelineRequest { database: local.database(), ..Default::default() };
    let mut answers = local.api().execute_pipeline(request).await.unwrap().into_inner();
    expect(answers.message().await, "ExecutePipeline");
}

#[tokio::test]
async fn vector_search_is_unimplemented() {
    let local = Local::start().await;
    local.set("c/d", [("v", vector([1.0, 2.0]))]).await;
    let nearest = FindNearest {
        vector_field: Some(FieldReference { field_path: "v".into() }),
        query_vector: Some(vector([1.0, 2.0])),
        distance_measure: 1,
        limit: Some(1),
        ..Default::default()
    };
    let query = StructuredQuery { find_nearest: Some(nearest), ..from("c") };
    expect(local.query(query.clone()).await, "find_nearest");
    expect(local.aggregate(query, [count("n")]).await, "find_nearest");
}

#[tokio::test]
async fn query_explanations_are_unimplemented() {
    let local = Local::start().await;
    let explain = Some(ExplainOptions { analyze: true });
    let request = RunQueryRequest {
        parent: local.root(),
        explain_options: explain,
        query_type: Some(QueryType::StructuredQuery(from("c"))),
        ..Default::default()
    };
    let mut answers = local.api().run_query(request).await.unwrap().into_inner();
    expect(answers.message().await, "explain");
    let request = RunAggregationQueryRequest {
        parent: local.root(),
        explain_options: explain,
        ..Default::default()
    };
    let mut answers = local.api().run_aggregation_query(request).await.unwrap().into_inner();
    expect(answers.message().await, "explain");
}

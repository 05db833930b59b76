//! Generates the server trait of `google.firestore.v1.Firestore` for the message types of the
//! `firestore` crate, so that neither protoc nor .proto files are needed.

use tonic_build::manual::{Builder, Method, Service};

/// (rust name, route, input, output, client streaming, server streaming)
const METHODS: &[(&str, &str, &str, &str, bool, bool)] = &[
    ("get_document", "GetDocument", "GetDocumentRequest", "Document", false, false),
    (
        "list_documents",
        "ListDocuments",
        "ListDocumentsRequest",
        "ListDocumentsResponse",
        false,
        false,
    ),
    ("update_document", "UpdateDocument", "UpdateDocumentRequest", "Document", false, false),
    ("delete_document", "DeleteDocument", "DeleteDocumentRequest", "Empty", false, false),
    (
        "batch_get_documents",
        "BatchGetDocuments",
        "BatchGetDocumentsRequest",
        "BatchGetDocumentsResponse",
        false,
        true,
    ),
    (
        "begin_transaction",
        "BeginTransaction",
        "BeginTransactionRequest",
        "BeginTransactionResponse",
        false,
        false,
    ),
    ("commit", "Commit", "CommitRequest", "CommitResponse", false, false),
    ("rollback", "Rollback", "RollbackRequest", "Empty", false, false),
    ("run_query", "RunQuery", "RunQueryRequest", "RunQueryResponse", false, true),
    (
        "execute_pipeline",
        "ExecutePipeline",
        "ExecutePipelineRequest",
        "ExecutePipelineResponse",
        false,
        true,
    ),
    (
        "run_aggregation_query",
        "RunAggregationQuery",
        "RunAggregationQueryRequest",
        "RunAggregationQueryResponse",
        false,
        true,
    ),
    (
        "partition_query",
        "PartitionQuery",
        "PartitionQueryRequest",
        "PartitionQueryResponse",
        false,
        false,
    ),
    ("write", "Write", "WriteRequest", "WriteResponse", true, true),
    ("listen", "Listen", "ListenRequest", "ListenResponse", true, true),
    (
        "list_collection_ids",
        "ListCollectionIds",
        "ListCollectionIdsRequest",
        "ListCollectionIdsResponse",
        false,
        false,
    ),
    ("batch_write", "BatchWrite", "BatchWriteRequest", "BatchWriteResponse", false, false),
    ("create_document", "CreateDocument", "CreateDocumentRequest", "Document", false, false),
];

fn main() {
    let mut service = Service::builder().name("Firestore").package("google.firestore.v1");
    for &(name, route, input, output, client_streaming, server_streaming) in METHODS {
        let mut method = Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::proto::{input}"))
            .output_type(format!("crate::proto::{output}"))
            .codec_path("crate::codec::RequestCodec");
        if client_streaming {
            method = method.client_streaming();
        }
        if server_streaming {
            method = method.server_streaming();
        }
        service = service.method(method.build());
    }
    Builder::new().build_client(false).compile(&[service.build()]);
}

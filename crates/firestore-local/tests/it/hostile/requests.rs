//! Requests of every kind with parts that are often invalid.

use prost::Message;

use super::parts::Parts;
use crate::support::Client;
use crate::support::random::Random;
use crate::support::v1::target::{DocumentsTarget, QueryTarget, TargetType, query_target};
use crate::support::v1::*;

#[derive(Clone, Debug)]
pub enum Any {
    Get(GetDocumentRequest),
    List(ListDocumentsRequest),
    Create(CreateDocumentRequest),
    Update(UpdateDocumentRequest),
    Delete(DeleteDocumentRequest),
    BatchGet(BatchGetDocumentsRequest),
    Commit(CommitRequest),
    BatchWrite(BatchWriteRequest),
    Begin(BeginTransactionRequest),
    Rollback(RollbackRequest),
    Query(RunQueryRequest),
    Aggregate(RunAggregationQueryRequest),
    Partition(PartitionQueryRequest),
    Collections(ListCollectionIdsRequest),
    Pipeline(ExecutePipelineRequest),
    Write(Vec<WriteRequest>),
    Listen(Vec<ListenRequest>),
}

/// A random request; `open` is the id of an open transaction.
pub fn nasty(random: &mut Random, client: &Client, open: &[u8]) -> Any {
    // If every part may be invalid, almost every request is refused early.
    let mildness = if random.one_in(3) { 1 } else { 12 };
    Parts { random, client, open, mildness }.request()
}

/// A request whose bytes were changed; `None` if they no longer decode.
pub fn tampered(random: &mut Random, client: &Client, open: &[u8]) -> Option<Any> {
    let request = nasty(random, client, open);
    Some(match request {
        Any::Get(request) => Any::Get(tamper(random, &request)?),
        Any::List(request) => Any::List(tamper(random, &request)?),
        Any::Create(request) => Any::Create(tamper(random, &request)?),
        Any::Update(request) => Any::Update(tamper(random, &request)?),
        Any::Delete(request) => Any::Delete(tamper(random, &request)?),
        Any::BatchGet(request) => Any::BatchGet(tamper(random, &request)?),
        Any::Commit(request) => Any::Commit(tamper(random, &request)?),
        Any::BatchWrite(request) => Any::BatchWrite(tamper(random, &request)?),
        Any::Begin(request) => Any::Begin(tamper(random, &request)?),
        Any::Rollback(request) => Any::Rollback(tamper(random, &request)?),
        Any::Query(request) => Any::Query(tamper(random, &request)?),
        Any::Aggregate(request) => Any::Aggregate(tamper(random, &request)?),
        Any::Partition(request) => Any::Partition(tamper(random, &request)?),
        Any::Collections(request) => Any::Collections(tamper(random, &request)?),
        Any::Pipeline(request) => Any::Pipeline(tamper(random, &request)?),
        Any::Write(requests) => Any::Write(tamper_some(random, requests)),
        Any::Listen(requests) => Any::Listen(tamper_some(random, requests)),
    })
}

fn tamper_some<T: Message + Default>(random: &mut Random, requests: Vec<T>) -> Vec<T> {
    requests.iter().filter_map(|request| tamper(random, request)).collect()
}

fn tamper<T: Message + Default>(random: &mut Random, message: &T) -> Option<T> {
    let mut bytes = message.encode_to_vec();
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            break;
        }
        let place = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[place] = random.next().to_le_bytes()[0],
            1 => bytes[place] ^= 1 << random.below(8),
            2 => drop(bytes.remove(place)),
            _ => bytes.insert(place, random.next().to_le_bytes()[0]),
        }
    }
    T::decode(bytes.as_slice()).ok()
}

impl Parts<'_> {
    fn request(&mut self) -> Any {
        match self.random.below(17) {
            0 => Any::Get(GetDocumentRequest {
                name: self.name(),
                mask: self.sometimes(Self::mask),
                ..Default::default()
            }),
            1 => Any::List(ListDocumentsRequest {
                parent: self.parent(),
                collection_id: self.id(),
                page_size: self.int32(),
                page_token: self.odd_text(),
                order_by: self.odd_text(),
                mask: self.sometimes(Self::mask),
                show_missing: self.random.one_in(3),
                ..Default::default()
            }),
            2 => Any::Create(CreateDocumentRequest {
                parent: self.parent(),
                collection_id: self.id(),
                document_id: self.id(),
                document: self.maybe(Self::document),
                mask: self.sometimes(Self::mask),
                ..Default::default()
            }),
            3 => Any::Update(UpdateDocumentRequest {
                document: self.maybe(Self::document),
                update_mask: self.sometimes(Self::mask),
                mask: self.sometimes(Self::mask),
                current_document: self.sometimes(Self::precondition),
                ..Default::default()
            }),
            4 => Any::Delete(DeleteDocumentRequest {
                name: self.name(),
                current_document: self.sometimes(Self::precondition),
                ..Default::default()
            }),
            5 => Any::BatchGet(BatchGetDocumentsRequest {
                database: self.database(),
                documents: self.several(Self::name),
                mask: self.sometimes(Self::mask),
                consistency_selector: self.sometimes(Self::batch_selector),
                ..Default::default()
            }),
            6 | 7 => Any::Commit(CommitRequest {
                database: self.database(),
                writes: self.several(Self::write),
                transaction: self.sometimes(Self::transaction).unwrap_or_default(),
                ..Default::default()
            }),
            8 => Any::BatchWrite(BatchWriteRequest {
                database: self.database(),
                writes: self.several(Self::write),
                ..Default::default()
            }),
            9 => Any::Begin(BeginTransactionRequest {
                database: self.database(),
                options: self.sometimes(Self::transaction_options),
                ..Default::default()
            }),
            10 => Any::Rollback(RollbackRequest {
                database: self.database(),
                transaction: self.transaction(),
                ..Default::default()
            }),
            11 | 12 => Any::Query(RunQueryRequest {
                parent: self.parent(),
                query_type: self
                    .maybe(Self::query)
                    .map(run_query_request::QueryType::StructuredQuery),
                consistency_selector: self.sometimes(Self::query_selector),
                ..Default::default()
            }),
            13 => Any::Aggregate(RunAggregationQueryRequest {
                parent: self.parent(),
                query_type: self
                    .maybe(Self::aggregation_query)
                    .map(run_aggregation_query_request::QueryType::StructuredAggregationQuery),
                ..Default::default()
            }),
            14 => Any::Partition(PartitionQueryRequest {
                parent: self.parent(),
                partition_count: self.int64(),
                page_token: self.odd_text(),
                page_size: self.int32(),
                query_type: self
                    .maybe(Self::query)
                    .map(partition_query_request::QueryType::StructuredQuery),
                ..Default::default()
            }),
            15 => match self.random.below(3) {
                0 => Any::Pipeline(ExecutePipelineRequest {
                    database: self.database(),
                    ..Default::default()
                }),
                1 => Any::Write(self.write_requests()),
                _ => Any::Listen(self.listen_requests()),
            },
            _ => Any::Collections(ListCollectionIdsRequest {
                parent: self.parent(),
                page_size: self.int32(),
                page_token: self.odd_text(),
                ..Default::default()
            }),
        }
    }

    fn write_requests(&mut self) -> Vec<WriteRequest> {
        let first = WriteRequest { database: self.database(), ..Default::default() };
        let rest = self.several(|parts| WriteRequest {
            writes: parts.several(Self::write),
            stream_token: parts.text().into_bytes(),
            ..Default::default()
        });
        std::iter::once(first).chain(rest).collect()
    }

    fn listen_requests(&mut self) -> Vec<ListenRequest> {
        self.several(|parts| {
            let target_type = match parts.random.below(3) {
                0 => None,
                1 => Some(TargetType::Documents(DocumentsTarget {
                    documents: parts.several(Self::name),
                })),
                _ => Some(TargetType::Query(QueryTarget {
                    parent: parts.parent(),
                    query_type: parts
                        .maybe(Self::query)
                        .map(query_target::QueryType::StructuredQuery),
                })),
            };
            let target = Target {
                target_id: parts.int32(),
                once: parts.random.one_in(2),
                target_type,
                ..Default::default()
            };
            let change = match parts.random.below(4) {
                0 => listen_request::TargetChange::RemoveTarget(parts.int32()),
                _ => listen_request::TargetChange::AddTarget(target),
            };
            ListenRequest {
                database: parts.database(),
                target_change: Some(change),
                ..Default::default()
            }
        })
    }
}

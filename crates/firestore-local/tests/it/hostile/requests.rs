//! Requests of every kind, made of parts that are often wrong.

use std::collections::HashMap;

use firestore::gcloud_sdk::google::r#type::LatLng;
use prost::Message;
use prost_types::Timestamp;

use crate::support::Client;
use crate::support::random::Random;
use crate::support::v1::document_transform::FieldTransform;
use crate::support::v1::document_transform::field_transform::TransformType;
use crate::support::v1::precondition::ConditionType;
use crate::support::v1::structured_aggregation_query::Aggregation;
use crate::support::v1::structured_aggregation_query::aggregation::{Avg, Count, Operator, Sum};
use crate::support::v1::structured_query::filter::FilterType;
use crate::support::v1::structured_query::unary_filter::OperandType;
use crate::support::v1::structured_query::{
    CollectionSelector, CompositeFilter, FieldFilter, FieldReference, Filter, Order, Projection,
    UnaryFilter,
};
use crate::support::v1::target::{DocumentsTarget, QueryTarget, TargetType, query_target};
use crate::support::v1::transaction_options::{Mode, ReadOnly, ReadWrite, read_only};
use crate::support::v1::value::ValueType;
use crate::support::v1::write::Operation;
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

/// A request of random kind.
pub fn nasty(random: &mut Random, client: &Client) -> Any {
    Parts { random, client }.request()
}

/// A request whose bytes were changed, where they still are a message.
pub fn tampered(random: &mut Random, client: &Client) -> Option<Any> {
    let request = nasty(random, client);
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

struct Parts<'a> {
    random: &'a mut Random,
    client: &'a Client,
}

impl Parts<'_> {
    fn request(&mut self) -> Any {
        match self.random.below(17) {
            0 => Any::Get(GetDocumentRequest {
                name: self.name(),
                mask: self.maybe(Self::mask),
                ..Default::default()
            }),
            1 => Any::List(ListDocumentsRequest {
                parent: self.parent(),
                collection_id: self.id(),
                page_size: self.int32(),
                page_token: self.text(),
                order_by: self.text(),
                mask: self.maybe(Self::mask),
                show_missing: self.random.one_in(3),
                ..Default::default()
            }),
            2 => Any::Create(CreateDocumentRequest {
                parent: self.parent(),
                collection_id: self.id(),
                document_id: self.id(),
                document: self.maybe(Self::document),
                mask: self.maybe(Self::mask),
                ..Default::default()
            }),
            3 => Any::Update(UpdateDocumentRequest {
                document: self.maybe(Self::document),
                update_mask: self.maybe(Self::mask),
                mask: self.maybe(Self::mask),
                current_document: self.maybe(Self::precondition),
                ..Default::default()
            }),
            4 => Any::Delete(DeleteDocumentRequest {
                name: self.name(),
                current_document: self.maybe(Self::precondition),
                ..Default::default()
            }),
            5 => Any::BatchGet(BatchGetDocumentsRequest {
                database: self.database(),
                documents: self.several(Self::name),
                mask: self.maybe(Self::mask),
                consistency_selector: self.maybe(Self::batch_selector),
                ..Default::default()
            }),
            6 | 7 => Any::Commit(CommitRequest {
                database: self.database(),
                writes: self.several(Self::write),
                ..Default::default()
            }),
            8 => Any::BatchWrite(BatchWriteRequest {
                database: self.database(),
                writes: self.several(Self::write),
                ..Default::default()
            }),
            9 => Any::Begin(BeginTransactionRequest {
                database: self.database(),
                options: self.maybe(Self::transaction_options),
                ..Default::default()
            }),
            10 => Any::Rollback(RollbackRequest {
                database: self.database(),
                transaction: self.text().into_bytes(),
                ..Default::default()
            }),
            11 | 12 => Any::Query(RunQueryRequest {
                parent: self.parent(),
                query_type: self
                    .maybe(Self::query)
                    .map(run_query_request::QueryType::StructuredQuery),
                consistency_selector: self.maybe(Self::query_selector),
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
                page_token: self.text(),
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
                page_token: self.text(),
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

    fn maybe<T>(&mut self, part: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (!self.random.one_in(4)).then(|| part(self))
    }

    fn several<T>(&mut self, mut part: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.random.below(5)).map(|_| part(self)).collect()
    }

    fn int32(&mut self) -> i32 {
        *self.random.pick(&[0, 1, 2, 3, -1, i32::MIN, i32::MAX, 1_000])
    }

    fn int64(&mut self) -> i64 {
        *self.random.pick(&[0, 1, 2, 3, -1, i64::MIN, i64::MAX, 1 << 53])
    }

    fn text(&mut self) -> String {
        let texts = [
            "", "a", "b", "a.b", "a.", ".", "`", "`a`", "`a\\", "a,b desc", "aé", "\u{0}", "zz",
            "__name__", "__x__", "__id7__", "a/b", "0", "00", "🦀",
        ];
        match self.random.below(40) {
            0 => "x".repeat(2_000),
            _ => (*self.random.pick(&texts)).to_owned(),
        }
    }

    fn id(&mut self) -> String {
        match self.random.below(4) {
            0 => self.text(),
            _ => (*self.random.pick(&["c", "d", "e", "1", "2", "3"])).to_owned(),
        }
    }

    fn database(&mut self) -> String {
        match self.random.below(20) {
            0 => self.text(),
            1 => "projects/p/databases/d".to_owned(),
            _ => self.client.database(),
        }
    }

    /// Mostly a document's name.
    fn name(&mut self) -> String {
        let segments = if self.random.one_in(10) { self.random.below(6) } else { 2 };
        let ids: Vec<_> = (0..segments).map(|_| self.id()).collect();
        match self.random.below(20) {
            0 => self.text(),
            _ => format!("{}/documents/{}", self.database(), ids.join("/")),
        }
    }

    fn parent(&mut self) -> String {
        if self.random.one_in(3) { self.name() } else { self.client.root() }
    }

    fn time(&mut self) -> Timestamp {
        let seconds = match self.random.below(3) {
            0 => self.int64(),
            1 => 253_402_300_799,
            _ => 1_700_000_000,
        };
        Timestamp { seconds, nanos: self.int32() }
    }

    fn double(&mut self) -> f64 {
        *self.random.pick(&[
            0.0,
            -0.0,
            1.5,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE,
            91.0,
            9.3e18,
        ])
    }

    fn value(&mut self, depth: usize) -> Value {
        let value_type = match self.random.below(if depth > 3 { 12 } else { 16 }) {
            0 => None,
            1 => Some(ValueType::NullValue(self.int32())),
            2 => Some(ValueType::BooleanValue(self.random.one_in(2))),
            3 | 4 => Some(ValueType::IntegerValue(self.int64())),
            5 => Some(ValueType::DoubleValue(self.double())),
            6 => Some(ValueType::TimestampValue(self.time())),
            7 | 8 => Some(ValueType::StringValue(self.text())),
            9 => Some(ValueType::BytesValue(self.text().into_bytes())),
            10 => Some(ValueType::ReferenceValue(self.name())),
            11 => Some(ValueType::GeoPointValue(LatLng {
                latitude: self.double(),
                longitude: self.double(),
            })),
            12 | 13 => Some(ValueType::ArrayValue(ArrayValue {
                values: self.several(|parts| parts.value(depth + 1)),
            })),
            14 => Some(ValueType::MapValue(MapValue { fields: self.fields(depth + 1) })),
            _ => Some(self.odd_value(depth)),
        };
        Value { value_type }
    }

    /// A vector, or something that looks like one, or what no document may hold.
    fn odd_value(&mut self, depth: usize) -> ValueType {
        match self.random.below(6) {
            0 => ValueType::FieldReferenceValue(self.text()),
            1 => ValueType::VariableReferenceValue(self.text()),
            2 => ValueType::FunctionValue(Function::default()),
            3 => ValueType::PipelineValue(Pipeline::default()),
            _ => {
                let kind = ValueType::StringValue("__vector__".to_owned());
                let fields = HashMap::from([
                    ("__type__".to_owned(), Value { value_type: Some(kind) }),
                    ("value".to_owned(), self.value(depth + 1)),
                ]);
                ValueType::MapValue(MapValue { fields })
            }
        }
    }

    fn fields(&mut self, depth: usize) -> HashMap<String, Value> {
        self.several(|parts| (parts.field_name(), parts.value(depth))).into_iter().collect()
    }

    fn field_name(&mut self) -> String {
        if self.random.one_in(8) {
            self.text()
        } else {
            (*self.random.pick(&["a", "b", "c", "d e"])).to_owned()
        }
    }

    fn path(&mut self) -> String {
        if self.random.one_in(6) {
            self.text()
        } else {
            (*self.random.pick(&["a", "b", "a.b", "c.`d e`", "__name__"])).to_owned()
        }
    }

    fn field(&mut self) -> Option<FieldReference> {
        self.maybe(|parts| FieldReference { field_path: parts.path() })
    }

    fn document(&mut self) -> Document {
        Document { name: self.name(), fields: self.fields(0), ..Default::default() }
    }

    fn mask(&mut self) -> DocumentMask {
        DocumentMask { field_paths: self.several(Self::path) }
    }

    fn precondition(&mut self) -> Precondition {
        let condition_type = match self.random.below(4) {
            0 => None,
            1 => Some(ConditionType::UpdateTime(self.time())),
            _ => Some(ConditionType::Exists(self.random.one_in(2))),
        };
        Precondition { condition_type }
    }

    fn write(&mut self) -> Write {
        let operation = match self.random.below(8) {
            0 => None,
            1 => Some(Operation::Delete(self.name())),
            2 => Some(Operation::Transform(DocumentTransform {
                document: self.name(),
                field_transforms: self.several(Self::transform),
            })),
            _ => Some(Operation::Update(self.document())),
        };
        Write {
            operation,
            update_mask: self.maybe(Self::mask),
            update_transforms: if self.random.one_in(3) {
                self.several(Self::transform)
            } else {
                Vec::new()
            },
            current_document: if self.random.one_in(4) { Some(self.precondition()) } else { None },
        }
    }

    fn transform(&mut self) -> FieldTransform {
        let list = |parts: &mut Self| ArrayValue { values: parts.several(|p| p.value(2)) };
        let transform_type = match self.random.below(8) {
            0 => None,
            1 => Some(TransformType::SetToServerValue(self.int32())),
            2 | 3 => Some(TransformType::Increment(self.value(2))),
            4 => Some(TransformType::Maximum(self.value(2))),
            5 => Some(TransformType::Minimum(self.value(2))),
            6 => Some(TransformType::AppendMissingElements(list(self))),
            _ => Some(TransformType::RemoveAllFromArray(list(self))),
        };
        FieldTransform { field_path: self.path(), transform_type }
    }

    fn transaction_options(&mut self) -> TransactionOptions {
        let mode = match self.random.below(3) {
            0 => None,
            1 => Some(Mode::ReadOnly(ReadOnly {
                consistency_selector: self
                    .maybe(Self::time)
                    .map(read_only::ConsistencySelector::ReadTime),
            })),
            _ => Some(Mode::ReadWrite(ReadWrite {
                retry_transaction: self.text().into_bytes(),
                concurrency_mode: self.int32(),
            })),
        };
        TransactionOptions { mode }
    }

    fn batch_selector(&mut self) -> batch_get_documents_request::ConsistencySelector {
        use batch_get_documents_request::ConsistencySelector as Selector;
        match self.random.below(3) {
            0 => Selector::Transaction(self.text().into_bytes()),
            1 => Selector::NewTransaction(self.transaction_options()),
            _ => Selector::ReadTime(self.time()),
        }
    }

    fn query_selector(&mut self) -> run_query_request::ConsistencySelector {
        use run_query_request::ConsistencySelector as Selector;
        match self.random.below(3) {
            0 => Selector::NewTransaction(TransactionOptions::default()),
            1 => Selector::NewTransaction(self.transaction_options()),
            _ => Selector::ReadTime(self.time()),
        }
    }

    fn query(&mut self) -> StructuredQuery {
        let selector =
            CollectionSelector { collection_id: self.id(), all_descendants: self.random.one_in(3) };
        let mut query = StructuredQuery { from: vec![selector], ..Default::default() };
        if self.random.one_in(10) {
            query.from = self.several(|parts| CollectionSelector {
                collection_id: parts.text(),
                all_descendants: true,
            });
        }
        if self.random.one_in(2) {
            query.r#where = Some(self.filter(0));
        }
        if self.random.one_in(3) {
            query.order_by = self.several(|parts| Order {
                field: parts.field(),
                direction: parts.random.below(4) as i32,
            });
        }
        if self.random.one_in(4) {
            query.start_at = Some(self.cursor());
        }
        if self.random.one_in(4) {
            query.end_at = Some(self.cursor());
        }
        if self.random.one_in(4) {
            query.offset = self.int32();
        }
        if self.random.one_in(4) {
            query.limit = Some(self.int32());
        }
        if self.random.one_in(5) {
            let fields = self.several(|parts| FieldReference { field_path: parts.path() });
            query.select = Some(Projection { fields });
        }
        query
    }

    fn cursor(&mut self) -> Cursor {
        Cursor { values: self.several(|parts| parts.value(1)), before: self.random.one_in(2) }
    }

    fn filter(&mut self, depth: usize) -> Filter {
        let filter_type = match self.random.below(if depth > 3 { 6 } else { 9 }) {
            0 => None,
            1 => Some(FilterType::UnaryFilter(UnaryFilter {
                op: self.random.below(7) as i32,
                operand_type: self.field().map(OperandType::Field),
            })),
            2..6 => Some(FilterType::FieldFilter(FieldFilter {
                field: self.field(),
                op: self.random.below(12) as i32,
                value: self.maybe(|parts| parts.value(1)),
            })),
            _ => Some(FilterType::CompositeFilter(CompositeFilter {
                op: self.random.below(4) as i32,
                filters: self.several(|parts| parts.filter(depth + 1)),
            })),
        };
        Filter { filter_type }
    }

    fn aggregation_query(&mut self) -> StructuredAggregationQuery {
        StructuredAggregationQuery {
            aggregations: self.several(|parts| Aggregation {
                alias: parts.text(),
                operator: match parts.random.below(4) {
                    0 => None,
                    1 => Some(Operator::Count(Count { up_to: parts.maybe(Self::int64) })),
                    2 => Some(Operator::Sum(Sum { field: parts.field() })),
                    _ => Some(Operator::Avg(Avg { field: parts.field() })),
                },
            }),
            query_type: self
                .maybe(Self::query)
                .map(structured_aggregation_query::QueryType::StructuredQuery),
        }
    }
}

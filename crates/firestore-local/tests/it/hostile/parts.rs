//! The parts of requests: mostly valid, sometimes invalid in a way that may break a server.

use std::collections::HashMap;

use firestore::gcloud_sdk::google::r#type::LatLng;
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
use crate::support::v1::transaction_options::{Mode, ReadOnly, ReadWrite, read_only};
use crate::support::v1::value::ValueType;
use crate::support::v1::write::Operation;
use crate::support::v1::*;

pub struct Parts<'a> {
    pub random: &'a mut Random,
    pub client: &'a Client,
    /// The id of an open transaction.
    pub open: &'a [u8],
    /// The factor by which invalid parts are rarer than usual.
    pub mildness: usize,
}

impl Parts<'_> {
    /// Whether the next part is invalid: once in `times`, more rarely in a mild request.
    pub fn nasty(&mut self, times: usize) -> bool {
        self.random.one_in(times * self.mildness)
    }

    pub fn maybe<T>(&mut self, part: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (!self.nasty(4)).then(|| part(self))
    }

    /// An optional part.
    pub fn sometimes<T>(&mut self, part: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.random.one_in(3).then(|| part(self))
    }

    pub fn several<T>(&mut self, mut part: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.random.below(5)).map(|_| part(self)).collect()
    }

    pub fn int32(&mut self) -> i32 {
        if self.nasty(2) {
            *self.random.pick(&[0, -1, i32::MIN, i32::MAX, 1_000])
        } else {
            *self.random.pick(&[1, 2, 3])
        }
    }

    pub fn int64(&mut self) -> i64 {
        if !self.nasty(2) {
            return *self.random.pick(&[1, 2, 3]);
        }
        *self.random.pick(&[0, 1, 2, 3, -1, i64::MIN, i64::MAX, 1 << 53])
    }

    /// The number of an enum's variant: mostly one of the valid ones.
    pub fn number(&mut self, valid: std::ops::Range<i32>, limit: usize) -> i32 {
        let below = |random: &mut Random, limit| i32::try_from(random.below(limit)).unwrap();
        if self.nasty(4) {
            below(self.random, limit)
        } else {
            valid.start + below(self.random, valid.len())
        }
    }

    pub fn text(&mut self) -> String {
        let texts = [
            "", "a", "b", "a.b", "a.", ".", "`", "`a`", "`a\\", "a,b desc", "aé", "\u{0}", "zz",
            "__name__", "__x__", "__id7__", "a/b", "0", "00", "🦀",
        ];
        match self.random.below(40) {
            0 => "x".repeat(2_000),
            _ => (*self.random.pick(&texts)).to_owned(),
        }
    }

    /// A text that is mostly empty.
    pub fn odd_text(&mut self) -> String {
        if self.nasty(2) { self.text() } else { String::new() }
    }

    pub fn transaction(&mut self) -> Vec<u8> {
        if self.nasty(3) { self.text().into_bytes() } else { self.open.to_vec() }
    }

    pub fn id(&mut self) -> String {
        if self.nasty(4) {
            self.text()
        } else {
            (*self.random.pick(&["c", "d", "e", "1", "2", "3"])).to_owned()
        }
    }

    pub fn database(&mut self) -> String {
        match (self.nasty(20), self.nasty(20)) {
            (true, _) => self.text(),
            (_, true) => "projects/p/databases/d".to_owned(),
            _ => self.client.database(),
        }
    }

    /// Mostly a document's name.
    pub fn name(&mut self) -> String {
        let segments = if self.nasty(10) { self.random.below(6) } else { 2 };
        let ids: Vec<_> = (0..segments).map(|_| self.id()).collect();
        if self.nasty(20) {
            self.text()
        } else {
            format!("{}/documents/{}", self.database(), ids.join("/"))
        }
    }

    pub fn parent(&mut self) -> String {
        if self.random.one_in(3) { self.name() } else { self.client.root() }
    }

    pub fn time(&mut self) -> Timestamp {
        let seconds = match (self.nasty(3), self.random.one_in(2)) {
            (true, _) => self.int64(),
            (_, true) => 253_402_300_799,
            _ => 1_700_000_000,
        };
        Timestamp { seconds, nanos: self.int32() }
    }

    pub fn double(&mut self) -> f64 {
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

    pub fn value(&mut self, depth: usize) -> Value {
        let value_type = match self.random.below(if depth > 3 { 12 } else { 16 }) {
            0 if self.nasty(1) => None,
            0 | 1 => Some(ValueType::NullValue(self.int32())),
            2 => Some(ValueType::BooleanValue(self.random.one_in(2))),
            3 | 4 => Some(ValueType::IntegerValue(self.int64())),
            5 => Some(ValueType::DoubleValue(self.double())),
            6 => Some(ValueType::TimestampValue(self.time())),
            7 | 8 => Some(ValueType::StringValue(self.text())),
            9 => Some(ValueType::BytesValue(self.text().into_bytes())),
            10 => Some(ValueType::ReferenceValue(self.name())),
            11 => Some(ValueType::GeoPointValue(LatLng {
                latitude: if self.nasty(2) { self.double() } else { 1.5 },
                longitude: if self.nasty(2) { self.double() } else { -1.5 },
            })),
            12 | 13 => Some(ValueType::ArrayValue(ArrayValue {
                values: self.several(|parts| parts.value(depth + 1)),
            })),
            14 => Some(ValueType::MapValue(MapValue { fields: self.fields(depth + 1) })),
            _ if self.nasty(1) => Some(self.odd_value(depth)),
            _ => Some(ValueType::MapValue(MapValue { fields: self.fields(depth + 1) })),
        };
        Value { value_type }
    }

    /// A vector, a map that looks like one, or a value that no document may hold.
    pub fn odd_value(&mut self, depth: usize) -> ValueType {
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

    pub fn fields(&mut self, depth: usize) -> HashMap<String, Value> {
        self.several(|parts| (parts.field_name(), parts.value(depth))).into_iter().collect()
    }

    pub fn field_name(&mut self) -> String {
        if self.nasty(8) {
            self.text()
        } else {
            (*self.random.pick(&["a", "b", "c", "d e"])).to_owned()
        }
    }

    pub fn path(&mut self) -> String {
        if self.nasty(6) {
            self.text()
        } else {
            (*self.random.pick(&["a", "b", "a.b", "c.`d e`", "__name__"])).to_owned()
        }
    }

    pub fn field(&mut self) -> Option<FieldReference> {
        self.maybe(|parts| FieldReference { field_path: parts.path() })
    }

    pub fn document(&mut self) -> Document {
        Document { name: self.name(), fields: self.fields(0), ..Default::default() }
    }

    pub fn mask(&mut self) -> DocumentMask {
        DocumentMask { field_paths: self.several(Self::path) }
    }

    pub fn precondition(&mut self) -> Precondition {
        let condition_type = match self.random.below(4) {
            0 => None,
            1 => Some(ConditionType::UpdateTime(self.time())),
            _ => Some(ConditionType::Exists(self.random.one_in(2))),
        };
        Precondition { condition_type }
    }

    pub fn write(&mut self) -> Write {
        let operation = match self.random.below(8) {
            0 if self.nasty(1) => None,
            1 => Some(Operation::Delete(self.name())),
            2 => Some(Operation::Transform(DocumentTransform {
                document: self.name(),
                field_transforms: self.several(Self::transform),
            })),
            _ => Some(Operation::Update(self.document())),
        };
        Write {
            operation,
            update_mask: self.sometimes(Self::mask),
            update_transforms: if self.random.one_in(3) {
                self.several(Self::transform)
            } else {
                Vec::new()
            },
            current_document: if self.random.one_in(4) { Some(self.precondition()) } else { None },
        }
    }

    pub fn transform(&mut self) -> FieldTransform {
        let list = |parts: &mut Self| ArrayValue { values: parts.several(|p| p.value(2)) };
        let transform_type = match self.random.below(8) {
            0 if self.nasty(1) => None,
            1 => Some(TransformType::SetToServerValue(self.int32())),
            2 | 3 => Some(TransformType::Increment(self.value(2))),
            4 => Some(TransformType::Maximum(self.value(2))),
            5 => Some(TransformType::Minimum(self.value(2))),
            6 => Some(TransformType::AppendMissingElements(list(self))),
            _ => Some(TransformType::RemoveAllFromArray(list(self))),
        };
        FieldTransform { field_path: self.path(), transform_type }
    }

    pub fn transaction_options(&mut self) -> TransactionOptions {
        let mode = match self.random.below(3) {
            0 => None,
            1 => Some(Mode::ReadOnly(ReadOnly {
                consistency_selector: self
                    .maybe(Self::time)
                    .map(read_only::ConsistencySelector::ReadTime),
            })),
            _ => Some(Mode::ReadWrite(ReadWrite {
                retry_transaction: self.transaction(),
                concurrency_mode: self.int32(),
            })),
        };
        TransactionOptions { mode }
    }

    pub fn batch_selector(&mut self) -> batch_get_documents_request::ConsistencySelector {
        use batch_get_documents_request::ConsistencySelector as Selector;
        match self.random.below(3) {
            0 => Selector::Transaction(self.transaction()),
            1 => Selector::NewTransaction(self.transaction_options()),
            _ => Selector::ReadTime(self.time()),
        }
    }

    pub fn query_selector(&mut self) -> run_query_request::ConsistencySelector {
        use run_query_request::ConsistencySelector as Selector;
        match self.random.below(3) {
            0 => Selector::Transaction(self.transaction()),
            1 => Selector::NewTransaction(self.transaction_options()),
            _ => Selector::ReadTime(self.time()),
        }
    }

    pub fn query(&mut self) -> StructuredQuery {
        let selector =
            CollectionSelector { collection_id: self.id(), all_descendants: self.random.one_in(3) };
        let mut query = StructuredQuery { from: vec![selector], ..Default::default() };
        if self.nasty(10) {
            query.from = self.several(|parts| CollectionSelector {
                collection_id: parts.text(),
                all_descendants: true,
            });
        }
        if self.random.one_in(2) {
            query.r#where = Some(self.filter(0));
        }
        if self.random.one_in(3) {
            query.order_by = self
                .several(|parts| Order { field: parts.field(), direction: parts.number(0..3, 4) });
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

    pub fn cursor(&mut self) -> Cursor {
        Cursor { values: self.several(|parts| parts.value(1)), before: self.random.one_in(2) }
    }

    pub fn filter(&mut self, depth: usize) -> Filter {
        let filter_type = match self.random.below(if depth > 3 { 6 } else { 9 }) {
            0 if self.nasty(1) => None,
            0 | 1 => Some(FilterType::UnaryFilter(UnaryFilter {
                op: self.number(2..6, 8),
                operand_type: self.field().map(OperandType::Field),
            })),
            2..6 => Some(FilterType::FieldFilter(FieldFilter {
                field: self.field(),
                op: self.number(1..11, 13),
                value: self.maybe(Self::operand),
            })),
            _ => Some(FilterType::CompositeFilter(CompositeFilter {
                op: self.number(1..3, 4),
                filters: self.several(|parts| parts.filter(depth + 1)),
            })),
        };
        Filter { filter_type }
    }

    /// A value, or a list as some operators require.
    pub fn operand(&mut self) -> Value {
        if self.random.one_in(2) {
            return self.value(1);
        }
        let values = self.several(|parts| parts.value(2));
        Value { value_type: Some(ValueType::ArrayValue(ArrayValue { values })) }
    }

    pub fn aggregation_query(&mut self) -> StructuredAggregationQuery {
        StructuredAggregationQuery {
            aggregations: self.several(|parts| Aggregation {
                alias: parts.odd_text(),
                operator: match parts.random.below(4) {
                    0 if parts.nasty(1) => None,
                    0 | 1 => Some(Operator::Count(Count { up_to: parts.maybe(Self::int64) })),
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

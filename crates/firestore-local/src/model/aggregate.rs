//! Aggregations over the documents of a query.

use std::collections::HashMap;

use tonic::Status;

use super::field_path::{FieldPath, is_reserved};
use super::invalid;
use crate::proto::structured_aggregation_query::{Aggregation, aggregation::Operator};
use crate::proto::{Document, Value, value::ValueType};

const MAX_AGGREGATIONS: usize = 5;
/// The maximum length of an alias, that of a field name.
const MAX_ALIAS_BYTES: usize = 1_500;

#[derive(Clone, Debug)]
enum Kind {
    Count { up_to: Option<u64> },
    Sum(FieldPath),
    Average(FieldPath),
}

/// Aggregations in progress. Documents are added one by one.
#[derive(Clone, Debug)]
pub struct Aggregates(Vec<(String, Kind, Tally)>);

/// The running totals of one aggregation: the integers exactly, the doubles as a double.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    documents: u64,
    numbers: u64,
    integers: i128,
    doubles: f64,
    has_double: bool,
}

impl Aggregates {
    pub fn parse(aggregations: &[Aggregation]) -> Result<Self, Status> {
        if aggregations.is_empty() {
            return Err(invalid!("Aggregations can not be empty."));
        }
        if aggregations.len() > MAX_AGGREGATIONS {
            return Err(invalid!(
                "The maximum number of aggregations allowed in an aggregation query is \
                 {MAX_AGGREGATIONS}. Received: {}",
                aggregations.len()
            ));
        }
        let mut parsed: Vec<(String, Kind, Tally)> = Vec::new();
        let mut unnamed = 0;
        for aggregation in aggregations {
            let alias = match aggregation.alias.as_str() {
                "" => {
                    unnamed += 1;
                    format!("field_{unnamed}")
                }
                alias => alias.to_owned(),
            };
            if is_reserved(&alias) {
                return Err(invalid!("The property.name \"{alias}\" is reserved."));
            }
            if alias.len() > MAX_ALIAS_BYTES {
                return Err(invalid!(
                    "The property.name is the wrong length. It must be at most {MAX_ALIAS_BYTES} \
                     bytes, got {}.",
                    alias.len()
                ));
            }
            if parsed.iter().any(|(other, ..)| *other == alias) {
                return Err(invalid!("Aggregation aliases contain duplicate alias: {alias}."));
            }
            parsed.push((alias, parse_kind(aggregation)?, Tally::default()));
        }
        Ok(Self(parsed))
    }

    /// Adds a document if it has all fields that are summed or averaged; any other document counts
    /// for none of the aggregations. Returns whether more documents can change the result.
    pub fn add(&mut self, document: &Document) -> bool {
        if !self.fields().all(|path| path.get(&document.fields).is_some()) {
            return true;
        }
        let mut open = false;
        for (_, kind, tally) in &mut self.0 {
            tally.documents += 1;
            match kind {
                Kind::Count { up_to } => open |= up_to.is_none_or(|most| tally.documents < most),
                Kind::Sum(path) | Kind::Average(path) => {
                    open = true;
                    tally.add(path.get(&document.fields));
                }
            }
        }
        open
    }

    /// The fields that are summed or averaged.
    pub fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        self.0.iter().filter_map(|(_, kind, _)| match kind {
            Kind::Count { .. } => None,
            Kind::Sum(path) | Kind::Average(path) => Some(path),
        })
    }

    pub fn results(self) -> HashMap<String, Value> {
        self.0.into_iter().map(|(alias, kind, tally)| (alias, tally.result(&kind))).collect()
    }
}

fn parse_kind(aggregation: &Aggregation) -> Result<Kind, Status> {
    let path = |field: &Option<crate::proto::structured_query::FieldReference>| {
        FieldPath::parse(field.as_ref().map_or("", |field| &field.field_path))
    };
    Ok(match &aggregation.operator {
        Some(Operator::Count(count)) => {
            let up_to = match count.up_to {
                None => None,
                Some(most) if most > 0 => Some(most.unsigned_abs()),
                Some(most) => return Err(invalid!("up_to must be positive, got {most}")),
            };
            Kind::Count { up_to }
        }
        Some(Operator::Sum(sum)) => Kind::Sum(path(&sum.field)?),
        Some(Operator::Avg(average)) => Kind::Average(path(&average.field)?),
        None => return Err(invalid!("An aggregation has no operator")),
    })
}

impl Tally {
    fn add(&mut self, value: Option<&Value>) {
        match value.and_then(|value| value.value_type.as_ref()) {
            Some(ValueType::IntegerValue(whole)) => {
                self.numbers += 1;
                self.integers += i128::from(*whole);
            }
            Some(ValueType::DoubleValue(number)) => {
                self.numbers += 1;
                self.doubles += number;
                self.has_double = true;
            }
            _ => {}
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "sums beyond 64 bits are doubles by contract")]
    fn result(self, kind: &Kind) -> Value {
        let total = self.integers as f64 + self.doubles;
        let kind = match kind {
            Kind::Count { up_to } => {
                let counted = up_to.map_or(self.documents, |most| self.documents.min(most));
                ValueType::IntegerValue(i64::try_from(counted).unwrap_or(i64::MAX))
            }
            Kind::Sum(_) => match i64::try_from(self.integers) {
                Ok(whole) if !self.has_double => ValueType::IntegerValue(whole),
                _ => ValueType::DoubleValue(total),
            },
            Kind::Average(_) if self.numbers == 0 => ValueType::NullValue(0),
            Kind::Average(_) => ValueType::DoubleValue(total / self.numbers as f64),
        };
        Value { value_type: Some(kind) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::tests::{double, int, map, string};
    use super::*;
    use crate::proto::structured_aggregation_query::aggregation::{Avg, Count, Sum};
    use crate::proto::structured_query::FieldReference;

    fn results(values: &[Value]) -> HashMap<String, Value> {
        let field = Some(FieldReference { field_path: "x".to_owned() });
        let named = |alias: &str, operator| Aggregation {
            alias: alias.to_owned(),
            operator: Some(operator),
        };
        let mut aggregates = Aggregates::parse(&[
            named("n", Operator::Count(Count { up_to: None })),
            named("two", Operator::Count(Count { up_to: Some(2) })),
            named("sum", Operator::Sum(Sum { field: field.clone() })),
            named("", Operator::Avg(Avg { field })),
        ])
        .unwrap();
        for value in values {
            let fields = [("x".to_owned(), value.clone())].into();
            aggregates.add(&Document { fields, ..Document::default() });
        }
        aggregates.results()
    }

    #[test]
    fn sums_are_exact_integers_until_they_overflow_or_meet_a_double() {
        assert_eq!(results(&[int(i64::MAX), int(1), int(-1)])["sum"], int(i64::MAX));
        assert_eq!(results(&[int(i64::MAX), int(1)])["sum"], double(9_223_372_036_854_775_808.0));
        assert_eq!(results(&[int(1), double(0.5)])["sum"], double(1.5));
        assert_eq!(results(&[])["sum"], int(0));
    }

    #[test]
    fn a_value_that_is_not_a_number_counts_only_as_a_document() {
        let found = results(&[int(1), string("x"), int(2)]);
        assert_eq!((&found["n"], &found["two"]), (&int(3), &int(2)));
        assert_eq!(found["field_1"], double(1.5));
        assert_eq!(results(&[])["field_1"].value_type, Some(ValueType::NullValue(0)));
    }

    #[test]
    fn nan_and_infinities_follow_ieee_754() {
        let sum = |values: &[Value]| match results(values)["sum"].value_type {
            Some(ValueType::DoubleValue(sum)) => sum,
            _ => panic!("not a double"),
        };
        assert!(sum(&[int(1), double(f64::NAN)]).is_nan());
        assert!(sum(&[double(f64::INFINITY), double(f64::NEG_INFINITY)]).is_nan());
        assert_eq!(sum(&[double(f64::INFINITY), int(1)]), f64::INFINITY);
    }

    #[test]
    fn a_document_counts_only_with_every_aggregated_field() {
        let operator = |path: &str| {
            let field = Some(FieldReference { field_path: path.to_owned() });
            Operator::Sum(Sum { field })
        };
        let unnamed = |operator| Aggregation { alias: String::new(), operator: Some(operator) };
        let count = Operator::Count(Count { up_to: None });
        let mut aggregates =
            Aggregates::parse(&[count, operator("x"), operator("y.z")].map(unnamed)).unwrap();
        for fields in [
            vec![("x", int(1)), ("y", map(&[("z", int(10))]))],
            vec![("x", int(2)), ("y", map(&[]))],
            vec![("y", map(&[("z", int(20))]))],
            vec![("x", string("no number")), ("y", map(&[("z", int(40))]))],
        ] {
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            assert!(aggregates.add(&Document { fields, ..Document::default() }));
        }
        let expected = [("field_1", int(2)), ("field_2", int(1)), ("field_3", int(50))]
            .map(|(alias, value)| (alias.to_owned(), value));
        assert_eq!(aggregates.results(), expected.into());
    }

    #[test]
    fn counts_stop_at_up_to() {
        let count = |up_to| Aggregation {
            alias: String::new(),
            operator: Some(Operator::Count(Count { up_to })),
        };
        let mut aggregates = Aggregates::parse(&[count(Some(2)), count(Some(1))]).unwrap();
        assert!(aggregates.add(&Document::default()));
        assert!(!aggregates.add(&Document::default()));
        let results = aggregates.results();
        assert_eq!((&results["field_1"], &results["field_2"]), (&int(2), &int(1)));
    }

    #[test]
    fn aggregations_that_firestore_refuses_are_refused() {
        let count = |alias: &str, up_to| Aggregation {
            alias: alias.to_owned(),
            operator: Some(Operator::Count(Count { up_to })),
        };
        let sum = Operator::Sum(Sum { field: None });
        for wrong in [
            vec![],
            vec![count("", None); 6],
            vec![count("a", None), count("a", Some(1))],
            vec![count("", Some(0))],
            vec![Aggregation { alias: String::new(), operator: None }],
            vec![Aggregation { alias: String::new(), operator: Some(sum) }],
        ] {
            let status = Aggregates::parse(&wrong).unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{wrong:?}");
        }
    }
}

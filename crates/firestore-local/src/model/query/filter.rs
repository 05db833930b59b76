//! Filters.

use std::collections::BTreeSet;

use tonic::Status;

use super::reference::reference;
use super::scope::Scope;
use crate::model::field_path::FieldPath;
use crate::model::{invalid, value};
use crate::proto::structured_query::{
    self, composite_filter,
    field_filter::Operator as Field,
    filter::FilterType,
    unary_filter::{OperandType, Operator as Unary},
};
use crate::proto::{Document, Value, value::ValueType};

/// The most values of `in` and `array-contains-any`.
const MAX_IN: usize = 30;
/// The most values of `not-in`.
const MAX_NOT_IN: usize = 10;

#[derive(Clone, Debug)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Test { path: FieldPath, test: Test },
}

/// A test of one field. Values are kept in their encoding.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Equal(Vec<u8>),
    NotEqual(Vec<u8>),
    /// Passes only values of the same class.
    Less {
        class: value::Class,
        than: Vec<u8>,
        or_equal: bool,
    },
    Greater {
        class: value::Class,
        than: Vec<u8>,
        or_equal: bool,
    },
    In(Vec<Vec<u8>>),
    NotIn {
        values: Vec<Vec<u8>>,
        has_null: bool,
    },
    ArrayContains(Vec<u8>),
    ArrayContainsAny(Vec<Vec<u8>>),
    IsNan,
    IsNull,
    IsNotNan,
    IsNotNull,
}

impl Filter {
    pub fn parse(scope: &Scope, filter: structured_query::Filter) -> Result<Self, Status> {
        match filter.filter_type {
            Some(FilterType::CompositeFilter(composite)) => {
                if composite.filters.is_empty() {
                    return Err(invalid!("A composite filter has no filters"));
                }
                let filters = composite
                    .filters
                    .into_iter()
                    .map(|filter| Self::parse(scope, filter))
                    .collect::<Result<_, _>>()?;
                match composite_filter::Operator::try_from(composite.op) {
                    Ok(composite_filter::Operator::And) => Ok(Self::And(filters)),
                    Ok(composite_filter::Operator::Or) => Ok(Self::Or(filters)),
                    _ => Err(invalid!("A composite filter has no operator")),
                }
            }
            Some(FilterType::FieldFilter(filter)) => {
                let path = path_of(filter.field)?;
                let operand =
                    filter.value.ok_or_else(|| invalid!("The filter on {path} has no value"))?;
                let op = Field::try_from(filter.op).unwrap_or(Field::Unspecified);
                let test = field_test(scope, &path, op, &operand)?;
                Ok(Self::Test { path, test })
            }
            Some(FilterType::UnaryFilter(filter)) => {
                let field = filter.operand_type.map(|OperandType::Field(field)| field);
                let path = path_of(field)?;
                let test = match Unary::try_from(filter.op) {
                    Ok(Unary::IsNan) => Test::IsNan,
                    Ok(Unary::IsNull) => Test::IsNull,
                    Ok(Unary::IsNotNan) => Test::IsNotNan,
                    Ok(Unary::IsNotNull) => Test::IsNotNull,
                    _ => return Err(invalid!("The filter on {path} has no operator")),
                };
                Ok(Self::Test { path, test })
            }
            None => Err(invalid!("A filter is empty")),
        }
    }

    /// Whether the filter has a disjunction, apart from lists of values.
    pub fn has_or(&self) -> bool {
        match self {
            Self::Or(filters) => filters.len() > 1 || filters.iter().any(Self::has_or),
            Self::And(filters) => filters.iter().any(Self::has_or),
            Self::Test { .. } => false,
        }
    }

    /// All tests at any depth.
    pub fn tests(&self) -> Vec<(&FieldPath, &Test)> {
        match self {
            Self::And(filters) | Self::Or(filters) => {
                filters.iter().flat_map(Self::tests).collect()
            }
            Self::Test { path, test } => vec![(path, test)],
        }
    }

    /// The fields of inequalities, sorted and without duplicates.
    pub fn inequality_fields(&self) -> Vec<FieldPath> {
        let tests = self.tests().into_iter().filter(|(_, test)| test.is_inequality());
        let fields: BTreeSet<_> = tests.map(|(path, _)| path.clone()).collect();
        fields.into_iter().collect()
    }

    /// The tests that every match passes.
    pub fn conjuncts(&self) -> Vec<(&FieldPath, &Test)> {
        match self {
            Self::And(filters) => filters.iter().flat_map(Self::conjuncts).collect(),
            Self::Or(filters) => match &filters[..] {
                [only] => only.conjuncts(),
                _ => Vec::new(),
            },
            Self::Test { path, test } => vec![(path, test)],
        }
    }

    pub fn matches(&self, document: &Document) -> bool {
        match self {
            Self::And(filters) => filters.iter().all(|filter| filter.matches(document)),
            Self::Or(filters) => filters.iter().any(|filter| filter.matches(document)),
            Self::Test { path, test } if path.is_name() => {
                let name = ValueType::ReferenceValue(document.name.clone());
                test.passes(&Value { value_type: Some(name) })
            }
            Self::Test { path, test } => {
                path.get(&document.fields).is_some_and(|value| test.passes(value))
            }
        }
    }
}

impl Test {
    fn is_inequality(&self) -> bool {
        !matches!(
            self,
            Self::Equal(_)
                | Self::In(_)
                | Self::ArrayContains(_)
                | Self::ArrayContainsAny(_)
                | Self::IsNan
                | Self::IsNull
        )
    }

    pub fn is_negation(&self) -> bool {
        matches!(self, Self::NotEqual(_) | Self::NotIn { .. } | Self::IsNotNan | Self::IsNotNull)
    }

    fn passes(&self, value: &Value) -> bool {
        let encoded = || value::encoded(value);
        match self {
            Self::Equal(wanted) => encoded() == *wanted,
            Self::NotEqual(unwanted) => !value::is_null(value) && encoded() != *unwanted,
            // NaN sorts before all numbers, but it is not less than any of them.
            Self::Less { class, than, or_equal } => {
                value::class(value) == *class && {
                    let order = encoded().cmp(than);
                    (order.is_lt() && !value::is_nan(value)) || (*or_equal && order.is_eq())
                }
            }
            Self::Greater { class, than, or_equal } => {
                value::class(value) == *class && {
                    let order = encoded().cmp(than);
                    order.is_gt() || (*or_equal && order.is_eq())
                }
            }
            Self::In(wanted) => is_findable(value) && wanted.contains(&encoded()),
            Self::NotIn { values, has_null } => {
                !has_null && !value::is_null(value) && !values.contains(&encoded())
            }
            Self::ArrayContains(wanted) => has_element(value, |bytes| bytes == *wanted),
            Self::ArrayContainsAny(wanted) => has_element(value, |bytes| wanted.contains(&bytes)),
            Self::IsNan => value::is_nan(value),
            Self::IsNull => value::is_null(value),
            Self::IsNotNan => !value::is_nan(value) && !value::is_null(value),
            Self::IsNotNull => !value::is_null(value),
        }
    }
}

/// `in`, `array-contains` and `array-contains-any` never find null or NaN; only the unary
/// operators and the plain comparisons do.
fn is_findable(value: &Value) -> bool {
    !value::is_null(value) && !value::is_nan(value)
}

fn has_element(value: &Value, is_wanted: impl Fn(Vec<u8>) -> bool) -> bool {
    elements(value).iter().any(|element| is_findable(element) && is_wanted(value::encoded(element)))
}

fn elements(value: &Value) -> &[Value] {
    match &value.value_type {
        Some(ValueType::ArrayValue(array)) => &array.values,
        _ => &[],
    }
}

fn path_of(field: Option<structured_query::FieldReference>) -> Result<FieldPath, Status> {
    FieldPath::parse(&field.map(|field| field.field_path).unwrap_or_default())
}

fn field_test(scope: &Scope, path: &FieldPath, op: Field, operand: &Value) -> Result<Test, Status> {
    if path.is_name() {
        check_names(scope, op, operand)?;
    }
    let class = value::class(operand);
    let one = || value::encoded(operand);
    let list = |name: &str, most: usize| {
        let values = elements(operand);
        if !matches!(operand.value_type, Some(ValueType::ArrayValue(_))) || values.is_empty() {
            return Err(invalid!("'{name}' requires a non-empty array"));
        }
        if values.len() > most {
            return Err(invalid!("'{name}' supports up to {most} comparison values"));
        }
        Ok(values.iter().map(value::encoded).collect())
    };
    Ok(match op {
        Field::Equal => Test::Equal(one()),
        Field::NotEqual => Test::NotEqual(one()),
        Field::LessThan => Test::Less { class, than: one(), or_equal: false },
        Field::LessThanOrEqual => Test::Less { class, than: one(), or_equal: true },
        Field::GreaterThan => Test::Greater { class, than: one(), or_equal: false },
        Field::GreaterThanOrEqual => Test::Greater { class, than: one(), or_equal: true },
        Field::In => Test::In(list("IN", MAX_IN)?),
        Field::NotIn => Test::NotIn {
            values: list("NOT_IN", MAX_NOT_IN)?,
            has_null: elements(operand).iter().any(value::is_null),
        },
        Field::ArrayContains => Test::ArrayContains(one()),
        Field::ArrayContainsAny => Test::ArrayContainsAny(list("ARRAY_CONTAINS_ANY", MAX_IN)?),
        Field::Unspecified => return Err(invalid!("The filter on {path} has no operator")),
    })
}

fn check_names(scope: &Scope, op: Field, operand: &Value) -> Result<(), Status> {
    let database = scope.parent.database();
    match op {
        Field::In | Field::NotIn => {
            elements(operand).iter().try_for_each(|value| reference(database, value).map(drop))
        }
        Field::ArrayContains | Field::ArrayContainsAny => Err(invalid!("__name__ is not an array")),
        _ => reference(database, operand).map(drop),
    }
}

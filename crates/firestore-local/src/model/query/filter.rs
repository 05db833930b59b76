//! Filters: which documents pass.

use tonic::Status;

use super::Scope;
use crate::model::field_path::FieldPath;
use crate::model::{invalid, value};
use crate::proto::structured_query::{
    self, composite_filter, field_filter::Operator as Field, filter::FilterType,
    unary_filter::{Operator as Unary, OperandType},
};
use crate::proto::{Document, Value, value::ValueType};

/// Disjunctions that a query may have once it is written as OR of ANDs.
const MAX_DISJUNCTIONS: usize = 30;
/// Values of `in` and `array-contains-any`, and of `not-in`.
const MAX_IN: usize = 30;
const MAX_NOT_IN: usize = 10;

#[derive(Clone, Debug)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Test { path: FieldPath, test: Test },
}

/// A question to one field. Values are kept as they sort.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Equal(Vec<u8>),
    NotEqual(Vec<u8>),
    /// Within the class of the value.
    Less { class: value::Class, than: Vec<u8>, or_equal: bool },
    Greater { class: value::Class, than: Vec<u8>, or_equal: bool },
    In(Vec<Vec<u8>>),
    NotIn { values: Vec<Vec<u8>>, has_null: bool },
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
                let operand = filter.value.ok_or_else(|| invalid!("The filter on {path} has no value"))?;
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

    /// Firestore's limits on what may stand together.
    pub fn check(&self) -> Result<(), Status> {
        let disjunctions = self.disjunctions();
        if disjunctions > MAX_DISJUNCTIONS {
            return Err(invalid!(
                "The query has {disjunctions} disjunctions in normal form; at most \
                 {MAX_DISJUNCTIONS} are allowed"
            ));
        }
        let count = |wanted: fn(&Test) -> bool| {
            let mut n = 0;
            self.for_each_test(&mut |_, test| n += usize::from(wanted(test)));
            n
        };
        let negations = count(|test| matches!(test, Test::NotIn { .. }));
        let inequalities = count(|test| matches!(test, Test::NotEqual(_)));
        let any = count(|test| matches!(test, Test::In(_) | Test::ArrayContainsAny(_)));
        if negations > 1 || (negations == 1 && inequalities + any > 0) {
            return Err(invalid!(
                "not-in cannot be combined with another not-in, in, array-contains-any or !="
            ));
        }
        if negations == 1 && self.has_or() {
            return Err(invalid!("not-in cannot be combined with or"));
        }
        Ok(())
    }

    fn has_or(&self) -> bool {
        match self {
            Self::Or(filters) => filters.len() > 1 || filters.iter().any(Self::has_or),
            Self::And(filters) => filters.iter().any(Self::has_or),
            Self::Test { .. } => false,
        }
    }

    fn disjunctions(&self) -> usize {
        match self {
            Self::And(filters) => {
                filters.iter().map(Self::disjunctions).fold(1, usize::saturating_mul)
            }
            Self::Or(filters) => {
                filters.iter().map(Self::disjunctions).fold(0, usize::saturating_add)
            }
            Self::Test { test: Test::In(values) | Test::ArrayContainsAny(values), .. } => {
                values.len()
            }
            Self::Test { .. } => 1,
        }
    }

    fn for_each_test(&self, visit: &mut impl FnMut(&FieldPath, &Test)) {
        match self {
            Self::And(filters) | Self::Or(filters) => {
                for filter in filters {
                    filter.for_each_test(visit);
                }
            }
            Self::Test { path, test } => visit(path, test),
        }
    }

    pub fn inequality_fields(&self) -> Vec<FieldPath> {
        let mut fields = Vec::new();
        self.for_each_test(&mut |path, test| {
            if test.is_inequality() {
                fields.push(path.clone());
            }
        });
        fields
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

    fn passes(&self, value: &Value) -> bool {
        let encoded = || value::encoded(value);
        match self {
            Self::Equal(wanted) => encoded() == *wanted,
            Self::NotEqual(unwanted) => !value::is_null(value) && encoded() != *unwanted,
            Self::Less { class, than, or_equal } => {
                value::class(value) == *class && {
                    let order = encoded().cmp(than);
                    order.is_lt() || (*or_equal && order.is_eq())
                }
            }
            Self::Greater { class, than, or_equal } => {
                value::class(value) == *class && {
                    let order = encoded().cmp(than);
                    order.is_gt() || (*or_equal && order.is_eq())
                }
            }
            Self::In(wanted) => wanted.contains(&encoded()),
            Self::NotIn { values, has_null } => {
                !has_null && !value::is_null(value) && !values.contains(&encoded())
            }
            Self::ArrayContains(wanted) => {
                elements(value).iter().any(|element| value::encoded(element) == *wanted)
            }
            Self::ArrayContainsAny(wanted) => {
                elements(value).iter().any(|element| wanted.contains(&value::encoded(element)))
            }
            Self::IsNan => value::is_nan(value),
            Self::IsNull => value::is_null(value),
            Self::IsNotNan => !value::is_nan(value) && !value::is_null(value),
            Self::IsNotNull => !value::is_null(value),
        }
    }
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
            elements(operand).iter().try_for_each(|value| super::reference(database, value).map(drop))
        }
        Field::ArrayContains | Field::ArrayContainsAny => {
            Err(invalid!("__name__ is no array"))
        }
        _ => super::reference(database, operand).map(drop),
    }
}

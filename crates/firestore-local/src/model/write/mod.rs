//! One write against one document: preconditions, masks and transforms.

use prost_types::Timestamp;
use tonic::{Code, Status};

use super::field_path::{self, FieldPath};
use super::path::{Database, DocumentName};
use super::time::Micros;
use super::value::{self, MAX_DOCUMENT_BYTES};
use super::{Fields, invalid};
use crate::proto::document_transform::{FieldTransform, field_transform};
use crate::proto::{
    ArrayValue, Document, Precondition, Value, Write, precondition::ConditionType,
    value::ValueType, write::Operation,
};

/// The most transforms in one write.
const MAX_TRANSFORMS: usize = 500;

/// A write that has passed all checks that need no stored state.
#[derive(Clone, Debug)]
pub struct Mutation {
    pub name: DocumentName,
    kind: Kind,
    precondition: Option<ConditionType>,
    transforms: Vec<(FieldPath, field_transform::TransformType)>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Replaces the document.
    Set(Fields),
    /// Changes the fields of the mask.
    Patch(Fields, Vec<FieldPath>),
    /// Applies only transforms.
    Transform,
    Delete,
}

/// The result of a mutation.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The new document; `None` if it was deleted.
    pub document: Option<Document>,
    pub transform_results: Vec<Value>,
}

impl Mutation {
    pub fn parse(database: &Database, write: Write) -> Result<Self, Status> {
        let precondition = parse_precondition(write.current_document)?;
        let mut transforms = parse_transforms(write.update_transforms)?;
        let (name, kind) = match write.operation {
            Some(Operation::Update(document)) => {
                let kind = match write.update_mask {
                    None => Kind::Set(document.fields),
                    Some(mask) => {
                        let paths = field_path::parse_mask(&mask)?;
                        if let Some(path) = paths.iter().find(|path| path.is_reserved()) {
                            return Err(invalid!("{path} is reserved and cannot be updated"));
                        }
                        Kind::Patch(document.fields, paths)
                    }
                };
                (document.name, kind)
            }
            Some(Operation::Delete(_) | Operation::Transform(_)) if !transforms.is_empty() => {
                return Err(invalid!("update_transforms can only be combined with an update"));
            }
            Some(Operation::Delete(name)) => (name, Kind::Delete),
            Some(Operation::Transform(transform)) => {
                transforms = parse_transforms(transform.field_transforms)?;
                if transforms.is_empty() {
                    return Err(invalid!(
                        "The transform of {} has no field transforms",
                        transform.document
                    ));
                }
                (transform.document, Kind::Transform)
            }
            None => return Err(invalid!("A write has no operation")),
        };
        let name = DocumentName::parse(&name)?;
        if name.database() != database {
            return Err(invalid!("{name} is not in database {database}"));
        }
        if transforms.len() > MAX_TRANSFORMS {
            return Err(invalid!("{name} has more than {MAX_TRANSFORMS} field transforms"));
        }
        Ok(Self { name, kind, precondition, transforms })
    }

    pub fn is_delete(&self) -> bool {
        matches!(self.kind, Kind::Delete)
    }

    /// The mutation without its precondition.
    pub fn unconditional(self) -> Self {
        Self { precondition: None, ..self }
    }

    /// Whether the outcome depends only on whether the document exists.
    pub fn needs_only_existence(&self) -> bool {
        matches!(self.kind, Kind::Set(_))
            && self.transforms.is_empty()
            && matches!(self.precondition, Some(ConditionType::Exists(false)))
    }

    /// Applies the mutation to `current` in a commit at `now`.
    pub fn apply(self, current: Option<&Document>, now: Micros) -> Result<Applied, Status> {
        if let (Kind::Delete, Some(ConditionType::UpdateTime(expected))) =
            (&self.kind, &self.precondition)
            && Micros::from(expected) > now
        {
            return Err(invalid!("The update_time {expected} of a delete is in the future"));
        }
        self.check_precondition(current)?;
        let mut fields = match self.kind {
            Kind::Delete => return Ok(Applied { document: None, transform_results: Vec::new() }),
            Kind::Set(fields) => fields,
            Kind::Transform => current.map(|document| document.fields.clone()).unwrap_or_default(),
            Kind::Patch(new, paths) => {
                let mut fields =
                    current.map(|document| document.fields.clone()).unwrap_or_default();
                for path in paths {
                    match path.get(&new) {
                        Some(value) => path.set(&mut fields, value.clone()),
                        None => path.remove(&mut fields),
                    }
                }
                fields
            }
        };
        let mut transform_results = Vec::with_capacity(self.transforms.len());
        let transforms = self.transforms;
        for (path, transform) in transforms {
            let (stored, result) = transformed(path.get(&fields), transform, now)?;
            path.set(&mut fields, stored);
            transform_results.push(result);
        }
        value::check_fields(self.name.database(), &mut fields)?;
        let size = value::document_size(&self.name, &fields);
        if size > MAX_DOCUMENT_BYTES {
            return Err(invalid!(
                "Document {} cannot be written because its size ({size} bytes) exceeds the \
                 maximum allowed size of {MAX_DOCUMENT_BYTES} bytes",
                self.name
            ));
        }
        let created = current.and_then(|document| document.create_time);
        let now: Timestamp = now.into();
        // A write that changes nothing keeps the update time.
        let updated = match current {
            Some(document) if same_fields(&document.fields, &fields) => document.update_time,
            _ => Some(now),
        };
        let document = Document {
            name: self.name.to_string(),
            fields,
            create_time: created.or(Some(now)),
            update_time: updated,
        };
        Ok(Applied { document: Some(document), transform_results })
    }

    fn check_precondition(&self, current: Option<&Document>) -> Result<(), Status> {
        let name = &self.name;
        match (&self.precondition, current) {
            (None, _)
            | (Some(ConditionType::Exists(true)), Some(_))
            | (Some(ConditionType::Exists(false)), None) => Ok(()),
            (Some(ConditionType::Exists(true)), None) => {
                Err(Status::new(Code::NotFound, format!("No document to update: {name}")))
            }
            (Some(ConditionType::Exists(false)), Some(_)) => {
                Err(Status::new(Code::AlreadyExists, format!("Document already exists: {name}")))
            }
            (Some(ConditionType::UpdateTime(_)), None) => {
                Err(Status::new(Code::FailedPrecondition, format!("{name} does not exist")))
            }
            (Some(ConditionType::UpdateTime(expected)), Some(document)) => {
                let stored = document.update_time.unwrap_or_default();
                if Micros::from(expected) == Micros::from(&stored) {
                    Ok(())
                } else {
                    let message = format!(
                        "the stored version of {name} ({stored}) does not match the required base \
                         version ({expected})"
                    );
                    Err(Status::new(Code::FailedPrecondition, message))
                }
            }
        }
    }
}

/// Bitwise equality of stored values: `1` and `1.0` differ.
fn same_fields(a: &Fields, b: &Fields) -> bool {
    a.len() == b.len()
        && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same_value(value, other)))
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a.value_type.as_ref(), b.value_type.as_ref()) {
        (Some(ValueType::DoubleValue(a)), Some(ValueType::DoubleValue(b))) => {
            a.to_bits() == b.to_bits()
        }
        (Some(ValueType::MapValue(a)), Some(ValueType::MapValue(b))) => {
            same_fields(&a.fields, &b.fields)
        }
        (Some(ValueType::ArrayValue(a)), Some(ValueType::ArrayValue(b))) => {
            a.values.len() == b.values.len()
                && a.values.iter().zip(&b.values).all(|(a, b)| same_value(a, b))
        }
        (a, b) => a == b,
    }
}

fn parse_precondition(condition: Option<Precondition>) -> Result<Option<ConditionType>, Status> {
    let condition = condition.and_then(|condition| condition.condition_type);
    if let Some(ConditionType::UpdateTime(time)) = &condition
        && time.nanos % 1_000 != 0
    {
        return Err(invalid!("update_time {time} is finer than microseconds"));
    }
    Ok(condition)
}

fn parse_transforms(
    transforms: Vec<FieldTransform>,
) -> Result<Vec<(FieldPath, field_transform::TransformType)>, Status> {
    transforms
        .into_iter()
        .map(|transform| {
            let path = FieldPath::parse(&transform.field_path)?;
            let kind = transform
                .transform_type
                .ok_or_else(|| invalid!("The transform of {path} has no type"))?;
            Ok((path, kind))
        })
        .collect()
}

/// The value that a transform stores, and the result that it returns.
fn transformed(
    current: Option<&Value>,
    transform: field_transform::TransformType,
    now: Micros,
) -> Result<(Value, Value), Status> {
    use field_transform::TransformType as T;
    let null = || Value { value_type: Some(ValueType::NullValue(0)) };
    match transform {
        T::SetToServerValue(kind) => {
            if kind != i32::from(field_transform::ServerValue::RequestTime) {
                return Err(invalid!("Unknown server value {kind}"));
            }
            // Firestore truncates the commit time to milliseconds.
            let millis = Micros(now.0 - now.0.rem_euclid(1_000));
            let time = Value { value_type: Some(ValueType::TimestampValue(millis.into())) };
            Ok((time.clone(), time))
        }
        T::Increment(operand) => {
            let sum = increment(current, &operand)?;
            Ok((sum.clone(), sum))
        }
        T::Maximum(operand) => extreme(current, operand, std::cmp::Ordering::Greater),
        T::Minimum(operand) => extreme(current, operand, std::cmp::Ordering::Less),
        T::AppendMissingElements(elements) => {
            let mut values = elements_of(current);
            for element in elements.values {
                if !contains(&values, &element) {
                    values.push(element);
                }
            }
            Ok((array(values), null()))
        }
        T::RemoveAllFromArray(elements) => {
            let mut values = elements_of(current);
            values.retain(|value| !contains(&elements.values, value));
            Ok((array(values), null()))
        }
    }
}

fn array(values: Vec<Value>) -> Value {
    Value { value_type: Some(ValueType::ArrayValue(ArrayValue { values })) }
}

fn elements_of(current: Option<&Value>) -> Vec<Value> {
    match current.and_then(|value| value.value_type.as_ref()) {
        Some(ValueType::ArrayValue(array)) => array.values.clone(),
        _ => Vec::new(),
    }
}

fn contains(values: &[Value], wanted: &Value) -> bool {
    values.iter().any(|value| value::compare(value, wanted).is_eq())
}

#[derive(Clone, Copy)]
enum Number {
    Integer(i64),
    Double(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Self> {
        match value.value_type {
            Some(ValueType::IntegerValue(whole)) => Some(Self::Integer(whole)),
            Some(ValueType::DoubleValue(number)) => Some(Self::Double(number)),
            _ => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "Firestore adds integers to doubles like this")]
    fn as_f64(self) -> f64 {
        match self {
            Self::Integer(whole) => whole as f64,
            Self::Double(number) => number,
        }
    }
}

fn operand_number(operand: &Value, transform: &str) -> Result<Number, Status> {
    Number::of(operand).ok_or_else(|| invalid!("The operand of {transform} must be a number"))
}

fn increment(current: Option<&Value>, operand: &Value) -> Result<Value, Status> {
    let operand = operand_number(operand, "increment")?;
    let sum = match (current.and_then(Number::of), operand) {
        (None, operand) => operand,
        (Some(Number::Integer(a)), Number::Integer(b)) => Number::Integer(a.saturating_add(b)),
        (Some(a), b) => Number::Double(a.as_f64() + b.as_f64()),
    };
    Ok(number_value(sum))
}

fn number_value(number: Number) -> Value {
    let kind = match number {
        Number::Integer(whole) => ValueType::IntegerValue(whole),
        Number::Double(number) => ValueType::DoubleValue(number),
    };
    Value { value_type: Some(kind) }
}

/// Maximum or minimum. A stored value that is not a number is replaced; of two equal numbers the
/// stored one is kept; if either is NaN, the result is NaN.
fn extreme(
    current: Option<&Value>,
    operand: Value,
    wins: std::cmp::Ordering,
) -> Result<(Value, Value), Status> {
    operand_number(&operand, "maximum or minimum")?;
    let chosen = match current.filter(|value| Number::of(value).is_some()) {
        None => operand,
        Some(stored) if value::is_nan(stored) => stored.clone(),
        Some(_) if value::is_nan(&operand) => operand,
        Some(stored) if value::compare(&operand, stored) == wins => operand,
        Some(stored) => stored.clone(),
    };
    Ok((chosen.clone(), chosen))
}

#[cfg(test)]
mod tests;

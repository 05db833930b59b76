//! Calls: functions of the file, global functions, and methods by the type of their value.

use super::{
    Computed, Evaluated, Evaluator, Fault, MAX_CALLS, Scope, collection, exceeded, text, time,
};
use crate::rules::hash;
use crate::rules::syntax::ast::{Expr, Function};
use crate::rules::value::{Value, segments};

/// The global functions and the number of their arguments.
pub const GLOBAL_FUNCTIONS: [(&str, usize); 10] = [
    ("get", 1),
    ("exists", 1),
    ("getAfter", 1),
    ("existsAfter", 1),
    ("debug", 1),
    ("bool", 1),
    ("int", 1),
    ("float", 1),
    ("string", 1),
    ("path", 1),
];

impl<'a> Evaluator<'a> {
    pub(super) fn call(
        &self,
        expr: &'a Expr,
        name: &str,
        arguments: &'a [Expr],
        scope: &Scope<'_>,
    ) -> Evaluated {
        if let Some((function, home)) = scope.function(name) {
            let arguments = arguments.iter().map(|it| self.evaluate(it, scope));
            let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
            if arguments.iter().any(Value::may_fail) {
                return Ok(Value::unknown());
            }
            return self.call_function(expr, function, home, arguments);
        }
        let argument = match arguments {
            [argument] => self.evaluate(argument, scope)?,
            _ => {
                let message = format!("unknown function `{name}`");
                return Err(Fault { at: expr.at, message, fatal: false });
            }
        };
        let fail = |message| Fault { at: expr.at, message, fatal: false };
        match name {
            "get" => self.read(expr.at, &argument, false),
            "getAfter" => self.read(expr.at, &argument, true),
            "exists" | "existsAfter" => {
                Ok(match self.read(expr.at, &argument, name == "existsAfter")? {
                    Value::Null => Value::Bool(false),
                    Value::Unknown(_) => Value::unknown(),
                    _ => Value::Bool(true),
                })
            }
            "debug" => {
                tracing::info!(target: "rules", at = %expr.at, "debug: {argument}");
                Ok(argument)
            }
            _ => convert(name, &argument).map_err(fail),
        }
    }

    fn call_function(
        &self,
        expr: &Expr,
        function: &Function,
        home: &Scope<'_>,
        arguments: Vec<Value>,
    ) -> Evaluated {
        if super::step(&self.calls) > MAX_CALLS {
            return exceeded(expr.at, format!("calls are nested over {MAX_CALLS} deep"));
        }
        let names = function.parameters.iter().map(String::as_str);
        let variables = names.zip(arguments.into_iter().map(Ok)).collect();
        let mut scope = Scope { functions: &[], variables, parent: Some(home) };
        for (name, value) in &function.lets {
            let value = self.evaluate(value, &scope);
            if let Err(fault) = &value
                && fault.fatal
            {
                return value;
            }
            scope.variables.push((name, value));
        }
        let result = self.evaluate(&function.result, &scope);
        self.calls.set(self.calls.get() - 1);
        result
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the number is checked to be in range")]
pub fn whole(number: f64) -> Computed {
    let limit = 9_223_372_036_854_775_808.0;
    if (-limit..limit).contains(&number) {
        Ok(Value::Int(number as i64))
    } else {
        Err(format!("{number} is not within the range of integers"))
    }
}

fn convert(name: &str, value: &Value) -> Computed {
    let fail = || format!("cannot convert {value} to {name}");
    Ok(match (name, value) {
        (_, Value::Unknown(_)) => Value::unknown(),
        ("bool", Value::Bool(flag)) => Value::Bool(*flag),
        ("bool", Value::String(text)) => Value::Bool(text.parse().map_err(|_| fail())?),
        ("int", Value::Int(number)) => Value::Int(*number),
        ("int", Value::Float(number)) => whole(number.trunc())?,
        ("int", Value::String(text)) => Value::Int(text.parse().map_err(|_| fail())?),
        ("float", Value::String(text)) => Value::Float(text.parse().map_err(|_| fail())?),
        ("float", number) => Value::Float(number.as_float().ok_or_else(fail)?),
        ("string", Value::String(_)) => value.clone(),
        ("string", Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_)) => {
            Value::text(&value.to_string())
        }
        ("string", Value::Path(path)) => Value::text(&path.to_string()),
        ("path", Value::Path(_)) => value.clone(),
        ("path", Value::String(text)) => Value::path(segments(text)),
        _ => return Err(fail()),
    })
}

/// Calls a method. If a part of the value or of an argument is unknown, so is the result, except
/// where a map's key decides.
pub fn method(on: &Value, name: &str, arguments: &[Value]) -> Computed {
    if let (Value::Map(map), "get", [key, default]) = (on, name, arguments) {
        return collection::get(map, key, default);
    }
    if let (
        Value::Unknown(facts),
        "hasAny" | "hasAll",
        [Value::List(wanted) | Value::Set(wanted)],
    ) = (on, name, arguments)
    {
        return Ok(collection::has_unknown(facts, name, wanted));
    }
    if !on.is_known() || !arguments.iter().all(Value::is_known) {
        return Ok(Value::unknown());
    }
    let found = match on {
        Value::String(value) => text::method(value, name, arguments)?,
        Value::Bytes(value) => bytes(value, name, arguments),
        Value::List(all) => collection::list(all, name, arguments)?,
        Value::Set(all) => collection::set(all, name, arguments)?,
        Value::Map(map) => collection::map(map, name, arguments),
        Value::MapDiff(maps) => collection::diff(&maps.0, &maps.1, name, arguments),
        Value::Timestamp(nanos) => time::timestamp(*nanos, name, arguments),
        Value::Duration(nanos) => time::duration(*nanos, name, arguments),
        Value::LatLng(latitude, longitude) => time::latlng(*latitude, *longitude, name, arguments),
        Value::Path(path) => match (name, arguments) {
            ("bind", [Value::Map(values)]) => Some(collection::bind(path, values)?),
            _ => None,
        },
        _ => None,
    };
    found.ok_or_else(|| {
        let kinds: Vec<&str> = arguments.iter().map(Value::kind).collect();
        format!("method {}.{name}({}) does not exist", on.kind(), kinds.join(", "))
    })
}

fn bytes(value: &[u8], name: &str, arguments: &[Value]) -> Option<Value> {
    Some(match (name, arguments) {
        ("size", []) => text::count(value.len()),
        ("toBase64", []) => Value::text(&hash::base64(value)),
        ("toHexString", []) => Value::text(&hash::hex(value)),
        _ => return None,
    })
}

//! Methods of strings.

use regex::Regex;

use crate::rules::value::Value;

pub fn count(length: usize) -> Value {
    Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
}

fn pattern(text: &str) -> Result<Regex, String> {
    // The flags are those of RE2 as the reference uses it: `.` does not match a line feed.
    regex::RegexBuilder::new(text)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| format!("invalid regular expression {text:?}: {error}"))
}

pub fn method(text: &str, name: &str, arguments: &[Value]) -> Result<Option<Value>, String> {
    Ok(Some(match (name, arguments) {
        ("size", []) => count(text.chars().count()),
        ("lower", []) => Value::text(&text.to_lowercase()),
        ("upper", []) => Value::text(&text.to_uppercase()),
        ("trim", []) => Value::text(text.trim()),
        ("toUtf8", []) => Value::Bytes(text.as_bytes().into()),
        ("matches", [Value::String(wanted)]) => {
            // A pattern such as `a)|(b` must not become valid by being enclosed.
            pattern(wanted)?;
            Value::Bool(pattern(&format!("\\A(?:{wanted})\\z"))?.is_match(text))
        }
        ("replace", [Value::String(wanted), Value::String(by)]) => {
            Value::text(&pattern(wanted)?.replace_all(text, groups(by).as_str()))
        }
        ("split", [Value::String(wanted)]) => {
            Value::list(pattern(wanted)?.split(text).map(Value::text))
        }
        _ => return Ok(None),
    }))
}

/// Writes a replacement of RE2, where `\1` is the first group, as the regex crate expects it.
fn groups(by: &str) -> String {
    let mut written = String::new();
    let mut symbols = by.chars().peekable();
    while let Some(symbol) = symbols.next() {
        match symbol {
            '$' => written.push_str("$$"),
            '\\' => match symbols.next() {
                Some(digit) if digit.is_ascii_digit() => written.push_str(&format!("${{{digit}}}")),
                Some(other) => written.push(other),
                None => written.push('\\'),
            },
            other => written.push(other),
        }
    }
    written
}

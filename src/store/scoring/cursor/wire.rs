//! The stored form of a cursor.

use firestore_kit::proto::{Document, Value, value::ValueType};
use serde_json::Value as Json;

use super::{Checkpoint, Cursor, Pending, Position};
use crate::store::collection::{OBSERVATIONS, STATE};
use crate::store::config::check_version;
use crate::store::{Result, StoreError};
use f0_learning_core::limits::Limits;
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::sharding::Shard;
use firestore_kit::value::{self, Fields};

const ARCHIVED_BEFORE: &str = "archivedBefore";

/// Says that there is a position, so that one that was removed is missed. An earlier version wrote
/// positions without it.
const POSITIONED: &str = "positioned";

/// Marks a document that a rebuild is repairing. Neither this version nor an earlier one can read it,
/// so that nothing is counted from it meanwhile.
pub(in crate::store) const REBUILDING: &str = "rebuilding";

/// Why a marked document cannot be read.
pub(in crate::store) const IS_REBUILDING: &str = "a rebuild of it has begun and has not ended";

/// The document of a cursor that is being rebuilt. Of its shard, everything up to the boundary is
/// counted, and nothing after it.
pub(in crate::store) fn encode_boundary(boundary: Option<&Position>) -> Fields {
    let boundary = boundary.map(|position| ("boundary".to_owned(), encode_position(position)));
    value::fields([(REBUILDING, value::map(boundary.into_iter().collect()))])
}

/// The boundary of a cursor that is being rebuilt; `None` if it is not.
pub(in crate::store) fn decode_boundary(document: &Document) -> Option<Option<Position>> {
    let marker = value::as_map(&document.fields, REBUILDING)?;
    match value::as_map(marker, "boundary") {
        Some(boundary) => decode_position(boundary).map(Some),
        None if marker.is_empty() => Some(None),
        None => None,
    }
}

/// What can be read of a damaged cursor: its position, and its announced range if that can be read
/// too. Without a position nothing can.
pub(in crate::store) fn salvage(document: &Document) -> Option<Checkpoint> {
    let position = value::as_map(&document.fields, "position").and_then(decode_position)?;
    let pending = value::as_map(&document.fields, "pending");
    let pending = pending.and_then(|pending| decode_pending(pending).ok());
    Some(Checkpoint { position: Some(position), pending })
}

pub(in crate::store) fn encode(next: &Checkpoint, sequence: i64, retired: bool) -> Result<Fields> {
    let mut fields = value::fields([("sequence", value::int(sequence))]);
    if retired {
        fields.insert("retired".to_owned(), value::boolean(true));
    }
    if let Some(position) = &next.position {
        fields.insert("position".to_owned(), encode_position(position));
        fields.insert(POSITIONED.to_owned(), value::boolean(true));
    }
    if let Some(pending) = &next.pending {
        let config = value::encoded(&pending.config)?;
        let (archived_before, limits) = (pending.archived_before, pending.limits.as_ref());
        let mut pending = value::fields([
            ("end", encode_position(&pending.end)),
            ("readTime", value::timestamp(pending.read_time)),
            ("rewardConfig", value::from_json(&config)),
        ]);
        pending.extend(archived_before.map(|ms| (ARCHIVED_BEFORE.to_owned(), value::int(ms))));
        pending.extend(encode_limits(limits)?);
        fields.insert("pending".to_owned(), value::map(pending));
    }
    Ok(fields)
}

pub(in crate::store) fn encode_position(position: &Position) -> Value {
    let id = position.name.rsplit('/').next().unwrap_or_default();
    value::map(value::fields([
        ("ts", position.ts.clone()),
        ("id", value::string(id)),
        ("document", value::reference(position.name.clone())),
    ]))
}

pub(in crate::store) fn decode(shard: Shard, document: &Document) -> Result<Cursor> {
    let fields = &document.fields;
    let malformed = |detail: &str| {
        let path = format!("{STATE}/{}", super::cursor_id(shard));
        StoreError::decode(path, "the scoring cursor", detail)
    };
    if fields.contains_key(REBUILDING) {
        return Err(malformed(IS_REBUILDING));
    }
    let position = match map_or_absent(fields, "position").map_err(|detail| malformed(&detail))? {
        None => None,
        Some(map) => {
            Some(decode_position(map).ok_or_else(|| malformed("position lacks ts or document"))?)
        }
    };
    let pending = match map_or_absent(fields, "pending").map_err(|detail| malformed(&detail))? {
        None => None,
        Some(map) => Some(decode_pending(map).map_err(|detail| malformed(&detail))?),
    };
    if position.is_none() && fields.contains_key(POSITIONED) {
        return Err(malformed("position is missing"));
    }
    let sequence =
        value::as_whole(fields, "sequence").ok_or_else(|| malformed("sequence is missing"))?;
    let retired = match fields.contains_key("retired") {
        false => false,
        true => value::as_bool(fields, "retired")
            .ok_or_else(|| malformed("retired is not a boolean"))?,
    };
    Ok(Cursor { shard, position, pending, sequence, retired, update_time: document.update_time })
}

/// A map, or `None` if the field is absent. One of another type is not absent: without its position a
/// cursor would count everything again.
pub(in crate::store) fn map_or_absent<'a>(
    fields: &'a Fields,
    name: &str,
) -> Result<Option<&'a Fields>, String> {
    match (fields.contains_key(name), value::as_map(fields, name)) {
        (false, _) => Ok(None),
        (true, Some(map)) => Ok(Some(map)),
        (true, None) => Err(format!("{name} is not a map")),
    }
}

pub(in crate::store) fn decode_position(fields: &Fields) -> Option<Position> {
    value::as_number(fields, "ts")?;
    let ts = fields.get("ts")?.clone();
    match fields.get("document")?.value_type.as_ref()? {
        ValueType::ReferenceValue(name) if name.contains(OBSERVATIONS) => {
            Some(Position { ts, name: name.clone() })
        }
        _ => None,
    }
}

fn decode_pending(fields: &Fields) -> Result<Pending, String> {
    let end = value::as_map(fields, "end")
        .and_then(decode_position)
        .ok_or("pending.end lacks ts or document")?;
    let read_time = match fields.get("readTime").and_then(|value| value.value_type.as_ref()) {
        Some(ValueType::TimestampValue(time)) => *time,
        _ => return Err("pending.readTime is not a timestamp".to_owned()),
    };
    let config = fields.get("rewardConfig").map_or(Json::Null, value::to_json);
    let config: RewardConfig =
        serde_json::from_value(config).map_err(|error| format!("pending.rewardConfig: {error}"))?;
    check_version(&config).map_err(|error| format!("pending.rewardConfig: {error}"))?;
    // An earlier version announced without it, and its announcements reject nothing.
    let archived_before = match fields.contains_key(ARCHIVED_BEFORE) {
        false => None,
        true => Some(
            value::as_whole(fields, ARCHIVED_BEFORE)
                .ok_or("pending.archivedBefore is not a whole number")?,
        ),
    };
    let limits = decode_limits(fields).map_err(|error| format!("pending.{error}"))?;
    Ok(Pending { end, read_time, config, archived_before, limits })
}

const LIMITS: &str = "limits";

/// The limits of an announcement, as a field of it.
pub(in crate::store) fn encode_limits(limits: Option<&Limits>) -> Result<Option<(String, Value)>> {
    let encoded = limits.map(value::encoded).transpose()?;
    Ok(encoded.map(|json| (LIMITS.to_owned(), value::from_json(&json))))
}

/// An earlier version announced without limits.
pub(in crate::store) fn decode_limits(announcement: &Fields) -> Result<Option<Limits>, String> {
    let Some(found) = announcement.get(LIMITS) else { return Ok(None) };
    let limits: Limits = serde_json::from_value(value::to_json(found))
        .map_err(|error| format!("{LIMITS}: {error}"))?;
    limits.validate().map_err(|error| format!("{LIMITS}.{error}"))?;
    Ok(Some(limits))
}

#[cfg(test)]
mod tests {
    use f0_learning_core::limits::Declared;
    use firestore_kit::Timestamp;

    use super::*;

    fn position(ts: Value, id: &str) -> Position {
        Position { ts, name: format!("projects/p/databases/d/documents/ops_observations/{id}") }
    }

    #[test]
    fn a_cursor_with_an_announced_range_survives_storing_and_reading() {
        let declared = Declared {
            component: "rare:{arm}".to_owned(),
            min_sample_rate: 1e-5,
            min_propensity: 1.0,
        };
        let limits = Limits { declared: vec![declared], ..Limits::default() };
        let next = Checkpoint {
            position: Some(position(value::int(10), "b")),
            pending: Some(Pending {
                end: position(value::double(12.5), "z"),
                read_time: Timestamp { seconds: 5, nanos: 6_000 },
                config: RewardConfig::default(),
                archived_before: Some(9),
                limits: Some(limits),
            }),
        };
        let document = Document { fields: encode(&next, 7, false).unwrap(), ..Document::default() };
        let cursor = decode(Shard::All, &document).unwrap();
        assert_eq!(
            (cursor.position, cursor.pending, cursor.sequence),
            (next.position, next.pending, 7)
        );
    }
}

//! The stored form of a cursor.

use firestore_kit::proto::{Document, Value, value::ValueType};
use serde_json::Value as Json;

use super::{Checkpoint, Cursor, Pending, Position};
use crate::store::collection::{OBSERVATIONS, STATE};
use crate::store::{Result, StoreError};
use f0_learning_core::sharding::Shard;
use firestore_kit::value::{self, Fields};

pub(in crate::store) fn encode(next: &Checkpoint, sequence: i64, retired: bool) -> Result<Fields> {
    let mut fields = value::fields([("sequence", value::int(sequence))]);
    if retired {
        fields.insert("retired".to_owned(), value::boolean(true));
    }
    if let Some(position) = &next.position {
        fields.insert("position".to_owned(), encode_position(position));
    }
    if let Some(pending) = &next.pending {
        let config = value::encoded(&pending.config)?;
        let pending = value::fields([
            ("end", encode_position(&pending.end)),
            ("readTime", value::timestamp(pending.read_time)),
            ("rewardConfig", value::from_json(&config)),
        ]);
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
    let position = match value::as_map(fields, "position") {
        None => None,
        Some(map) => {
            Some(decode_position(map).ok_or_else(|| malformed("position lacks ts or document"))?)
        }
    };
    let pending = match value::as_map(fields, "pending") {
        None => None,
        Some(map) => Some(decode_pending(map).map_err(|detail| malformed(&detail))?),
    };
    let sequence =
        value::as_whole(fields, "sequence").ok_or_else(|| malformed("sequence is missing"))?;
    let retired = value::as_bool(fields, "retired").unwrap_or(false);
    Ok(Cursor { shard, position, pending, sequence, retired, update_time: document.update_time })
}

pub(in crate::store) fn decode_position(fields: &Fields) -> Option<Position> {
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
    let config =
        serde_json::from_value(config).map_err(|error| format!("pending.rewardConfig: {error}"))?;
    Ok(Pending { end, read_time, config })
}

#[cfg(test)]
mod tests {
    use firestore_kit::Timestamp;

    use super::*;
    use f0_learning_core::reward::RewardConfig;

    fn position(ts: Value, id: &str) -> Position {
        Position { ts, name: format!("projects/p/databases/d/documents/ops_observations/{id}") }
    }

    #[test]
    fn a_cursor_with_an_announced_range_survives_storing_and_reading() {
        let next = Checkpoint {
            position: Some(position(value::int(10), "b")),
            pending: Some(Pending {
                end: position(value::double(12.5), "z"),
                read_time: Timestamp { seconds: 5, nanos: 6_000 },
                config: RewardConfig::default(),
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

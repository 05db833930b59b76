//! Times in whole microseconds, Firestore's resolution.

use prost_types::Timestamp;

use crate::proto::Document;

/// Microseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

impl From<Micros> for Timestamp {
    fn from(Micros(micros): Micros) -> Self {
        let nanos = micros.rem_euclid(1_000_000) * 1_000;
        Self {
            seconds: micros.div_euclid(1_000_000),
            nanos: i32::try_from(nanos).unwrap_or_default(),
        }
    }
}

impl From<&Timestamp> for Micros {
    fn from(time: &Timestamp) -> Self {
        Self(time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos / 1_000)))
    }
}

/// When a document was last changed.
pub fn update_time(document: &Document) -> Micros {
    Micros::from(&document.update_time.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_the_epoch_survive_a_round_trip() {
        for micros in [0, 1, -1, 1_734_000_000_123_456, -62_135_596_800_000_000] {
            assert_eq!(Micros::from(&Timestamp::from(Micros(micros))), Micros(micros));
        }
    }
}

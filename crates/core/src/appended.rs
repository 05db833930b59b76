//! What is stored after an encoding: additions that earlier versions do not know.
//!
//! A reader of postcard ignores the bytes after the value that it reads. So an addition that is
//! appended can be read by this version, and is ignored by an earlier one, which may run at the same
//! time or again after a rollback. The appended bytes are a list of parts with a number each; unknown
//! numbers are skipped.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The numbers of the parts; a number is never used for anything else.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Rejected documents and malformed fields.
    Rejected = 1,
    /// What else is known of a decision's observations, and settings about them.
    Signals = 2,
    /// What was counted of each version of a policy.
    Blocks = 3,
    /// What weights are believed from.
    Belief = 4,
    /// How arms of a policy are compared, and what for.
    Claims = 5,
    /// The envelope of that, and its bounds that belief wants to pass.
    Envelope = 6,
    /// Documents that name no version of a policy.
    Unversioned = 9,
}

/// The parts after a value.
#[derive(Default)]
pub(crate) struct Parts(Vec<Numbered>);

#[derive(Serialize, Deserialize)]
struct Numbered {
    number: u8,
    bytes: Vec<u8>,
}

const ENCODES: &str = "numbers, texts and sequences of known length always encode";

impl Parts {
    #[must_use]
    pub(crate) fn with<T: Serialize>(mut self, part: Part, value: &T) -> Self {
        let bytes = postcard::to_allocvec(value).expect(ENCODES);
        self.0.push(Numbered { number: part as u8, bytes });
        self
    }

    /// Appends the parts to encoded bytes, in a list of their own: an earlier version that reads only
    /// the first list ignores the others.
    pub(crate) fn append_to(&self, encoded: &mut Vec<u8>) {
        encoded.extend(postcard::to_allocvec(&self.0).expect(ENCODES));
    }

    /// A part, if it was appended.
    pub(crate) fn get<P: DeserializeOwned>(
        &self,
        part: Part,
    ) -> Result<Option<P>, postcard::Error> {
        let found = self.0.iter().find(|it| it.number == part as u8);
        found.map(|it| postcard::from_bytes(&it.bytes)).transpose()
    }
}

/// Appends a single part.
pub(crate) fn append<T: Serialize>(encoded: &mut Vec<u8>, part: Part, value: &T) {
    Parts::default().with(part, value).append_to(encoded);
}

/// Reads a value and what was appended to it.
pub(crate) fn read_parts<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Parts), postcard::Error> {
    let (value, mut rest) = postcard::take_from_bytes(bytes)?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (list, after): (Vec<Numbered>, _) = postcard::take_from_bytes(rest)?;
        parts.extend(list);
        rest = after;
    }
    Ok((value, Parts(parts)))
}

/// Reads a value and one part that was appended to it, if any.
pub(crate) fn read<T: DeserializeOwned, P: DeserializeOwned>(
    bytes: &[u8],
    part: Part,
) -> Result<(T, Option<P>), postcard::Error> {
    let (value, parts) = read_parts(bytes)?;
    Ok((value, parts.get(part)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appended_part_is_read_and_an_earlier_reader_ignores_it() {
        let mut bytes = postcard::to_allocvec(&(7_u64, "text")).unwrap();
        let read = |bytes: &[u8]| read::<(u64, String), u64>(bytes, Part::Rejected).unwrap();
        assert_eq!(read(&bytes), ((7, "text".to_owned()), None));
        append(&mut bytes, Part::Rejected, &300_u64);
        assert_eq!(read(&bytes), ((7, "text".to_owned()), Some(300)));
        assert_eq!(postcard::from_bytes::<(u64, String)>(&bytes).unwrap(), (7, "text".to_owned()));
    }

    #[test]
    fn each_of_several_appended_parts_is_read() {
        let mut bytes = postcard::to_allocvec(&7_u64).unwrap();
        append(&mut bytes, Part::Rejected, &300_u64);
        append(&mut bytes, Part::Unversioned, &400_u64);
        assert_eq!(read::<u64, u64>(&bytes, Part::Rejected).unwrap(), (7, Some(300)));
        assert_eq!(read::<u64, u64>(&bytes, Part::Unversioned).unwrap(), (7, Some(400)));
        assert_eq!(postcard::from_bytes::<u64>(&bytes).unwrap(), 7);
    }

    #[test]
    fn a_part_of_a_later_version_is_skipped() {
        let mut bytes = postcard::to_allocvec(&7_u64).unwrap();
        let later = Numbered { number: 200, bytes: vec![1, 2, 3] };
        bytes.extend(postcard::to_allocvec([later].as_slice()).unwrap());
        assert_eq!(read::<u64, u64>(&bytes, Part::Rejected).unwrap(), (7, None));
    }
}

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
    /// Documents that name no version of a policy.
    Unversioned = 9,
}

#[derive(Serialize, Deserialize)]
struct Numbered {
    number: u8,
    bytes: Vec<u8>,
}

/// Appends a part to encoded bytes, in a list of its own: an earlier version that reads only the first
/// list ignores the others.
pub(crate) fn append<T: Serialize>(encoded: &mut Vec<u8>, part: Part, value: &T) {
    const ENCODES: &str = "numbers, texts and sequences of known length always encode";
    let bytes = postcard::to_allocvec(value).expect(ENCODES);
    let parts = [Numbered { number: part as u8, bytes }];
    encoded.extend(postcard::to_allocvec(parts.as_slice()).expect(ENCODES));
}

/// Reads a value and the part that was appended to it, if any.
pub(crate) fn read<T: DeserializeOwned, P: DeserializeOwned>(
    bytes: &[u8],
    part: Part,
) -> Result<(T, Option<P>), postcard::Error> {
    let (value, mut rest) = postcard::take_from_bytes(bytes)?;
    while !rest.is_empty() {
        let (parts, after): (Vec<Numbered>, _) = postcard::take_from_bytes(rest)?;
        if let Some(found) = parts.iter().find(|it| it.number == part as u8) {
            return Ok((value, Some(postcard::from_bytes(&found.bytes)?)));
        }
        rest = after;
    }
    Ok((value, None))
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

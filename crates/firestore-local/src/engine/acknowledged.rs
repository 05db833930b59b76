//! The time of the last acknowledged commit, in a separate file next to the store.
//!
//! A crash may tear the store's last commit, and opening the store discards a torn commit. An
//! acknowledged commit that is damaged later looks the same and would be discarded silently. This
//! file distinguishes the two cases. It is written after a commit is durable, without waiting for
//! the disk. After a power loss it may lag behind, and then misses some damage; it is never ahead
//! of the durable state.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::model::time::Micros;

#[derive(Debug)]
pub struct Acknowledged(File);

impl Acknowledged {
    pub fn open(file: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file).map(Self)
    }

    /// The last recorded time; `None` if the file holds no valid record.
    pub fn last(&self) -> Option<Micros> {
        let mut bytes = [0; 16];
        self.0.read_exact_at(&mut bytes, 0).ok()?;
        let (time, check) = bytes.split_at(8);
        let time = i64::from_le_bytes(time.try_into().ok()?);
        let check = i64::from_le_bytes(check.try_into().ok()?);
        (check == !time).then_some(Micros(time))
    }

    pub fn note(&self, Micros(time): Micros) -> io::Result<()> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&time.to_le_bytes());
        bytes[8..].copy_from_slice(&(!time).to_le_bytes());
        self.0.write_all_at(&bytes, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_recorded_time_is_read_and_invalid_content_is_ignored() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let acknowledged = Acknowledged::open(file.path()).unwrap();
        assert_eq!(acknowledged.last(), None);
        for time in [5, 1_734_000_000_123_456] {
            acknowledged.note(Micros(time)).unwrap();
            assert_eq!(Acknowledged::open(file.path()).unwrap().last(), Some(Micros(time)));
        }
        std::fs::write(file.path(), [1; 16]).unwrap();
        assert_eq!(acknowledged.last(), None);
    }
}

//! The time of the last commit that was acknowledged, in a file of its own beside the store.
//!
//! The store's last commit is the one that a crash may tear, and a torn one is given up when the
//! store is opened. A commit that was acknowledged and is damaged afterwards looks the same, and
//! would be given up in silence. This file tells them apart. It is written after a commit is
//! durable, without waiting for the disk: it may lag behind after a loss of power, which only
//! makes it miss some damage, and is never ahead of what was durable.

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

    /// The last time that was noted; `None` where nothing that reads was.
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
    fn what_was_noted_last_is_read_and_rubbish_is_nothing() {
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

//! The store's file with nothing written to it: what would be written is kept in memory. So the
//! last durable state can be read, and repaired in order to be read, where the disk takes nothing
//! more.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::ops::Bound;
use std::sync::RwLock;

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::{read, write};

const BLOCK: usize = 4_096;

type Block = [u8; BLOCK];

#[derive(Debug)]
pub struct Overlay {
    file: FileBackend,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    blocks: HashMap<u64, Box<Block>>,
    len: u64,
    /// What of the file shows: the rest was cut off since, and is zeros.
    shown: u64,
}

/// A piece of a range that lies within one block.
struct Piece {
    block: u64,
    start: usize,
    length: usize,
}

fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> {
    let size = BLOCK as u64;
    let end = offset + length as u64;
    (offset / size..end.div_ceil(size)).map(move |block| {
        let from = offset.max(block * size);
        let until = end.min((block + 1) * size);
        Piece { block, start: (from - block * size) as usize, length: (until - from) as usize }
    })
}

impl Overlay {
    pub fn new(file: FileBackend) -> io::Result<Self> {
        let len = file.len()?;
        let state = State { blocks: HashMap::new(), len, shown: len };
        Ok(Self { file, state: RwLock::new(state) })
    }

    /// A part of the file, with zeros where it shows nothing.
    fn stored(&self, offset: u64, out: &mut [u8], shown: u64) -> io::Result<()> {
        let there = shown.saturating_sub(offset).min(out.len() as u64) as usize;
        let (there, beyond) = out.split_at_mut(there);
        beyond.fill(0);
        if there.is_empty() { Ok(()) } else { self.file.read(offset, there) }
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(read(&self.state).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = read(&self.state);
        if offset + out.len() as u64 > state.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for Piece { block, start, length } in pieces(offset, rest.len()) {
            let (part, after) = rest.split_at_mut(length);
            match state.blocks.get(&block) {
                Some(bytes) => part.copy_from_slice(&bytes[start..start + length]),
                None => {
                    let position = block * BLOCK as u64 + start as u64;
                    self.stored(position, part, state.shown)?;
                }
            }
            rest = after;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = write(&self.state);
        if len < state.len {
            let last = len / BLOCK as u64;
            state.blocks.retain(|block, _| *block <= last);
            if let Some(bytes) = state.blocks.get_mut(&last) {
                bytes[(len % BLOCK as u64) as usize..].fill(0);
            }
            state.shown = state.shown.min(len);
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = write(&self.state);
        let shown = state.shown;
        let mut rest = data;
        for Piece { block, start, length } in pieces(offset, data.len()) {
            let (part, after) = rest.split_at(length);
            let bytes = match state.blocks.entry(block) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(place) => {
                    let mut bytes = Box::new([0; BLOCK]);
                    self.stored(block * BLOCK as u64, bytes.as_mut_slice(), shown)?;
                    place.insert(bytes)
                }
            };
            bytes[start..start + length].copy_from_slice(part);
            rest = after;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    // The locks are the file's, so that no other process takes it meanwhile.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_shows_and_the_file_stays_as_it_was() {
        let mut file = tempfile::tempfile().unwrap();
        let before: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
        io::Write::write_all(&mut file, &before).unwrap();
        let same = file.try_clone().unwrap();
        let overlay = Overlay::new(FileBackend::new(file).unwrap()).unwrap();
        overlay.write(4_000, &[7; 5_000]).unwrap();
        let mut expected = before.clone();
        expected[4_000..9_000].fill(7);
        let mut found = vec![0; 10_000];
        overlay.read(0, &mut found).unwrap();
        assert_eq!(found, expected);

        overlay.set_len(5_000).unwrap();
        overlay.set_len(12_000).unwrap();
        expected.truncate(5_000);
        expected.resize(12_000, 0);
        found.resize(12_000, 1);
        overlay.read(0, &mut found).unwrap();
        assert_eq!(found, expected);
        overlay.read(11_999, &mut [0; 2]).unwrap_err();
        overlay.write(11_000, &[9; 1_000]).unwrap();
        overlay.read(11_000, &mut found[..1_000]).unwrap();
        assert_eq!(found[..1_000], [9; 1_000]);

        let mut now = vec![0; 10_000];
        std::os::unix::fs::FileExt::read_exact_at(&same, &mut now, 0).unwrap();
        assert_eq!(now, before);
    }
}

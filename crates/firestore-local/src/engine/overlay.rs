//! A read-only view of the store's file that keeps writes in memory. The store can thus read its
//! last durable state, and repair it in order to read it, while the disk accepts no writes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::ops::Bound;
use std::sync::RwLock;

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use crate::locks::{read, write};

const BLOCK_LEN: usize = 4_096;
const BLOCK_BYTES: u64 = BLOCK_LEN as u64;

type Block = [u8; BLOCK_LEN];

#[derive(Debug)]
pub struct Overlay {
    file: FileBackend,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    blocks: HashMap<u64, Box<Block>>,
    len: u64,
    /// How much of the file is visible: the rest has been truncated and reads as zeros.
    visible: u64,
}

/// The part of a range that lies within one block.
struct Piece {
    block: u64,
    start: usize,
    length: usize,
}

/// A number of bytes in memory. A range never exceeds the buffer that it is read into or written
/// from, so that its length fits.
fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a range is no longer than its buffer")
}

fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> {
    let end = offset + length as u64;
    (offset / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES)).map(move |block| {
        let block_start = block * BLOCK_BYTES;
        let from = offset.max(block_start);
        let until = end.min(block_start + BLOCK_BYTES);
        Piece { block, start: in_memory(from - block_start), length: in_memory(until - from) }
    })
}

impl Overlay {
    pub fn new(file: FileBackend) -> io::Result<Self> {
        let len = file.len()?;
        let state = State { blocks: HashMap::new(), len, visible: len };
        Ok(Self { file, state: RwLock::new(state) })
    }

    /// Reads a part of the file, with zeros beyond its visible length.
    fn read_file(&self, offset: u64, out: &mut [u8], visible: u64) -> io::Result<()> {
        let length = in_memory(visible.saturating_sub(offset).min(out.len() as u64));
        let (visible, beyond) = out.split_at_mut(length);
        beyond.fill(0);
        if visible.is_empty() { Ok(()) } else { self.file.read(offset, visible) }
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
                    let position = block * BLOCK_BYTES + start as u64;
                    self.read_file(position, part, state.visible)?;
                }
            }
            rest = after;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = write(&self.state);
        if len < state.len {
            let last = len / BLOCK_BYTES;
            state.blocks.retain(|block, _| *block <= last);
            if let Some(bytes) = state.blocks.get_mut(&last) {
                bytes[in_memory(len % BLOCK_BYTES)..].fill(0);
            }
            state.visible = state.visible.min(len);
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = write(&self.state);
        let visible = state.visible;
        let mut rest = data;
        for Piece { block, start, length } in pieces(offset, data.len()) {
            let (part, after) = rest.split_at(length);
            let bytes = match state.blocks.entry(block) {
                Entry::Occupied(occupied) => occupied.into_mut(),
                Entry::Vacant(vacant) => {
                    let mut bytes = Box::new([0; BLOCK_LEN]);
                    self.read_file(block * BLOCK_BYTES, bytes.as_mut_slice(), visible)?;
                    vacant.insert(bytes)
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

    // Locking goes to the file itself, so that no other process can take it.

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
    fn writes_are_readable_and_the_file_does_not_change() {
        let mut file = tempfile::tempfile().unwrap();
        let before: Vec<u8> = (0..=u8::MAX).cycle().take(10_000).collect();
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

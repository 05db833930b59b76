//! The store's file: opening it, and staying available when the disk fails.
//!
//! After a disk error the store takes no more requests until it is reopened. It is reopened
//! read-only: reads continue from the last durable state, and commits are refused with the error.
//! After a pause, the next commit tries the disk again.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::time::{Duration, Instant};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{
    Database as Redb, DatabaseError, ReadTransaction, ReadableDatabase, TransactionError,
    WriteTransaction,
};
use tonic::Status;

use super::acknowledged::Acknowledged;
use super::catalog::Catalog;
use super::error::{OpenError, failed, internal};
use super::overlay::Overlay;
use super::schema::{DOCUMENTS, ENTRIES, INDEXES, LAST_COMMIT, META};
use crate::ambient;
use crate::locks::{read, write};
use crate::model::time::Micros;

const FILE: &str = "firestore.redb";
const ACKNOWLEDGED: &str = "firestore.acknowledged";
const CACHE_BYTES: usize = 64 << 20;

/// How long commits are refused before the disk is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait for other threads of this process to release the file.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Store {
    /// `None` for a store in memory.
    disk: Option<Disk>,
    opened: RwLock<Opened>,
}

struct Disk {
    file: PathBuf,
    marker: PathBuf,
    acknowledged: Acknowledged,
}

struct Opened {
    /// `None` if the store could not be reopened.
    database: Option<Redb>,
    /// Set while nothing may be written to the disk.
    read_only: Option<ReadOnly>,
    /// How often the store has been opened.
    generation: u64,
}

struct ReadOnly {
    cause: Status,
    since: Instant,
}

/// The state that is loaded into memory when the store is opened.
pub struct Loaded {
    pub catalog: Catalog,
    pub last_commit: Micros,
}

impl Store {
    /// Opens the store in `folder`, or an empty one in memory.
    pub fn open(folder: Option<&Path>) -> Result<(Self, Loaded), OpenError> {
        let disk = folder.map(Disk::prepare).transpose()?;
        let (database, loaded) = match &disk {
            Some(disk) => disk.open(Duration::ZERO)?,
            None => in_memory()?,
        };
        let opened = Opened { database: Some(database), read_only: None, generation: 1 };
        Ok((Self { disk, opened: RwLock::new(opened) }, loaded))
    }

    /// Opens a snapshot. Blocking.
    pub fn read(&self) -> Result<ReadTransaction, Status> {
        read(&self.opened).database()?.begin_read().map_err(failed)
    }

    /// Begins a transaction, and returns it with the store's generation. If the generation has
    /// changed, the caller must reload the state that it keeps in memory. Blocking; there is one
    /// writer.
    pub fn write(&self) -> Result<(WriteTransaction, u64), Status> {
        self.try_disk_again()?;
        let opened = read(&self.opened);
        let transaction = opened.database()?.begin_write().map_err(failed)?;
        Ok((transaction, opened.generation))
    }

    /// Records that all commits up to a time may be acknowledged.
    pub fn acknowledge(&self, time: Micros) {
        if let Some(disk) = &self.disk
            && let Err(error) = disk.acknowledged.note(time)
        {
            tracing::warn!(%error, "cannot record the last acknowledged commit");
        }
    }

    /// Reopens the store if a failed commit left it unusable. The commit's transaction must have
    /// ended.
    pub fn recover_from(&self, cause: &Status) {
        self.recover(cause);
        if let Some(read_only) = &mut write(&self.opened).read_only {
            // A read may have hit the error first, with a less specific cause.
            read_only.cause = cause.clone();
        }
    }

    /// Reopens the store if a disk error left it unusable.
    pub fn recover(&self, cause: &Status) {
        let Some(disk) = &self.disk else { return };
        let mut opened = write(&self.opened);
        if opened.database.as_ref().is_none_or(is_unusable) {
            opened.reopen_read_only(disk, cause.clone());
        }
    }

    /// Fails while the store is read-only; once the pause is over, reopens it for writing.
    fn try_disk_again(&self) -> Result<(), Status> {
        let Some(disk) = &self.disk else { return Ok(()) };
        match &read(&self.opened).read_only {
            None => return Ok(()),
            Some(read_only) if read_only.since.elapsed() < RETRY_PAUSE => {
                return Err(read_only.cause.clone());
            }
            Some(_) => {}
        }
        let mut opened = write(&self.opened);
        opened.database = None;
        match disk.open(RELEASE_TIMEOUT) {
            Ok((database, _)) => {
                tracing::info!("the disk accepts writes again");
                let generation = opened.generation + 1;
                *opened = Opened { database: Some(database), read_only: None, generation };
                Ok(())
            }
            Err(error) => {
                let cause = error.status();
                opened.reopen_read_only(disk, cause.clone());
                Err(cause)
            }
        }
    }
}

impl Opened {
    fn database(&self) -> Result<&Redb, Status> {
        self.database.as_ref().ok_or_else(|| match &self.read_only {
            Some(read_only) => read_only.cause.clone(),
            None => internal("it is not open"),
        })
    }

    /// Reopens the store for reading; nothing is written to the disk.
    fn reopen_read_only(&mut self, disk: &Disk, cause: Status) {
        self.database = None;
        self.generation += 1;
        self.database = disk
            .open_read_only()
            .inspect_err(|error| tracing::error!(%error, "cannot reopen the store"))
            .ok();
        self.read_only = Some(ReadOnly { cause, since: ambient::monotonic() });
    }
}

impl Disk {
    fn prepare(folder: &Path) -> Result<Self, OpenError> {
        if folder.exists() && !folder.is_dir() {
            return Err(OpenError::NotAFolder { folder: folder.to_owned() });
        }
        std::fs::create_dir_all(folder)
            .map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })?;
        let (file, marker) = (folder.join(FILE), folder.join(ACKNOWLEDGED));
        let acknowledged = Acknowledged::open(&marker)
            .map_err(|error| OpenError::failed(&marker, error.into()))?;
        Ok(Self { file, marker, acknowledged })
    }

    /// Opens the store for reading and writing.
    fn open(&self, timeout: Duration) -> Result<(Redb, Loaded), OpenError> {
        let database = self.open_when_free(timeout, || builder().create(&self.file))?;
        let loaded = load(&database).map_err(|error| OpenError::failed(&self.file, error))?;
        self.check(&loaded)?;
        Ok((database, loaded))
    }

    fn open_read_only(&self) -> Result<Redb, OpenError> {
        let open = || -> Result<Redb, DatabaseError> {
            let file = OpenOptions::new().read(true).write(true).open(&self.file)?;
            builder().create_with_backend(Overlay::new(FileBackend::new(file)?)?)
        };
        let database = self.open_when_free(RELEASE_TIMEOUT, open)?;
        let loaded = load(&database).map_err(|error| OpenError::failed(&self.file, error))?;
        self.check(&loaded)?;
        Ok(database)
    }

    /// Opens the file, and waits up to `timeout` while it is open elsewhere.
    fn open_when_free(
        &self,
        timeout: Duration,
        open: impl Fn() -> Result<Redb, DatabaseError>,
    ) -> Result<Redb, OpenError> {
        let began = ambient::monotonic();
        loop {
            match open() {
                Err(DatabaseError::DatabaseAlreadyOpen) if began.elapsed() < timeout => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(DatabaseError::DatabaseAlreadyOpen) => {
                    return Err(OpenError::InUse { file: self.file.clone() });
                }
                other => return other.map_err(|error| OpenError::failed(&self.file, error.into())),
            }
        }
    }

    /// Checks that every acknowledged commit is in the store.
    fn check(&self, loaded: &Loaded) -> Result<(), OpenError> {
        match self.acknowledged.last() {
            Some(acknowledged) if acknowledged > loaded.last_commit => Err(OpenError::Lost {
                file: self.file.clone(),
                marker: self.marker.clone(),
                last: loaded.last_commit.0,
                acknowledged: acknowledged.0,
            }),
            _ => Ok(()),
        }
    }
}

/// Whether the store fails to begin a write. A write in progress reports its own errors, so
/// `WouldBlock` counts as usable.
fn is_unusable(database: &Redb) -> bool {
    !matches!(database.try_begin_write(), Ok(_) | Err(TransactionError::WouldBlock))
}

/// Checks the integrity on opening, so that damage is reported at the start and not by a later
/// read.
fn builder() -> redb::Builder {
    let mut builder = Redb::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn in_memory() -> Result<(Redb, Loaded), OpenError> {
    let file = Path::new("memory");
    let database = Redb::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(InMemoryBackend::new())
        .map_err(|error| OpenError::failed(file, error.into()))?;
    let loaded = load(&database).map_err(|error| OpenError::failed(file, error))?;
    Ok((database, loaded))
}

/// Creates the tables if they are missing, and loads the state that is kept in memory.
fn load(store: &Redb) -> Result<Loaded, redb::Error> {
    let transaction = store.begin_write()?;
    transaction.open_table(DOCUMENTS)?;
    transaction.open_table(ENTRIES)?;
    let loaded = load_in(&transaction)?;
    transaction.commit()?;
    Ok(loaded)
}

/// Loads the state that is kept in memory, as a transaction sees it.
pub fn load_in(transaction: &WriteTransaction) -> Result<Loaded, redb::Error> {
    let catalog = Catalog::load(&transaction.open_table(INDEXES)?)?;
    let meta = transaction.open_table(META)?;
    let last_commit = redb::ReadableTable::get(&meta, LAST_COMMIT)?;
    let last_commit = last_commit.map_or(Micros(0), |time| Micros(time.value()));
    Ok(Loaded { catalog, last_commit })
}

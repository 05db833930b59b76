//! The store's file: opening it, and going on where the disk fails.
//!
//! After an error of the disk the store takes no more requests until it is opened again. It is
//! then opened so that nothing is written to the disk: reads go on from the last durable state,
//! and commits are refused with the error. After a pause, the next commit tries the disk again.

use std::fs::OpenOptions;
use std::io;
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
use super::overlay::Overlay;
use super::{
    DOCUMENTS, ENTRIES, INDEXES, LAST_COMMIT, META, OpenError, failed, internal, read, write,
};
use crate::model::time::Micros;

const FILE: &str = "firestore.redb";
const ACKNOWLEDGED: &str = "firestore.acknowledged";
const CACHE_BYTES: usize = 64 << 20;

/// Commits are refused for so long before the disk is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long what this process still does with the file may take to end.
const RELEASE: Duration = Duration::from_secs(5);

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
    /// `None` where the store could not be opened again.
    database: Option<Redb>,
    /// Set while nothing is written to the disk.
    refusing: Option<Refusing>,
    /// How often the store was opened.
    times: u64,
}

struct Refusing {
    cause: Status,
    since: Instant,
}

/// What the store knows at its opening.
pub struct Known {
    pub catalog: Catalog,
    pub last_commit: Micros,
}

impl Store {
    /// Opens the store in `folder`, or an empty one in memory.
    pub fn open(folder: Option<&Path>) -> Result<(Self, Known), OpenError> {
        let disk = folder.map(Disk::prepare).transpose()?;
        let (database, known) = match &disk {
            Some(disk) => disk.open(Duration::ZERO)?,
            None => in_memory()?,
        };
        let opened = Opened { database: Some(database), refusing: None, times: 1 };
        Ok((Self { disk, opened: RwLock::new(opened) }, known))
    }

    /// A snapshot. Blocking.
    pub fn read(&self) -> Result<ReadTransaction, Status> {
        read(&self.opened).database()?.begin_read().map_err(failed)
    }

    /// A transaction, and how often the store had been opened before it: where that is not as it
    /// was, what is known of the store must be read again. Blocking; there is one writer.
    pub fn write(&self) -> Result<(WriteTransaction, u64), Status> {
        self.try_disk_again()?;
        let opened = read(&self.opened);
        let transaction = opened.database()?.begin_write().map_err(failed)?;
        Ok((transaction, opened.times))
    }

    /// Notes that all commits up to a time may be acknowledged.
    pub fn acknowledge(&self, time: Micros) {
        if let Some(disk) = &self.disk
            && let Err(error) = disk.acknowledged.note(time)
        {
            tracing::warn!(%error, "the last acknowledged commit could not be noted");
        }
    }

    /// Opens the store again if a failed commit left it unusable. The commit's transaction has
    /// ended.
    pub fn recover_from(&self, cause: &Status) {
        self.recover(cause);
        if let Some(refusing) = &mut write(&self.opened).refusing {
            // A read may have met the error first, and knows less of it.
            refusing.cause = cause.clone();
        }
    }

    /// Opens the store again if an error of the disk left it unusable.
    pub fn recover(&self, cause: &Status) {
        let Some(disk) = &self.disk else { return };
        let mut opened = write(&self.opened);
        if opened.database.as_ref().is_none_or(is_unusable) {
            opened.refuse(disk, cause.clone());
        }
    }

    /// Refuses while the disk is not to be written; ends that when it was long enough.
    fn try_disk_again(&self) -> Result<(), Status> {
        let Some(disk) = &self.disk else { return Ok(()) };
        match &read(&self.opened).refusing {
            None => return Ok(()),
            Some(refusing) if refusing.since.elapsed() < PAUSE => {
                return Err(refusing.cause.clone());
            }
            Some(_) => {}
        }
        let mut opened = write(&self.opened);
        opened.database = None;
        match disk.open(RELEASE) {
            Ok((database, _)) => {
                tracing::info!("the disk takes writes again");
                let times = opened.times + 1;
                *opened = Opened { database: Some(database), refusing: None, times };
                Ok(())
            }
            Err(error) => {
                let cause = error.status();
                opened.refuse(disk, cause.clone());
                Err(cause)
            }
        }
    }
}

impl Opened {
    fn database(&self) -> Result<&Redb, Status> {
        self.database.as_ref().ok_or_else(|| match &self.refusing {
            Some(refusing) => refusing.cause.clone(),
            None => internal("it is not open"),
        })
    }

    /// Opens the store so that it can be read, and nothing is written to the disk.
    fn refuse(&mut self, disk: &Disk, cause: Status) {
        self.database = None;
        self.times += 1;
        self.database = disk
            .open_to_read()
            .inspect_err(|error| tracing::error!(%error, "the store cannot be opened again"))
            .ok();
        self.refusing = Some(Refusing { cause, since: Instant::now() });
    }
}

impl Disk {
    fn prepare(folder: &Path) -> Result<Self, OpenError> {
        if folder.exists() && !folder.is_dir() {
            return Err(OpenError::NoFolder { folder: folder.to_owned() });
        }
        std::fs::create_dir_all(folder)
            .map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })?;
        let (file, marker) = (folder.join(FILE), folder.join(ACKNOWLEDGED));
        let acknowledged = Acknowledged::open(&marker)
            .map_err(|error| OpenError::failed(&marker, error.into()))?;
        Ok(Self { file, marker, acknowledged })
    }

    /// Opens the store as it is used: what is committed goes to the disk.
    fn open(&self, patience: Duration) -> Result<(Redb, Known), OpenError> {
        let database = self.when_free(patience, || builder().create(&self.file))?;
        let known = load(&database).map_err(|error| OpenError::failed(&self.file, error))?;
        self.check(&known)?;
        Ok((database, known))
    }

    fn open_to_read(&self) -> Result<Redb, OpenError> {
        let open = || -> Result<Redb, DatabaseError> {
            let file = OpenOptions::new().read(true).write(true).open(&self.file)?;
            builder().create_with_backend(Overlay::new(FileBackend::new(file)?)?)
        };
        let database = self.when_free(RELEASE, open)?;
        let known = load(&database).map_err(|error| OpenError::failed(&self.file, error))?;
        self.check(&known)?;
        Ok(database)
    }

    /// Opens the file, once whoever has it open lets it go.
    fn when_free(
        &self,
        patience: Duration,
        open: impl Fn() -> Result<Redb, DatabaseError>,
    ) -> Result<Redb, OpenError> {
        let began = Instant::now();
        loop {
            match open() {
                Err(DatabaseError::DatabaseAlreadyOpen) if began.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(DatabaseError::DatabaseAlreadyOpen) => {
                    return Err(OpenError::InUse { file: self.file.clone() });
                }
                other => return other.map_err(|error| OpenError::failed(&self.file, error.into())),
            }
        }
    }

    /// Whether everything that was acknowledged is there.
    fn check(&self, known: &Known) -> Result<(), OpenError> {
        match self.acknowledged.last() {
            Some(acknowledged) if acknowledged > known.last_commit => Err(OpenError::Lost {
                file: self.file.clone(),
                marker: self.marker.clone(),
                last: known.last_commit.0,
                acknowledged: acknowledged.0,
            }),
            _ => Ok(()),
        }
    }
}

/// A writer at work would be told of an error itself.
fn is_unusable(database: &Redb) -> bool {
    !matches!(database.try_begin_write(), Ok(_) | Err(TransactionError::WouldBlock))
}

/// Damage is to be found when the store is opened, rather than when it is met.
fn builder() -> redb::Builder {
    let mut builder = Redb::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn in_memory() -> Result<(Redb, Known), OpenError> {
    let nowhere = Path::new("memory");
    let database = Redb::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(InMemoryBackend::new())
        .map_err(|error| OpenError::failed(nowhere, error.into()))?;
    let known = load(&database).map_err(|error| OpenError::failed(nowhere, error))?;
    Ok((database, known))
}

/// Makes the tables if need be, and reads what is kept in memory.
fn load(store: &Redb) -> Result<Known, redb::Error> {
    let transaction = store.begin_write()?;
    transaction.open_table(DOCUMENTS)?;
    transaction.open_table(ENTRIES)?;
    let known = known(&transaction)?;
    transaction.commit()?;
    Ok(known)
}

/// What is kept in memory, as a transaction sees it.
pub fn known(transaction: &WriteTransaction) -> Result<Known, redb::Error> {
    let catalog = Catalog::load(&transaction.open_table(INDEXES)?)?;
    let meta = transaction.open_table(META)?;
    let last_commit = redb::ReadableTable::get(&meta, LAST_COMMIT)?;
    let last_commit = last_commit.map_or(Micros(0), |time| Micros(time.value()));
    Ok(Known { catalog, last_commit })
}

/// Whether it is space that is missing.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | FileTooLarge | QuotaExceeded)
}

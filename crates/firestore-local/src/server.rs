//! Starting and stopping the server: gRPC on one address, the meter over HTTP on another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::Connection;
use crate::engine::{Clock, Engine, OpenError};
use crate::faults::{Faults, Plan};
use crate::http;
use crate::indexes::{Enforced, Indexes, IndexesError, IndexesFile, RecordError, Recorder, Shape};
use crate::meter::{Bill, Billed, Budget, Exceeded, Meter, Prices, PricesError, Report, Storage};
use crate::model::path::Database;
use crate::proto::server::firestore_server::FirestoreServer;
use crate::rules::{RulesError, RulesFile};
use crate::service::{Faulty, Guarded, QueryLog, Service};
use crate::transactions::{Concurrency, Transactions};

/// Above Firestore's limit of 10 MiB, so that a request slightly over that limit gets Firestore's
/// error and not a decoding error.
const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// HTTP/2 flow control windows: large enough that one connection is not slowed by waiting for
/// window updates on loopback.
const WINDOW_BYTES: u32 = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("cannot listen on {address}: {source}; check whether another server uses it")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Rules(#[from] RulesError),
    #[error(transparent)]
    Prices(#[from] PricesError),
    #[error(transparent)]
    Indexes(#[from] IndexesError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The settings of a server. By default it uses a free port on loopback and keeps data in memory.
#[derive(Clone, Debug)]
pub struct Builder {
    addr: SocketAddr,
    meter_addr: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    index_threshold: usize,
    clock: Clock,
    concurrency: Concurrency,
    faults: Plan,
    rules: Option<PathBuf>,
    prices: Option<Prices>,
    budget: Budget,
    indexes: Vec<PathBuf>,
    definitions: Vec<Indexes>,
    record: Option<PathBuf>,
}

/// A local Firestore.
#[derive(Debug)]
pub struct Server;

impl Server {
    pub fn builder() -> Builder {
        Builder {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            meter_addr: None,
            data_dir: None,
            index_threshold: 500,
            clock: Clock::default(),
            concurrency: Concurrency::default(),
            faults: Plan::none(),
            rules: None,
            prices: None,
            budget: Budget::default(),
            indexes: Vec::new(),
            definitions: Vec::new(),
            record: None,
        }
    }
}

impl Builder {
    /// The address of the gRPC endpoint; port 0 picks a free port.
    #[must_use]
    pub fn addr(mut self, addr: SocketAddr) -> Self {
        self.addr = addr;
        self
    }

    /// The address of the meter. By default the port after gRPC's, or a free port if that is 0.
    #[must_use]
    pub fn meter_addr(mut self, addr: Option<SocketAddr>) -> Self {
        self.meter_addr = addr;
        self
    }

    /// The folder to keep data in; without one, data is kept in memory.
    #[must_use]
    pub fn data_dir(mut self, folder: Option<PathBuf>) -> Self {
        self.data_dir = folder;
        self
    }

    /// Queries over more documents than this use an index; smaller scopes are scanned.
    #[must_use]
    pub fn index_threshold(mut self, documents: usize) -> Self {
        self.index_threshold = documents;
        self
    }

    /// The clock of commit times, lock timeouts and the limits on the life of a transaction.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How read-write transactions are kept apart, unless a transaction chooses for itself:
    /// pessimistic by default.
    #[must_use]
    pub fn concurrency(mut self, concurrency: Concurrency) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// The fault plan that is active from the start.
    #[must_use]
    pub fn faults(mut self, plan: Plan) -> Self {
        self.faults = plan;
        self
    }

    /// The file of the security rules for users. It is read again when it changes. Without a file,
    /// every caller may do everything.
    #[must_use]
    pub fn rules(mut self, file: Option<PathBuf>) -> Self {
        self.rules = file;
        self
    }

    /// The prices of operations; by default those of `prices.json`.
    #[must_use]
    pub fn prices(mut self, prices: Prices) -> Self {
        self.prices = Some(prices);
        self
    }

    /// The most operations that may be billed; see [`Running::exceeded`].
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Files of indexes. A query that the indexes of one of them do not serve is refused, and so is
    /// a document with too many index entries. The files are read again when they change. Without a
    /// file and [`definitions`](Self::definitions), every query is served.
    #[must_use]
    pub fn indexes(mut self, files: Vec<PathBuf>) -> Self {
        self.indexes = files;
        self
    }

    /// Indexes to enforce like those of [files](Self::indexes).
    #[must_use]
    pub fn definitions(mut self, definitions: Vec<Indexes>) -> Self {
        self.definitions = definitions;
        self
    }

    /// The file to record the shapes of queries in. An existing record is continued.
    #[must_use]
    pub fn record_queries(mut self, file: Option<PathBuf>) -> Self {
        self.record = file;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    /// If the data folder, the rules, the indexes or the record cannot be used, or an address is in
    /// use.
    pub async fn start(self) -> Result<Running, Error> {
        let rules = self.rules.map(RulesFile::open).transpose()?.map(Arc::new);
        let files = self.indexes.into_iter().map(IndexesFile::open).collect::<Result<_, _>>()?;
        let indexes = Arc::new(Enforced::new(files, self.definitions));
        if let Some(file) = &self.record {
            indexes.record_with(Recorder::open(file)?);
        }
        let (addr, grpc) = listen(self.addr).await?;
        let meter_port = match self.addr.port() {
            0 => 0,
            port => port.wrapping_add(1),
        };
        let meter_addr = self.meter_addr.unwrap_or_else(|| SocketAddr::new(addr.ip(), meter_port));
        let (meter_addr, meter_listener) = listen(meter_addr).await?;

        let prices = self.prices.map_or_else(|| Prices::open(None), Ok)?;
        let meter = Arc::new(Meter::new(self.clock.clone(), prices, self.budget));
        let (folder, threshold, clock) = (self.data_dir, self.index_threshold, self.clock);
        let enforced = Arc::clone(&indexes);
        let opening = tokio::task::spawn_blocking(move || {
            Engine::open(folder.as_deref(), threshold, clock, enforced)
        });
        let engine = opening.await.map_err(|error| OpenError::Open {
            file: PathBuf::from("the store"),
            detail: error.to_string(),
        })??;
        let (engine, in_use) = (Arc::new(engine), TaskTracker::new());
        let query_log: Arc<QueryLog> = Arc::default();
        let service = Service {
            engine: Arc::clone(&engine),
            meter: meter.other(),
            transactions: Arc::new(Transactions::new(self.concurrency)),
            query_log: Arc::clone(&query_log),
            indexes: Arc::clone(&indexes),
            user: None,
            in_use: in_use.token(),
        };
        let faults = Arc::new(Faults::default());
        faults.set(self.faults);
        let faulty = Faulty { service, faults: faults.clone() };
        let service = Guarded { faulty, rules, is_local: addr.ip().is_loopback() };
        let stop = CancellationToken::new();
        let tasks = vec![
            tokio::spawn(serve_grpc(grpc, service, meter.sent(), stop.clone())),
            tokio::spawn(http::serve(
                meter_listener,
                Arc::clone(&meter),
                Arc::clone(&engine),
                faults.clone(),
                stop.clone(),
            )),
        ];
        Ok(Running {
            addr,
            meter_addr,
            engine,
            meter,
            query_log,
            indexes,
            faults,
            in_use,
            stop,
            tasks,
        })
    }
}

async fn listen(address: SocketAddr) -> Result<(SocketAddr, TcpListener), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((address, listener))
}

async fn serve_grpc(
    listener: TcpListener,
    service: Guarded,
    sent: Arc<AtomicU64>,
    stop: CancellationToken,
) {
    let firestore = FirestoreServer::new(service)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let ending = stop.clone();
    let connections = TcpListenerStream::new(listener)
        .map(move |stream| Connection::new(stream?, &ending, Arc::clone(&sent)));
    // A graceful shutdown would wait for listeners forever. Every acknowledged commit is durable,
    // so it is safe to close the connections; this only waits until their tasks notice.
    let served = tonic::transport::Server::builder()
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .add_service(firestore)
        .serve_with_incoming_shutdown(connections, stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the gRPC server failed");
    }
}

/// A running server. Call [`shutdown`](Self::shutdown) to close the store cleanly; acknowledged
/// commits survive without it, too.
pub struct Running {
    addr: SocketAddr,
    meter_addr: SocketAddr,
    engine: Arc<Engine>,
    meter: Arc<Meter>,
    query_log: Arc<QueryLog>,
    indexes: Arc<Enforced>,
    faults: Arc<Faults>,
    /// Tracks every task that uses the engine on behalf of a client.
    in_use: TaskTracker,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Running {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn meter_addr(&self) -> SocketAddr {
        self.meter_addr
    }

    /// The bill for all operations so far.
    pub fn meter(&self) -> Bill {
        self.meter.bill()
    }

    /// The bill with its lines by collection and by caller, the last hour, and the costs.
    pub fn report(&self) -> Report {
        self.meter.report()
    }

    /// What is stored. Reads every document.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn storage(&self) -> Result<Storage, tonic::Status> {
        let engine = Arc::clone(&self.engine);
        tokio::task::spawn_blocking(move || Storage::of(&engine))
            .await
            .map_err(|error| tonic::Status::internal(error.to_string()))?
    }

    /// Forgets what was billed. A budget that was exceeded stays exceeded.
    pub fn reset_meter(&self) {
        self.meter.reset();
    }

    /// Panics if more was billed since the start or the last reset: for tests.
    ///
    /// # Panics
    /// If more was billed; the message lists the bill of each collection.
    #[track_caller]
    pub fn assert_billed_at_most(&self, most: Billed) {
        self.meter().assert_at_most(most);
    }

    /// How the budget was exceeded, if it was.
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.meter.exceeded().borrow().clone()
    }

    /// Waits for `end`. Meanwhile, reports on standard error once if the budget is exceeded.
    pub async fn warn_until(&self, end: impl Future<Output = ()>) {
        let mut exceeded = self.meter.exceeded();
        let warning = async {
            if let Ok(exceeded) = exceeded.wait_for(Option::is_some).await
                && let Some(exceeded) = &*exceeded
            {
                eprintln!("warning: {exceeded}");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = end => {}
            () = warning => {}
        }
    }

    /// Records queries from now on, for [`queries`](Self::queries).
    pub fn keep_queries(&self) {
        self.query_log.start();
    }

    /// Takes the recorded queries. An aggregation counts as the query that it runs over.
    pub fn queries(&self) -> Vec<crate::proto::StructuredQuery> {
        self.query_log.take()
    }

    /// Records the shapes of queries from now on, for [`query_shapes`](Self::query_shapes).
    pub fn record_shapes(&self) {
        self.indexes.record_with(Recorder::in_memory());
    }

    /// The shapes of the queries since recording began, and those of the record that it continued.
    pub fn query_shapes(&self) -> BTreeSet<Shape> {
        self.indexes.shapes()
    }

    /// Enforces other indexes in the place of the [definitions](Builder::definitions).
    pub fn set_definitions(&self, definitions: Vec<Indexes>) {
        self.indexes.set_definitions(definitions);
    }

    /// Activates a fault plan.
    pub fn set_faults(&self, plan: Plan) {
        self.faults.set(plan);
    }

    /// How often each kind of fault has been injected since the plan was activated.
    pub fn injected(&self) -> BTreeMap<String, u64> {
        self.faults.injected()
    }

    /// Releases the requests that the plan holds.
    pub fn release(&self) {
        self.faults.release();
    }

    /// Waits until the plan holds a request.
    pub async fn until_held(&self) {
        self.faults.until_held().await;
    }

    /// Removes all data of a database, `projects/{project}/databases/{database}`.
    ///
    /// # Errors
    /// If the name is not a database's name, or the store fails.
    pub async fn clear(&self, database: &str) -> Result<(), tonic::Status> {
        self.engine.clear(Database::parse(database)?).await
    }

    /// Closes all connections and the store. Afterwards the data folder can be opened again.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for task in self.tasks {
            // If the task panicked, the panic has already been reported.
            let _ = task.await;
        }
        self.in_use.close();
        self.in_use.wait().await;
        let engine = self.engine;
        let closing = tokio::task::spawn_blocking(move || {
            engine.close();
            drop(engine);
        });
        let _ = closing.await;
    }
}

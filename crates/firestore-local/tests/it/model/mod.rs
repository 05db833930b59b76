//! Random operations on two servers, one that indexes every query and one that scans, compared with
//! a model that is simple enough to be obviously correct. Occasionally the servers are closed and
//! reopened from disk.
//!
//! Every choice comes from a seed. A failure prints the seed, which reproduces it.

mod ask;
mod world;

use firestore_local::Server;
use tempfile::TempDir;
use tonic::Code;

use crate::support::Local;
use crate::support::queries::count;
use crate::support::random::Random;
use crate::support::values::integer;
use ask::Ask;
use world::{Change, World};

const STEPS: usize = 250;

/// A server that can be reopened.
struct Durable {
    data: TempDir,
    index_threshold: usize,
    local: Option<Local>,
}

impl Durable {
    async fn start(index_threshold: usize) -> Self {
        let mut durable = Self { data: tempfile::tempdir().unwrap(), index_threshold, local: None };
        durable.reopen().await;
        durable
    }

    async fn reopen(&mut self) {
        if let Some(local) = self.local.take() {
            local.server.shutdown().await;
        }
        let builder = Server::builder().data_dir(Some(self.data.path().to_owned()));
        self.local = Some(Local::of(builder.index_threshold(self.index_threshold)).await);
    }

    fn local(&self) -> &Local {
        self.local.as_ref().expect("it is open")
    }
}

async fn play(seed: u64) {
    let mut random = Random::seeded(seed);
    let mut servers = [Durable::start(0).await, Durable::start(usize::MAX - 1).await];
    let mut world = World::default();
    for step in 0..STEPS {
        let at = format!("seed {seed}, step {step}");
        match random.below(100) {
            0 => {
                for server in &mut servers {
                    server.reopen().await;
                }
            }
            1..40 => commit(&mut random, &servers, &mut world, &at).await,
            40..50 => batch(&mut random, &servers, &mut world, &at).await,
            50..60 => read(&mut random, &servers, &world, &at).await,
            _ => query(&mut random, &servers, &world, &at).await,
        }
    }
}

/// Commits random changes, and checks the code: OK, or that of the first change that fails.
async fn commit(random: &mut Random, servers: &[Durable], world: &mut World, at: &str) {
    let changes: Vec<_> = (0..=random.below(3)).map(|_| Change::random(random)).collect();
    let expected = world.apply_all(&changes);
    for server in servers {
        let local = server.local();
        let writes = changes.iter().map(|change| change.write(local));
        let code = local.commit(writes).await.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(code, expected, "{at}: {changes:?}");
    }
}

/// Applies random changes independently, and checks the code of each.
async fn batch(random: &mut Random, servers: &[Durable], world: &mut World, at: &str) {
    let mut changes: Vec<Change> = Vec::new();
    for _ in 0..=random.below(3) {
        let change = Change::random(random);
        if changes.iter().all(|other| other.path != change.path) {
            changes.push(change);
        }
    }
    let expected: Vec<_> =
        changes.iter().map(|change| world.apply_all(std::slice::from_ref(change))).collect();
    for server in servers {
        let local = server.local();
        let answer = local.batch_write(changes.iter().map(|change| change.write(local))).await;
        let codes: Vec<_> =
            answer.unwrap().status.iter().map(|status| Code::from(status.code)).collect();
        assert_eq!(codes, expected, "{at}: {changes:?}");
    }
}

async fn read(random: &mut Random, servers: &[Durable], world: &World, at: &str) {
    let path = world::random_path(random);
    let expected = world.document(&path).map(world::to_fields);
    for server in servers {
        assert_eq!(server.local().fields(&path).await, expected, "{at}: {path}");
    }
}

async fn query(random: &mut Random, servers: &[Durable], world: &World, at: &str) {
    let ask = Ask::random(random);
    let expected = ask.answer(world);
    for server in servers {
        let found = server.local().paths(ask.query()).await;
        assert_eq!(found.unwrap(), expected, "{at}: {ask:?}");
        let counted = server.local().aggregate(ask.query(), [count("n")]).await;
        let counted = integer(&counted.unwrap()["n"]);
        assert_eq!(usize::try_from(counted).unwrap(), expected.len(), "{at}: {ask:?}");
    }
}

#[tokio::test]
async fn two_servers_and_a_model_agree_on_random_operations() {
    for seed in 0..6 {
        play(seed).await;
    }
}

//! The bill of passes over input that no pass can settle, and that does not change: clocks in other
//! units, times of other types, none, and observations that were moved or deleted after they were
//! scored. What was accounted for once should cost no more than its count.

use f0_learning::jobs::retain::RetainOptions;
use f0_learning_core::time::{DAY_MS, MINUTE_MS};
use firestore_kit::value::{self, Fields};
use firestore_kit::{MAX_BATCH, Timestamp, proto, write};

use crate::Result;
use crate::load::DAY_END;
use crate::worker::Job;
use crate::world::World;

/// Noon, so that no daily timer is due during the passes.
const START: i64 = DAY_END - DAY_END % DAY_MS + DAY_MS / 2;

/// How often the service reconciles.
const EVERY_MS: i64 = 10 * MINUTE_MS;

/// Documents of each kind.
const MANY: i64 = 3_000;

const COLLECTION: &str = "ops_observations";

type Ts = fn(i64) -> Option<proto::Value>;

/// The kinds, each with its `ts` for a time in milliseconds.
const KINDS: [(&str, Ts); 7] = [
    ("nanoseconds", |ms| Some(value::int(ms * 1_000_000))),
    ("nanoseconds as a double", |ms| Some(value::double(ms as f64 * 1e6))),
    ("negative nanoseconds", |ms| Some(value::int(-ms * 1_000_000))),
    ("text", |ms| Some(value::string(ms.to_string()))),
    ("Timestamp", |ms| Some(value::timestamp(Timestamp { seconds: ms / 1_000, nanos: 0 }))),
    ("missing", |_| None),
    ("deleted after scoring", |ms| Some(value::int(ms))),
];

fn observation(ts: Option<proto::Value>) -> Fields {
    let mut fields = value::fields([
        ("component", value::string("c")),
        ("outcome", value::string("success")),
        ("durationMs", value::int(100)),
    ]);
    fields.extend(ts.map(|ts| ("ts".to_owned(), ts)));
    fields
}

pub async fn run() -> Result<()> {
    println!("{MANY} documents of each kind; billed operations of reconciliation:");
    for (kind, ts) in KINDS {
        let world = World::at(START).await?;
        let db = world.store.db();
        let names: Vec<_> = (0..MANY).map(|n| db.name(COLLECTION, &format!("o{n:05}"))).collect();
        for (part, names) in names.chunks(MAX_BATCH).enumerate() {
            let first = (part * MAX_BATCH) as i64;
            let ms = |n: usize| START - 2 * EVERY_MS + (first + n as i64) * 100;
            let put =
                |(n, name): (usize, &String)| write::set(name.clone(), observation(ts(ms(n))));
            let writes: Vec<_> = names.iter().enumerate().map(put).collect();
            db.write_each(COLLECTION, &writes).await?;
        }
        world.time.set(START + EVERY_MS);
        let mut worker = world.worker(false, RetainOptions::default().days)?;
        world.pass(&mut worker, Job::Score).await?;
        if kind.starts_with("deleted") {
            for names in names.chunks(MAX_BATCH) {
                let deletes: Vec<_> = names.iter().cloned().map(write::delete).collect();
                db.delete_batch(COLLECTION, &deletes).await?;
            }
        }
        let mut passes = Vec::new();
        for n in 1..=6 {
            world.time.set(START + n * EVERY_MS);
            passes.push(world.pass(&mut worker, Job::Reconcile).await?.1.total());
        }
        let mut daily = Vec::new();
        for n in 1..=3 {
            world.time.set(START + n * DAY_MS + EVERY_MS);
            daily.push(world.pass(&mut worker, Job::Reconcile).await?.1.total());
        }
        println!("  {kind:<24} every ten minutes {passes:?}, daily {daily:?}");
        world.end().await;
    }
    Ok(())
}

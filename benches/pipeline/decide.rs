//! One tuning pass over 100 policies of 50 arms each: its time, and whether it reads more documents
//! than there are.

use std::collections::BTreeMap;
use std::time::Instant;

use f0_learning::jobs::tune::{TuneJob, TuneOutcome, TuneReport};
use f0_learning::store::Store;
use f0_learning_core::policy::Params;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use f0_learning_core::tuning::{PolicyTuning, TuningConfig};
use firestore::gcloud_sdk::google::firestore::v1::Document;
use firestore_kit::value;
use serde_json::json;

use crate::Result;
use crate::load::{DAY_END, Load};
use crate::worker::Job;
use crate::world::World;

const POLICIES: usize = 100;
const ARMS: usize = 50;
const EACH: usize = 40;
const START: i64 = DAY_END - DAY_END % DAY_MS + DAY_MS / 2;

pub async fn run() -> Result<()> {
    let world = World::at(START).await?;
    let store = &world.store;
    let bounds = PolicyTuning {
        component: "component-{arm}".to_owned(),
        exploration_floor: 0.005,
        min_samples: 10,
        ..PolicyTuning::default()
    };
    let mut policies = BTreeMap::new();
    for policy in 0..POLICIES {
        let id = format!("policy-{policy}");
        put_policy(store, &id, policy * ARMS).await?;
        policies.insert(id, bounds.clone());
    }
    store.put_tuning_config(&TuningConfig { policies, ..TuningConfig::default() }).await?;
    let components = POLICIES * ARMS;
    let times = START - HOUR_MS..START - MINUTE_MS;
    let load = Load { numbers: 0..components * EACH, times, components, shards: 0 };
    load.write(store).await?;
    let mut worker = world.worker(false, 30)?;
    world.pass(&mut worker, Job::Score).await?;

    // The first pass stores since when each arm counts; the later ones are the cost of every
    // quarter of an hour.
    for name in ["first", "second", "third"] {
        let now = world.time.now() + 15 * MINUTE_MS;
        world.time.set(now);
        let before = world.billed();
        let began = Instant::now();
        let report = TuneJob::new(store.clone()).pass(now).await?;
        let (took, cost) = (began.elapsed(), world.billed() - before);
        let TuneReport::Decided(verdicts) = report else { return Err("tuning is disabled".into()) };
        let of =
            |holds: fn(&TuneOutcome) -> bool| verdicts.iter().filter(|(_, it)| holds(it)).count();
        println!(
            "{name} pass over {POLICIES} policies of {ARMS} arms: {:.2} s, {cost}; {} proposed, {} \
             without a change",
            took.as_secs_f64(),
            of(|it| matches!(it, TuneOutcome::Proposed { .. })),
            of(|it| matches!(it, TuneOutcome::NoChange(_)))
        );
    }
    // The series; for each policy its active version and the memory of the tuner; the flags and two
    // configurations; the seeded version, which is not tuned here.
    println!("documents that a pass needs: {}", components + 2 * POLICIES + 3 + 1);
    world.end().await;
    Ok(())
}

async fn put_policy(store: &Store, id: &str, first: usize) -> Result<()> {
    let weights = (first..first + ARMS).map(|arm| (arm.to_string(), 1.0 / ARMS as f64)).collect();
    let params = Params::default().with_model_weights(&weights);
    let document = json!({
        "id": id, "version": "1.0.0", "status": "active", "createdAt": START, "createdBy": "bench",
        "params": params.0,
    });
    let db = store.db().clone().into_inner();
    let name = format!(
        "{}/{}/{id}@1.0.0",
        db.get_documents_path(),
        f0_learning_client::contract::POLICIES
    );
    let fields =
        value::fields_from_json(document.as_object().ok_or("the policy is not a JSON object")?);
    let document = Document { name, fields, ..Document::default() };
    db.fluent()
        .update()
        .in_col(f0_learning_client::contract::POLICIES)
        .document(document)
        .execute()
        .await?;
    Ok(())
}

//! A step that damages or deletes a document of state, and runs the repair that its error names. The
//! oracle knows nothing of it: whatever was damaged, each observation counts once.

use f0_learning::jobs::rebuild::{Difference, RebuildJob, RebuildOptions};
use f0_learning_core::time::MINUTE_MS;
use firestore::gcloud_sdk::google::firestore::v1::Document;
use firestore_kit::value::{self, Fields};
use rand::RngExt;

use crate::collection::STATE;
use crate::world::{World, put};

/// The documents that can be damaged: what they hold can be counted again.
fn is_repairable(id: &str) -> bool {
    let kind = id.split('|').next().unwrap_or_default();
    ["series", "version", "cursor", "layout", "reconcile"].contains(&kind)
        || kind.starts_with("parked")
}

impl World {
    pub async fn a_document_of_state_is_damaged(&mut self) -> String {
        let db = self.store.db().clone().into_inner();
        let documents: Vec<Document> = db.fluent().select().from(STATE).query().await.unwrap();
        let documents: Vec<_> =
            documents.into_iter().filter(|it| is_repairable(value::document_id(it))).collect();
        if documents.is_empty() {
            return "there is no document to damage".to_owned();
        }
        let damaged = &documents[self.rng.random_range(0..documents.len())];
        let id = value::document_id(damaged).to_owned();
        // More may be announced in a test than in production, because chunks are small.
        let tail = self.rng.random_range(40..80);
        let how = self.rng.random_range(0..4);
        match how {
            0 => {
                db.fluent().delete().from(STATE).document_id(&id).execute().await.unwrap();
            }
            1 => put(&self.store, STATE, &id, Fields::default()).await,
            2 => {
                let mut fields = damaged.fields.clone();
                fields.values_mut().for_each(|it| *it = value::bytes(vec![1, 2, 3]));
                put(&self.store, STATE, &id, fields).await;
            }
            _ => {
                // What scoring needs to know how far it was is still there.
                let mut fields = damaged.fields.clone();
                fields.remove("sequence");
                fields.insert("format".to_owned(), value::int(99));
                put(&self.store, STATE, &id, fields).await;
            }
        }
        self.tally.damaged += 1;
        // Workers meet the damage before a person does.
        if self.rng.random_bool(0.5) {
            let now = self.now();
            let stop = tokio_util::sync::CancellationToken::new();
            let index = self.rng.random_range(0..self.workers.len());
            let worker = &mut self.workers[index];
            worker.score.pass(now, &stop, &|_| ()).await.ok();
            worker.reconcile.pass(now, false, &stop).await.ok();
        }
        self.advance(MINUTE_MS);
        let options = RebuildOptions { tail, ..RebuildOptions::default() };
        let job = RebuildJob::new(self.store.clone(), None, options);
        let document = format!("{STATE}/{id}");
        match job.document(&document, self.now()).await {
            Ok(report) => format!("{document} is damaged ({how}), and rebuilt: {report}"),
            Err(error) => {
                self.truth.false_answer = Some(format!("{document} ({how}): {error}"));
                format!("{document} cannot be rebuilt: {error}")
            }
        }
    }

    /// At the end, what is stored must be what a recount gives.
    pub async fn check_recount(&self) -> Result<(), String> {
        let job = RebuildJob::new(self.store.clone(), None, RebuildOptions::default());
        let report = job.verify(None, self.now()).await.map_err(|error| error.to_string())?;
        // A requeue takes a rejection back from the component that the corrected document names, which
        // may be another than the one that it was counted for.
        let is_rejection = |field: &str| ["rejected", "unversioned"].contains(&field);
        // After a change of the reward configuration, the samples hold the rewards since it was first
        // counted under; a recount takes all rewards of the last configuration.
        let is_sample = |field: &str| {
            !self.truth.configs.is_empty() && ["reward", "rewards", "n"].contains(&field)
        };
        let is_sum = |it: &&Difference| {
            let of_window = it.place.len() <= 3;
            !is_rejection(&it.field) && (of_window || !is_sample(&it.field))
        };
        match report.differences.iter().find(is_sum) {
            // A recount counts what was written again as it is now.
            Some(first) if report.totals.changed == 0 => Err(format!("a recount differs: {first}")),
            _ => Ok(()),
        }
    }
}

//! The interface of the `firestore` crate, as the service uses it: its requests, and how it
//! classifies errors.

use firestore::errors::{BackoffError, FirestoreError};
use firestore::{
    FirestoreDb, FirestoreListenEvent, FirestoreListenerTarget, FirestoreMemListenStateStorage,
    FirestoreQueryCursor, FirestoreWritePrecondition,
};
use futures::{FutureExt, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::support::Local;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    label: String,
    count: i64,
    ratio: f64,
    tags: Vec<String>,
    note: Option<String>,
}

fn sample(label: &str, count: i64) -> Sample {
    Sample {
        label: label.to_owned(),
        count,
        ratio: 0.5,
        tags: vec!["a".to_owned(), label.to_owned()],
        note: None,
    }
}

async fn insert(local: &Local, id: &str, count: i64) -> Result<Sample, FirestoreError> {
    let object = sample(id, count);
    local.db.fluent().insert().into("samples").document_id(id).object(&object).execute().await
}

async fn find(local: &Local, id: &str) -> Option<Sample> {
    local.db.fluent().select().by_id_in("samples").obj().one(id).await.unwrap()
}

#[tokio::test]
async fn objects_are_inserted_read_updated_and_deleted() {
    let local = Local::start().await;
    assert_eq!(insert(&local, "x", 1).await.unwrap(), sample("x", 1));
    assert_eq!(find(&local, "x").await, Some(sample("x", 1)));
    assert_eq!(find(&local, "missing").await, None);
    let changed = Sample { count: 2, label: "not written".into(), ..sample("x", 2) };
    let update = local.db.fluent().update().fields(["count"]).in_col("samples");
    let updated: Sample = update.document_id("x").object(&changed).execute().await.unwrap();
    assert_eq!(updated, sample("x", 2));
    let delete = local.db.fluent().delete().from("samples").document_id("x");
    delete.execute().await.unwrap();
    assert_eq!(find(&local, "x").await, None);
}

#[tokio::test]
async fn an_insert_of_an_existing_document_is_a_conflict() {
    let local = Local::start().await;
    insert(&local, "x", 1).await.unwrap();
    let error = insert(&local, "x", 2).await.unwrap_err();
    assert!(matches!(error, FirestoreError::DataConflictError(_)), "{error:?}");
    assert_eq!(find(&local, "x").await, Some(sample("x", 1)));
}

#[tokio::test]
async fn failed_preconditions_are_distinguished() {
    let local = Local::start().await;
    let update = async |id: &str, condition| {
        let update = local.db.fluent().update().in_col("samples").precondition(condition);
        update.document_id(id).object(&sample(id, 9)).execute::<Sample>().await
    };
    let error = update("missing", FirestoreWritePrecondition::Exists(true)).await.unwrap_err();
    assert!(matches!(error, FirestoreError::DataNotFoundError(_)), "{error:?}");
    insert(&local, "x", 1).await.unwrap();
    let stale = FirestoreWritePrecondition::UpdateTime(firestore::jiff::Timestamp::UNIX_EPOCH);
    let error = update("x", stale).await.unwrap_err();
    let FirestoreError::DatabaseError(error) = error else { panic!("{error:?}") };
    assert_eq!(error.public.code, "FailedPrecondition");
    assert_eq!(find(&local, "x").await, Some(sample("x", 1)));
}

#[tokio::test]
async fn queries_filter_order_page_and_project() {
    let local = Local::start().await;
    for n in 0..10 {
        insert(&local, &format!("s{n}"), n % 5).await.unwrap();
    }
    let select = || local.db.fluent().select().from("samples");
    let filtered: Vec<Sample> = select()
        .filter(|q| {
            q.for_all([
                q.field("count").greater_than_or_equal(3),
                q.field("tags").array_contains("a"),
            ])
        })
        .order(|o| o.fields([o.field("count").desc()]))
        .obj()
        .query()
        .await
        .unwrap();
    let labels: Vec<_> = filtered.iter().map(|sample| sample.label.as_str()).collect();
    assert_eq!(labels, ["s9", "s4", "s8", "s3"]);

    let either: Vec<Sample> = select()
        .filter(|q| q.for_any([q.field("label").eq("s1"), q.field("count").is_in([4])]))
        .obj()
        .query()
        .await
        .unwrap();
    let labels: Vec<_> = either.iter().map(|sample| sample.label.as_str()).collect();
    assert_eq!(labels, ["s1", "s4", "s9"]);

    let page: Vec<Sample> = select()
        .order(|o| o.fields([o.field("label").asc()]))
        .start_at(FirestoreQueryCursor::AfterValue(vec!["s3".into()]))
        .limit(2)
        .obj()
        .stream_query_with_errors()
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let labels: Vec<_> = page.iter().map(|sample| sample.label.as_str()).collect();
    assert_eq!(labels, ["s4", "s5"]);
}

#[tokio::test]
async fn aggregations_are_deserialized_into_an_object() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Totals {
        n: i64,
        total: i64,
        mean: f64,
    }
    let local = Local::start().await;
    for n in 0..4 {
        insert(&local, &format!("s{n}"), n).await.unwrap();
    }
    let totals: Vec<Totals> = local
        .db
        .fluent()
        .select()
        .from("samples")
        .aggregate(|a| {
            a.fields([
                a.field("n").count(),
                a.field("total").sum("count"),
                a.field("mean").avg("count"),
            ])
        })
        .obj()
        .query()
        .await
        .unwrap();
    assert_eq!(totals, [Totals { n: 4, total: 6, mean: 1.5 }]);
}

#[tokio::test]
async fn concurrent_transactions_count_exactly_and_apply_transforms() {
    let local = Local::start().await;
    insert(&local, "x", 0).await.unwrap();
    let increments = (0..5).map(|_| {
        let db = local.db.clone();
        tokio::spawn(async move {
            let options = firestore::FirestoreTransactionOptions::new().with_max_retries(100);
            db.run_transaction_with_options(
                |db, transaction| {
                    async move {
                        let read = db.fluent().select().by_id_in("samples").obj::<Sample>();
                        let found = read.one("x").await.map_err(BackoffError::transient)?;
                        let found = found.expect("it was inserted");
                        let next = Sample { count: found.count + 1, ..found };
                        db.fluent()
                            .update()
                            .in_col("samples")
                            .document_id("x")
                            .object(&next)
                            .transforms(|t| t.fields([t.field("extra").increment(1)]))
                            .add_to_transaction(transaction)
                            .map_err(BackoffError::permanent)?;
                        Ok::<_, BackoffError<FirestoreError>>(())
                    }
                    .boxed()
                },
                options,
            )
            .await
            .unwrap();
        })
    });
    for outcome in futures::future::join_all(increments).await {
        outcome.unwrap();
    }
    assert_eq!(find(&local, "x").await.map(|found| found.count), Some(5));
}

#[tokio::test]
async fn batches_report_the_status_of_each_write() {
    let local = Local::start().await;
    insert(&local, "there", 1).await.unwrap();
    let writer = local.db.create_simple_batch_writer().await.unwrap();
    let mut batch = writer.new_batch();
    for id in ["there", "new"] {
        let condition = Some(FirestoreWritePrecondition::Exists(false));
        batch.update_object("samples", id, &sample(id, 2), None, condition, vec![]).unwrap();
    }
    let response = batch.write().await.unwrap();
    let codes: Vec<_> =
        response.statuses.iter().map(|status| tonic::Code::from(status.code)).collect();
    assert_eq!(codes, [tonic::Code::AlreadyExists, tonic::Code::Ok]);
    assert_eq!(find(&local, "there").await, Some(sample("there", 1)));
    assert_eq!(find(&local, "new").await, Some(sample("new", 2)));
}

#[tokio::test]
async fn listings_and_batches_of_ids_are_streamed() {
    let local = Local::start().await;
    for n in 0..5 {
        insert(&local, &format!("s{n}"), n).await.unwrap();
    }
    let listed: Vec<Sample> = local
        .db
        .fluent()
        .list()
        .from("samples")
        .page_size(2)
        .obj()
        .stream_all_with_errors()
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(listed.len(), 5);
    let mut found: Vec<(String, Option<Sample>)> = local
        .db
        .fluent()
        .select()
        .by_id_in("samples")
        .obj()
        .batch_with_errors(["s1", "missing", "s3"])
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let exists: Vec<_> = found.iter().map(|(id, found)| (id.as_str(), found.is_some())).collect();
    assert_eq!(exists, [("missing", false), ("s1", true), ("s3", true)]);
    let collections: Vec<String> =
        local.db.fluent().list().collections().stream_all().await.unwrap().collect().await;
    assert_eq!(collections, ["samples"]);
}

#[tokio::test]
async fn a_listener_receives_changes() {
    let local = Local::start().await;
    insert(&local, "first", 1).await.unwrap();
    let (changes, mut heard) = mpsc::unbounded_channel();
    let mut listener =
        local.db.create_listener(FirestoreMemListenStateStorage::new()).await.unwrap();
    local
        .db
        .fluent()
        .select()
        .from("samples")
        .listen()
        .add_target(FirestoreListenerTarget::new(17), &mut listener)
        .unwrap();
    listener
        .start(move |event| {
            let changes = changes.clone();
            async move {
                if let FirestoreListenEvent::DocumentChange(change) = event {
                    let document = change.document.expect("a document");
                    changes.send(FirestoreDb::deserialize_doc_to::<Sample>(&document)?)?;
                }
                Ok(())
            }
        })
        .await
        .unwrap();
    assert_eq!(heard.recv().await, Some(sample("first", 1)));
    insert(&local, "second", 2).await.unwrap();
    assert_eq!(heard.recv().await, Some(sample("second", 2)));
    listener.shutdown().await.unwrap();
}

//! GetDocument, CreateDocument, UpdateDocument, DeleteDocument, BatchGetDocuments.

use tonic::{Code, Status};

use crate::support::v1::batch_get_documents_response::Result as Found;
use crate::support::v1::{
    BatchGetDocumentsRequest, CreateDocumentRequest, DeleteDocumentRequest, Document,
    GetDocumentRequest, UpdateDocumentRequest,
};
use crate::support::values::*;
use crate::support::writes::{exists, mask, precondition};
use crate::support::{Client, Local};

async fn create(client: &Client, parent: &str, id: &str) -> Result<Document, Status> {
    let request = CreateDocumentRequest {
        parent: parent.to_owned(),
        collection_id: "c".to_owned(),
        document_id: id.to_owned(),
        document: Some(Document { fields: fields([("x", int(1))]), ..Document::default() }),
        ..Default::default()
    };
    Ok(client.api().create_document(request).await?.into_inner())
}

fn document(name: String, fields: Fields) -> Option<Document> {
    Some(Document { name, fields, ..Document::default() })
}

#[tokio::test]
async fn a_created_document_exists_and_cannot_be_created_again() {
    let local = Local::start().await;
    let created = create(&local, &local.root(), "d").await.unwrap();
    assert_eq!(created.name, local.name("c/d"));
    assert_eq!(created.create_time, created.update_time);
    assert!(created.create_time.is_some());
    assert_eq!(local.get("c/d").await.unwrap(), created);

    let again = create(&local, &local.root(), "d").await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    assert_eq!(local.get("c/d").await.unwrap(), created);
}

#[tokio::test]
async fn a_document_created_without_an_id_gets_a_generated_id() {
    let local = Local::start().await;
    let parent = local.name("outer/doc");
    let first = create(&local, &parent, "").await.unwrap();
    let second = create(&local, &parent, "").await.unwrap();
    assert_ne!(first.name, second.name);
    let id = first.name.strip_prefix(&format!("{parent}/c/")).expect("below its parent");
    assert_eq!(id.len(), 20, "{id}");
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
}

#[tokio::test]
async fn a_missing_document_is_not_found() {
    let local = Local::start().await;
    local.set("c/d/below/it", [("x", int(1))]).await;
    let status = local.get("c/d").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains(&local.name("c/d")), "{status}");
}

#[tokio::test]
async fn an_update_without_a_mask_creates_or_replaces_the_document() {
    let local = Local::start().await;
    let update = |pairs| UpdateDocumentRequest {
        document: document(local.name("c/d"), pairs),
        ..Default::default()
    };
    let made = local.api().update_document(update(fields([("a", int(1)), ("b", int(2))]))).await;
    let made = made.unwrap().into_inner();
    let replaced = local.api().update_document(update(fields([("b", int(3))]))).await;
    let replaced = replaced.unwrap().into_inner();
    assert_eq!(replaced.fields, fields([("b", int(3))]));
    assert_eq!(replaced.create_time, made.create_time);
    assert!(seconds(&replaced.update_time) > seconds(&made.update_time));
}

/// The time as a pair that can be compared.
fn seconds(time: &Option<prost_types::Timestamp>) -> (i64, i32) {
    time.as_ref().map(|time| (time.seconds, time.nanos)).expect("a time")
}

#[tokio::test]
async fn an_update_with_a_mask_changes_only_the_masks_fields() {
    let local = Local::start().await;
    let before = [("a", int(1)), ("m", map([("x", int(1)), ("y", int(2)), ("z.z", int(3))]))];
    local.set("c/d", before).await;
    let request = UpdateDocumentRequest {
        document: document(
            local.name("c/d"),
            fields([
                ("a", int(100)),
                ("m", map([("x", int(9)), ("z.z", int(8))])),
                ("new", null()),
            ]),
        ),
        update_mask: Some(mask(["m.x", "m.y", "m.`z.z`", "gone.entirely", "new"])),
        mask: Some(mask(["m"])),
        ..Default::default()
    };
    let answered = local.api().update_document(request).await.unwrap().into_inner();
    let inner = map([("x", int(9)), ("z.z", int(8))]);
    assert_eq!(answered.fields, fields([("m", inner.clone())]), "the answer is masked too");
    let expected = fields([("a", int(1)), ("m", inner), ("new", null())]);
    assert_eq!(local.fields("c/d").await.unwrap(), expected);
}

#[tokio::test]
async fn a_mask_replaces_a_value_on_its_path_that_is_not_a_map() {
    let local = Local::start().await;
    local.set("c/d", [("a", int(1))]).await;
    let request = UpdateDocumentRequest {
        document: document(local.name("c/d"), fields([("a", map([("b", map([("c", int(2))]))]))])),
        update_mask: Some(mask(["a.b.c"])),
        ..Default::default()
    };
    local.api().update_document(request).await.unwrap();
    let expected = fields([("a", map([("b", map([("c", int(2))]))]))]);
    assert_eq!(local.fields("c/d").await.unwrap(), expected);
}

#[tokio::test]
async fn an_update_with_an_empty_mask_creates_an_empty_document() {
    let local = Local::start().await;
    let request = UpdateDocumentRequest {
        document: document(local.name("c/d"), fields([("a", int(1))])),
        update_mask: Some(mask([])),
        ..Default::default()
    };
    local.api().update_document(request).await.unwrap();
    assert_eq!(local.fields("c/d").await, Some(Fields::new()));
}

#[tokio::test]
async fn invalid_mask_paths_are_refused() {
    let local = Local::start().await;
    for path in ["", ".", "a.", ".a", "a..b", "`a", "1a", "a-b", "a b", "__name__"] {
        let request = UpdateDocumentRequest {
            document: document(local.name("c/d"), fields([("a", int(1))])),
            update_mask: Some(mask([path])),
            ..Default::default()
        };
        let status = local.api().update_document(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{path:?}");
    }
}

#[tokio::test]
async fn a_read_with_a_mask_returns_only_the_masks_fields() {
    let local = Local::start().await;
    let stored =
        [("a", int(1)), ("b", map([("c", int(2)), ("d", int(3))])), ("e", array([int(4)]))];
    local.set("c/d", stored).await;
    let masked = async |paths| {
        let request =
            GetDocumentRequest { name: local.name("c/d"), mask: Some(paths), ..Default::default() };
        local.api().get_document(request).await.unwrap().into_inner()
    };
    let some = masked(mask(["a", "b.d", "b.missing", "e.f", "nothing"])).await;
    assert_eq!(some.fields, fields([("a", int(1)), ("b", map([("d", int(3))]))]));
    assert!(some.update_time.is_some());
    assert_eq!(masked(mask([])).await.fields, Fields::new());
}

#[tokio::test]
async fn a_delete_removes_the_document_and_keeps_documents_below_it() {
    let local = Local::start().await;
    local.set("c/d", [("x", int(1))]).await;
    local.set("c/d/e/f", [("x", int(2))]).await;
    let delete = |must_exist: bool| DeleteDocumentRequest {
        name: local.name("c/d"),
        current_document: must_exist.then(|| precondition(exists(true))),
        ..Default::default()
    };
    local.api().delete_document(delete(true)).await.unwrap();
    assert_eq!(local.fields("c/d").await, None);
    assert_eq!(local.fields("c/d/e/f").await, Some(fields([("x", int(2))])));

    local.api().delete_document(delete(false)).await.expect("a delete without a document succeeds");
    let status = local.api().delete_document(delete(true)).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn a_document_created_again_has_a_new_create_time() {
    let local = Local::start().await;
    local.set("c/d", [("x", int(1))]).await;
    let first = local.get("c/d").await.unwrap();
    local.commit([crate::support::writes::remove(local.name("c/d"))]).await.unwrap();
    local.set("c/d", [("x", int(1))]).await;
    let second = local.get("c/d").await.unwrap();
    assert!(seconds(&second.create_time) > seconds(&first.create_time));
}

#[tokio::test]
async fn a_batch_of_gets_answers_each_name_once() {
    let local = Local::start().await;
    local.set("c/a", [("x", int(1)), ("y", int(2))]).await;
    local.set("c/b", [("x", int(3))]).await;
    let names = ["c/a", "c/missing", "c/b", "c/a"].map(|path| local.name(path));
    let request = BatchGetDocumentsRequest {
        database: local.database(),
        documents: names.into(),
        mask: Some(mask(["x"])),
        ..Default::default()
    };
    let mut stream = local.api().batch_get_documents(request).await.unwrap().into_inner();
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    while let Some(answer) = stream.message().await.unwrap() {
        assert!(answer.read_time.is_some());
        match answer.result.expect("a result") {
            Found::Found(document) => found.push((document.name, document.fields)),
            Found::Missing(name) => missing.push(name),
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        (local.name("c/a"), fields([("x", int(1))])),
        (local.name("c/b"), fields([("x", int(3))])),
    ];
    assert_eq!(found, expected);
    assert_eq!(missing, [local.name("c/missing")]);
}

#[tokio::test]
async fn a_batch_of_gets_refuses_names_of_another_database() {
    let local = Local::start().await;
    let other = local.project("demo-other").await;
    let request = BatchGetDocumentsRequest {
        database: local.database(),
        documents: vec![other.name("c/d")],
        ..Default::default()
    };
    let mut answers = local.api().batch_get_documents(request).await.unwrap().into_inner();
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

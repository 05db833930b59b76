//! Firestore's limits, and the status codes for requests beyond them.

use tonic::Code;

use crate::support::Local;
use crate::support::v1::Write;
use crate::support::values::*;
use crate::support::writes::{increment, patch, put, transform};

const MIB: usize = 1 << 20;

/// The size of a document `c/d` with strings in `f` and `g`, without the strings: the name (16 and
/// each id plus one), 32, and one more for each field name and each string.
const AROUND_TEXTS: usize = 16 + 2 + 2 + 32 + 2 * (2 + 1);

#[tokio::test]
async fn a_document_is_at_most_one_mebibyte() {
    let local = Local::start().await;
    let half = "x".repeat(MIB / 2);
    let rest = "x".repeat(MIB - MIB / 2 - AROUND_TEXTS);
    let fits = || fields([("f", text(&half)), ("g", text(&rest))]);
    local.commit([put(local.name("c/d"), fits())]).await.unwrap();
    let too_large = fields([("f", text(&half)), ("g", text(&format!("{rest}x")))]);
    for write in [
        put(local.name("c/d"), too_large),
        patch(local.name("c/d"), fields([("h", int(1))]), ["h"]),
        transform(local.name("c/d"), [increment("h", int(1))]),
    ] {
        assert_eq!(local.refused(write).await, Code::InvalidArgument);
    }
    assert_eq!(local.fields("c/d").await, Some(fits()));
}

#[tokio::test]
async fn a_value_is_at_most_89_bytes_less_than_a_mebibyte() {
    let local = Local::start().await;
    let longest = vec![7; MIB - 89];
    local.set("c/d", [("f", bytes(&longest))]).await;
    let longer = put(local.name("c/d"), fields([("f", bytes(&[longest, vec![7]].concat()))]));
    assert_eq!(local.refused(longer).await, Code::InvalidArgument);
}

#[tokio::test]
async fn a_request_is_at_most_ten_mebibytes_and_an_answer_may_be_larger() {
    let local = Local::start().await;
    let large = "x".repeat(MIB - 1_000);
    let writes = |count: usize| {
        let name = |n| local.name(&format!("c/{n}"));
        (0..count).map(|n| put(name(n), fields([("f", text(&large))]))).collect::<Vec<_>>()
    };
    local.commit(writes(9)).await.unwrap();
    let status = local.commit(writes(11)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(local.fields("c/10").await, None);
    let found = local.query(crate::support::queries::from("c")).await.unwrap();
    assert_eq!(found.len(), 9, "answers larger than 4 MiB arrive");
}

#[tokio::test]
async fn invalid_ids_are_refused_and_all_others_accepted() {
    let local = Local::start().await;
    let longest = "x".repeat(1_500);
    for id in
        ["a", "with space", "ünïcödé", "a.b", "...", "__a", "a__", "__", "___", "____", &longest]
    {
        local.set(&format!("c/{id}"), [("x", int(1))]).await;
        assert!(local.fields(&format!("c/{id}")).await.is_some(), "{id}");
    }
    let too_long = "x".repeat(1_501);
    for id in ["", ".", "..", "__a__", "_____", "a/b", &too_long] {
        let write = put(local.name(&format!("c/{id}")), fields([]));
        assert_eq!(local.refused(write).await, Code::InvalidArgument, "document {id:?}");
        let write = put(local.name(&format!("{id}/d")), fields([]));
        assert_eq!(local.refused(write).await, Code::InvalidArgument, "collection {id:?}");
    }
}

#[tokio::test]
async fn a_write_has_at_most_five_hundred_transforms() {
    let local = Local::start().await;
    let with = |count| Write {
        update_transforms: vec![increment("n", int(1)); count],
        ..transform(local.name("c/d"), [])
    };
    local.commit([with(500)]).await.unwrap();
    assert_eq!(local.refused(with(501)).await, Code::InvalidArgument);
    assert_eq!(local.fields("c/d").await, Some(fields([("n", int(500))])));
}

#[tokio::test]
async fn deep_paths_are_accepted_up_to_the_length_limit() {
    let local = Local::start().await;
    let deep = vec!["a"; 200].join("/");
    local.set(&deep, [("x", int(1))]).await;
    assert_eq!(local.fields(&deep).await, Some(fields([("x", int(1))])));
    let too_deep = vec!["abcdefghij"; 1_000].join("/");
    let write = put(local.name(&too_deep), fields([]));
    assert_eq!(local.refused(write).await, Code::InvalidArgument);
}

#[tokio::test]
async fn invalid_database_names_are_refused() {
    let local = Local::start().await;
    for database in ["", "projects/p", "projects//databases/d", "projects/p/databases/d/more"] {
        let request = crate::support::v1::CommitRequest {
            database: database.to_owned(),
            ..Default::default()
        };
        let status = local.api().commit(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{database:?}");
    }
}

//! Orders, cursors, offsets, limits and projections.

use crate::query_pair::Pair;
use crate::support::queries::*;
use crate::support::values::*;
use crate::support::writes::put;

/// Ordered by `x`: a, then b and c, then d, then e; f has no `x`. Ordered by `y`: the reverse.
async fn six() -> Pair {
    Pair::with([
        ("c/a", fields([("x", int(1)), ("y", int(5))])),
        ("c/b", fields([("x", int(2)), ("y", int(4))])),
        ("c/c", fields([("x", double(2.0)), ("y", int(3))])),
        ("c/d", fields([("x", int(3)), ("y", int(2))])),
        ("c/e", fields([("x", text("x")), ("y", int(1))])),
        ("c/f", fields([("y", int(0))])),
    ])
    .await
}

#[tokio::test]
async fn without_an_order_documents_are_ordered_by_name() {
    let pair = six().await;
    pair.expect(from("c"), "a b c d e f").await;
    pair.expect(from("c").ordered(NAME), "a b c d e f").await;
    pair.expect(from("nothing here"), "").await;
}

#[tokio::test]
async fn orders_omit_documents_without_the_field_and_end_with_the_name() {
    let pair = six().await;
    pair.expect(from("c").ordered("x"), "a b c d e").await;
    pair.expect(from("c").descending("x"), "e d c b a").await;
    pair.expect(from("c").ordered("x").descending(NAME), "a c b d e").await;
    pair.expect(from("c").ordered("x").ordered("y"), "a c b d e").await;
    pair.expect(from("c").descending("x").ordered("y"), "e d c b a").await;
    pair.expect(from("c").ordered("x").descending("y"), "a b c d e").await;
    pair.expect(from("c").ordered("missing"), "").await;
}

#[tokio::test]
async fn ids_sort_by_their_bytes() {
    let ids = ["!", "-", "10", "9", "A", "Z", "_", "a", "b\u{0}", "b!", "é", "\u{ff5e}", "🦀"];
    let pair = Pair::start().await;
    let writes = ids.map(|id| put(pair.name(&format!("c/{id}")), fields([("x", int(1))])));
    pair.commit(writes).await;
    pair.expect(from("c"), &ids.join(" ")).await;
    pair.expect(from("c").filtered(equal("x", int(1))), &ids.join(" ")).await;
    let mut reversed = ids;
    reversed.reverse();
    pair.expect(from("c").descending("x"), &reversed.join(" ")).await;
}

#[tokio::test]
async fn an_inequality_implies_an_order_by_its_field() {
    let pair = six().await;
    let filter = || test("y", Op::GreaterThan, int(1));
    pair.expect(from("c").filtered(filter()), "d c b a").await;
    pair.expect(from("c").filtered(filter()).ordered("x"), "a c b d").await;
    pair.expect(from("c").filtered(filter()).descending("x"), "d b c a").await;
}

#[tokio::test]
async fn all_four_kinds_of_cursors_bound_the_result() {
    let pair = six().await;
    let by_x = || from("c").ordered("x");
    for (query, ids) in [
        (by_x().start_at([int(2)]), "b c d e"),
        (by_x().start_after([int(2)]), "d e"),
        (by_x().end_at([int(2)]), "a b c"),
        (by_x().end_before([int(2)]), "a"),
        (by_x().start_at([double(1.5)]).end_before([text("")]), "b c d"),
        (by_x().start_after([text("x")]), ""),
        (by_x().start_at([map([])]), ""),
        (by_x().end_before([null()]), ""),
        (by_x().start_after([int(3)]).end_at([int(1)]), ""),
    ] {
        pair.expect(query, ids).await;
    }
}

#[tokio::test]
async fn cursors_follow_a_descending_order() {
    let pair = six().await;
    let by_x = || from("c").descending("x");
    for (query, ids) in [
        (by_x().start_at([int(2)]), "c b a"),
        (by_x().start_after([int(2)]), "a"),
        (by_x().end_at([int(2)]), "e d c b"),
        (by_x().end_before([int(2)]), "e d"),
    ] {
        pair.expect(query, ids).await;
    }
}

#[tokio::test]
async fn cursors_may_include_the_name_and_may_omit_orders() {
    let pair = six().await;
    let name = |id: &str| reference(pair.name(&format!("c/{id}")));
    let by_x_and_name = || from("c").ordered("x").ordered(NAME);
    for (query, ids) in [
        (by_x_and_name().start_at([int(2), name("c")]), "c d e"),
        (by_x_and_name().start_after([int(2), name("b")]), "c d e"),
        (by_x_and_name().start_after([int(2), name("bb")]), "c d e"),
        (by_x_and_name().end_before([int(2), name("c")]), "a b"),
        (by_x_and_name().start_after([int(2)]), "d e"),
        (from("c").start_after([name("b")]).ordered(NAME), "c d e f"),
        (from("c").end_at([name("b")]).ordered(NAME), "a b"),
        (from("c").ordered("x").ordered("y").start_at([int(2), int(4)]), "b d e"),
        (from("c").ordered("x").descending("y").start_after([int(2), int(4)]), "c d e"),
    ] {
        pair.expect(query, ids).await;
    }
}

#[tokio::test]
async fn cursors_combine_with_filters() {
    let pair = six().await;
    let filtered = || from("c").filtered(test("x", Op::LessThan, int(3))).ordered("x");
    pair.expect(filtered().start_after([int(1)]), "b c").await;
    pair.expect(filtered().start_at([int(-5)]).end_at([int(99)]), "a b c").await;
    let two = || from("c").filtered(equal("x", int(2)));
    pair.expect(two().ordered("y").start_after([int(3)]), "b").await;
    pair.expect(two().descending("y").end_before([int(3)]), "b").await;
}

#[tokio::test]
async fn offsets_and_limits_apply_after_filters_and_cursors() {
    let pair = six().await;
    for (query, ids) in [
        (from("c").limited(2), "a b"),
        (from("c").skipping(4), "e f"),
        (from("c").skipping(1).limited(2), "b c"),
        (from("c").skipping(99), ""),
        (from("c").limited(99), "a b c d e f"),
        (from("c").ordered("x").start_after([int(1)]).skipping(1).limited(2), "c d"),
        (from("c").descending("y").limited(3), "a b c"),
        (from("c").filtered(equal("x", int(2))).skipping(1), "c"),
    ] {
        pair.expect(query, ids).await;
    }
}

#[tokio::test]
async fn the_answer_reports_the_skipped_results_and_the_read_time() {
    let pair = six().await;
    for local in [&pair.scanning, &pair.indexing] {
        for (offset, skipped) in [(0, 0), (4, 4), (99, 6)] {
            let answers = local.answers("", from("c").skipping(offset), None).await.unwrap();
            let total: i32 = answers.iter().map(|answer| answer.skipped_results).sum();
            assert_eq!(total, skipped);
            assert!(answers.iter().all(|answer| answer.read_time.is_some()));
        }
        let empty = local.answers("", from("nothing here"), None).await.unwrap();
        assert_eq!(empty.iter().filter(|answer| answer.document.is_some()).count(), 0);
        assert!(!empty.is_empty(), "an empty result still has a read time");
    }
}

#[tokio::test]
async fn the_reversed_query_of_limit_to_last_returns_the_last_documents() {
    // For limitToLast the SDKs reverse the query, its cursors and the answer.
    let pair = six().await;
    let last_two = from("c").descending("x").descending(NAME).limited(2);
    pair.expect(last_two, "e d").await;
    let before_d = from("c").descending("x").start_after([int(3)]).limited(2);
    pair.expect(before_d, "c b").await;
}

#[tokio::test]
async fn projections_return_only_their_fields() {
    let pair = Pair::with([(
        "c/d",
        fields([("a", int(1)), ("m", map([("x", int(2)), ("y", int(3))])), ("o.p", int(4))]),
    )])
    .await;
    for local in [&pair.scanning, &pair.indexing] {
        let select = async |query| local.query(query).await.unwrap().remove(0);
        let some = select(from("c").selecting(["m.y", "`o.p`", "missing"])).await;
        assert_eq!(some.fields, fields([("m", map([("y", int(3))])), ("o.p", int(4))]));
        assert_eq!(some.name, local.name("c/d"));
        assert!(some.create_time.is_some() && some.update_time.is_some());
        assert_eq!(select(from("c").selecting([NAME])).await.fields, Fields::new());
        let ordered = select(from("c").ordered("a").selecting(["m.x"])).await;
        assert_eq!(ordered.fields, fields([("m", map([("x", int(2))]))]));
    }
}

#[tokio::test]
async fn pages_by_cursor_cover_a_collection_without_gaps_or_repeats() {
    let pair = Pair::start().await;
    let writes = (0..100).map(|n| {
        let pairs = fields([("x", int(n % 7)), ("y", int(n))]);
        put(pair.name(&format!("c/{n:03}")), pairs)
    });
    pair.commit(writes).await;
    for local in [&pair.scanning, &pair.indexing] {
        let whole = local.paths(from("c").ordered("x")).await.unwrap();
        assert_eq!(whole.len(), 100);
        let mut paged = Vec::new();
        let mut query = from("c").ordered("x").ordered(NAME).limited(9);
        loop {
            let page = local.query(query.clone()).await.unwrap();
            let Some(last) = page.last() else { break };
            query = query.start_after([last.fields["x"].clone(), reference(last.name.clone())]);
            paged.extend(page.iter().map(|document| local.path(&document.name).to_owned()));
        }
        assert_eq!(paged, whole);
    }
}

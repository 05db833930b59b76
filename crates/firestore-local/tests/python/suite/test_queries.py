"""Filters, orders, cursors, limits, projections, groups, partitions and aggregation."""

import math

import pytest
from google.api_core import exceptions
from google.cloud.firestore import And, FieldFilter, Or
from google.cloud.firestore_v1.field_path import FieldPath

from support import ids, seed

DOCUMENTS = {
    "a": {"n": 1, "s": "x", "tags": ["red", "blue"], "m": {"k": 1}},
    "b": {"n": 2, "s": "y", "tags": ["red"], "m": {"k": 2}},
    "c": {"n": 3, "s": "x", "tags": []},
    "d": {"n": 4, "s": "z", "tags": ["green", 1]},
    "e": {"n": math.nan, "s": None},
    "f": {"n": None, "s": "y", "tags": "red"},
    "g": {"s": "x"},
    "h": {"n": "2", "s": "w"},
}
ID = FieldPath.document_id()


@pytest.fixture(scope="module")
def collection(server):
    client = server.client()
    documents = client.collection("c")
    seed(documents, DOCUMENTS)
    yield documents
    client.close()


def where(*condition):
    return FieldFilter(*condition)


FILTERS = [
    (("n", "==", 2), "b"),
    (("n", "==", 2.0), "b"),
    (("n", "==", None), "f"),
    (("n", "==", math.nan), "e"),
    (("m.k", "==", 1), "a"),
    (("n", "<", 2), "a"),
    (("n", "<=", 2), "ab"),
    (("n", ">", 2), "cd"),
    (("n", ">=", 2), "bcd"),
    (("s", ">", "x"), "bdf"),
    (("n", "!=", 2), "acdeh"),
    (("n", "!=", None), "abcdeh"),
    (("n", "!=", math.nan), "abcdh"),
    (("n", "in", [1, 4, 9]), "ad"),
    (("n", "not-in", [1, 2]), "cdeh"),
    (("tags", "array_contains", "red"), "ab"),
    (("tags", "array_contains_any", ["blue", "green"]), "ad"),
]


@pytest.mark.parametrize(("condition", "expected"), FILTERS, ids=[str(c) for c, _ in FILTERS])
def test_a_filter_matches(collection, condition, expected):
    assert "".join(sorted(ids(collection.where(filter=where(*condition))))) == expected


COMPOSITES = {
    "and": (And([where("s", "==", "x"), where("n", ">=", 1)]), "ac"),
    "a range": (And([where("n", ">", 1), where("n", "<", 4)]), "bc"),
    "ranges over two fields": (And([where("n", ">=", 2), where("s", "<", "z")]), "bc"),
    "or": (Or([where("n", "==", 1), where("s", "==", "y")]), "abf"),
    "or that overlaps": (Or([where("n", "==", 1), where("s", "==", "x")]), "acg"),
    "or within and": (
        And([where("s", "==", "x"), Or([where("n", "==", 1), where("n", "==", 3)])]),
        "ac",
    ),
    "and within or": (
        Or(
            [
                And([where("s", "==", "x"), where("n", ">", 2)]),
                And([where("s", "==", "y"), where("n", "==", 2)]),
            ]
        ),
        "bc",
    ),
    "or with in": (Or([where("n", "in", [1, 2]), where("s", "==", "z")]), "abd"),
}


@pytest.mark.parametrize(("condition", "expected"), COMPOSITES.values(), ids=COMPOSITES.keys())
def test_a_composite_filter_matches(collection, condition, expected):
    assert "".join(sorted(ids(collection.where(filter=condition)))) == expected


REFUSED = {
    "in with 31 values": where("n", "in", list(range(31))),
    "not-in with 11 values": where("n", "not-in", list(range(11))),
    "not-in with !=": And([where("n", "not-in", [1]), where("s", "!=", "x")]),
    "two array_contains": And(
        [where("tags", "array_contains", 1), where("tags", "array_contains", 2)]
    ),
    "too many disjunctions": And(
        [where("n", "in", list(range(6))), where("s", "in", list(range(6)))]
    ),
}


@pytest.mark.parametrize("condition", REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_filter_is_an_invalid_argument(collection, condition):
    with pytest.raises(exceptions.InvalidArgument):
        ids(collection.where(filter=condition))


QUERIES = {
    "by a field": (lambda c: c.order_by("s").order_by("n"), "ehacfbd"),
    "descending": (
        lambda c: c.where(filter=where("n", ">", 0)).order_by("n", direction="DESCENDING"),
        "dcba",
    ),
    "ties by descending name": (lambda c: c.order_by("s", direction="DESCENDING").limit(3), "dfb"),
    "start_at": (lambda c: c.order_by("n").start_at({"n": 2}).limit(3), "bcd"),
    "start_after": (lambda c: c.order_by("n").start_after({"n": 2}).limit(2), "cd"),
    "end_at": (lambda c: c.order_by("n").start_at({"n": 1}).end_at({"n": 3}), "abc"),
    "end_before": (lambda c: c.order_by("n").start_at({"n": 1}).end_before({"n": 3}), "ab"),
    "two values": (lambda c: c.order_by("s").order_by("n").start_after({"s": "x", "n": 1}), "cfbd"),
    "by name": (lambda c: c.order_by(ID).start_at({ID: "f"}), "fgh"),
    "name filters": (lambda c: c.where(filter=where(ID, ">=", c.document("g"))), "gh"),
    "limit": (lambda c: c.limit(2), "ab"),
    "offset": (lambda c: c.offset(6), "gh"),
    "offset and limit": (lambda c: c.offset(2).limit(2), "cd"),
}


@pytest.mark.parametrize(("build", "expected"), QUERIES.values(), ids=QUERIES.keys())
def test_a_query_returns_documents_in_order(collection, build, expected):
    assert "".join(ids(build(collection))) == expected


SNAPSHOT_CURSORS = {
    "start_at": ("start_at", "fbd"),
    "start_after": ("start_after", "bd"),
    "end_at": ("end_at", "ehacf"),
    "end_before": ("end_before", "ehac"),
}


@pytest.mark.parametrize(
    ("end", "expected"), SNAPSHOT_CURSORS.values(), ids=SNAPSHOT_CURSORS.keys()
)
def test_a_snapshot_is_a_cursor(collection, end, expected):
    query = collection.order_by("s").order_by("n")
    place = collection.document("f").get()
    assert "".join(ids(getattr(query, end)(place))) == expected


def test_limit_to_last_returns_the_last_documents(collection):
    query = collection.order_by("s").order_by("n").limit_to_last(3)
    assert [document.id for document in query.get()] == ["f", "b", "d"]


def test_select_returns_only_its_fields(collection):
    found = list(collection.select(["n", "m.k"]).limit(1).stream())
    assert found[0].to_dict() == {"n": 1, "m": {"k": 1}}
    assert list(collection.select([]).limit(1).stream())[0].to_dict() == {}


AGGREGATES = {
    "count": (lambda c: c.count("r"), 8),
    "count of a filter": (lambda c: c.where(filter=where("s", "==", "x")).count("r"), 3),
    "count of a limit": (lambda c: c.limit(2).count("r"), 2),
    "sum of integers": (lambda c: c.where(filter=where("n", ">=", 1)).sum("n", "r"), 10),
    "sum of nothing": (lambda c: c.where(filter=where("s", "==", "none")).sum("n", "r"), 0),
    "average": (lambda c: c.where(filter=where("n", ">=", 1)).avg("n", "r"), 2.5),
}


@pytest.mark.parametrize(("build", "expected"), AGGREGATES.values(), ids=AGGREGATES.keys())
def test_an_aggregate_returns(collection, build, expected):
    [[result]] = build(collection).get()
    assert (result.alias, result.value) == ("r", expected)


def test_several_aggregates_in_one_query(collection):
    query = collection.where(filter=where("n", ">=", 1))
    [results] = query.count("c").sum("n", "s").avg("n", "a").get()
    assert {result.alias: result.value for result in results} == {"c": 4, "s": 10, "a": 2.5}


@pytest.fixture
def tree(db):
    """Documents at several depths. One parent is missing but has documents below it."""
    batch = db.batch()
    paths = ["sub/top", "c/a", "c/a/sub/x", "c/missing/sub/y", "c/missing/sub/y/sub/z", "other/o"]
    for n, path in enumerate(paths):
        batch.set(db.document(path), {"n": n})
    batch.commit()
    return db


def test_a_collection_group_includes_every_depth(tree):
    assert ids(tree.collection_group("sub")) == ["x", "y", "z", "top"]
    query = tree.collection_group("sub").where(filter=where("n", ">", 2)).order_by("n")
    assert ids(query) == ["y", "z"]


def test_a_collection_group_is_counted(tree):
    [[result]] = tree.collection_group("sub").count().get()
    assert result.value == 4


def test_collections_are_listed(tree):
    assert [collection.id for collection in tree.collections()] == ["c", "other", "sub"]
    assert [below.id for below in tree.document("c/missing").collections()] == ["sub"]


def test_documents_are_listed_with_missing_parents(tree):
    assert [document.id for document in tree.collection("c").list_documents()] == ["a", "missing"]
    assert [document.id for document in tree.collection("c").list_documents(page_size=1)] == [
        "a",
        "missing",
    ]
    assert ids(tree.collection("c")) == ["a"]


def test_recursive_delete_deletes_everything_below(tree):
    assert tree.recursive_delete(tree.collection("c")) == 4
    assert ids(tree.collection_group("sub")) == ["top"]
    assert ids(tree.collection("other")) == ["o"]


def test_partitions_cover_a_group(db):
    documents = {f"d{n:03}": {"n": n} for n in range(300)}
    seed(db.collection("p/x/items"), documents)
    found = []
    for partition in db.collection_group("items").get_partitions(4):
        found += ids(partition.query())
    assert found == list(documents)

"""Listeners, bulk writers, bundles, the asynchronous client, and unsupported features."""

import asyncio
import queue

import pytest
from google.api_core import exceptions
from google.cloud import firestore
from google.cloud.firestore import FieldFilter
from google.cloud.firestore_bundle import FirestoreBundle
from google.cloud.firestore_v1.base_vector_query import DistanceMeasure
from google.cloud.firestore_v1.query_profile import ExplainOptions
from google.cloud.firestore_v1.vector import Vector

from support import ids, seed

# Seconds to wait for a snapshot.
TIMEOUT = 20


@pytest.fixture
def listen():
    """Starts listeners; each delivers `(ids, changes)` to a queue."""
    watches = []

    def start(target):
        arrived = queue.SimpleQueue()

        def on_snapshot(documents, changes, _read_time):
            names = [document.id for document in documents if document.exists]
            arrived.put((names, [(change.type.name, change.document.id) for change in changes]))

        watches.append(target.on_snapshot(on_snapshot))
        return arrived

    yield start
    for watch in watches:
        watch.unsubscribe()


def test_a_listener_reports_changes_of_a_document(document, listen):
    arrived = listen(document)
    assert arrived.get(timeout=TIMEOUT)[0] == []
    document.set({"n": 1})
    assert arrived.get(timeout=TIMEOUT)[0] == ["d"]
    document.update({"n": 2})
    assert arrived.get(timeout=TIMEOUT) == (["d"], [("MODIFIED", "d")])
    document.delete()
    assert arrived.get(timeout=TIMEOUT)[0] == []


def test_a_listener_reports_changes_of_a_query(db, listen):
    collection = db.collection("c")
    seed(collection, {"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 0}})
    arrived = listen(collection.where(filter=FieldFilter("n", ">", 0)).order_by("n"))
    names, changes = arrived.get(timeout=TIMEOUT)
    assert names == ["a", "b"]
    assert sorted(changes) == [("ADDED", "a"), ("ADDED", "b")]
    collection.document("c").update({"n": 1.5})
    assert arrived.get(timeout=TIMEOUT) == (["a", "c", "b"], [("ADDED", "c")])
    collection.document("a").update({"n": 9})
    assert arrived.get(timeout=TIMEOUT) == (["c", "b", "a"], [("MODIFIED", "a")])
    collection.document("b").update({"n": -1})
    assert arrived.get(timeout=TIMEOUT) == (["c", "a"], [("REMOVED", "b")])
    collection.document("c").delete()
    assert arrived.get(timeout=TIMEOUT) == (["a"], [("REMOVED", "c")])


def test_a_listener_respects_the_limit_of_a_query(db, listen):
    collection = db.collection("c")
    seed(collection, {"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 3}})
    arrived = listen(collection.order_by("n").limit(2))
    assert arrived.get(timeout=TIMEOUT)[0] == ["a", "b"]
    collection.document("first").set({"n": 0})
    assert arrived.get(timeout=TIMEOUT)[0] == ["first", "a"]


def test_a_listener_reports_changes_of_a_collection(db, listen):
    collection = db.collection("c")
    arrived = listen(collection)
    assert arrived.get(timeout=TIMEOUT) == ([], [])
    collection.document("a").set({})
    assert arrived.get(timeout=TIMEOUT) == (["a"], [("ADDED", "a")])


def test_a_bulk_writer_writes_many_documents(db):
    writer = db.bulk_writer()
    for n in range(300):
        writer.set(db.document(f"c/d{n}"), {"n": n})
    writer.close()
    [[count]] = db.collection("c").count().get()
    assert count.value == 300


def test_a_bulk_writer_reports_failed_writes_and_applies_the_others(db):
    db.document("c/there").set({"n": 0})
    failed = []
    writer = db.bulk_writer()
    writer.on_write_error(
        lambda failure, _: failed.append((failure.operation.reference.id, failure.code))
    )
    writer.create(db.document("c/new"), {})
    writer.create(db.document("c/there"), {})
    writer.update(db.document("c/missing"), {"n": 1})
    writer.delete(db.document("c/none"))
    writer.close()
    assert sorted(failed) == [("missing", 5), ("there", 6)]
    assert ids(db.collection("c")) == ["new", "there"]


def test_a_bundle_is_built(db):
    seed(db.collection("c"), {"a": {"n": 1}, "b": {"n": 2}})
    bundle = FirestoreBundle("one")
    bundle.add_named_query("all", db.collection("c").order_by("n"))
    text = bundle.build()
    assert '"totalDocuments": 2' in text or '"totalDocuments":2' in text


def test_the_asynchronous_client_reads_writes_and_lists(server):
    async def use():
        db = server.client(firestore.AsyncClient)
        counter = db.document("c/counter")
        await counter.set({"n": 0})

        @firestore.async_transactional
        async def add(transaction):
            read = await counter.get(transaction=transaction)
            transaction.update(counter, {"n": read.get("n") + 1})

        await asyncio.gather(*(add(db.transaction(max_attempts=100)) for _ in range(10)))
        query = db.collection("c").where(filter=FieldFilter("n", "==", 10))
        found = [document.id async for document in query.stream()]
        names = [document.id async for document in db.collection("c").list_documents()]
        collections = [collection.id async for collection in db.collections()]
        [[count]] = await db.collection("c").count().get()
        missing = [document.exists async for document in db.get_all([db.document("c/none")])]
        db.close()
        return found, names, collections, count.value, missing

    assert asyncio.run(use()) == (["counter"], ["counter"], ["c"], 1, [False])


def test_pipelines_are_unimplemented_by_name(db):
    with pytest.raises(exceptions.MethodNotImplemented, match="ExecutePipeline"):
        list(db.pipeline().collection("c").execute())


def test_find_nearest_is_unimplemented_by_name(db):
    query = db.collection("c").find_nearest(
        "v", Vector([1.0]), limit=1, distance_measure=DistanceMeasure.EUCLIDEAN
    )
    with pytest.raises(exceptions.MethodNotImplemented, match="find_nearest"):
        query.get()


def test_explain_is_unimplemented_by_name(db):
    with pytest.raises(exceptions.MethodNotImplemented, match="explain_options"):
        list(db.collection("c").stream(explain_options=ExplainOptions(analyze=True)))

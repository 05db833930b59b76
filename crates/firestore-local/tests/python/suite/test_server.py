"""Durability when the server is killed, and the meter."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core import exceptions

from support import Server, ids, seed


def test_acknowledged_commits_survive_sigkill(tmp_path):
    server = Server(tmp_path)
    raw = server.raw("kept")
    acknowledged = set()
    enough = threading.Event()

    def write(worker):
        for n in range(10_000):
            key = f"{worker}-{n}"
            try:
                request = {
                    "database": raw.database,
                    "writes": [raw.write(f"left/{key}", n=n), raw.write(f"right/{key}", n=n)],
                }
                raw.client.commit(request=request, retry=None)
            except exceptions.GoogleAPICallError:
                return
            acknowledged.add(key)
            if len(acknowledged) >= 200:
                enough.set()

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, worker) for worker in range(4)]
        assert enough.wait(timeout=30), f"only {len(acknowledged)} writes in 30 seconds"
        server.end(signal.SIGKILL)
        for writer in writers:
            writer.result()
    raw.close()

    server = Server(tmp_path)
    db = server.client(project="kept")
    left = ids(db.collection("left"))
    assert left == ids(db.collection("right"))
    assert acknowledged <= set(left)
    db.close()
    server.end()


def test_documents_and_times_survive_a_restart(tmp_path):
    server = Server(tmp_path)
    db = server.client(project="kept")
    db.document("c/d").set({"n": 1, "m": {"l": [1, None]}})
    db.document("c/gone").set({})
    db.document("c/gone").delete()
    before = db.document("c/d").get()
    db.close()
    server.end(signal.SIGKILL)

    server = Server(tmp_path)
    db = server.client(project="kept")
    after = db.document("c/d").get()
    assert after.to_dict() == before.to_dict()
    assert (after.create_time, after.update_time) == (before.create_time, before.update_time)
    assert ids(db.collection("c")) == ["d"]
    assert db.document("c/d").set({"n": 2}).update_time > before.update_time
    db.close()
    server.end()


# Reads, writes and deletes by collection.
BILLS = {
    "get": (lambda db: db.document("c/d1").get(), {"c": (1, 0, 0)}),
    "get of a missing document": (lambda db: db.document("c/none").get(), {"c": (1, 0, 0)}),
    "get_all": (
        lambda db: list(db.get_all([db.document("c/d1"), db.document("x/none")])),
        {"c": (1, 0, 0), "x": (1, 0, 0)},
    ),
    "query": (lambda db: ids(db.collection("c").limit(4)), {"c": (4, 0, 0)}),
    "query with an offset": (
        lambda db: ids(db.collection("c").offset(2).limit(3)),
        {"c": (5, 0, 0)},
    ),
    "query without results": (lambda db: ids(db.collection("none")), {"none": (1, 0, 0)}),
    "count": (lambda db: db.collection("c").count().get(), {"c": (1, 0, 0)}),
    "set": (lambda db: db.document("c/new").set({}), {"c": (0, 1, 0)}),
    "delete": (lambda db: db.document("c/d1").delete(), {"c": (0, 0, 1)}),
}


@pytest.mark.parametrize(("use", "expected"), BILLS.values(), ids=BILLS.keys())
def test_the_meter_bills(server, db, use, expected):
    seed(db.collection("c"), {f"d{n}": {} for n in range(10)})

    def bill():
        databases = server.meter()["databases"]
        collections = databases[f"projects/{db.project}/databases/(default)"]
        return {
            name: (counts["reads"], counts["writes"], counts["deletes"])
            for name, counts in collections.items()
        }

    before = bill()
    use(db)
    changes = {
        name: tuple(
            now - then for now, then in zip(counts, before.get(name, (0, 0, 0)), strict=True)
        )
        for name, counts in bill().items()
    }
    assert {name: counts for name, counts in changes.items() if any(counts)} == expected

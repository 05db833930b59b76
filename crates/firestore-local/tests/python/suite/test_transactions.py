"""Transactions are atomic and serializable.

Reads take locks, and writes wait for them. Of two transactions in a deadlock one is refused with
ABORTED, but it may be either.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core import exceptions
from google.cloud import firestore
from google.cloud.firestore import FieldFilter, transactional

from support import ids

FINISHED = (exceptions.InvalidArgument, exceptions.Aborted)


@transactional
def increment(transaction, document):
    read = document.get(transaction=transaction)
    transaction.update(document, {"n": read.get("n") + 1})


@pytest.fixture
def counter(document):
    document.set({"n": 0})
    return document


def test_concurrent_increments_are_all_counted(db, counter):
    with ThreadPoolExecutor(8) as pool:
        runs = [
            pool.submit(lambda: increment(db.transaction(max_attempts=100), counter))
            for _ in range(24)
        ]
        for run in runs:
            run.result()
    assert counter.get().get("n") == 24


def test_eighty_contending_transactions_all_commit_with_the_default_retries(db, counter):
    with ThreadPoolExecutor(80) as pool:
        runs = [pool.submit(lambda: increment(db.transaction(), counter)) for _ in range(80)]
        for run in runs:
            run.result()
    assert counter.get().get("n") == 80


def test_a_plain_write_waits_for_a_transaction_that_read_the_document(db, counter):
    @transactional
    def add(transaction):
        n = counter.get(transaction=transaction).get("n")
        write = pool.submit(counter.update, {"n": 50})
        with pytest.raises(TimeoutError):
            write.result(timeout=0.2)
        transaction.update(counter, {"n": n + 1})
        return write

    with ThreadPoolExecutor(1) as pool:
        add(db.transaction()).result()
    assert counter.get().get("n") == 50


def test_an_error_discards_the_writes(db, counter):
    @transactional
    def fail(transaction):
        transaction.update(counter, {"n": 9})
        raise KeyError("failed on purpose")

    with pytest.raises(KeyError):
        fail(db.transaction())
    assert counter.get().get("n") == 0


def test_a_conflict_runs_the_function_again(db, counter):
    attempts = []

    @transactional
    def add(transaction):
        attempts.append(counter.get(transaction=transaction).get("n"))
        if len(attempts) == 1:
            # In a thread: with locks, this write waits for the transaction.
            outside.append(pool.submit(counter.update, {"n": firestore.Increment(100)}))
        transaction.update(counter, {"n": attempts[-1] + 1})

    outside = []
    with ThreadPoolExecutor(1) as pool:
        add(db.transaction())
        outside[0].result()
    assert counter.get().get("n") == 101


def test_a_failed_create_fails_the_transaction(db, counter):
    @transactional
    def create(transaction):
        transaction.set(db.document("c/other"), {})
        transaction.create(counter, {})

    with pytest.raises(exceptions.AlreadyExists):
        create(db.transaction())
    assert not db.document("c/other").get().exists


def test_queries_and_get_all_run_within_the_transaction(db, counter):
    db.document("c/e").set({"n": 5})

    @transactional
    def run(transaction):
        query = db.collection("c").where(filter=FieldFilter("n", ">", 0))
        found = [document.id for document in transaction.get(query)]
        both = list(transaction.get_all([counter, db.document("c/e")]))
        transaction.delete(db.document("c/e"))
        return found, len(both)

    assert run(db.transaction()) == (["e"], 2)
    assert ids(db.collection("c")) == ["d"]


def test_a_read_only_transaction_sees_one_state(db, counter):
    @transactional
    def look(transaction):
        before = counter.get(transaction=transaction).get("n")
        counter.update({"n": 5})
        return before, counter.get(transaction=transaction).get("n")

    assert look(db.transaction(read_only=True)) == (0, 0)


def test_reads_at_a_time_see_the_state_of_that_time(db, counter):
    read_time = counter.get().read_time
    counter.update({"n": 7})
    db.document("c/later").set({})
    assert counter.get(read_time=read_time).get("n") == 0
    assert [one.id for one in db.collection("c").stream(read_time=read_time)] == ["d"]
    [[count]] = db.collection("c").count().get(read_time=read_time)
    assert count.value == 1
    assert [one.exists for one in db.get_all([db.document("c/later")], read_time=read_time)] == [
        False
    ]


def race(raw, *commits):
    """Runs commits concurrently; returns how many succeeded. The others must be ABORTED."""
    with ThreadPoolExecutor(len(commits)) as pool:
        runs = [
            pool.submit(raw.commit, *writes, transaction=transaction)
            for transaction, writes in commits
        ]
        errors = [run.exception() for run in runs]
    for error in filter(None, errors):
        assert isinstance(error, exceptions.Aborted), error
    return errors.count(None)


def test_transactions_that_read_and_write_the_same_document_conflict(raw):
    raw.commit(raw.write("c/d", n=0))
    transactions = [raw.begin(), raw.begin()]
    for transaction in transactions:
        raw.get("c/d", transaction=transaction)
    assert (
        race(raw, *((one, [raw.write("c/d", n=n)]) for n, one in enumerate(transactions, 1))) == 1
    )


def test_write_skew_conflicts(raw):
    raw.commit(raw.write("c/d", n=0), raw.write("c/e", n=0))
    transactions = [raw.begin(), raw.begin()]
    for transaction in transactions:
        raw.get("c/d", transaction=transaction)
        raw.get("c/e", transaction=transaction)
    commits = zip(transactions, ([raw.write("c/d", n=1)], [raw.write("c/e", n=1)]), strict=True)
    assert race(raw, *commits) == 1


def test_phantoms_conflict(raw):
    query = {"from": [{"collection_id": "p"}]}
    transactions = [raw.begin(), raw.begin()]
    for transaction in transactions:
        request = {"parent": raw.root, "structured_query": query, "transaction": transaction}
        list(raw.client.run_query(request=request))
    assert (
        race(raw, *((one, [raw.write(f"p/{n}", n=1)]) for n, one in enumerate(transactions))) == 1
    )


def test_a_rolled_back_transaction_cannot_commit(raw):
    transaction = raw.begin()
    raw.client.rollback(request={"database": raw.database, "transaction": transaction})
    with pytest.raises(FINISHED):
        raw.commit(raw.write("c/d", n=1), transaction=transaction)


def test_a_transaction_commits_once(raw):
    transaction = raw.begin()
    raw.commit(raw.write("c/d", n=1), transaction=transaction)
    with pytest.raises(FINISHED):
        raw.commit(raw.write("c/d", n=2), transaction=transaction)


def test_an_unknown_transaction_is_an_invalid_argument(raw):
    with pytest.raises(exceptions.InvalidArgument):
        raw.commit(raw.write("c/d", n=1), transaction=b"never issued")


def test_a_read_only_transaction_cannot_write(raw):
    transaction = raw.begin(read_only={})
    with pytest.raises(exceptions.InvalidArgument):
        raw.commit(raw.write("c/d", n=1), transaction=transaction)

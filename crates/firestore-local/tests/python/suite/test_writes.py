"""Set, create, update and delete, preconditions and transforms."""

import datetime

import pytest
from google.api_core import exceptions
from google.cloud import firestore
from google.cloud.firestore import (
    DELETE_FIELD,
    SERVER_TIMESTAMP,
    ArrayRemove,
    ArrayUnion,
    Increment,
    Maximum,
    Minimum,
)

ORIGINAL = {"a": 1, "m": {"x": 1, "y": {"z": 1}}, "list": [1, 2]}

CHANGES = {
    "set replaces": (lambda d: d.set({"b": 2}), {"b": 2}),
    "merge adds and overwrites leaves": (
        lambda d: d.set({"a": 2, "m": {"y": {"w": 2}}}, merge=True),
        ORIGINAL | {"a": 2, "m": {"x": 1, "y": {"z": 1, "w": 2}}},
    ),
    "merge replaces arrays": (lambda d: d.set({"list": []}, merge=True), ORIGINAL | {"list": []}),
    "merge of only the listed fields": (
        lambda d: d.set({"m": {"x": 5, "y": 6}, "a": 9}, merge=["m.x", "a"]),
        ORIGINAL | {"a": 9, "m": {"x": 5, "y": {"z": 1}}},
    ),
    "merge deletes a field": (
        lambda d: d.set({"a": DELETE_FIELD, "n": 1}, merge=True),
        {"m": ORIGINAL["m"], "list": [1, 2], "n": 1},
    ),
    "update replaces a map": (lambda d: d.update({"m": {"n": 1}}), ORIGINAL | {"m": {"n": 1}}),
    "update with a dotted path": (
        lambda d: d.update({"m.y.z": 7, "n.o": 8}),
        ORIGINAL | {"m": {"x": 1, "y": {"z": 7}}, "n": {"o": 8}},
    ),
    "update with a quoted path": (lambda d: d.update({"`x.y`": 1}), ORIGINAL | {"x.y": 1}),
    "update deletes a nested field": (
        lambda d: d.update({"m.y.z": DELETE_FIELD}),
        ORIGINAL | {"m": {"x": 1, "y": {}}},
    ),
    "update deletes a missing field": (lambda d: d.update({"q": DELETE_FIELD}), ORIGINAL),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_results_in(document, change, expected):
    document.set(ORIGINAL)
    change(document)
    assert document.get().to_dict() == expected


def test_merge_creates_the_document(document):
    document.set({"a": {"b": 1}}, merge=True)
    assert document.get().to_dict() == {"a": {"b": 1}}


def test_add_generates_an_id(db):
    _, added = db.collection("c").add({"a": 1})
    assert len(added.id) == 20
    assert added.get().to_dict() == {"a": 1}


def test_delete_keeps_subcollections(document):
    document.set({})
    document.collection("sub").document("s").set({})
    document.delete()
    assert not document.get().exists
    assert [below.id for below in document.collections()] == ["sub"]


def test_delete_of_a_missing_document_succeeds(document):
    document.delete()
    assert not document.get().exists


def test_update_of_a_missing_document_is_not_found(document):
    with pytest.raises(exceptions.NotFound):
        document.update({"a": 1})
    assert not document.get().exists


def test_create_of_an_existing_document_already_exists(document):
    document.create({"a": 1})
    with pytest.raises(exceptions.AlreadyExists):
        document.create({"a": 2})
    assert document.get().to_dict() == {"a": 1}


def test_create_and_update_times_are_those_of_the_first_and_last_write(document):
    first = document.set({"a": 1})
    second = document.set({"a": 2})
    snapshot = document.get()
    assert snapshot.create_time == first.update_time
    assert snapshot.update_time == second.update_time
    assert first.update_time < second.update_time <= snapshot.read_time


def test_a_write_that_changes_nothing_keeps_the_update_time(document):
    first = document.set({"a": 1})
    again = document.set({"a": 1})
    assert again.update_time == first.update_time


STALE = {
    "update": lambda d, option: d.update({"a": 3}, option=option),
    "delete": lambda d, option: d.delete(option=option),
}


@pytest.mark.parametrize("write", STALE.values(), ids=STALE.keys())
def test_a_stale_update_time_fails_the_precondition(db, document, write):
    first = document.set({"a": 1})
    document.set({"a": 2})
    with pytest.raises(exceptions.FailedPrecondition):
        write(document, db.write_option(last_update_time=first.update_time))
    assert document.get().to_dict() == {"a": 2}


@pytest.mark.parametrize("write", STALE.values(), ids=STALE.keys())
def test_the_current_update_time_satisfies_the_precondition(db, document, write):
    result = document.set({"a": 1})
    write(document, db.write_option(last_update_time=result.update_time))
    assert document.get().to_dict() in (None, {"a": 3})


def test_delete_of_a_missing_document_that_must_exist_is_not_found(db, document):
    with pytest.raises(exceptions.NotFound):
        document.delete(option=db.write_option(exists=True))


TRANSFORMS = {
    "increment integers": ({"v": 40}, Increment(2), 42),
    "increment by a double": ({"v": 1}, Increment(0.5), 1.5),
    "increment a missing field": ({}, Increment(7), 7),
    "increment a string": ({"v": "x"}, Increment(7), 7),
    "increment stays within 64 bits": ({"v": 2**63 - 2}, Increment(5), 2**63 - 1),
    "decrement stays within 64 bits": ({"v": -(2**63)}, Increment(-5), -(2**63)),
    "maximum takes the larger": ({"v": 3}, Maximum(5), 5),
    "maximum keeps the larger": ({"v": 7}, Maximum(5), 7),
    "maximum across types": ({"v": 3}, Maximum(3.5), 3.5),
    "maximum of a missing field": ({}, Maximum(-1), -1),
    "minimum takes the smaller": ({"v": 3}, Minimum(1), 1),
    "minimum keeps the smaller": ({"v": 0}, Minimum(1), 0),
    "minimum of a string": ({"v": "x"}, Minimum(1), 1),
    "union appends missing elements": ({"v": [1, 2]}, ArrayUnion([3, 2, 3]), [1, 2, 3]),
    "union of a scalar": ({"v": 5}, ArrayUnion([1]), [1]),
    "union treats 1 and 1.0 as equal": ({"v": [1]}, ArrayUnion([1.0]), [1]),
    "remove removes every occurrence": ({"v": [1, 2, 1]}, ArrayRemove([1]), [2]),
    "remove from a missing field": ({}, ArrayRemove([1]), []),
}


@pytest.mark.parametrize(
    ("before", "transform", "after"), TRANSFORMS.values(), ids=TRANSFORMS.keys()
)
def test_a_transform_is_applied_by_the_server(document, before, transform, after):
    document.set({"kept": True} | before)
    document.update({"v": transform})
    read = document.get().to_dict()
    assert read == {"kept": True, "v": after}
    assert type(read["v"]) is type(after)


def test_server_time_is_the_same_in_a_whole_commit(db, document):
    batch = db.batch()
    batch.set(document, {"a": SERVER_TIMESTAMP, "m": {"b": SERVER_TIMESTAMP}})
    batch.set(db.document("c/e"), {"a": SERVER_TIMESTAMP})
    batch.commit()
    data = document.get().to_dict()
    assert data["a"] == data["m"]["b"] == db.document("c/e").get().get("a")
    assert data["a"].microsecond % 1000 == 0
    age = datetime.datetime.now(datetime.UTC) - data["a"]
    assert abs(age) < datetime.timedelta(minutes=1)


def test_a_commit_returns_the_results_of_transforms(raw):
    transforms = [
        {"field_path": "n", "increment": {"integer_value": 2}},
        {"field_path": "n", "maximum": {"integer_value": 10}},
        {"field_path": "a", "append_missing_elements": {"values": [{"integer_value": 1}]}},
        {"field_path": "t", "set_to_server_value": "REQUEST_TIME"},
    ]
    response = raw.commit(raw.write("c/d", n=1) | {"update_transforms": transforms})
    results = response.write_results[0].transform_results
    assert [results[0].integer_value, results[1].integer_value] == [3, 10]
    assert "null_value" in results[2]
    assert results[3].timestamp_value is not None


def test_a_batch_applies_all_writes_or_none(db, document):
    batch = db.batch()
    batch.set(db.document("c/other"), {})
    batch.update(document, {"a": 1})
    with pytest.raises(exceptions.NotFound):
        batch.commit()
    assert not db.document("c/other").get().exists


def test_the_writes_of_a_batch_see_the_previous_ones(db, document):
    batch = db.batch()
    batch.create(document, {"a": 1})
    batch.update(document, {"b": Increment(2)})
    batch.set(document, {"c": 3}, merge=True)
    results = batch.commit()
    assert len(results) == 3
    assert document.get().to_dict() == {"a": 1, "b": 2, "c": 3}


def test_get_with_a_mask_returns_only_its_fields(document):
    document.set(ORIGINAL)
    assert document.get(field_paths=["m.x", "none"]).to_dict() == {"m": {"x": 1}}


def test_get_all_includes_missing_documents(db):
    db.document("c/a").set({"n": 1, "m": 2})
    names = [db.document("c/a"), db.document("c/none")]
    found = {one.id: one for one in db.get_all(names, field_paths=["n"])}
    assert found["a"].to_dict() == {"n": 1}
    assert not found["none"].exists


def test_databases_of_a_project_are_isolated(server, db, document):
    document.set({"a": 1})
    other = server.client(project=db.project, database="second")
    assert not other.document("c/d").get().exists
    assert isinstance(other, firestore.Client)
    other.close()

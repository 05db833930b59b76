"""Values are read back unchanged, and are ordered across all types."""

import datetime
import math

import pytest
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.cloud import firestore
from google.cloud.firestore_v1.vector import Vector

from support import ids, seed

UTC = datetime.UTC

VALUES = {
    "null": None,
    "true": True,
    "zero": 0,
    "largest integer": 2**63 - 1,
    "smallest integer": -(2**63),
    "double": 234.5,
    "whole double": 7.0,
    "negative zero": -0.0,
    "infinity": math.inf,
    "smallest double": 5e-324,
    "empty string": "",
    "string": "grüße 東京 🦀 \x00",
    "bytes": b"\x00\x01\xff",
    "empty bytes": b"",
    "time": datetime.datetime(2026, 11, 23, 7, 31, 18, 123456, UTC),
    "time before 1970": datetime.datetime(1901, 1, 1, 0, 0, 0, 1, UTC),
    "last time": datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    "point": firestore.GeoPoint(52.52, -13.405),
    "empty array": [],
    "array": [None, True, 1, 1.5, "a", {"b": [1]}],
    "empty map": {},
    "map": {"a": {"b": {"c": [{"d": None}]}}, "x.y": 1, "é🦀": 3},
    "vector": Vector([1.0, -2.5]),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_a_value_is_read_back(document, value):
    document.set({"value": value})
    read = document.get().to_dict()["value"]
    assert read == value
    assert type(read) is type(value) or isinstance(read, DatetimeWithNanoseconds)
    if isinstance(value, float):
        assert math.copysign(1, read) == math.copysign(1, value)


def test_nan_is_read_back(document):
    document.set({"value": math.nan})
    assert math.isnan(document.get().get("value"))


def test_a_reference_is_read_back(db, document):
    document.set({"value": db.document("a/b/c/d")})
    assert document.get().get("value") == db.document("a/b/c/d")


def test_a_time_is_truncated_to_microseconds(raw):
    at = DatetimeWithNanoseconds(2026, 1, 1, nanosecond=123456789, tzinfo=UTC)
    fields = {"at": {"timestamp_value": at}}
    raw.commit({"update": {"name": raw.name("c/d"), "fields": fields}})
    assert raw.get("c/d").fields["at"].timestamp_value.nanosecond == 123456000


def test_integers_and_doubles_keep_their_types(raw):
    fields = {"i": {"integer_value": 7}, "d": {"double_value": 7}}
    raw.commit({"update": {"name": raw.name("c/d"), "fields": fields}})
    read = raw.get("c/d")
    assert "integer_value" in read.fields["i"]
    assert "double_value" in read.fields["d"]


def ascending(db):
    """One or more values of each type, in Firestore's order."""
    return [
        None,
        False,
        True,
        math.nan,
        -math.inf,
        -1,
        -0.5,
        0,
        2**53,
        2**53 + 1,
        2**63 - 1,
        math.inf,
        datetime.datetime(1969, 12, 31, tzinfo=UTC),
        datetime.datetime(2026, 1, 1, tzinfo=UTC),
        "",
        "Z",
        "a",
        "a\x00",
        "ab",
        "é",
        "\uffee",
        "🦀",
        b"",
        b"\x00",
        b"\x00\x01",
        b"\xff",
        db.document("a/b"),
        db.document("a/b/c/d"),
        db.document("b/a"),
        firestore.GeoPoint(-1, 100),
        firestore.GeoPoint(1, -100),
        [],
        [1],
        [1, 2],
        ["a"],
        Vector([9.0]),
        Vector([1.0, 2.0]),
        {},
        {"a": 1},
        {"a": 1, "b": 1},
        {"b": 0},
    ]


@pytest.fixture
def mixed(db):
    """A collection of all these values. The ids sort in reverse."""
    collection = db.collection("mixed")
    values = ascending(db)
    seed(collection, {f"z{999 - n}": {"v": value} for n, value in enumerate(values)})
    collection.document("without").set({"other": 1})
    return collection


def test_an_order_ascends_across_types(db, mixed):
    expected = [f"z{999 - n}" for n in range(len(ascending(db)))]
    assert ids(mixed.order_by("v")) == expected


def test_an_order_descends_in_exactly_the_reverse(db, mixed):
    expected = [f"z{999 - n}" for n in range(len(ascending(db)))]
    assert ids(mixed.order_by("v", direction="DESCENDING")) == expected[::-1]


def test_an_order_omits_documents_without_the_field(mixed):
    assert "without" not in ids(mixed.order_by("v"))
    assert "without" in ids(mixed)

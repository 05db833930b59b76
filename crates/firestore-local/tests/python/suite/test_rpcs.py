"""RPCs that the SDK never calls, and refused requests, through the generated client."""

import queue

import pytest
from google.api_core import exceptions
from google.cloud.firestore_v1.types import WriteRequest


def values(document):
    return {name: value.integer_value for name, value in document.fields.items()}


def create(raw, key="d", **integers):
    document = {"fields": {name: {"integer_value": value} for name, value in integers.items()}}
    request = {"parent": raw.root, "collection_id": "c", "document_id": key, "document": document}
    return raw.client.create_document(request=request)


def integers(**given):
    return {name: {"integer_value": value} for name, value in given.items()}


def mask(*paths):
    return {"field_paths": list(paths)}


def test_create_document_refuses_an_existing_name(raw):
    created = create(raw, a=1)
    assert created.name == raw.name("c/d")
    assert created.create_time == created.update_time
    with pytest.raises(exceptions.AlreadyExists):
        create(raw, a=2)


def test_create_document_generates_an_id(raw):
    created = create(raw, key="", a=1)
    assert len(created.name.rsplit("/", 1)[1]) == 20


def test_get_document_returns_the_fields_of_its_mask(raw):
    with pytest.raises(exceptions.NotFound):
        raw.get("c/d")
    create(raw, a=1, b=2)
    assert values(raw.get("c/d")) == {"a": 1, "b": 2}
    assert values(raw.get("c/d", mask=mask("b"))) == {"b": 2}


def test_update_document_creates_or_replaces_the_document(raw):
    assert values(raw.update("c/d", integers(a=1))) == {"a": 1}
    assert values(raw.update("c/d", integers(b=2))) == {"b": 2}


def test_update_document_with_a_mask_changes_only_the_masks_fields(raw):
    create(raw, a=1, b=2, c=3)
    updated = raw.update("c/d", integers(a=10, c=30), update_mask=mask("a", "b"))
    assert values(updated) == {"a": 10, "c": 3}


def test_update_document_returns_the_fields_of_its_response_mask(raw):
    assert values(raw.update("c/d", integers(a=1, b=2), mask=mask("a"))) == {"a": 1}


def test_update_document_checks_its_precondition(raw):
    with pytest.raises(exceptions.NotFound):
        raw.update("c/d", integers(a=1), current_document={"exists": True})
    first = create(raw, a=1)
    raw.update("c/d", integers(a=2), current_document={"update_time": first.update_time})
    with pytest.raises(exceptions.FailedPrecondition):
        raw.update("c/d", integers(a=3), current_document={"update_time": first.update_time})


def test_delete_document_succeeds_unless_a_missing_document_must_exist(raw):
    create(raw, a=1)
    raw.client.delete_document(request={"name": raw.name("c/d")})
    raw.client.delete_document(request={"name": raw.name("c/d")})
    with pytest.raises(exceptions.NotFound):
        request = {"name": raw.name("c/d"), "current_document": {"exists": True}}
        raw.client.delete_document(request=request)


def test_list_documents_pages_orders_and_shows_missing_parents(raw):
    raw.commit(*(raw.write(f"c/d{n}", n=9 - n) for n in range(5)), raw.write("c/gone/sub/s", n=0))
    request = {"parent": raw.root, "collection_id": "c", "page_size": 2}
    assert len(list(raw.client.list_documents(request=request).pages)) == 3
    ordered = raw.client.list_documents(request=request | {"order_by": "n"})
    assert [values(document)["n"] for document in ordered] == [5, 6, 7, 8, 9]
    shown = raw.client.list_documents(request=request | {"show_missing": True})
    assert [document.name for document in shown][-1] == raw.name("c/gone")


def test_list_collection_ids_pages(raw):
    raw.commit(raw.write("a/x", n=0), raw.write("b/x", n=0), raw.write("c/x/sub/y", n=0))
    request = {"parent": raw.root, "page_size": 1}
    assert list(raw.client.list_collection_ids(request=request)) == ["a", "b", "c"]
    below = raw.client.list_collection_ids(request={"parent": raw.name("c/x")})
    assert list(below) == ["sub"]


def test_batch_get_documents_reports_found_and_missing_documents(raw):
    create(raw, a=1)
    names = [raw.name("c/d"), raw.name("c/none")]
    request = {"database": raw.database, "documents": names, "new_transaction": {"read_write": {}}}
    answers = list(raw.client.batch_get_documents(request=request))
    assert answers[0].transaction
    assert {answer.found.name for answer in answers if "found" in answer} == {names[0]}
    assert [answer.missing for answer in answers if "missing" in answer] == [names[1]]


def test_batch_write_applies_each_write_independently(raw):
    failing = raw.write("c/none", n=1) | {"current_document": {"exists": True}}
    writes = [raw.write("c/a", n=1), failing, raw.write("c/b", n=2)]
    response = raw.client.batch_write(request={"database": raw.database, "writes": writes})
    assert [status.code for status in response.status] == [0, 5, 0]
    assert values(raw.get("c/b")) == {"n": 2}


def test_batch_write_with_two_writes_of_a_document_is_an_invalid_argument(raw):
    writes = [raw.write("c/a", n=1), raw.write("c/a", n=2)]
    with pytest.raises(exceptions.InvalidArgument):
        raw.client.batch_write(request={"database": raw.database, "writes": writes})


def test_write_answers_each_request_in_order(raw):
    requests = queue.SimpleQueue()
    requests.put(WriteRequest(database=raw.database))
    answers = raw.client.write(iter(requests.get, None))
    opened = next(answers)
    assert opened.stream_id
    token = opened.stream_token
    for n in range(3):
        requests.put(WriteRequest(stream_token=token, writes=[raw.write("c/d", n=n)]))
        answer = next(answers)
        token = answer.stream_token
        assert len(answer.write_results) == 1
        assert values(raw.get("c/d")) == {"n": n}
    requests.put(None)
    assert list(answers) == []


def test_partition_query_returns_the_same_points_in_pages(raw):
    raw.commit(*(raw.write(f"c/d{n:03}", n=n) for n in range(300)))
    order = [{"field": {"field_path": "__name__"}, "direction": "ASCENDING"}]
    query = {"from": [{"collection_id": "c", "all_descendants": True}], "order_by": order}
    request = {"parent": raw.root, "structured_query": query, "partition_count": 3}
    whole = [
        point.values[0].reference_value for point in raw.client.partition_query(request=request)
    ]
    paged = raw.client.partition_query(request=request | {"page_size": 1})
    assert [point.values[0].reference_value for point in paged] == whole
    assert whole == sorted(whole)
    assert 1 <= len(whole) <= 3


def test_run_query_reports_how_many_documents_an_offset_skipped(raw):
    raw.commit(*(raw.write(f"c/d{n}", n=n) for n in range(5)))
    query = {"from": [{"collection_id": "c"}], "offset": 3}
    answers = raw.client.run_query(request={"parent": raw.root, "structured_query": query})
    answers = list(answers)
    assert sum(answer.skipped_results for answer in answers) == 3
    assert [answer.document.name for answer in answers if answer.document.name] == [
        raw.name("c/d3"),
        raw.name("c/d4"),
    ]


def nested(levels):
    value = {"integer_value": 1}
    for _ in range(levels):
        value = {"map_value": {"fields": {"a": value}}}
    return {"a": value}


TEXT = {"string_value": "x"}
REFUSED = {
    "reserved id": ("c/__d__", {}),
    "dot": ("c/.", {}),
    "long id": (f"c/{'x' * 1501}", {}),
    "collection": ("c", {}),
    "empty id": ("c//e/f", {}),
    "reserved field": ("c/d", {"__a__": TEXT}),
    "empty field name": ("c/d", {"": TEXT}),
    "array in array": ("c/d", {"a": {"array_value": {"values": [{"array_value": {}}]}}}),
    "latitude": ("c/d", {"a": {"geo_point_value": {"latitude": 91, "longitude": 0}}}),
    "depth": ("c/d", nested(21)),
    "size of a value": ("c/d", {"a": {"string_value": "x" * (1 << 20)}}),
    "size": ("c/d", {name: {"string_value": "x" * (1 << 19)} for name in "ab"}),
}


@pytest.mark.parametrize(("path", "fields"), REFUSED.values(), ids=REFUSED.keys())
def test_an_invalid_document_is_an_invalid_argument(raw, path, fields):
    with pytest.raises(exceptions.InvalidArgument):
        raw.update(path, fields)


def test_a_request_over_10_mib_is_an_invalid_argument(raw):
    big = {"s": {"string_value": "x" * (1_000_000)}}
    writes = [{"update": {"name": raw.name(f"c/d{n}"), "fields": big}} for n in range(12)]
    with pytest.raises(exceptions.InvalidArgument):
        raw.commit(*writes)
    raw.commit(*writes[:9])
    assert (
        len(
            list(
                raw.client.list_documents(
                    request={"parent": raw.root, "collection_id": "c", "mask": mask()}
                )
            )
        )
        == 9
    )

"""The handler against a real search server: every record sent ends in exactly one place."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opensearchpy.exceptions import ConnectionError as NotReached
from opensearchpy.exceptions import TransportError

from retail_analytics.search import upsert_to_es
from retail_analytics.search.counts import Counts
from retail_analytics.search.environment import handler_environment
from retail_analytics.search.handler_settings import HandlerSettings
from retail_analytics_tests.search.records import Context, event, line, record, sequence_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opensearchpy import OpenSearch

    from retail_analytics.feeds import Feed
    from retail_analytics.search.dead_letters import DeadLetterStore
    from retail_analytics.settings import Settings


@pytest.fixture
def environment(feed: Feed, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    variables = handler_environment(feed, settings)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield variables
    upsert_to_es.handler_for.cache_clear()


def metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    lines = [text for text in capsys.readouterr().out.splitlines() if text.startswith("{")]
    assert len(lines) == 1
    return dict(json.loads(lines[0]))


def in_index(client: OpenSearch) -> dict[str, Any]:
    client.indices.refresh(index="retail_trans-*")
    hits = client.search(index="retail_trans-*", body={"size": 1000})["hits"]["hits"]
    return {hit["_id"]: hit for hit in hits}


def deep(levels: int) -> bytes:
    return b'{"Invoice":' + b"[" * levels + b"]" * levels + b"}"


# What it is called: (the data of one Kinesis record, where it ends, what the reason says).
BAD_INPUT: dict[str, tuple[bytes, str, str]] = {
    "good": (line(1), "indexed", ""),
    "no customer": (line(2, Customer_ID=""), "indexed", ""),
    "customer null": (line(3, Customer_ID=None), "indexed", ""),
    "no description": (line(4, Description=""), "indexed", ""),
    "number as text": (line(5, Price="2.55", Quantity="6"), "indexed", ""),
    "text as number": (line(6, Invoice=536365), "indexed", ""),
    "unknown keys": (line(7, Colour="red", Nested={"a": [1, 2]}), "indexed", ""),
    "ten thousand keys": (line(8, **{f"key{i}": i for i in range(10_000)}), "indexed", ""),
    "no id": (line(9, record_id=...), "indexed", ""),
    "empty id": (line(10, record_id=""), "indexed", ""),
    "long text": (line(11, Description="x" * 40_000), "indexed", ""),
    "not latin": (line(12, Description="ラック £ 😀"), "indexed", ""),
    "byte order mark": (b"\xef\xbb\xbf" + line(13), "not_json", "BOM"),
    "one megabyte": (line(14, Description="x" * 1_000_000), "indexed", ""),
    "five megabytes": (line(15, Description="x" * 5_000_000), "too_large", "bytes of document"),
    "csv": (b"536365,85123A,WHITE,6,2010-12-01 08:26:00,2.55,17850,UK\n", "not_json", "not JSON"),
    "cut off": (line(17)[:-20], "not_json", "not JSON"),
    "number": (b"42", "not_object", "a JSON int"),
    "list": (b"[]", "not_object", "a JSON list"),
    "null": (b"null", "not_object", "NoneType"),
    "text": (b'"text"', "not_object", "a JSON str"),
    "nan": (line(18).replace(b"2.55", b"NaN"), "not_json", "NaN"),
    "infinity": (line(19).replace(b"2.55", b"-Infinity"), "not_json", "Infinity"),
    "huge exponent": (line(20).replace(b"2.55", b"1e999999"), "bad_value", "Price"),
    "huge integer": (line(21).replace(b"6,", b"9" * 5000 + b",", 1), "not_json", "digits"),
    "out of range": (line(22, Quantity=2**31), "bad_value", "Quantity"),
    "price out of range": (line(23, Price=1e15), "bad_value", "decimal(18,4)"),
    "fraction of a unit": (line(24, Quantity=1.5), "bad_value", "Quantity"),
    "quantity of words": (line(25, Quantity="six"), "bad_value", "Quantity"),
    "quantity true": (line(26, Quantity=True), "bad_value", "Quantity"),
    "price of words": (line(27, Price="NaN"), "bad_value", "Price"),
    "object for text": (line(28, Invoice={"a": 1}), "bad_value", "Invoice"),
    "missing key": (line(29, Country=...), "missing_field", "Country is missing"),
    "missing nullable key": (line(30, Customer_ID=...), "missing_field", "Customer_ID is missing"),
    "empty field": (line(31, Invoice=""), "missing_field", "Invoice is empty"),
    "null field": (line(32, StockCode=None), "missing_field", "StockCode is empty"),
    "no date": (line(33, InvoiceDate=""), "missing_field", "InvoiceDate"),
    "other date": (line(34, InvoiceDate="01/12/2010 08:26"), "bad_date", "%Y-%m-%d"),
    "no such day": (line(35, InvoiceDate="2010-02-30 08:26:00"), "bad_date", "InvoiceDate"),
    "date as number": (line(36, InvoiceDate=1291191960), "bad_date", "InvoiceDate"),
    "deep": (deep(100_000), "not_json", "deep"),
    "latin 1": (line(37, Description="@").replace(b"@", "£".encode("latin-1")), "not_utf8", "byte"),
    "half a surrogate": (line(38, Description="@").replace(b"@", b"\\ud800"), "not_utf8", "surrogate"),
    "utf 16": (json.dumps(record(39)).encode("utf-16"), "not_utf8", "byte 0"),
    "id too long": (line(40, record_id="x" * 513), "bad_value", "record_id"),
    "id an object": (line(41, record_id={"a": 1}), "bad_value", "record_id"),
    "zero bytes": (b"\0\0\0", "not_json", "not JSON"),
    "aggregated": (b"\xf3\x89\x9a\xc2\x01", "not_utf8", "byte 0"),
}  # fmt: skip


def test_the_whole_table_sums_to_what_was_sent(
    environment: dict[str, str],
    search: OpenSearch,
    store: DeadLetterStore,
    capsys: pytest.CaptureFixture[str],
) -> None:
    payloads = [data for data, _, _ in BAD_INPUT.values()]
    answer = upsert_to_es.lambda_handler(event(payloads), Context(60))

    assert answer == {"batchItemFailures": []}
    letters = {letter.sequence_number: letter for letter in map(store.get, store.list())}
    documents = in_index(search)
    for ordinal, (name, (data, where, reason)) in enumerate(BAD_INPUT.items()):
        letter = letters.get(sequence_number(ordinal))
        if where == "indexed":
            assert letter is None, (name, letter and letter.reason)
            continue
        assert letter is not None, name
        assert letter.kind == where, (name, letter.reason)
        assert reason in letter.reason, name
        assert letter.data.strip() == data.strip(), name
    indexed = sum(where == "indexed" for _, where, _ in BAD_INPUT.values())
    assert len(documents) == indexed
    assert len(documents) + len(letters) == len(payloads)
    counted = metrics(capsys)
    assert counted["Reads"] == len(payloads)
    assert counted["Writes"] == indexed
    assert counted["Dead"] == counted["Invalid"] == len(letters)
    assert counted["UnknownFields"] == 10_002
    assert "\ud800" not in json.dumps(counted)


def test_each_alone_ends_as_in_the_batch(
    environment: dict[str, str], search: OpenSearch, store: DeadLetterStore
) -> None:
    for ordinal, (data, _, _) in enumerate(BAD_INPUT.values()):
        answer = upsert_to_es.lambda_handler(event([data], first=ordinal), Context())
        assert answer == {"batchItemFailures": []}
    assert len(in_index(search)) + len(list(store.list())) == len(BAD_INPUT)


def test_the_document_is_typed_and_lies_in_its_month(environment: dict[str, str], search: OpenSearch) -> None:
    sent = record(7, InvoiceDate="2010-11-30 23:59:59", Price=3, Quantity=-2)
    upsert_to_es.lambda_handler(event([json.dumps(sent).encode()]), Context())
    (hit,) = in_index(search).values()
    assert hit["_index"] == "retail_trans-2010.11"
    assert hit["_id"] == sent["record_id"]
    assert hit["_source"] == {**sent, "InvoiceDate": "2010-11-30T23:59:59Z", "Price": 3.0}


def test_a_record_without_id_is_named_by_its_place(environment: dict[str, str], search: OpenSearch) -> None:
    twins = [line(1, record_id=...), line(1, record_id=...)]
    for _ in range(2):
        upsert_to_es.lambda_handler(event(twins), Context())
    assert set(in_index(search)) == {f"shardId-000000000000:{sequence_number(n)}" for n in (0, 1)}


def test_a_replay_changes_nothing(
    environment: dict[str, str], search: OpenSearch, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = event([line(n) for n in range(10)])
    upsert_to_es.lambda_handler(batch, Context())
    before = in_index(search)
    capsys.readouterr()
    upsert_to_es.lambda_handler(batch, Context())
    counted = metrics(capsys)
    assert (counted["Writes"], counted["Unchanged"]) == (0, 10)
    assert in_index(search) == before


def test_lines_of_one_kinesis_record_are_records(
    environment: dict[str, str],
    search: OpenSearch,
    store: DeadLetterStore,
    capsys: pytest.CaptureFixture[str],
) -> None:
    joined = line(1) + b"\n  \n" + line(2, record_id=...) + b"no json\n" + line(3, record_id=...)
    upsert_to_es.lambda_handler(event([joined, b"", b"\n"]), Context())
    place = f"shardId-000000000000:{sequence_number(0)}"
    assert set(in_index(search)) == {f"{1:032x}", f"{place}:1", f"{place}:3"}
    assert [letter.name for letter in store.list()] == [f"{place}:2"]
    assert metrics(capsys)["Reads"] == 4


def test_dead_letters_lie_under_their_event_day_and_overwrite_themselves(
    environment: dict[str, str], search: OpenSearch, store: DeadLetterStore
) -> None:
    batch = event([line(1, Country=""), b"no json"])
    for _ in range(2):
        upsert_to_es.lambda_handler(batch, Context())
    assert [(letter.day, letter.name) for letter in store.list()] == [
        ("2010-12-01", f"{1:032x}"),
        ("unknown", f"shardId-000000000000:{sequence_number(1)}"),
    ]


def test_without_a_bucket_what_can_never_succeed_comes_back(
    environment: dict[str, str], search: OpenSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEAD_LETTER_BUCKET", "")
    answer = upsert_to_es.lambda_handler(event([line(1), b"no json"]), Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": sequence_number(1)}]}
    assert set(in_index(search)) == {f"{1:032x}"}


def test_a_bucket_that_refuses_loses_nothing(
    environment: dict[str, str], search: OpenSearch, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEAD_LETTER_BUCKET", "no-such-bucket")
    answer = upsert_to_es.lambda_handler(event([b"no json", line(1), b"[]"]), Context())
    failed = [item["itemIdentifier"] for item in answer["batchItemFailures"]]
    assert failed == [sequence_number(0), sequence_number(2)]


def test_nothing_is_written_into_an_index_without_its_template(
    environment: dict[str, str], empty_search: OpenSearch, store: DeadLetterStore
) -> None:
    answer = upsert_to_es.lambda_handler(event([line(1), b"no json"]), Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": sequence_number(0)}]}
    assert not in_index(empty_search)
    assert len(list(store.list())) == 1


def test_a_read_only_index_is_no_fault_of_the_record(
    environment: dict[str, str], search: OpenSearch, store: DeadLetterStore
) -> None:
    upsert_to_es.lambda_handler(event([line(0)]), Context())
    search.indices.put_settings(index="retail_trans-2010.12", body={"index.blocks.write": True})
    answer = upsert_to_es.lambda_handler(event([line(1)], first=1), Context(1.5))
    assert answer == {"batchItemFailures": [{"itemIdentifier": sequence_number(1)}]}
    assert not list(store.list())
    search.indices.put_settings(index="retail_trans-2010.12", body={"index.blocks.write": False})
    assert upsert_to_es.lambda_handler(event([line(1)], first=1), Context()) == {"batchItemFailures": []}


def test_a_mapping_that_refuses_makes_a_dead_letter(
    environment: dict[str, str],
    empty_search: OpenSearch,
    store: DeadLetterStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ES_TEMPLATE", "")
    mapping = {"mappings": {"properties": {"Invoice": {"type": "integer"}}}}
    empty_search.indices.create(index="retail_trans-2010.12", body=mapping)
    answer = upsert_to_es.lambda_handler(event([line(1, Invoice="C536379"), line(2)]), Context())
    assert answer == {"batchItemFailures": []}
    (stored,) = store.list()
    letter = store.get(stored)
    assert letter.kind == "refused"
    assert "mapper_parsing_exception" in letter.reason
    assert letter.record_id == f"{1:032x}"
    assert json.loads(letter.data)["Invoice"] == "C536379"


def test_no_time_for_dead_letters_gives_them_back(
    environment: dict[str, str], search: OpenSearch, store: DeadLetterStore
) -> None:
    answer = upsert_to_es.lambda_handler(event([b"no json", b"[]"]), Context(0.1))
    assert len(answer["batchItemFailures"]) == 2
    assert not list(store.list())


def test_a_server_that_comes_back_in_time_gets_its_documents(
    environment: dict[str, str], search: OpenSearch, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = upsert_to_es.handler_for(HandlerSettings.from_env(environment))
    perform = handler.client.transport.perform_request
    faults = [NotReached("N/A", "refused", Exception()), TransportError(503, "unavailable", {})] * 2

    def flaky(*arguments: Any, **named: Any) -> Any:
        if faults:
            raise faults.pop()
        return perform(*arguments, **named)

    monkeypatch.setattr(handler.client.transport, "perform_request", flaky)
    assert upsert_to_es.lambda_handler(event([line(1)]), Context(20)) == {"batchItemFailures": []}
    assert set(in_index(search)) == {f"{1:032x}"}


def test_a_server_that_is_down_gives_all_back(
    environment: dict[str, str], s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ES_HOST", "http://127.0.0.1:9")
    answer = upsert_to_es.lambda_handler(event([line(1), line(2)]), Context(2))
    assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == [
        sequence_number(0),
        sequence_number(1),
    ]


def test_the_notes_variables_suffice(
    search: OpenSearch, search_url: str, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "ES_INDEX",
        "FIELDS",
        "NULLABLE_FIELDS",
        "DEAD_LETTER_BUCKET",
        "ES_TEMPLATE",
        "DATE_FORMATS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ES_HOST", search_url)
    monkeypatch.setenv("REQUIRED_FIELDS", "Invoice,StockCode,Customer_ID")
    monkeypatch.setenv("REGION_NAME", "us-east-1")
    monkeypatch.setenv("DATE_TYPE_FIELDS", "InvoiceDate")
    good, other_date, no_customer = (
        record(1),
        record(2, InvoiceDate="2010-12-01T10:00:00+01:00"),
        record(3, Customer_ID=""),
    )
    batch = event([json.dumps(each).encode() for each in (good, other_date, no_customer)])
    answer = upsert_to_es.lambda_handler(batch, Context())
    upsert_to_es.handler_for.cache_clear()
    assert answer == {"batchItemFailures": [{"itemIdentifier": sequence_number(2)}]}
    search.indices.refresh(index="retail-*")
    hits = search.search(index="retail-2010.12", body={})["hits"]["hits"]
    dates = {hit["_id"]: hit["_source"]["InvoiceDate"] for hit in hits}
    assert dates == {f"{1:032x}": "2010-12-01T08:26:00Z", f"{2:032x}": "2010-12-01T09:00:00Z"}


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({}, "Records"),
        ({"Records": "x"}, "Records"),
        ({"Records": [{}]}, "no Kinesis record"),
        (
            {"Records": [{"eventID": "s:1", "kinesis": {"sequenceNumber": "1", "data": "%%%"}}]},
            "no Kinesis record",
        ),
        ({"Records": [{"s3": {}}]}, "no Kinesis record"),
    ],
)
def test_another_event_is_refused(environment: dict[str, str], s3: Any, broken: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        upsert_to_es.lambda_handler(broken, Context())


def test_an_empty_batch_is_nothing(environment: dict[str, str], s3: Any) -> None:
    assert upsert_to_es.lambda_handler({"Records": []}, Context()) == {"batchItemFailures": []}


@pytest.mark.parametrize("name", ["ES_HOST", "REQUIRED_FIELDS", "REGION_NAME", "DATE_TYPE_FIELDS"])
def test_a_missing_variable_is_named(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(ValueError, match=name):
        upsert_to_es.lambda_handler(event([]), Context())


def test_clients_are_made_once(environment: dict[str, str], search: OpenSearch, s3: Any) -> None:
    for _ in range(3):
        upsert_to_es.lambda_handler(event([line(1)]), Context())
    assert upsert_to_es.handler_for.cache_info().misses == 1


def test_importing_it_needs_neither_dagster_nor_an_environment() -> None:
    code = (
        "import sys, socket\n"
        "def refuse(*a, **k): raise AssertionError('network at import')\n"
        "socket.socket.connect = refuse\n"
        "import retail_analytics.search.upsert_to_es\n"
        "heavy = {'dagster', 'pandas', 'pyathena', 'pyarrow', 'retail_analytics.feeds'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)}, timeout=60
    )


def test_the_kinesis_payload_is_base64(environment: dict[str, str]) -> None:
    (origin,) = upsert_to_es.read_event(event([b"abc"]))
    assert origin.data == base64.b64decode(base64.b64encode(b"abc"))
    assert origin.arrived_at == 1_600_000_000.125


def test_counts_that_do_not_add_up_acknowledge_nothing() -> None:
    Counts(lines=4, created=1, unchanged=1, dead=1, failed=1).check()
    with pytest.raises(RuntimeError, match="4 records were read and 3 accounted for"):
        Counts(lines=4, created=1, unchanged=1, dead=1).check()

"""Schema inference and table layout, without a server."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.embedded.crawler import layout
from retail_analytics.embedded.crawler.schema import (
    Schema,
    UnreadableObjectError,
    holds,
    infer,
    json_type,
    merge_types,
    struct_fields,
)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, "int"),
        (2**31, "bigint"),
        (1.5, "double"),
        (True, "boolean"),
        ("x", "string"),
        (None, ""),
        ([1, 2.5], "array<double>"),
        ([], "array<string>"),
        ({"A": 1, "b": {"c": [True]}}, "struct<a:int,b:struct<c:array<boolean>>>"),
        ({}, "string"),
    ],
)
def test_json_types(value: object, kind: str) -> None:
    assert json_type(value) == kind


TYPES = st.recursive(
    st.sampled_from(["int", "bigint", "double", "string", "boolean", ""]),
    lambda inner: inner.filter(bool).map(lambda kind: f"array<{kind}>"),
)


@given(TYPES, TYPES)
def test_merged_type_holds_both_whatever_their_order(left: str, right: str) -> None:
    merged = merge_types(left, right)
    assert merged == merge_types(right, left)
    for kind in filter(None, (left, right)):
        assert holds(merged, kind)


def test_structs_merge_by_field() -> None:
    merged = merge_types("struct<a:int,b:struct<c:int>>", "struct<b:struct<c:double,d:string>,e:int>")
    assert merged == "struct<a:int,b:struct<c:double,d:string>,e:int>"
    assert struct_fields("struct<a:int,b:struct<c:int,d:int>>") == [
        ("a", "int"),
        ("b", "struct<c:int,d:int>"),
    ]


def test_json_records_without_a_delimiter_gzipped_and_cut_off() -> None:
    assert infer(b'{"a":1}{"a":2.5}').columns == {"a": "double"}
    assert infer(gzip.compress(b'{"A":1}\n')).columns == {"a": "int"}
    assert infer(b'{"a":1}\n{"a":').columns == {"a": "int"}
    assert infer(b'{"a":null}\n{"a":"x"}').columns == {"a": "string"}


def test_csv_with_and_without_a_header() -> None:
    assert infer(b"id|name\n1|x\n2|y\n") == Schema(
        "csv", {"id": "bigint", "name": "string"}, "|", header=True
    )
    assert infer(b"1,x\n2,y\n") == Schema("csv", {"col0": "bigint", "col1": "string"}, ",")


@pytest.mark.parametrize("data", [b"", b"\x00\x01", b"\xff\xfe\x80", b"one column\nonly\n", b"{", b"PAR1x"])
def test_what_cannot_be_read_is_said(data: bytes) -> None:
    with pytest.raises(UnreadableObjectError):
        infer(data)


@pytest.mark.parametrize(
    ("declared", "found", "fits"),
    [
        ("float", "double", True),
        ("decimal(18,4)", "double", True),
        ("timestamp", "string", True),
        ("int", "bigint", False),
        ("bigint", "int", True),
        ("int", "string", False),
        ("varchar(10)", "int", True),
    ],
)
def test_declared_types_hold(declared: str, found: str, fits: bool) -> None:
    assert holds(declared, found) is fits


def folder(path: str, **columns: str) -> layout.Folder:
    return layout.Folder(path, (f"{path}a",), Schema("json", columns))


def test_folders_of_one_schema_are_one_table() -> None:
    found = [folder(f"s3://b/t/d{day}/", a="int", b="string") for day in range(3)]
    (table,) = layout.tables("s3://b/t/", found)
    assert (table.name, table.partition_keys, table.objects) == ("t", ("partition_0",), 3)
    assert [partition.values for partition in table.partitions] == [("d0",), ("d1",), ("d2",)]


def test_folders_of_different_schemas_are_tables_of_their_own() -> None:
    found = [
        folder("s3://b/t/x/", a="int"),
        folder("s3://b/t/y/", z="int"),
        folder("s3://b/t/y/sub/", q="int"),
    ]
    assert {table.path for table in layout.tables("s3://b/t/", found)} == {
        "s3://b/t/x/",
        "s3://b/t/y/",
        "s3://b/t/y/sub/",
    }


def test_names_that_clash_get_a_number() -> None:
    tables = [
        layout.FoundTable("t", path, Schema("json"), (), (), 1) for path in ("s3://b/a/t/", "s3://b/b/t/")
    ]
    assert [name for name, _ in layout.unique_names(tables, {"t": "s3://other/t/"})] == ["t_2", "t_3"]


@pytest.mark.parametrize(
    ("key", "is_hidden"),
    [("r/a", False), ("r/_SUCCESS", True), ("r/.x/a", True), ("r/folder/", True), ("r/_tmp/a", True)],
)
def test_hidden_objects(key: str, is_hidden: bool) -> None:
    assert layout.hidden(key, "r/") is is_hidden

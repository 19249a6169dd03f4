"""Listings: the same as a plain computation over all keys, page by page."""

from __future__ import annotations

import uuid
from itertools import islice

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retail_analytics.embedded.listing import SortedKeys

NAMES = st.text(alphabet="ab/%é", min_size=1, max_size=5)


class Version:
    """What moto keeps for a key, as far as the store asks."""

    def dispose(self) -> None:
        """Let go of the bytes: there are none."""


def plain(names: set[str], prefix: str, delimiter: str, after: str) -> list[str]:
    found = set()
    for name in names:
        if name.startswith(prefix):
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            common = name if cut < 0 else name[: cut + len(delimiter)]
            if after and (
                name <= after or (delimiter and after.endswith(delimiter) and name.startswith(after))
            ):
                continue
            found.add(common)
    return sorted(found)


@given(
    st.lists(st.tuples(NAMES, st.booleans()), max_size=60),
    st.text(alphabet="ab/", max_size=3),
    st.sampled_from(["", "/"]),
    st.one_of(st.just(""), NAMES),
)
def test_a_walk_equals_a_plain_computation(
    changes: list[tuple[str, bool]], prefix: str, delimiter: str, after: str
) -> None:
    keys, names = SortedKeys(), set()
    for count, (name, add) in enumerate(changes):
        if add:
            keys.setlist(name, [Version()])
            names.add(name)
        elif name in names:
            keys.pop(name)
            names.discard(name)
        if count % 7 == 0:
            assert keys.names() == sorted(names)
    assert list(keys.walk(prefix, delimiter, after)) == plain(names, prefix, delimiter, after)


@given(st.sets(NAMES, min_size=1, max_size=40), st.integers(1, 5), st.sampled_from(["", "/"]))
def test_pages_joined_are_the_whole(names: set[str], size: int, delimiter: str) -> None:
    keys = SortedKeys()
    for name in names:
        keys[name] = Version()
    pages: list[str] = []
    while page := list(islice(keys.walk("", delimiter, pages[-1] if pages else ""), size)):
        pages += page
    assert pages == list(keys.walk("", delimiter, ""))


@pytest.mark.parametrize("operation", ["list_objects_v2", "list_objects"])
def test_over_the_wire(embedded_cloud: object, operation: str) -> None:
    s3 = boto3.client("s3")
    bucket = f"list-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    names = [f"p/{day}/ä &<{number}>+" for day in "abc" for number in range(4)] + ["p/", "q", "p/b"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"12345")
    paginator = s3.get_paginator(operation)
    pages = list(paginator.paginate(Bucket=bucket, PaginationConfig={"PageSize": 4}))
    assert [item["Key"] for page in pages for item in page["Contents"]] == sorted(names)
    assert len(pages) == 4
    first = pages[0]["Contents"][0]
    assert (first["Size"], first["StorageClass"]) == (5, "STANDARD")
    assert first["ETag"] == '"827ccb0eea8a706c4c34a16891f84e7b"'
    assert first["LastModified"].tzinfo is not None
    pages = list(
        paginator.paginate(Bucket=bucket, Prefix="p/", Delimiter="/", PaginationConfig={"PageSize": 2})
    )
    assert [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])] == [
        "p/a/",
        "p/b/",
        "p/c/",
    ]
    assert [item["Key"] for page in pages for item in page.get("Contents", [])] == ["p/", "p/b"]
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": name} for name in names[:12]]})
    left = getattr(s3, operation)(Bucket=bucket)
    assert [item["Key"] for item in left["Contents"]] == ["p/", "p/b", "q"]
    assert getattr(s3, operation)(Bucket=bucket, Prefix="zzz").get("Contents") is None


def test_versions_and_delete_markers(embedded_cloud: object) -> None:
    s3 = boto3.client("s3")
    bucket = f"versions-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "b", "b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.delete_object(Bucket=bucket, Key="a")
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["b"]
    versions = s3.list_object_versions(Bucket=bucket)
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (3, 1)

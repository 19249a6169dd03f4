"""Objects of moto's S3, and the folder of local copies that DuckDB reads.

Belongs here: listing a location, copying bytes under it into the cache, putting and deleting results. Does
not belong
here: what the bytes mean (`scan.py`).

A cached object lies in a folder `retail_object=N` of its own, so that DuckDB's `hive_partitioning` tells
rows of different objects apart by a small integer.
"""

from __future__ import annotations

import gzip
import json
import shutil
import threading
import zlib
from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from moto.s3.exceptions import MissingBucket
from moto.s3.models import FakeDeleteMarker, s3_backends

from retail_analytics.embedded.athena.errors import QueryFailedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAX_LINE_BYTES = 32 * 1024 * 1024
OBJECT_FOLDER = "retail_object"
BY_OBJECT = f"hive_partitioning=true, hive_types={{'{OBJECT_FOLDER}': BIGINT}}"
"""How DuckDB's readers learn which object a row is of: from the folder of its copy."""
_HEAD_LINES = 200


def split_url(url: str) -> tuple[str, str]:
    """`s3://bucket/key` as (bucket, key); s3a and s3n are the same store."""
    scheme, _, rest = url.partition("://")
    if scheme not in {"s3", "s3a", "s3n"} or not rest:
        raise QueryFailedError(
            "INVALID_TABLE_PROPERTY", f"'{url}' is not an S3 location: write s3://bucket/prefix/"
        )
    bucket, _, key = rest.partition("/")
    return bucket, key


def folder_of(location: str) -> tuple[str, str]:
    """A location as (bucket, prefix), the prefix empty or closed by a slash."""
    bucket, key = split_url(location)
    return bucket, f"{key.rstrip('/')}/" if key.strip("/") else ""


@dataclass(frozen=True)
class S3Object:
    """An object as a listing found it; size in bytes."""

    bucket: str
    key: str
    etag: str
    size: int

    @property
    def url(self) -> str:
        """The object's s3:// URL, which is what `"$path"` shows."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class CachedObject:
    """A local copy; text is decompressed, has newlines as line ends and is valid UTF-8."""

    ordinal: int
    source: S3Object
    path: Path
    bytes_on_disk: int

    @cached_property
    def parquet_fields(self) -> dict[str, pa.Field]:
        """The Parquet file's columns by their lower-cased names."""
        try:
            schema = pq.read_schema(self.path)
        except (pa.ArrowException, OSError) as error:
            raise QueryFailedError(
                "HIVE_CANNOT_OPEN_SPLIT",
                f"Error opening Hive split {self.source.url}: not a Parquet file ({error})",
            ) from error
        return {field.name.lower(): field for field in schema}

    @cached_property
    def json_keys(self) -> frozenset[str]:
        """Top-level keys of the first lines, as they are written there."""
        return frozenset(key for record in self._head for key in record)

    @cached_property
    def nested_json_keys(self) -> frozenset[tuple[str, str]]:
        """Keys within the first lines' objects, at any depth, each after the top-level key that holds it."""
        return frozenset(
            (top, key) for record in self._head for top, value in record.items() for key in _keys(value)
        )

    @cached_property
    def _head(self) -> list[dict[str, Any]]:
        found = []
        with self.path.open("rb") as lines:
            for line, _ in zip(lines, range(_HEAD_LINES), strict=False):
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if isinstance(record, dict):
                    found.append(record)
        return found


def _keys(value: object) -> Iterator[str]:
    """The keys of an object, and of what it holds."""
    if isinstance(value, dict):
        yield from value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(item)


class ObjectStore:
    """The S3 of one account, with its cache of local copies; safe for threads.

    The cache holds at most `limit_bytes`, except for what the queries of the moment read: those copies are
    pinned.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._cached: OrderedDict[tuple[str, str, str, str], CachedObject] = OrderedDict()
        self._pins: dict[int, int] = {}
        self._bytes = 0
        self._numbers = count(1)

    def clear(self) -> None:
        """Forgets and deletes every copy that no query reads."""
        with self._lock:
            self._evict(0)

    def snapshot(self, account: str, bucket: str) -> BucketSnapshot:
        """The keys of a bucket as they are now."""
        return BucketSnapshot(bucket, _bucket(account, bucket).keys)

    def fetch(self, account: str, objects: Iterable[S3Object], *, text: bool) -> list[CachedObject]:
        """Local copies of `objects`, pinned until `release` is called with them."""
        copies: list[CachedObject] = []
        try:
            for item in objects:
                copies.append(self._fetch(account, item, text=text))  # noqa: PERF401 - what was fetched is released
        except BaseException:
            self.release(copies)
            raise
        return copies

    def release(self, copies: Iterable[CachedObject]) -> None:
        """Lets go of pinned copies; the oldest go when the cache is over its limit."""
        with self._lock:
            for copy in copies:
                left = self._pins[copy.ordinal] - 1
                if left:
                    self._pins[copy.ordinal] = left
                else:
                    del self._pins[copy.ordinal]
            self._evict(self._limit)

    def put(self, account: str, url: str, body: bytes) -> None:
        """Puts an object, with the notifications that a PUT through the API sends."""
        bucket, key = split_url(url)
        _bucket(account, bucket)
        s3_backends[account]["aws"].put_object(bucket, key, body)

    def delete(self, account: str, urls: Iterable[str]) -> None:
        """Deletes objects; one that is gone already is no error."""
        for url in urls:
            bucket, key = split_url(url)
            s3_backends[account]["aws"].delete_object(bucket, key)

    def read(self, account: str, url: str) -> bytes | None:
        """An object's bytes, or None where there is none."""
        bucket, key = split_url(url)
        found = _bucket(account, bucket).keys.get(key)
        return None if found is None or isinstance(found, FakeDeleteMarker) else bytes(found.value)

    def _fetch(self, account: str, item: S3Object, *, text: bool) -> CachedObject:
        identity = (item.bucket, item.key, item.etag, "text" if text else "raw")
        with self._lock:
            if copy := self._cached.get(identity):
                self._cached.move_to_end(identity)
                self._pins[copy.ordinal] = self._pins.get(copy.ordinal, 0) + 1
                return copy
            ordinal = next(self._numbers)
        body = self.read(account, item.url)
        if body is None:
            raise QueryFailedError("HIVE_CANNOT_OPEN_SPLIT", f"{item.url} was deleted while the query ran")
        body = _as_text(item, body) if text else body
        folder = self._folder / f"{OBJECT_FOLDER}={ordinal}"
        folder.mkdir(parents=True)
        path = folder / "object"
        path.write_bytes(body)
        copy = CachedObject(ordinal, item, path, len(body))
        with self._lock:
            self._pins[ordinal] = 1
            self._bytes += len(body)
            # Another query may have cached the same object meanwhile: the newer copy stays known, both get
            # evicted.
            self._cached[
                (*identity[:3], identity[3] if identity not in self._cached else f"{identity[3]} {ordinal}")
            ] = copy
        return copy

    def _evict(self, limit: int) -> None:
        for identity, copy in list(self._cached.items()):
            if self._bytes <= limit:
                return
            if copy.ordinal not in self._pins:
                del self._cached[identity]
                self._bytes -= copy.bytes_on_disk
                shutil.rmtree(copy.path.parent, ignore_errors=True)


class BucketSnapshot:
    """The sorted keys of one bucket, so that a query lists many prefixes at the price of one sort."""

    def __init__(self, bucket: str, keys: Any) -> None:
        self._bucket = bucket
        self._store = keys
        # list(dict) is atomic under the interpreter lock, so that a PUT of the moment does not disturb it.
        self._names = sorted(dict.keys(keys))

    def under(self, prefix: str) -> Iterator[S3Object]:
        """Objects under a prefix that hold data, in the order of their keys; hidden names are left out."""
        for index in range(bisect_left(self._names, prefix), len(self._names)):
            name = self._names[index]
            if not name.startswith(prefix):
                return
            if name.endswith("/") or any(part[:1] in {"_", "."} for part in name[len(prefix) :].split("/")):
                continue
            found = self._store.get(name)
            if found is not None and not isinstance(found, FakeDeleteMarker) and found.size:
                yield S3Object(self._bucket, name, str(found.etag).strip('"'), int(found.size))

    def is_empty(self, prefix: str) -> bool:
        """Whether there is no key at all under a prefix, hidden ones included."""
        at = bisect_left(self._names, prefix)
        return at == len(self._names) or not self._names[at].startswith(prefix)


def _bucket(account: str, bucket: str) -> Any:
    try:
        return s3_backends[account]["aws"].get_bucket(bucket)
    except MissingBucket:
        raise QueryFailedError(
            "HIVE_METASTORE_ERROR",
            f"The S3 bucket '{bucket}' does not exist (Status Code: 404; NoSuchBucket)",
        ) from None


def _as_text(item: S3Object, body: bytes) -> bytes:
    if item.key.endswith((".gz", ".gzip")):
        try:
            body = gzip.decompress(body)
        except (OSError, EOFError, zlib.error) as error:
            raise QueryFailedError(
                "HIVE_CURSOR_ERROR", f"Failed to read gzip file: {item.url} ({error})"
            ) from error
    elif item.key.endswith((".bz2", ".zst", ".snappy", ".lz4", ".deflate")):
        raise QueryFailedError(
            "NOT_SUPPORTED",
            f"the compression of {item.url} is not supported by the embedded Athena: use .gz or none",
        )
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not body.isascii():
        body = body.decode("utf-8", errors="replace").encode()
    return body

"""Lands past transactions in S3 as Firehose would have landed them.

Each record goes under the hour in which it happened, in newline-delimited objects that bear Firehose's
names. The same file makes the same keys with the same bytes, so loading it again changes nothing, and a load
that was interrupted is completed by running it again. Not here: how records are grouped (``hours.py``).
"""

from __future__ import annotations

import json
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from retail_analytics.ingest.errors import InputError, RemoteError
from retail_analytics.ingest.hours import ObjectSizes, group
from retail_analytics.ingest.naming import object_key
from retail_analytics.ingest.records import BadRows, RecordEncoder
from retail_analytics.ingest.remote import code_of, config, explain
from retail_analytics.ingest.rows import digest, open_rows
from retail_analytics.ingest.shift import shift_to, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from retail_analytics.feeds import Feed
    from retail_analytics.ingest.hours import RawObject
    from retail_analytics.settings import Settings

DEFAULT_WORKERS = 8
_DEFAULT_SIZES = ObjectSizes()
_ATTEMPTS = 5


@dataclass(frozen=True)
class Loaded:
    """What a load landed.

    Attributes:
        records: Records, bad rows included.
        objects: Objects.
        bytes: Their bytes.
        hours: Hours that have at least one.
        first_hour: The start of the earliest, aware.
        last_hour: The start of the latest, aware.
        bad_rows: Rows that were landed as they are and that compaction will reject.
        examples: The first few of them, as ``line 17: …``.
        shifted: How far event times were moved.
    """

    records: int
    objects: int
    bytes: int
    hours: int
    first_hour: datetime
    last_hour: datetime
    bad_rows: int
    examples: tuple[str, ...]
    shifted: timedelta


class _Landed(NamedTuple):
    hour: datetime
    records: int
    bytes: int


def s3_client(settings: Settings, workers: int = DEFAULT_WORKERS) -> S3Client:
    """An S3 client for loading: with timeouts, and throttling retried.

    Raises:
        RemoteError: boto3 lacks something, such as a region.
    """
    try:
        return boto3.client("s3", region_name=settings.region, config=config(workers, attempts=_ATTEMPTS))
    except BotoCoreError as error:
        raise explain(error, "connecting to S3", service="s3") from error


def load_history(
    feed: Feed,
    settings: Settings,
    path: Path,
    *,
    client: S3Client,
    shift_to_now: bool = False,
    now: datetime | None = None,
    progress: Callable[[int], None] | None = None,
    sizes: ObjectSizes = _DEFAULT_SIZES,
    workers: int = DEFAULT_WORKERS,
) -> Loaded:
    """Land a CSV file's records as raw hours.

    Memory is bounded whatever the file's size: a few dozen hours are open at a time, and 16 to 32 bytes are
    kept a line to tell twins apart. A row whose time cannot be read goes under the hour of the row before
    it, or the load's own hour where there is none.

    Args:
        feed: Whose records they are.
        settings: Where they go.
        path: The CSV file.
        client: Writes the objects; its retries and timeouts are used as they are.
        shift_to_now: Move the input by whole weeks so that its last event is recent. A file that was loaded
            so before is moved as far as then, whatever the date: see :func:`pinned_shift`.
        now: The load's time, aware; the present where it is not given.
        progress: Told how many records have landed, after each object.
        sizes: How records are cut into objects.
        workers: How many objects are uploaded at a time.

    Raises:
        InputError: The file cannot be used.
        RemoteError: S3 refuses, or does not answer. What was landed stays; run it again to complete it.
    """
    moment = now or datetime.now(UTC)
    shift = timedelta(0)
    if shift_to_now:
        shift = pinned_shift(feed, settings, path, client=client, now=moment)
    bad = BadRows()
    tally = _Tally()
    with open_rows(feed, path) as (layout, rows):
        records = bad.watch(map(RecordEncoder(feed, layout, "json", shift).encode, rows))
        objects = group(records, moment, sizes)
        for landed in _upload(feed, settings.bucket, objects, client, workers):
            tally.add(landed)
            if progress is not None:
                progress(tally.records)
    return Loaded(
        records=tally.records,
        objects=tally.objects,
        bytes=tally.bytes,
        hours=len(tally.hours),
        first_hour=min(tally.hours),
        last_hour=max(tally.hours),
        bad_rows=bad.count,
        examples=tuple(bad.examples),
        shifted=shift,
    )


def pinned_shift(feed: Feed, settings: Settings, path: Path, *, client: S3Client, now: datetime) -> timedelta:
    """How far to move this file: as far as the first time it was loaded into this bucket.

    Without that, loading a file again a week later would land its records a second time, in other hours,
    where no record id could tell that they are the same. The weeks are kept under ``_loads/FEED/`` by the
    file's SHA-256.

    Raises:
        InputError: The file cannot be used.
        RemoteError: S3 refuses, or does not answer.
    """
    shift = shift_to(span(feed, path), now)
    key = f"_loads/{feed.name}/{digest(path)}.json"
    try:
        # If-None-Match makes one of two concurrent first loads the one that decides.
        client.put_object(
            Bucket=settings.bucket,
            Key=key,
            Body=json.dumps({"shift_days": shift.days}).encode(),
            ContentType="application/json",
            IfNoneMatch="*",
        )
    except ClientError as error:
        if code_of(error) not in {"PreconditionFailed", "ConditionalRequestConflict"}:
            raise _explain(error, settings.bucket) from error
    except BotoCoreError as error:
        raise _explain(error, settings.bucket) from error
    else:
        return shift
    try:
        kept: dict[str, Any] = json.loads(client.get_object(Bucket=settings.bucket, Key=key)["Body"].read())
        return timedelta(days=int(kept["shift_days"]))
    except (ClientError, BotoCoreError) as error:
        raise _explain(error, settings.bucket) from error
    except (ValueError, KeyError) as error:
        raise InputError(
            f"s3://{settings.bucket}/{key} does not say how far this file was moved before; delete the "
            "hours that it was loaded into and that object, and load it again."
        ) from error


class _Tally:
    """What has landed so far."""

    def __init__(self) -> None:
        self.records = 0
        self.objects = 0
        self.bytes = 0
        self.hours: set[datetime] = set()

    def add(self, landed: _Landed) -> None:
        """Count an object."""
        self.records += landed.records
        self.objects += 1
        self.bytes += landed.bytes
        self.hours.add(landed.hour)


def _upload(
    feed: Feed, bucket: str, objects: Iterator[RawObject], client: S3Client, workers: int
) -> Iterator[_Landed]:
    """Upload objects, a few at a time; each is told when it has landed."""

    def put(one: RawObject) -> _Landed:
        key = object_key(feed, one.hour, one.oldest, one.content)
        client.put_object(Bucket=bucket, Key=key, Body=one.content)
        return _Landed(one.hour, one.records, len(one.content))

    with ThreadPoolExecutor(workers, thread_name_prefix="land") as pool:
        flights: set[Future[_Landed]] = set()
        try:
            for one in objects:
                flights.add(pool.submit(put, one))
                if len(flights) >= 2 * workers:
                    done, flights = wait(flights, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while flights:
                done, flights = wait(flights, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except (ClientError, BotoCoreError) as error:
            raise _explain(error, bucket) from error
        finally:
            for flight in flights:
                flight.cancel()


def _explain(error: Exception, bucket: str) -> RemoteError:
    return explain(
        error,
        f"landing objects in s3://{bucket}/",
        missing={
            "NoSuchBucket": f"There is no bucket {bucket}; create it, or name the right one in RETAIL_BUCKET."
        },
        service="s3",
    )

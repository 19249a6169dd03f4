"""How fast the producer is beside calls of PutRecords by hand.

Both figures are ratios of records per second over the same records, measured in one run against the Kinesis
endpoint that the environment names. A round of the producer and a round of the other take turns, and the
median of the rounds' ratios counts, so that what else the machine does meanwhile weighs on both alike.
The producer is measured as it is used: from the CSV file on, reading, checking and encoding included, while
the calls by hand are given bytes that are ready. Not here: writing results down.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from retail_analytics.feeds import FEEDS
from retail_analytics.ingest.producer import Options, Producer
from retail_analytics.ingest.remote import config
from retail_analytics.ingest.services import connect
from retail_analytics.ingest.sources import file_records
from retail_analytics.ingest.synthetic import Generator, write_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_kinesis import KinesisClient

    from retail_analytics.ingest.records import Record

_FEED = FEEDS[0]
_SHARDS = 4
_BATCH = 500
_RECORDS = 40_000  # about a month of the real data, so that starting up weighs as it does in use
_RECORDS_ONE_BY_ONE = 500
_ROUNDS = 5
_REGION = "us-east-1"


def producer_to_put_records_loop() -> float:
    """The producer's records per second, divided by those of a bare loop of full PutRecords calls."""

    def loop(client: KinesisClient, stream: str, records: Sequence[Record]) -> None:
        for start in range(0, len(records), _BATCH):
            answer = client.put_records(
                StreamName=stream,
                Records=[
                    {"Data": one.data, "PartitionKey": one.key} for one in records[start : start + _BATCH]
                ],
            )
            if answer["FailedRecordCount"]:
                raise RuntimeError("the endpoint refused records; the rounds would not be comparable")

    return _ratio(_RECORDS, _RECORDS, loop)


def producer_to_one_record_a_call() -> float:
    """The producer's records per second, divided by those of one PutRecord call a record."""

    def loop(client: KinesisClient, stream: str, records: Sequence[Record]) -> None:
        for one in records:
            client.put_record(StreamName=stream, Data=one.data, PartitionKey=one.key)

    return _ratio(_RECORDS, _RECORDS_ONE_BY_ONE, loop)


def _ratio(records: int, by_hand: int, loop: Callable[[KinesisClient, str, Sequence[Record]], None]) -> float:
    """The median over rounds of (producer's records per second) / (the loop's).

    Args:
        records: How many records the producer sends a round.
        by_hand: How many of them the loop sends.
        loop: Sends records by hand.
    """
    client = boto3.client("kinesis", region_name=_REGION, config=config(1))
    ratios = []
    with _csv(records) as path:
        with file_records(_FEED, path) as source:
            ready = list(source)[:by_hand]
        for round_ in range(_ROUNDS + 1):
            with _stream(client) as stream:
                producer_rate = records / _timed(partial(_produce, stream, path))
            with _stream(client) as stream:
                loop_rate = len(ready) / _timed(partial(loop, client, stream, ready))
            if round_:  # the first warms connections and caches up
                ratios.append(producer_rate / loop_rate)
    return statistics.median(ratios)


def _produce(stream: str, path: Path) -> None:
    with file_records(_FEED, path) as records:
        service = connect("kinesis", stream, _REGION, Options().workers)
        sent = Producer(service).send(records)
    if not sent.complete:
        raise RuntimeError(f"the producer did not send everything: {sent}")


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def _csv(records: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-producer-") as folder:
        path = Path(folder) / "transactions.csv"
        write_csv(path, Generator(seed=1).past(records, 23, date(2010, 12, 23)))
        yield path


@contextmanager
def _stream(client: KinesisClient) -> Iterator[str]:
    """A fresh stream, so that no round finds the records of another."""
    name = f"bench-producer-{uuid.uuid4()}"
    client.create_stream(StreamName=name, ShardCount=_SHARDS)
    client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    try:
        yield name
    finally:
        client.delete_stream(StreamName=name, EnforceConsumerDeletion=True)

"""``python -m benchmarks.embedded``: what the embedded cloud costs.

``ctas_to_duckdb``: a CTAS of 60 objects of 1 MB of JSON to Parquet, beside DuckDB alone reading the same
bytes from local files and writing the same columns, in one process and with as much memory; the median of the
rounds' ratios, taken in turns. ``select_1_p50_ms``: ``SELECT 1`` through pyathena, 200 in a row on one
connection. ``idle_mb``: memory of the cloud's processes before anything is put into it.
``firehose_records_per_s``: records through a delivery stream by PutRecordBatch until they are in S3.
``crawl_1000_objects_seconds``: a crawl of 1,000 small JSON objects in 1,000 partitions. All on this machine,
in processes that end.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import duckdb
import psutil
import pyathena

from benchmarks import harness
from retail_analytics.embedded import cloud

BUCKET = "bench"
DATABASE = "bench"
RESULTS = f"s3://{BUCKET}/results/"
OBJECTS = 60
OBJECT_BYTES = 1_000_000
ROUNDS = 5
SELECTS = 200
FIREHOSE_RECORDS = 50_000
FIREHOSE_BATCH = 500
CRAWLED_OBJECTS = 1_000

COLUMNS = {"invoice": "VARCHAR", "quantity": "INTEGER", "price": "DOUBLE", "country": "VARCHAR"}


def main() -> int:
    """Measure, write ``results/embedded.json``, print the figures."""
    with tempfile.TemporaryDirectory(prefix="bench-embedded-") as folder:
        running = cloud.start(Path(folder) / "cloud", die_with_parent=True)
        try:
            with running.applied():
                metrics = measure(running, Path(folder))
        finally:
            running.stop()
    path = harness.write_results("embedded", metrics)
    print(harness.table({name: f"{value:,.2f}" for name, value in metrics.items()}))
    print(f"Written to {path}.")
    return 0


def measure(running: cloud.EmbeddedCloud, folder: Path) -> dict[str, float]:
    """All figures, those that want an empty cloud first."""
    idle = sum(psutil.Process(pid).memory_info().rss for pid in running.pids) / 1024**2
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    boto3.client("glue").create_database(DatabaseInput={"Name": DATABASE})
    return {
        "ctas_to_duckdb": ctas_to_duckdb(folder),
        "select_1_p50_ms": select_1_p50_ms(),
        "idle_mb": idle,
        "firehose_records_per_s": firehose_records_per_s(),
        "crawl_1000_objects_seconds": crawl_1000_objects_seconds(),
    }


def connect() -> Any:
    """A pyathena connection that polls every few milliseconds."""
    return pyathena.connect(s3_staging_dir=RESULTS, schema_name=DATABASE, poll_interval=0.003)


def ctas_to_duckdb(folder: Path) -> float:
    """The CTAS' seconds over DuckDB's, the median of rounds taken in turns."""
    local = folder / "objects"
    local.mkdir()
    _upload({f"json/{number:03}.json": _object(number) for number in range(OBJECTS)}, local)
    with connect() as connection:
        cursor = connection.cursor()
        columns = ", ".join(f"`{name}` {kind}" for name, kind in _athena_columns().items())
        cursor.execute(
            f"CREATE EXTERNAL TABLE {DATABASE}.json ({columns})"
            " ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
            f" LOCATION 's3://{BUCKET}/json/'"
        )
        ratios = []
        for number in range(ROUNDS + 1):
            embedded = _timed(
                lambda number=number: cursor.execute(  # type: ignore[misc]
                    f"CREATE TABLE {DATABASE}.made_{number} WITH (format = 'PARQUET',"  # noqa: S608 - constants
                    " write_compression = 'SNAPPY',"
                    f" external_location = 's3://{BUCKET}/made/{number}/') AS SELECT * FROM {DATABASE}.json"
                )
            )
            alone = _timed(lambda: _duckdb_alone(local, folder / "alone.parquet"))
            ratios.append(embedded / alone)
    return statistics.median(ratios[1:])  # the first warms both


def _duckdb_alone(local: Path, target: Path) -> None:
    with duckdb.connect(config={"memory_limit": "1GB"}) as connection:
        columns = ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items())
        source = f"read_json('{local}/*.json', format='newline_delimited', columns={{{columns}}})"
        connection.execute(
            f"COPY (SELECT * FROM {source}) TO '{target}' (FORMAT parquet, COMPRESSION snappy)"  # noqa: S608
        )


def select_1_p50_ms() -> float:
    """The median of ``SELECT 1``, in milliseconds."""
    with connect() as connection:
        cursor = connection.cursor()
        seconds = [_timed(lambda: cursor.execute("SELECT 1").fetchall()) for _ in range(SELECTS)]
    return statistics.median(seconds) * 1000


def firehose_records_per_s() -> float:
    """Records a second, from the first call until the last record is in S3."""
    firehose = boto3.client("firehose")
    firehose.create_delivery_stream(
        DeliveryStreamName="bench",
        DeliveryStreamType="DirectPut",
        ExtendedS3DestinationConfiguration={
            "RoleARN": "arn:aws:iam::123456789012:role/bench",
            "BucketARN": f"arn:aws:s3:::{BUCKET}",
            "Prefix": "delivered/",
            "BufferingHints": {"IntervalInSeconds": 1, "SizeInMBs": 1},
        },
    )
    line = _object(0)[:250].split(b"\n")[0] + b"\n"
    batch = [{"Data": line}] * FIREHOSE_BATCH

    def put(_: int) -> None:
        answer = firehose.put_record_batch(DeliveryStreamName="bench", Records=batch)
        if answer["FailedPutCount"]:
            raise harness.BenchmarkError(f"Firehose refused {answer['FailedPutCount']} records.")

    def put_all() -> None:
        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(put, range(FIREHOSE_RECORDS // FIREHOSE_BATCH)):
                pass
        wanted = FIREHOSE_RECORDS * len(line)
        harness.wait_until(lambda: _bytes_under("delivered/") >= wanted, 120, "Firehose delivers")

    return FIREHOSE_RECORDS / _timed(put_all)


def crawl_1000_objects_seconds() -> float:
    """Seconds from StartCrawler until the crawler is ready again."""
    glue = boto3.client("glue")
    small = _object(1)[:2_000].rsplit(b"\n", 1)[0] + b"\n"
    _upload({f"crawled/part={number:04}/0.json": small for number in range(CRAWLED_OBJECTS)})
    glue.create_crawler(
        Name="bench",
        Role="arn:aws:iam::123456789012:role/bench",
        DatabaseName=DATABASE,
        Targets={"S3Targets": [{"Path": f"s3://{BUCKET}/crawled/"}]},
    )

    def crawl() -> None:
        glue.start_crawler(Name="bench")
        harness.wait_until(
            lambda: glue.get_crawler(Name="bench")["Crawler"]["State"] == "READY", 120, "the crawler ends"
        )

    seconds = _timed(crawl)
    last = glue.get_crawler(Name="bench")["Crawler"]["LastCrawl"]
    if last["Status"] != "SUCCEEDED":
        raise harness.BenchmarkError(f"The crawl ended {last['Status']}: {last.get('ErrorMessage')}.")
    pages = glue.get_paginator("get_partitions").paginate(DatabaseName=DATABASE, TableName="crawled")
    found = sum(len(page["Partitions"]) for page in pages)
    if found != CRAWLED_OBJECTS:
        raise harness.BenchmarkError(f"The crawl found {found} partitions of {CRAWLED_OBJECTS}.")
    return seconds


def _object(seed: int) -> bytes:
    """A megabyte of JSON lines."""
    lines = []
    size = number = 0
    while size < OBJECT_BYTES:
        record = {
            "invoice": str(536_365 + seed * 10_000 + number),
            "quantity": (number * 7) % 50 - 5,
            "price": (number * 13 % 2_000) / 100,
            "country": ("United Kingdom", "France", "EIRE")[number % 3],
        }
        lines.append(json.dumps(record))
        size += len(lines[-1]) + 1
        number += 1
    return ("\n".join(lines) + "\n").encode()


def _athena_columns() -> dict[str, str]:
    names = {"VARCHAR": "string", "INTEGER": "int", "DOUBLE": "double"}
    return {name: names[kind] for name, kind in COLUMNS.items()}


def _upload(objects: dict[str, bytes], local: Path | None = None) -> None:
    s3 = boto3.client("s3")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda item: s3.put_object(Bucket=BUCKET, Key=item[0], Body=item[1]), objects.items()))
    for key, body in objects.items() if local else ():
        (local / Path(key).name).write_bytes(body)  # type: ignore[operator]


def _bytes_under(prefix: str) -> int:
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return sum(item["Size"] for page in pages for item in page.get("Contents", ()))


def _timed(call: Any) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())

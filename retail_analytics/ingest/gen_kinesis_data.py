"""``gen-kinesis-data``: puts the records of a CSV file, or generated ones, into a stream.

The command line, thin over ``sources`` and ``producer``. Here belong options, messages and exit statuses:
0 where everything was sent, 1 where something was not, 2 for options that do not fit together, 130 after
Ctrl-C. Not here: anything that a Python program would call.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import threading
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from retail_analytics.feeds import FEEDS, get_feed
from retail_analytics.ingest.arguments import rate, whole
from retail_analytics.ingest.errors import IngestError
from retail_analytics.ingest.producer import Options, Producer, Sent
from retail_analytics.ingest.progress import Progress
from retail_analytics.ingest.records import OUT_FORMATS, BadRows
from retail_analytics.ingest.rows import count_lines
from retail_analytics.ingest.services import FIREHOSE_LIMITS, KINESIS_LIMITS, SERVICE_NAMES, connect
from retail_analytics.ingest.shift import shift_to, span
from retail_analytics.ingest.sources import file_records, live_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import FrameType

    from retail_analytics.feeds import Feed
    from retail_analytics.ingest.records import Record

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.shift_to_now and options.input_file is None:
        parser.error("--shift-to-now moves the records of a file; name one with --input-file")
    try:
        return _run(options)
    except IngestError as error:
        print(f"gen-kinesis-data: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gen-kinesis-data: interrupted.", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of --dry-run has seen enough; keep Python from complaining when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gen-kinesis-data",
        description="Put the records of a CSV file into a stream. Without an input file, generate records "
        "at the present time, until --max-count or Ctrl-C.",
        epilog="Exit status: 0 if everything was sent, 1 if something was not, 130 after Ctrl-C. Every "
        "record has an id that stays the same when a file is sent again, so that it counts once downstream.",
    )
    parser.add_argument(
        "-I",
        "--input-file",
        type=Path,
        help="The input file path ex) ./resources/online_retail_II.csv (default: generate records)",
    )
    parser.add_argument("--out-format", choices=OUT_FORMATS, default="json", help="(default: %(default)s)")
    parser.add_argument(
        "--service-name", choices=SERVICE_NAMES, default="kinesis", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--stream-name",
        help="The name of the stream to put the data record into. (default: the feed's)",
    )
    parser.add_argument(
        "--max-count", type=whole(0), help="The max number of records to put. (default: no limit)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="Write the records to standard output and send nothing."
    )
    parser.add_argument("--region-name", help="The AWS region. (default: AWS_REGION, or the profile's)")
    parser.add_argument(
        "--rate", type=rate, help="Records per second, at most. (default: as many as the stream takes)"
    )
    parser.add_argument(
        "--workers", type=whole(1), default=4, help="Batches in flight at a time. (default: %(default)s)"
    )
    parser.add_argument(
        "--shift-to-now",
        action="store_true",
        help="Move timestamps by whole weeks, so that the last one is recent.",
    )
    parser.add_argument(
        "--feed",
        choices=[feed.name for feed in FEEDS],
        default=FEEDS[0].name,
        help="The feed whose columns the file has. (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="Of the generated records. (default: %(default)s)"
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    feed = get_feed(options.feed)
    bad = BadRows()
    with _source(feed, options) as every:
        records = bad.watch(itertools.islice(every, options.max_count))
        status = _dry_run(records, options) if options.dry_run else _send(records, options, feed)
    if bad.count:
        print(
            f"{bad.count:,} rows travel on as they are and will be rejected downstream, such as:",
            *(f"  {example}" for example in bad.examples),
            sep="\n",
            file=sys.stderr,
        )
    return status


def _source(feed: Feed, options: argparse.Namespace) -> AbstractContextManager[Iterator[Record]]:
    if options.input_file is None:
        return nullcontext(live_records(feed, options.seed, out_format=options.out_format))
    shift = timedelta(0)
    if options.shift_to_now:
        shift = shift_to(span(feed, options.input_file), datetime.now(UTC))
    return file_records(feed, options.input_file, options.out_format, shift)


def _dry_run(records: Iterator[Record], options: argparse.Namespace) -> int:
    limits = KINESIS_LIMITS if options.service_name == "kinesis" else FIREHOSE_LIMITS
    count = failed = 0
    for record in records:
        sys.stdout.buffer.write(record.data)
        count += 1
        if len(record.data) > limits.record_bytes:
            failed += 1
            print(f"line {record.line}: {len(record.data):,} bytes are too many", file=sys.stderr)
    sys.stdout.flush()
    print(f"{count:,} records would be sent, {failed:,} of them too large.", file=sys.stderr)
    return 1 if failed else 0


def _send(records: Iterator[Record], options: argparse.Namespace, feed: Feed) -> int:
    stream = options.stream_name or feed.stream
    region = options.region_name or os.environ.get("AWS_REGION")  # botocore reads AWS_DEFAULT_REGION alone
    service = connect(options.service_name, stream, region, options.workers)
    if options.input_file is None:
        print("No --input-file: generating records at the present time; Ctrl-C ends it.", file=sys.stderr)
    with Progress("Sending", _total(options)) as progress:
        producer = Producer(service, Options(workers=options.workers, rate=options.rate), progress=progress)
        with _signals(producer.stop) as caught:
            sent = producer.send(records)
    _report(sent, f"{options.service_name} stream {stream}")
    if sent.interrupted:
        return 128 + (caught[0] if caught else signal.SIGINT)
    return 0 if sent.complete else 1


def _total(options: argparse.Namespace) -> int | None:
    path = options.input_file
    lines = count_lines(path) if path is not None and path.is_file() else None  # a pipe can be read once
    known = [count for count in (lines, options.max_count) if count is not None]
    return min(known) if known else None


def _report(sent: Sent, target: str) -> None:
    speed = sent.sent / sent.seconds if sent.seconds else 0.0
    print(
        f"{sent.sent:,} records ({sent.bytes:,} bytes) sent to the {target} in {sent.batches:,} batches and "
        f"{sent.seconds:.1f} s ({speed:,.0f} records/s); {sent.retried:,} sent again, "
        f"{sent.failed:,} not sent."
    )
    if sent.problem:
        print(f"gen-kinesis-data: {sent.problem}", file=sys.stderr)
    if sent.failures:
        print("Not sent, such as:", *(f"  {one}" for one in sent.failures), sep="\n", file=sys.stderr)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[list[int]]:
    """The first SIGINT or SIGTERM ends sending in order, a second one at once; those that came."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught  # only the main thread may have handlers
        return

    def handle(number: int, _: FrameType | None) -> None:
        caught.append(number)
        for one, before in previous.items():
            signal.signal(one, before)
        stop()

    previous = {one: signal.signal(one, handle) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for one, before in previous.items():
            signal.signal(one, before)


if __name__ == "__main__":
    sys.exit(main())

"""The commands of ``retail-analytics`` that are about input: ``load`` and ``generate``.

Options and messages only. Not here: the work (``history.py``, ``synthetic.py``), and the producer's command
line (``gen_kinesis_data.py``).
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from retail_analytics.feeds import FEEDS, get_feed
from retail_analytics.ingest import synthetic
from retail_analytics.ingest.arguments import whole
from retail_analytics.ingest.errors import IngestError
from retail_analytics.ingest.history import DEFAULT_WORKERS, load_history, s3_client
from retail_analytics.ingest.hours import ObjectSizes
from retail_analytics.ingest.progress import Progress
from retail_analytics.ingest.rows import count_lines
from retail_analytics.settings import Settings, format_hours

if TYPE_CHECKING:
    import argparse

    from retail_analytics.ingest.history import Loaded

_INTERRUPTED = 130
# A Thursday before Christmas. Fixed, so that the same command makes the same file on any day.
_LAST_DAY = date(2010, 12, 23)


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``load`` and ``generate``; each sets ``run``, a function from namespace to exit status."""
    load = subparsers.add_parser(
        "load",
        help="land past transactions of a CSV file in S3, as Firehose would have",
        description="Land the records of a CSV file as raw hours in S3. The same file makes the same "
        "objects: loading it again changes nothing, and completes a load that was interrupted.",
    )
    load.add_argument("-I", "--input-file", type=Path, required=True, help="the CSV file")
    load.add_argument(
        "--shift-to-now",
        action="store_true",
        help="move timestamps by whole weeks, so that the last one is recent; a file that this bucket holds "
        "already is moved as far as it was then",
    )
    load.add_argument("--feed", choices=[feed.name for feed in FEEDS], default=FEEDS[0].name)
    load.add_argument(
        "--objects-per-hour",
        type=whole(1),
        default=ObjectSizes.objects_per_hour,
        help="how many objects an hour is cut into (default: %(default)s)",
    )
    load.add_argument(
        "--workers", type=whole(1), default=DEFAULT_WORKERS, help="uploads at a time (default: %(default)s)"
    )
    load.set_defaults(run=run_load)

    generate = subparsers.add_parser(
        "generate",
        help="write a CSV file of made-up transactions",
        description="Write made-up transactions, shaped like a real retailer's, as a CSV file. The same "
        "options make the same file.",
    )
    generate.add_argument("-O", "--output", type=Path, required=True, help="the CSV file to write")
    generate.add_argument("--records", type=whole(1), default=40_000, help="lines (default: %(default)s)")
    generate.add_argument(
        "--days", type=whole(1), default=23, help="calendar days (default: %(default)s); none has Saturdays"
    )
    generate.add_argument(
        "--last-day", type=date.fromisoformat, default=_LAST_DAY, help="YYYY-MM-DD (default: %(default)s)"
    )
    generate.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    generate.set_defaults(run=run_generate)


def run_load(options: argparse.Namespace) -> int:
    """``retail-analytics load``; its exit status."""
    feed = get_feed(options.feed)
    try:
        settings = Settings.from_env()
        total = count_lines(options.input_file) if options.input_file.is_file() else None
        with Progress("Loading", total) as progress:
            loaded = load_history(
                feed,
                settings,
                options.input_file,
                client=s3_client(settings, options.workers),
                shift_to_now=options.shift_to_now,
                progress=progress,
                sizes=ObjectSizes(objects_per_hour=options.objects_per_hour),
                workers=options.workers,
            )
    except IngestError as error:
        print(f"retail-analytics load: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("retail-analytics load: interrupted; run it again to complete it.", file=sys.stderr)
        return _INTERRUPTED
    print(describe(loaded, settings.bucket))
    print(f"RETAIL_FIRST_HOUR={format_hours({feed.name: loaded.first_hour})}")
    if loaded.bad_rows:
        print(
            f"{loaded.bad_rows:,} rows were landed as they are and will be rejected downstream, such as:",
            *(f"  {example}" for example in loaded.examples),
            sep="\n",
            file=sys.stderr,
        )
    return 0


def describe(loaded: Loaded, bucket: str) -> str:
    """One line on what a load landed."""
    moved = f", moved by {loaded.shifted.days // 7:,} weeks" if loaded.shifted else ""
    return (
        f"{loaded.records:,} records landed in s3://{bucket}/ as {loaded.objects:,} objects "
        f"({loaded.bytes:,} bytes) of {loaded.hours:,} hours, {loaded.first_hour:%Y-%m-%d %H:00} to "
        f"{loaded.last_hour:%Y-%m-%d %H:00} UTC{moved}."
    )


def run_generate(options: argparse.Namespace) -> int:
    """``retail-analytics generate``; its exit status."""
    invoices = synthetic.Generator(options.seed).past(options.records, options.days, options.last_day)
    try:
        count = synthetic.write_csv(options.output, invoices)
    except OSError as error:
        print(
            f"retail-analytics generate: {options.output} cannot be written ({error.strerror}); "
            "name another file with --output.",
            file=sys.stderr,
        )
        return 1
    print(f"{count:,} records written to {options.output}.")
    return 0

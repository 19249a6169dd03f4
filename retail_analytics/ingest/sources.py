"""Where records come from: a file, or the generator.

Here belong the few lines that join reading, moving in time and encoding, for the command lines and for
whoever drives a producer from Python. Not here: any of these three.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from retail_analytics.ingest import synthetic
from retail_analytics.ingest.records import OutFormat, Record, RecordEncoder
from retail_analytics.ingest.rows import Row, layout, open_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from retail_analytics.feeds import Feed

_NO_SHIFT = timedelta(0)


@contextmanager
def file_records(
    feed: Feed, path: Path, out_format: OutFormat = "json", shift: timedelta = _NO_SHIFT
) -> Iterator[Iterator[Record]]:
    """The records of a CSV file, as a stream.

    Raises:
        InputError: The file cannot be used (some of it is only found while iterating).
    """
    with open_rows(feed, path) as (columns, rows):
        yield map(RecordEncoder(feed, columns, out_format, shift).encode, rows)


def live_records(
    feed: Feed,
    seed: int,
    *,
    out_format: OutFormat = "json",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Iterator[Record]:
    """Generated records without end, each invoice at the time at which it is asked for.

    Raises:
        InputError: The feed's columns are not those that the generator has.
    """
    columns = layout(feed, synthetic.HEADER, "the generator of synthetic transactions")
    encoder = RecordEncoder(feed, columns, out_format)
    line = itertools.count(1)
    for invoice in synthetic.Generator(seed).live(now):
        encoder.ids.forget()  # no invoice comes twice, so that memory does not grow with time
        for fields in invoice:
            yield encoder.encode(Row(next(line), fields))

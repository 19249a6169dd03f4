"""Writes rows as records: the bytes that go into the stream or into a raw hour.

A record is one line: JSON with the feed's source keys, or CSV or TSV in the feed's column order; the record
id comes last. Here belongs the shape of a record. Not here: reading files (``rows.py``), the meaning of
single values (``values.py``), ids (``identity.py``), sending (``producer.py``).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from datetime import timedelta
from json.encoder import encode_basestring_ascii as quote
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from retail_analytics.ingest.identity import RecordIds
from retail_analytics.ingest.rows import surplus_name
from retail_analytics.ingest.values import EventTimes, converter, is_numeric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from retail_analytics.feeds import Feed
    from retail_analytics.feeds.declaration import Column
    from retail_analytics.ingest.rows import Layout, Row

OutFormat = Literal["csv", "tsv", "json"]
OUT_FORMATS: tuple[OutFormat, ...] = get_args(OutFormat)
MAX_KEY_CHARACTERS = 256  # of a Kinesis partition key

_NO_SHIFT = timedelta(0)
_LONGEST_REMEMBERED = 200  # characters of a field
_LINE_BREAKS = str.maketrans({"\r": " ", "\n": " "})


class Record(NamedTuple):
    """One record, ready to be sent.

    Attributes:
        line: The number of its line in the input.
        data: Its bytes, UTF-8, with the final line break.
        key: Its Kinesis partition key.
        event_time: When it happened (moved by the shift), aware; None where the row does not say.
        problems: What compaction will reject it for; empty for a good row.
    """

    line: int
    data: bytes
    key: str
    event_time: datetime | None
    problems: tuple[str, ...]


@dataclass
class BadRows:
    """Counts the rows that travel on but will be rejected, and remembers the first few."""

    count: int = 0
    examples: list[str] = field(default_factory=list)
    keep: int = 5

    def watch(self, records: Iterator[Record]) -> Iterator[Record]:
        """Pass records through, counting those with problems."""
        for record in records:
            if record.problems:
                self.count += 1
                if len(self.examples) < self.keep:
                    self.examples.append(f"line {record.line}: {'; '.join(record.problems)}")
            yield record


class RecordEncoder:
    """Turns the rows of one input into records.

    The partition key is the value of the feed's first column (of retail, the invoice): there are far more
    invoices than shards, so they spread evenly, and a consumer of one shard sees a whole invoice. Their
    order within a shard is not promised: PutRecords does not keep it, and event times tell it.

    Args:
        feed: Whose records to write.
        layout: Where its columns stand in a row.
        out_format: How to write them.
        shift: How far to move event times.
    """

    def __init__(
        self, feed: Feed, layout: Layout, out_format: OutFormat = "json", shift: timedelta = _NO_SHIFT
    ) -> None:
        self.ids = RecordIds()
        self._layout = layout
        self._record_id = feed.record_id
        self._key_index = layout.positions[0]
        self._write_field = _json_field if out_format == "json" else _bare_field
        self._write_line = _json_line if out_format == "json" else _delimited_line(out_format)
        time_column = feed.event_time_column
        times = EventTimes(feed.event_time.strptime_format, shift)
        self._cells = tuple(
            _Cells(column, index, self._write_field, times if column is time_column else None)
            for column, index in zip(feed.columns, layout.positions, strict=True)
        )

    def encode(self, row: Row) -> Record:
        """Write one row. Never refuses: what is wrong with it stands in the record's problems."""
        fields = row.fields
        if len(fields) != self._layout.width:
            return self._encode_uneven(row)
        return self._record(row, [cells[fields[cells.index]] for cells in self._cells], ())

    def _encode_uneven(self, row: Row) -> Record:
        """A row that is too short lacks those keys; what is too much travels under names of its own."""
        width = len(row.fields)
        cells = [
            cells[row.fields[cells.index]]
            if cells.index < width
            else _Cell(self._write_field(cells.source, None, plain=False), None, None)
            for cells in self._cells
        ]
        return self._record(row, cells, (f"has {width} fields where the header has {self._layout.width}",))

    def _record(self, row: Row, cells: list[_Cell], problems: tuple[str, ...]) -> Record:
        parts: list[str] = []
        when: datetime | None = None
        for part, problem, time in cells:
            parts.append(part)
            if problem is not None:
                problems = (*problems, problem)
            if time is not None:
                when = time
        fields = row.fields
        if self._layout.extras or problems:
            parts += self._undeclared(fields)
        identity = self.ids.next(fields)
        if self._record_id is not None:
            parts.append(self._write_field(self._record_id, identity, plain=False))
        key = fields[self._key_index] if self._key_index < len(fields) else ""
        return Record(row.line, self._write_line(parts), key[:MAX_KEY_CHARACTERS] or identity, when, problems)

    def _undeclared(self, fields: Sequence[str]) -> Iterator[str]:
        for index, name in self._layout.extras:
            if index < len(fields):
                yield self._write_field(name, fields[index], plain=False)
        for index in range(self._layout.width, len(fields)):
            yield self._write_field(surplus_name(index), fields[index], plain=False)


class _Cell(NamedTuple):
    """What a field becomes: its part of the line, what is wrong with it, and the event time if it is one."""

    part: str
    problem: str | None
    time: datetime | None


class _Cells(dict[str, _Cell]):
    """What the fields of one column become, remembered by their text.

    The values of a table repeat (countries, codes, prices, the minute), and a look-up is ten times cheaper
    than conversion. It forgets everything when it is full, so memory stays within a few hundred kilobytes.
    """

    _CAPACITY = 4096

    def __init__(
        self, column: Column, index: int, write: Callable[..., str], times: EventTimes | None
    ) -> None:
        super().__init__()
        self.index = index
        self.source = column.source
        self._write = write
        self._times = times
        self._convert = converter(column)
        self._numeric = is_numeric(column)
        self._nullable = column.nullable

    def __missing__(self, text: str) -> _Cell:
        if len(self) >= self._CAPACITY:
            self.clear()
        when: datetime | None = None
        if self._times is None:
            value, wrong = self._convert(text)
        else:
            when, value = self._times.read(text)
            wrong = "is no time of the feed's pattern" if when is None else None
        plain = self._numeric and wrong is None
        if self._nullable and not text:
            # An empty text stays one; where a number may be missing, null says so.
            wrong, plain, value = None, self._numeric, "null" if self._numeric else ""
        problem = None if wrong is None else f"{self.source} {wrong}: {_excerpt(text)}"
        cell = _Cell(self._write(self.source, value, plain=plain), problem, when)
        if len(text) <= _LONGEST_REMEMBERED:
            self[text] = cell
        return cell


def _json_field(name: str, value: str | None, *, plain: bool) -> str:
    """A key and its value; of a value that is not there, nothing."""
    # ASCII escapes, so that no reader that splits lines at U+2028 or U+0085 splits a record.
    return "" if value is None else f"{quote(name)}: {value if plain else quote(value)}"


def _json_line(parts: list[str]) -> bytes:
    return f"{{{', '.join(filter(None, parts))}}}\n".encode("ascii")


def _bare_field(_: str, value: str | None, *, plain: bool) -> str:
    # A record is one line: a line break within a field becomes a blank (JSON escapes it instead).
    return "" if value is None or (plain and value == "null") else value.translate(_LINE_BREAKS)


def _delimited_line(out_format: OutFormat) -> Callable[[list[str]], bytes]:
    class Echo:
        """A file that hands back what is written to it."""

        def write(self, text: str) -> str:
            return text

    writer = csv.writer(Echo(), delimiter="\t" if out_format == "tsv" else ",", lineterminator="\n")

    def compose(parts: list[str]) -> bytes:
        line: object = writer.writerow(parts)  # what Echo.write returned
        return str(line).encode("utf-8", "surrogatepass")

    return compose


def _excerpt(text: str, width: int = 40) -> str:
    return repr(text if len(text) <= width else text[: width - 1] + "…")

"""From a record to its document: pure, and the only place that decides id, index and content.

Here belongs what turns one record (a line of the stream, or a row of the compacted table) into the bytes
that the index gets, or into the reason why it never can. The upsert handler and the history indexer both
call it, so that a record makes the same bytes whichever way it came. Not here: reading events, talking to
the index (``bulk.py``), keeping what was refused (``dead_letters.py``). Standard library only: the module
is part of the handler's zip.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from retail_analytics.search.values import (
    RefusedError,
    as_boolean,
    as_decimal,
    as_double,
    as_text,
    as_whole,
    encode_object,
    is_empty,
    json_default,
    parse_date,
    parse_object,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind = Literal["text", "integer", "long", "decimal", "double", "boolean", "date"]

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
"""A larger document is set aside: it would not leave room for itself in a bulk of 5 MB."""

MAX_ID_BYTES = 512
"""OpenSearch's limit for a document id; one longer id fails the whole bulk."""

DEFAULT_DATE_FORMATS = ("%Y-%m-%d %H:%M:%S", "iso8601")
"""What dates look like unless the environment says otherwise; ``iso8601`` is Python's reader of it."""

_RANGES = {"integer": 2**31, "long": 2**63}


@dataclass(frozen=True)
class Field:
    """A declared field of the document.

    Attributes:
        name: The record's key.
        kind: What its value must be.
        precision: Digits in all, for ``decimal``.
        scale: Digits after the point; more are rounded half up, as the lake's cast does.
    """

    name: str
    kind: Kind
    precision: int = 38
    scale: int = 0


@dataclass(frozen=True)
class DocumentRules:
    """What a record must be like, and what becomes of it.

    Attributes:
        index: The alias; a document's index is ``INDEX-YYYY.MM`` by its event month, UTC.
        required: Keys that every record must have, with a value.
        nullable: Those of the required keys for which the key suffices.
        date_fields: Keys that hold dates; the first is the event time and must have a value.
        date_formats: ``strptime`` patterns, or ``iso8601``, tried in order. Dates are UTC unless they say
            otherwise.
        fields: The declared fields. With them a document has exactly these, in this order, typed; without
            them it has what the record has.
        record_id: The key of the producer's id.
    """

    index: str
    required: tuple[str, ...]
    date_fields: tuple[str, ...]
    nullable: frozenset[str] = frozenset()
    date_formats: tuple[str, ...] = DEFAULT_DATE_FORMATS
    fields: tuple[Field, ...] = ()
    record_id: str = "record_id"

    def __post_init__(self) -> None:
        """Refuse rules that could not name an index."""
        if not self.date_fields:
            raise ValueError("no date field is declared; the first one decides a document's index.")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record came from, for failures and dead letters.

    Attributes:
        position: Its place in the stream, ``shardId:sequenceNumber``; the id of a record without one.
        data: The record as it was; None where ``record`` has it.
        sequence_number: Kinesis' number, empty for history.
        arrived_at: ISO 8601, empty for history.
        record: The row, for history, whose text is only made when needed.
    """

    position: str
    data: bytes | None = None
    sequence_number: str = ""
    arrived_at: str = ""
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """What the index gets.

    Attributes:
        id: The record id, or the position in the stream.
        index: The index of its event month.
        source: Its JSON, UTF-8.
        day: Its event day, ``YYYY-MM-DD``, UTC.
        record_id: The producer's id; None where it gave none.
        origin: Where it came from.
        unknown_fields: How many of the record's keys the declaration does not know; they are left out.
    """

    id: str
    index: str
    source: bytes
    day: str
    record_id: str | None
    origin: Origin
    unknown_fields: int = 0


@dataclass(frozen=True, slots=True)
class Invalid:
    """A record that can never become a document.

    Attributes:
        kind: The class of the reason, for counting.
        reason: One sentence.
        id: What the document's id would have been.
        day: Its event day, or None where that cannot be told.
        record_id: The producer's id, if it could be read.
        origin: Where it came from.
    """

    kind: str
    reason: str
    id: str
    day: str | None
    record_id: str | None
    origin: Origin


@dataclass(frozen=True)
class DocumentMaker:
    """Makes documents by one set of rules.

    Attributes:
        rules: The rules.
    """

    rules: DocumentRules
    _converters: tuple[tuple[str, Callable[[Any, str], Any]], ...] = field(init=False, repr=False)
    _known: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Look up each field's converter once."""
        date_fields = dict.fromkeys(self.rules.date_fields, self._date_text)
        converters = tuple((f.name, date_fields.get(f.name) or self._converter(f)) for f in self.rules.fields)
        object.__setattr__(self, "_converters", converters)
        known = {f.name for f in self.rules.fields} | {self.rules.record_id}
        object.__setattr__(self, "_known", frozenset(known))

    def from_line(self, origin: Origin) -> Document | Invalid:
        """The document of one line of the stream, ``origin.data``; its UTF-8 may have any fault."""
        try:
            record = parse_object(origin.data or b"")
        except RefusedError as refusal:
            return Invalid(refusal.kind, refusal.reason, origin.position, None, None, origin)
        return self.from_record(record, origin)

    def from_record(self, record: Mapping[str, Any], origin: Origin) -> Document | Invalid:
        """The document of one record with the feed's source keys; values as JSON or as typed by the lake."""
        record_id: str | None = None
        day: str | None = None
        try:
            record_id = self._record_id(record)
            # The event time first: whatever else is wrong, the dead letter then lies under its day.
            event_time = self._event_time(record)
            day = event_time.date().isoformat()
            self._require(record)
            source = encode_object(self._content(record, record_id))
            _check_size(source)
        except RefusedError as refusal:
            return Invalid(refusal.kind, refusal.reason, record_id or origin.position, day, record_id, origin)
        return Document(
            id=record_id or origin.position,
            index=f"{self.rules.index}-{day[:4]}.{day[5:7]}",
            source=source,
            day=day,
            record_id=record_id,
            origin=origin,
            unknown_fields=len(record.keys() - self._known) if self.rules.fields else 0,
        )

    def raw(self, origin: Origin) -> bytes:
        """The record as it was, or for history as the producer would have written it."""
        if origin.data is not None:
            return origin.data
        return json.dumps(origin.record, default=self._raw_value).encode("ascii")

    def _record_id(self, record: Mapping[str, Any]) -> str | None:
        value = record.get(self.rules.record_id)
        if value is None:
            return None
        text = as_text(value, self.rules.record_id)
        if len(text.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
            raise RefusedError("bad_value", f"{self.rules.record_id} is over {MAX_ID_BYTES} bytes.")
        return text or None

    def _event_time(self, record: Mapping[str, Any]) -> datetime:
        name = self.rules.date_fields[0]
        if is_empty(record.get(name)):
            raise RefusedError("missing_field", f"{name} is missing or empty; it decides the index.")
        return self._date(record[name], name)

    def _require(self, record: Mapping[str, Any]) -> None:
        for name in self.rules.required:
            if name not in record:
                raise RefusedError("missing_field", f"{name} is missing.")
            if name not in self.rules.nullable and is_empty(record[name]):
                raise RefusedError("missing_field", f"{name} is empty.")

    def _content(self, record: Mapping[str, Any], record_id: str | None) -> dict[str, Any]:
        if self._converters:
            content = {name: convert(record.get(name), name) for name, convert in self._converters}
        else:
            content = dict(record)
            for name in self.rules.date_fields:
                content[name] = self._date_text(record.get(name), name)
        content.pop(self.rules.record_id, None)
        if record_id is not None:
            content[self.rules.record_id] = record_id
        return content

    def _converter(self, declared: Field) -> Callable[[Any, str], Any]:
        match declared.kind:
            case "text":
                return as_text
            case "integer" | "long":
                limit = _RANGES[declared.kind]
                return lambda value, name: as_whole(value, name, limit)
            case "decimal":
                precision, scale = declared.precision, declared.scale
                return lambda value, name: as_decimal(value, name, precision, scale)
            case "double":
                return as_double
            case "boolean":
                return as_boolean
            case "date":
                return self._date_text

    def _date(self, value: Any, name: str) -> datetime:
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, str):
            for pattern in self.rules.date_formats:
                parsed = parse_date(value, pattern)
                if parsed is not None:
                    return parsed
        raise RefusedError(
            "bad_date", f"{name} is no date of the form {' or '.join(self.rules.date_formats)}."
        )

    def _date_text(self, value: Any, name: str) -> str | None:
        if is_empty(value):
            return None
        when = self._date(value, name)
        thousandths = when.microsecond // 1000
        return when.isoformat(timespec="milliseconds" if thousandths else "seconds")[:-6] + "Z"

    def _raw_value(self, value: Any) -> Any:
        if isinstance(value, date):  # a datetime is a date as well
            pattern = self.rules.date_formats[0]
            when = self._date(value, "")
            return when.isoformat() if pattern == "iso8601" else when.strftime(pattern)
        return str(value) if isinstance(value, Decimal) and not value.is_finite() else json_default(value)


def _check_size(source: bytes) -> None:
    if len(source) > MAX_DOCUMENT_BYTES:
        raise RefusedError("too_large", f"{len(source)} bytes of document, over {MAX_DOCUMENT_BYTES}.")

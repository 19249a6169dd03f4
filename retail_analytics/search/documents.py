"""From a record to its document: pure, and the only place that decides id, index and content.

Here belongs what turns one record (a line of the stream, or a row of the compacted table) into the bytes
that the index gets, or into the reason why it never can. The upsert handler and the history indexer both
call it, so that a record makes the same bytes whichever way it came. Not here: what a record must be like
(``rules.py``), reading events, talking to the index (``bulk.py``), keeping what was refused
(``dead_letters.py``). Standard library only: the module is part of the handler's zip.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from retail_analytics.search.values import (
    Moment,
    RefusedError,
    as_boolean,
    as_decimal,
    as_double,
    as_text,
    as_whole,
    encode_object,
    encode_scalar,
    encode_text,
    is_empty,
    json_default,
    moment_in,
    moment_of,
    parse_object,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from retail_analytics.search.rules import DocumentRules, Field, Kind

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
"""A larger document is set aside: it would not leave room for itself in a bulk of 5 MB."""

MAX_ID_BYTES = 512
"""OpenSearch's limit for a document id; one longer id fails the whole bulk."""

_RANGES = {"integer": 2**31, "long": 2**63}


# Origins and documents are made for every record, and freezing would double what that costs.
@dataclass(slots=True)
class Origin:
    """Where a record came from, for failures and dead letters.

    Attributes:
        position: Its place in the stream, ``shardId:sequenceNumber``; the id of a record without one.
        data: The record as it was; None where ``record`` has it.
        sequence_number: Kinesis' number, empty for history.
        arrived_at: Seconds since 1970, or ISO 8601; empty for history.
        record: The row, for history, whose text is only made when needed.
    """

    position: str
    data: bytes | None = None
    sequence_number: str = ""
    arrived_at: float | str = ""
    record: Mapping[str, Any] | None = None


@dataclass(slots=True)
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
    _fields: tuple[tuple[str, str, type | None, Callable[[Any, str], Any]], ...] = field(
        init=False, repr=False
    )
    _known: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Look up once what each field's value must be made into, and which type is that already."""
        rules, made = self.rules, []
        for declared in rules.fields:
            kind = "date" if declared.name in rules.date_fields else declared.kind
            if declared.name != rules.record_id:  # it comes last, and only where it has a value
                as_it_is = str if kind == "text" else None
                key = f"{encode_basestring(declared.name)}:"
                made.append((key, declared.name, as_it_is, self._converter(kind, declared)))
        object.__setattr__(self, "_fields", tuple(made))
        known = {declared.name for declared in rules.fields} | {rules.record_id}
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
            day = self._event_time(record).day
            self._require(record)
            source = self._source(record, record_id)
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

    def _event_time(self, record: Mapping[str, Any]) -> Moment:
        name = self.rules.date_fields[0]
        if is_empty(record.get(name)):
            raise RefusedError("missing_field", f"{name} is missing or empty; it decides the index.")
        return self._date(record[name], name)

    def _require(self, record: Mapping[str, Any]) -> None:
        for name in self.rules.required:
            if name not in record:
                raise RefusedError("missing_field", f"{name} is missing.")
            value = record[name]
            if not value and is_empty(value) and name not in self.rules.nullable:
                raise RefusedError("missing_field", f"{name} is empty.")

    def _source(self, record: Mapping[str, Any], record_id: str | None) -> bytes:
        """The document: the declared fields in their order, or all that the record has."""
        if not self._fields:
            return encode_object(self._undeclared(record, record_id))
        get = record.get
        parts = []
        for key, name, as_it_is, convert in self._fields:
            value: Any = get(name)
            if type(value) is not as_it_is:
                value = convert(value, name)
            text = encode_basestring(value) if type(value) is str else encode_scalar(value)
            parts.append(key + text)
        if record_id is not None:
            parts.append(f"{encode_basestring(self.rules.record_id)}:{encode_basestring(record_id)}")
        return encode_text(f"{{{','.join(parts)}}}")

    def _undeclared(self, record: Mapping[str, Any], record_id: str | None) -> dict[str, Any]:
        content = dict(record)
        for name in self.rules.date_fields:
            content[name] = self._date_text(record.get(name), name)
        content.pop(self.rules.record_id, None)
        if record_id is not None:
            content[self.rules.record_id] = record_id
        return content

    def _converter(self, kind: Kind, declared: Field) -> Callable[[Any, str], Any]:
        match kind:
            case "text":
                return as_text
            case "integer" | "long":
                limit = _RANGES[kind]
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

    def _date(self, value: Any, name: str) -> Moment:
        if isinstance(value, str):
            found = moment_in(value, self.rules.date_formats)
        else:
            found = moment_of(value) if isinstance(value, date) else None  # a datetime is a date as well
        if found is None:
            forms = " or ".join(self.rules.date_formats)
            raise RefusedError("bad_date", f"{name} is no date of the form {forms}.")
        return found

    def _date_text(self, value: Any, name: str) -> str | None:
        return None if is_empty(value) else self._date(value, name).text

    def _raw_value(self, value: Any) -> Any:
        if isinstance(value, date):
            pattern = self.rules.date_formats[0]
            when = moment_of(value).when
            return when.isoformat() if pattern == "iso8601" else when.strftime(pattern)
        return str(value) if isinstance(value, Decimal) and not value.is_finite() else json_default(value)


def _check_size(source: bytes) -> None:
    if len(source) > MAX_DOCUMENT_BYTES:
        raise RefusedError("too_large", f"{len(source)} bytes of document, over {MAX_DOCUMENT_BYTES}.")

"""What an object holds: its format and columns, inferred as Glue's built-in classifiers do.

Pure functions of bytes. JSON lines (or one document), delimited text with or without a header, Parquet; any
of them gzipped. Here also what it means for two schemas to be alike and how they are merged. Not here: which
objects form a table (``layout.py``).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Format = Literal["json", "csv", "parquet"]

SAMPLE_BYTES = 1024 * 1024
SAMPLE_RECORDS = 500
SIMILARITY = 0.7
_DELIMITERS = ",|\t;"
_INT_MAX = 2**31 - 1
_NUMERIC = ("int", "bigint", "float", "double")
_INTEGER_TEXT = re.compile(r"[+-]?\d{1,18}\Z")
_DOUBLE_TEXT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")
_MAX_HEADER_CHARACTERS = 150


class UnreadableObjectError(ValueError):
    """An object's bytes are of no known format; the message says what was tried."""


@dataclass(frozen=True)
class Schema:
    """Format and columns.

    Attributes:
        format: The format.
        columns: Column name (lower case) to Hive type, in order.
        delimiter: Of delimited text.
        header: Whether delimited text begins with a header line.
    """

    format: Format
    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ""
    header: bool = False

    def like(self, other: Schema) -> bool:
        """Whether both could be one table: same format, and most column names in common."""
        if (self.format, self.delimiter, self.header) != (other.format, other.delimiter, other.header):
            return False
        mine, yours = set(self.columns), set(other.columns)
        return len(mine & yours) >= SIMILARITY * len(mine | yours)

    def merged(self, other: Schema) -> Schema:
        """Both schemas' columns, with types that hold the values of both."""
        columns = dict(self.columns)
        for name, kind in other.columns.items():
            columns[name] = merge_types(columns[name], kind) if name in columns else kind
        return Schema(self.format, columns, self.delimiter, self.header)


def infer(data: bytes) -> Schema:
    """Infer what an object's bytes hold, from its first records.

    Raises:
        UnreadableObjectError: They are of no known format.
    """
    if data[:4] == b"PAR1":
        return _infer_parquet(data)
    text = _text(data)
    stripped = text.lstrip()
    if stripped[:1] in {"{", "["}:
        return _infer_json(stripped)
    return _infer_csv(text)


def _text(data: bytes) -> str:
    whole = len(data) <= SAMPLE_BYTES
    if data[:2] == b"\x1f\x8b":
        data, whole = _gunzip_start(data)
    try:
        text = data[:SAMPLE_BYTES].decode("utf-8-sig", errors="strict" if whole else "ignore")
    except UnicodeDecodeError as error:
        raise UnreadableObjectError("neither Parquet nor UTF-8 text") from error
    if "\x00" in text:
        raise UnreadableObjectError("neither Parquet nor text")
    return text if whole else text[: text.rfind("\n") + 1] or text


def _gunzip_start(data: bytes) -> tuple[bytes, bool]:
    try:
        with gzip.open(io.BytesIO(data)) as file:
            start = file.read(SAMPLE_BYTES)
            return start, not file.read(1)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableObjectError(f"damaged gzip: {error}") from error


def _infer_json(text: str) -> Schema:
    columns: dict[str, str] = {}
    for record in islice(_json_records(text), SAMPLE_RECORDS):
        if not isinstance(record, dict):
            raise UnreadableObjectError("JSON, but not objects")
        for name, value in record.items():
            kind = json_type(value)
            key = name.lower()
            columns[key] = merge_types(columns.get(key, ""), kind)
    if not columns:
        raise UnreadableObjectError("JSON without a key")
    return Schema("json", {name: kind or "string" for name, kind in columns.items()})


def _json_records(text: str) -> Iterable[Any]:
    decoder = json.JSONDecoder()
    position = 0
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except ValueError as error:
            if position:
                # A record that is cut off or spoilt does not hide those before it.
                return
            raise UnreadableObjectError(f"begins like JSON, but: {error}") from error
        yield {"array": value} if isinstance(value, list) else value
        while position < len(text) and text[position].isspace():
            position += 1


def json_type(value: Any) -> str:
    """The Hive type of a JSON value; empty for null, which says nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "int" if abs(value) <= _INT_MAX else "bigint"
    if isinstance(value, float):
        return "double"
    if isinstance(value, dict):
        fields = ",".join(f"{name.lower()}:{json_type(item) or 'string'}" for name, item in value.items())
        return f"struct<{fields}>" if fields else "string"
    if isinstance(value, list):
        kind = ""
        for item in value:
            kind = merge_types(kind, json_type(item))
        return f"array<{kind or 'string'}>"
    return "string"


def merge_types(left: str, right: str) -> str:
    """The narrowest type that holds the values of both; empty means nothing is known yet."""
    if not left or not right or left == right:
        return left or right
    if left in _NUMERIC and right in _NUMERIC:
        return max(left, right, key=_NUMERIC.index)
    if left.startswith("array<") and right.startswith("array<"):
        return f"array<{merge_types(left[6:-1], right[6:-1])}>"
    if left.startswith("struct<") and right.startswith("struct<"):
        fields = dict(struct_fields(left))
        for name, kind in struct_fields(right):
            fields[name] = merge_types(fields.get(name, ""), kind)
        return f"struct<{','.join(f'{name}:{kind}' for name, kind in fields.items())}>"
    return "string"


def struct_fields(kind: str) -> list[tuple[str, str]]:
    """The fields of ``struct<a:int,b:array<string>>``."""
    fields = []
    depth = 0
    part = ""
    for character in kind[len("struct<") : -1] + ",":
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            name, _, inner = part.partition(":")
            fields.append((name, inner))
            part = ""
        else:
            part += character
    return fields


def holds(declared: str, found: str) -> bool:
    """Whether a column declared so can hold what was found."""
    base = declared.split("(", maxsplit=1)[0]
    if declared == found or base in {"string", "varchar", "char"}:
        return True
    if base == "decimal":
        return found in _NUMERIC
    # Text in JSON is how these are written; whether it parses is for the query to say.
    if base in {"timestamp", "date"} and found == "string":
        return True
    if base == "float" and found == "double":
        return True
    return merge_types(declared, found) == declared


def _infer_csv(text: str) -> Schema:
    lines = [line for line in text.splitlines() if line.strip()][: SAMPLE_RECORDS + 1]
    if not lines:
        raise UnreadableObjectError("empty")
    delimiter = _delimiter(lines)
    if not delimiter:
        raise UnreadableObjectError(f"text without a common delimiter out of {_DELIMITERS!r}")
    rows = list(csv.reader(lines, delimiter=delimiter))
    width = len(rows[0])
    body = [row for row in rows[1:] if len(row) == width]
    kinds = [_text_kind(column) for column in zip(*body, strict=True)] if body else []
    header = _is_header(rows[0], kinds)
    if header:
        return Schema(
            "csv", dict(zip(map(_column_name, rows[0]), kinds, strict=True)), delimiter, header=True
        )
    kinds = [_text_kind(column) for column in zip(rows[0], *body, strict=True)]
    return Schema("csv", {f"col{index}": kind for index, kind in enumerate(kinds)}, delimiter)


def _delimiter(lines: Sequence[str]) -> str:
    def columns(delimiter: str) -> int:
        widths = [len(row) for row in csv.reader(lines[:20], delimiter=delimiter)]
        return widths[0] if widths and min(widths) == max(widths) else 1

    best = max(_DELIMITERS, key=columns)
    return best if columns(best) > 1 else ""


def _is_header(first: Sequence[str], kinds: Sequence[str]) -> bool:
    names = [name.strip() for name in first]
    return (
        bool(kinds)
        and any(kind != "string" for kind in kinds)
        and len(set(names)) == len(names)
        and all(
            name and len(name) <= _MAX_HEADER_CHARACTERS and not _DOUBLE_TEXT.match(name) for name in names
        )
    )


def _column_name(text: str) -> str:
    return text.strip().lower()


def _text_kind(values: Iterable[str]) -> str:
    kind = ""
    for value in map(str.strip, values):
        if not value:
            continue
        if _INTEGER_TEXT.match(value):
            found = "bigint"
        elif _DOUBLE_TEXT.match(value):
            found = "double"
        else:
            return "string"
        kind = merge_types(kind, found)
    return kind or "string"


def _infer_parquet(data: bytes) -> Schema:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(io.BytesIO(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableObjectError(f"damaged Parquet: {error}") from error
    return Schema("parquet", {column.name.lower(): arrow_type(column.type) for column in schema})


def arrow_type(kind: Any) -> str:
    """The Hive type of an Arrow type."""
    from pyarrow import types

    if types.is_struct(kind):
        return f"struct<{','.join(f'{part.name.lower()}:{arrow_type(part.type)}' for part in kind)}>"
    if types.is_list(kind) or types.is_large_list(kind):
        return f"array<{arrow_type(kind.value_type)}>"
    if types.is_map(kind):
        return f"map<{arrow_type(kind.key_type)},{arrow_type(kind.item_type)}>"
    if types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if types.is_timestamp(kind):
        return "timestamp"
    names = {
        "bool": "boolean",
        "int8": "tinyint",
        "uint8": "smallint",
        "int16": "smallint",
        "uint16": "int",
        "int32": "int",
        "uint32": "bigint",
        "int64": "bigint",
        "uint64": "bigint",
        "float": "float",
        "double": "double",
        "date32[day]": "date",
        "binary": "binary",
        "large_binary": "binary",
    }
    return names.get(str(kind), "string")

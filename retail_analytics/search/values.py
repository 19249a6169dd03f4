"""A record's values in the form that the index gets them: one form for one value, whoever brings it.

Here belong the conversions of single values, from JSON or from the lake's types. Not here: which fields a
document has (``documents.py``). Standard library only; part of the handler's zip.

Numbers: a decimal is written as the shortest number that reads back as exactly it, and mapped as
``double``. That is more exact for a reader than ``scaled_float``: fifteen significant digits survive a
double, while ``scaled_float`` multiplies a long by an inexact factor, so that aggregating one price of
2.55 answers 2.5500000000000003. A decimal that no double holds goes as text, which the index coerces.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, DecimalException, localcontext
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}\Z")
# Decimal itself would read 1_000 and NaN as well.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,9})?\Z")
_PLAIN_SECONDS = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\Z")
# Beyond this exponent a number is noise, and writing it out could take all memory.
_MAX_EXPONENT = 300


class RefusedError(Exception):
    """A record can never become a document.

    Attributes:
        kind: The class of the reason.
        reason: One sentence.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def is_empty(value: Any) -> bool:
    """Whether a required field would be missing its value. A blank is a value, as it is in the lake."""
    return value is None or value == ""


def as_text(value: Any, name: str) -> str:
    """Text as it is; a number as written; nothing as ``""``, as the producer writes it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    raise RefusedError("bad_value", f"{name} is {_a(value)}, not text.")


def as_whole(value: Any, name: str, limit: int) -> int | None:
    """A whole number in [-limit, limit), also from text; nothing as None."""
    if is_empty(value):
        return None
    if isinstance(value, str) and _WHOLE.match(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RefusedError("bad_value", f"{name} is no whole number.")
    if not -limit <= value < limit:
        raise RefusedError("bad_value", f"{name} is beyond the range of a whole number there.")
    return value


def as_decimal(value: Any, name: str, precision: int, scale: int) -> float | str | None:
    """A decimal, also from text, rounded half up as the lake's cast does; nothing as None."""
    if type(value) is Decimal and value.is_finite():
        return _rounded(value, name, precision, scale)
    number = _to_decimal(value, name)
    return None if number is None else _rounded(number, name, precision, scale)


@functools.lru_cache(maxsize=4096)
def _rounded(number: Decimal, name: str, precision: int, scale: int) -> float | str:
    # Prices repeat, and rounding one costs more than the rest of its document.
    if number.is_finite() and number.adjusted() <= _MAX_EXPONENT:
        with localcontext(prec=_MAX_EXPONENT * 2):
            number = number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
        if number and number.adjusted() >= precision - scale:
            raise RefusedError("bad_value", f"{name} is beyond the range of decimal({precision},{scale}).")
    return as_number(number, name)


def as_double(value: Any, name: str) -> float | str | None:
    """A number, also from text; nothing as None."""
    number = _to_decimal(value, name)
    return None if number is None else as_number(number, name)


def _to_decimal(value: Any, name: str) -> Decimal | None:
    if is_empty(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise RefusedError("bad_value", f"{name} is {_a(value)}, not a number.")
    if isinstance(value, str) and not _NUMBER.match(value):
        raise RefusedError("bad_value", f"{name} is no number.")
    return Decimal(repr(value) if isinstance(value, float) else value)


def as_number(number: Decimal, name: str) -> float | str:
    """The double that reads back as exactly this number, or its text where there is none."""
    if not number.is_finite() or number.adjusted() > _MAX_EXPONENT:
        raise RefusedError("bad_value", f"{name} is not a finite number.")
    nearest = float(number)
    if Decimal(repr(nearest)) == number:
        return nearest + 0.0  # adding zero turns -0.0, which no lake keeps, into 0.0
    return str(number)


def as_boolean(value: Any, name: str) -> bool | None:
    """True or false, also from text; nothing as None."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", ""):
        return value.lower() == "true" if value else None
    raise RefusedError("bad_value", f"{name} is neither true nor false.")


def _a(value: Any) -> str:
    return {dict: "an object", list: "a list", bool: "true or false"}.get(type(value), type(value).__name__)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, in the forms that a document needs.

    Attributes:
        when: Itself, UTC.
        text: ISO 8601, to the millisecond where it has any.
        day: Its day, ``YYYY-MM-DD``, UTC.
    """

    when: datetime
    text: str
    day: str


def moment_of(value: date) -> Moment:
    """The moment of a date or time of the lake's; UTC where it names no zone."""
    if not isinstance(value, datetime):
        when = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        when = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    text = when.isoformat(timespec="milliseconds" if when.microsecond >= 1000 else "seconds")
    return Moment(when, f"{text[:-6]}Z", text[:10])


# Records that come together are of the same few seconds.
@functools.lru_cache(maxsize=4096)
def moment_in(text: str, patterns: tuple[str, ...]) -> Moment | None:
    """The moment that the text says by the first pattern that it matches, or None.

    Args:
        text: Of UTC unless it says otherwise.
        patterns: Of ``strptime``, or ``iso8601``.
    """
    for pattern in patterns:
        try:
            if pattern == "iso8601" or (pattern == "%Y-%m-%d %H:%M:%S" and _PLAIN_SECONDS.match(text)):
                return moment_of(datetime.fromisoformat(text))  # ten times as fast as strptime
            return moment_of(datetime.strptime(text, pattern))  # noqa: DTZ007 made aware there
        except (ValueError, OverflowError):
            continue
    return None


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object that the bytes are, its fractions exact.

    Raises:
        RefusedError: They are none.
    """
    try:
        text = data.decode("utf-8")
        if text.startswith("\ufeff"):
            raise RefusedError("not_json", "not JSON: it begins with a byte order mark (BOM).")
        record = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise RefusedError("not_utf8", f"not UTF-8: byte {error.start} of {len(data)}.") from error
    except RecursionError as error:
        raise RefusedError("not_json", "nested too deeply to read.") from error
    except (ValueError, DecimalException) as error:
        detail = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise RefusedError("not_json", f"not JSON: {detail[:200]}") from error
    if not isinstance(record, dict):
        raise RefusedError("not_object", f"a JSON {type(record).__name__}, not an object.")
    return record


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def encode_object(content: Mapping[str, Any]) -> bytes:
    """The JSON of an object, compact, UTF-8.

    Raises:
        RefusedError: It has no such form.
    """
    try:
        return encode_text(_ENCODER.encode(content))
    except RecursionError as error:
        raise RefusedError("not_json", "nested too deeply to write.") from error


def encode_scalar(value: float | str | None) -> str:
    """The JSON of what a field's value was made into; a third of what ``json.dumps`` costs."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def encode_text(text: str) -> bytes:
    """The text in UTF-8.

    Raises:
        RefusedError: It has no such form.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RefusedError("not_utf8", "holds half of a surrogate pair, which is no text.") from error


def json_default(value: Any) -> Any:
    """What ``json`` calls for a value that it does not know: a decimal becomes a number.

    Raises:
        RefusedError: The decimal is no finite number.
        TypeError: The value has no JSON form.
    """
    if isinstance(value, Decimal):
        return as_number(value, "a number")
    raise TypeError(f"{type(value).__name__} has no JSON form")


# Made once: json.loads and json.dumps make one a call where anything is not the default.
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)
_ENCODER = json.JSONEncoder(default=json_default, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

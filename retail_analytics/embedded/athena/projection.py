"""Partition projection: partitions that are computed from the table's properties, not read from the catalog.

Belongs here: the types integer, date and enum. The type injected is refused.
"""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from retail_analytics.embedded.athena.catalog import Partition
from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported
from retail_analytics.embedded.athena.formats import joda_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from retail_analytics.embedded.athena.catalog import Column, Table

_MOST = 1_000_000
_NOW = re.compile(r"NOW\s*(?:([+-])\s*(\d+)\s*([A-Z]+?)S?)?$", re.IGNORECASE)
_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400, "WEEK": 604800}
_MONTHS = {"MONTH": 1, "YEAR": 12}


def is_projected(table: Table) -> bool:
    """Whether the table's partitions are computed."""
    return table.parameters.get("projection.enabled", "false").strip().lower() == "true"


def projected_partitions(table: Table) -> list[Partition]:
    """Every partition that the table's properties describe, whether it has objects or not."""
    values = [_values(table, key) for key in table.keys]
    size = 1
    for choices in values:
        size *= len(choices)
    if size > _MOST:
        raise not_supported(f"projecting {size:,} partitions of {table.full_name} (more than {_MOST:,})")
    return [
        Partition(combination, _location(table, combination)) for combination in itertools.product(*values)
    ]


def _location(table: Table, values: tuple[str, ...]) -> str:
    template = table.parameters.get("storage.location.template")
    if template is None:
        path = "/".join(f"{key.name}={value}" for key, value in zip(table.keys, values, strict=True))
        return f"{table.location.rstrip('/')}/{path}/"
    for key, value in zip(table.keys, values, strict=True):
        template = template.replace(f"${{{key.name}}}", value)
    return template


def _values(table: Table, key: Column) -> list[str]:
    prefix = f"projection.{key.name}."
    found = {k.removeprefix(prefix): v for k, v in table.parameters.items() if k.startswith(prefix)}
    kind = found.get("type", "").lower()
    try:
        if kind == "integer":
            return _integers(found)
        if kind == "date":
            return list(_dates(found))
        if kind == "enum":
            return [value.strip() for value in found["values"].split(",")]
    except (KeyError, ValueError) as error:
        raise QueryFailedError(
            "INVALID_TABLE_PROPERTY",
            f"The projection of column {key.name} of {table.full_name} is not valid: {error}",
        ) from error
    raise not_supported(f"the projection type '{kind}' of column {key.name} of {table.full_name}")


def _integers(found: Mapping[str, str]) -> list[str]:
    first, last = (int(part) for part in found["range"].split(","))
    digits = int(found.get("digits", "0"))
    return [f"{number:0{digits}d}" for number in range(first, last + 1, int(found.get("interval", "1")))]


def _dates(found: Mapping[str, str]) -> Iterator[str]:
    pattern = joda_pattern(found["format"], "partition projection")
    first, last = (_moment(part.strip(), pattern) for part in found["range"].split(","))
    step = int(found.get("interval", "1"))
    unit = found.get("interval.unit", _finest(pattern)).upper().removesuffix("S")
    at = first
    for index in itertools.count(1):
        if at > last:
            return
        yield at.strftime(pattern)
        if unit in _MONTHS:
            at = _months_later(first, index * step * _MONTHS[unit])
        else:
            at = first + timedelta(seconds=index * step * _SECONDS[unit])


def _finest(pattern: str) -> str:
    for mark, unit in (("S", "SECOND"), ("M", "MINUTE"), ("H", "HOUR"), ("d", "DAY"), ("m", "MONTH")):
        if re.search(rf"%-?{mark}", pattern):
            return unit
    return "YEAR"


def _moment(text: str, pattern: str) -> datetime:
    relative = _NOW.fullmatch(text)
    if relative is None:
        return datetime.strptime(text, pattern.replace("%-", "%")).replace(tzinfo=UTC)
    now = datetime.now(UTC)
    sign, count, unit = relative.groups()
    if count is None:
        return now
    amount = int(count) * (-1 if sign == "-" else 1)
    unit = unit.upper()
    return (
        _months_later(now, amount * _MONTHS[unit])
        if unit in _MONTHS
        else now + timedelta(seconds=amount * _SECONDS[unit])
    )


def _months_later(start: datetime, months: int) -> datetime:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    for day in range(start.day, 27, -1):
        try:
            return start.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue
    return start.replace(year=year, month=month + 1, day=min(start.day, 28))

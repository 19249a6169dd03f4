"""Partitions in the Glue catalog: read, put and dropped in batches, every item's error read.

Glue's batches are not atomic: each answers with the items that failed. Here they end done or as one
:class:`CatalogError` that names them. Not here: which partitions there should be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import (
        PartitionInputTypeDef,
        PartitionTypeDef,
        PartitionValueListTypeDef,
    )

    from retail_analytics.lake.tables import Table

# Glue's limits of items a call.
_GET, _CREATE, _UPDATE, _DELETE = 1000, 100, 100, 25

_ALREADY_THERE = "AlreadyExistsException"
_NOT_THERE = "EntityNotFoundException"

Values = tuple[str, ...]
T = TypeVar("T")


class CatalogError(RuntimeError):
    """Glue refused some partitions of a batch; the message names them and its reasons."""


@dataclass(frozen=True)
class Partition:
    """A partition: its values, where its objects lie, and what is noted on it."""

    values: Values
    location: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Catalog:
    """The partitions of one database, through a Glue client."""

    glue: GlueClient
    database: str

    def get(self, table: Table, wanted: Iterable[Values]) -> dict[Values, Partition]:
        """Those of the wanted partitions that exist: one call for each thousand."""
        found: dict[Values, Partition] = {}
        for chunk in chunks(sorted(set(wanted)), _GET):
            left: list[PartitionValueListTypeDef] = [{"Values": list(values)} for values in chunk]
            while left:
                answer = self.glue.batch_get_partition(
                    DatabaseName=self.database, TableName=table.name, PartitionsToGet=left
                )
                found |= {partition.values: partition for partition in map(_from_glue, answer["Partitions"])}
                left = [{"Values": list(key["Values"])} for key in answer.get("UnprocessedKeys", ())]
        return found

    def matching(self, table: Table, expression: str) -> Iterator[Partition]:
        """The partitions that a Glue expression is true of, page by page."""
        pages = self.glue.get_paginator("get_partitions").paginate(
            DatabaseName=self.database, TableName=table.name, Expression=expression, ExcludeColumnSchema=True
        )
        for page in pages:
            yield from map(_from_glue, page["Partitions"])

    def every(self, table: Table) -> Iterator[Partition]:
        """All partitions of a table, page by page: costs history, for the sweep only."""
        pages = self.glue.get_paginator("get_partitions").paginate(
            DatabaseName=self.database, TableName=table.name, ExcludeColumnSchema=True
        )
        for page in pages:
            yield from map(_from_glue, page["Partitions"])

    def put(self, table: Table, partitions: Sequence[Partition], existing: Iterable[Values]) -> None:
        """Create the partitions, or point those that exist at their new place.

        One call for each hundred new ones and one for each hundred replaced ones; a partition is never
        dropped and made again, so that a reader finds the old one or the new one.

        Args:
            table: Their table.
            partitions: The partitions as they shall be.
            existing: Values of those that are known to exist. One that another writer has made
                meanwhile is updated all the same.

        Raises:
            CatalogError: Glue refused some of them; the others are done.
        """
        known = set(existing)
        replaced = [partition for partition in partitions if partition.values in known]
        new = [partition for partition in partitions if partition.values not in known]
        replaced += self._create(table, new)
        self._update(table, replaced)

    def ensure(self, table: Table, partitions: Sequence[Partition]) -> None:
        """Create those of the partitions that are not there; the others stay as they are.

        Raises:
            CatalogError: Glue refused some of them for another reason than being there.
        """
        self._create(table, partitions)

    def delete(self, table: Table, values: Sequence[Values]) -> None:
        """Drop these partitions; their objects stay. One that is gone already is no error.

        Raises:
            CatalogError: Glue refused some of them.
        """
        for chunk in chunks(values, _DELETE):
            answer = self.glue.batch_delete_partition(
                DatabaseName=self.database,
                TableName=table.name,
                PartitionsToDelete=[{"Values": list(item)} for item in chunk],
            )
            _raise_for(table, "drop", answer.get("Errors", ()), but=_NOT_THERE)

    def _create(self, table: Table, partitions: Sequence[Partition]) -> list[Partition]:
        """Create them; returns those that were there already."""
        there: set[Values] = set()
        for chunk in chunks(partitions, _CREATE):
            answer = self.glue.batch_create_partition(
                DatabaseName=self.database,
                TableName=table.name,
                PartitionInputList=[_input(table, partition) for partition in chunk],
            )
            there |= _raise_for(table, "create", answer.get("Errors", ()), but=_ALREADY_THERE)
        return [partition for partition in partitions if partition.values in there]

    def _update(self, table: Table, partitions: Sequence[Partition]) -> None:
        for chunk in chunks(partitions, _UPDATE):
            answer = self.glue.batch_update_partition(
                DatabaseName=self.database,
                TableName=table.name,
                Entries=[
                    {
                        "PartitionValueList": list(partition.values),
                        "PartitionInput": _input(table, partition),
                    }
                    for partition in chunk
                ],
            )
            _raise_for(table, "update", answer.get("Errors", ()))


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in order, in pieces of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _input(table: Table, partition: Partition) -> PartitionInputTypeDef:
    return {
        "Values": list(partition.values),
        "StorageDescriptor": table.storage(partition.location),
        "Parameters": dict(partition.parameters),
    }


def _from_glue(partition: PartitionTypeDef) -> Partition:
    return Partition(
        values=tuple(partition["Values"]),
        location=partition.get("StorageDescriptor", {}).get("Location", ""),
        parameters=partition.get("Parameters", {}),
    )


def _raise_for(
    table: Table, what: str, errors: Iterable[Mapping[str, object]], but: str | None = None
) -> set[Values]:
    """Raise for the errors of a batch, except those of one code; returns the values of these."""
    excepted: set[Values] = set()
    refused: list[str] = []
    for error in errors:
        raw_values = error.get("PartitionValues") or error.get("PartitionValueList") or ()
        values = tuple(str(value) for value in raw_values)  # type: ignore[attr-defined]
        detail = error.get("ErrorDetail", {})
        code = detail.get("ErrorCode", "") if isinstance(detail, dict) else ""
        if but is not None and code == but:
            excepted.add(values)
        else:
            message = detail.get("ErrorMessage", "") if isinstance(detail, dict) else ""
            refused.append(f"{'/'.join(values)}: {code} {message}".strip())
    if refused:
        shown = "; ".join(refused[:5])
        raise CatalogError(
            f"Glue did not {what} {len(refused)} partition(s) of {table.name}: {shown}"
            + ("; …" if len(refused) > len(refused[:5]) else "")
        )
    return excepted

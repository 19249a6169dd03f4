"""Partitions in the Glue catalog: read, put and dropped in batches, every item's error read.

Glue's batches are not atomic: each answers with the items that failed. Here they end done or as one
:class:`CatalogError` that names them. Not here: which partitions there should be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from retail_analytics.resources.clients import glue_client

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import (
        PartitionInputTypeDef,
        PartitionTypeDef,
        PartitionValueListTypeDef,
    )

    from retail_analytics.lake.tables import Table
    from retail_analytics.resources.clients import GlueResource
    from retail_analytics.settings import Settings

# Glue's limits of items a call.
_GET, _CREATE, _UPDATE, _DELETE = 1000, 100, 100, 25

_ALREADY_THERE = "AlreadyExistsException"
NOT_THERE = "EntityNotFoundException"
"""What Glue says of a table or partition that is not in the catalog."""

_SHOWN = 5

Values = tuple[str, ...]
T = TypeVar("T")


class CatalogError(RuntimeError):
    """Glue refused some partitions of a batch; the message names them and its reasons.

    Attributes:
        refused: The reason by partition; all others are done.
    """

    def __init__(self, message: str, refused: Mapping[Values, str]) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True)
class Partition:
    """A partition: its values, where its objects lie, and what is noted on it."""

    values: Values
    location: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Brought:
    """How many partitions were made, brought back to their declaration, and dropped."""

    created: int = 0
    repaired: int = 0
    dropped: int = 0

    def __add__(self, other: Brought) -> Brought:
        return Brought(
            self.created + other.created, self.repaired + other.repaired, self.dropped + other.dropped
        )


@dataclass(frozen=True)
class Catalog:
    """The partitions of one database, through a Glue client."""

    glue: GlueClient
    database: str

    @classmethod
    def of(cls, settings: Settings, glue: GlueResource | None = None) -> Catalog:
        """The catalog of a deployment, through a resource's client or one of its own."""
        client = glue_client(settings.region) if glue is None else glue.get_client()
        return cls(client, settings.database)

    def get(self, table: Table, wanted: Iterable[Values]) -> dict[Values, Partition]:
        """Those of the wanted partitions that exist: one call for each thousand."""
        return {tuple(stored["Values"]): _from_glue(stored) for stored in self._stored(table, wanted)}

    def _stored(self, table: Table, wanted: Iterable[Values]) -> Iterator[PartitionTypeDef]:
        for chunk in chunks(sorted(set(wanted)), _GET):
            left: list[PartitionValueListTypeDef] = [{"Values": list(values)} for values in chunk]
            while left:
                answer = self.glue.batch_get_partition(
                    DatabaseName=self.database, TableName=table.name, PartitionsToGet=left
                )
                yield from answer["Partitions"]
                left = [{"Values": list(key["Values"])} for key in answer.get("UnprocessedKeys", ())]

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
            existing: Values of those that are known to exist. One that another writer has made or dropped
                meanwhile is updated or made all the same.

        Raises:
            CatalogError: Glue refused some of them; the others are done.
        """
        known, refusals = set(existing), _Refusals(table)
        replaced = [partition for partition in partitions if partition.values in known]
        new = [partition for partition in partitions if partition.values not in known]
        replaced += self._create(table, new, refusals)
        self._create(table, self._update(table, replaced, refusals), refusals)
        refusals.end()

    def ensure(self, table: Table, partitions: Sequence[Partition]) -> None:
        """Create those of the partitions that are not there; the others stay as they are.

        A projected table has none to create: Athena computes them.

        Raises:
            CatalogError: Glue refused some of them for another reason than being there.
        """
        if not table.projection:
            refusals = _Refusals(table)
            self._create(table, partitions, refusals)
            refusals.end()

    def bring(self, table: Table, partitions: Sequence[Partition], gone: Iterable[Values] = ()) -> Brought:
        """Bring these partitions to their declaration: make, repair or drop what differs, and nothing else.

        A partition differs whose location is another, or whose columns, SerDe or input format are not its
        table's; Athena reads each partition by its own. Asks for the partitions in hand, one call for each
        thousand, whatever else the table holds.

        Args:
            table: Their table.
            partitions: The partitions as they shall be.
            gone: Values of those that shall not be there.

        Raises:
            CatalogError: Glue refused some of them; the others are done.
        """
        unwanted = set(gone)
        wanted = [partition.values for partition in partitions]
        stored = {tuple(found["Values"]): found for found in self._stored(table, [*wanted, *unwanted])}
        wrong = [
            partition
            for partition in partitions
            if partition.values in stored and _differs(stored[partition.values], _input(table, partition))
        ]
        new = [partition for partition in partitions if partition.values not in stored]
        refusals = _Refusals(table)
        raced = self._create(table, new, refusals)
        self._create(table, self._update(table, [*wrong, *raced], refusals), refusals)
        dropped = sorted(unwanted & stored.keys())
        self._delete(table, dropped, refusals)
        refusals.end()
        return Brought(len(new) - len(raced), len(wrong), len(dropped))

    def delete(self, table: Table, values: Sequence[Values]) -> None:
        """Drop these partitions; their objects stay. One that is gone already is no error.

        Raises:
            CatalogError: Glue refused some of them; the others are done.
        """
        refusals = _Refusals(table)
        self._delete(table, values, refusals)
        refusals.end()

    def _delete(self, table: Table, values: Sequence[Values], refusals: _Refusals) -> None:
        for chunk in chunks(values, _DELETE):
            answer = self.glue.batch_delete_partition(
                DatabaseName=self.database,
                TableName=table.name,
                PartitionsToDelete=[{"Values": list(item)} for item in chunk],
            )
            refusals.take("drop", answer.get("Errors", ()), but=NOT_THERE)

    def _create(self, table: Table, partitions: Sequence[Partition], refusals: _Refusals) -> list[Partition]:
        """Create them; returns those that were there already."""
        there: set[Values] = set()
        for chunk in chunks(partitions, _CREATE):
            answer = self.glue.batch_create_partition(
                DatabaseName=self.database,
                TableName=table.name,
                PartitionInputList=[_input(table, partition) for partition in chunk],
            )
            there |= refusals.take("create", answer.get("Errors", ()), but=_ALREADY_THERE)
        return [partition for partition in partitions if partition.values in there]

    def _update(self, table: Table, partitions: Sequence[Partition], refusals: _Refusals) -> list[Partition]:
        """Update them; returns those that were not there any more."""
        gone: set[Values] = set()
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
            gone |= refusals.take("update", answer.get("Errors", ()), but=NOT_THERE)
        return [partition for partition in partitions if partition.values in gone]


@dataclass
class _Refusals:
    """What Glue refused in the calls of one operation: a refusal does not stop the calls after it."""

    table: Table
    found: dict[str, dict[Values, str]] = field(default_factory=dict)

    def take(self, what: str, errors: Iterable[Mapping[str, Any]], but: str) -> set[Values]:
        """Remember the errors of a call, except those of one code; returns the values of these."""
        excepted: set[Values] = set()
        for error in errors:
            # Updates name the partition otherwise than the other calls do.
            values = tuple(error.get("PartitionValues") or error.get("PartitionValueList") or ())
            detail = error.get("ErrorDetail", {})
            if detail.get("ErrorCode") == but:
                excepted.add(values)
            else:
                reason = f"{detail.get('ErrorCode', '')} {detail.get('ErrorMessage', '')}".strip()
                self.found.setdefault(what, {})[values] = reason
        return excepted

    def end(self) -> None:
        """Raise for what was refused."""
        if self.found:
            message = " ".join(self._sentence(what, refused) for what, refused in self.found.items())
            raise CatalogError(message, {k: v for each in self.found.values() for k, v in each.items()})

    def _sentence(self, what: str, refused: Mapping[Values, str]) -> str:
        reasons = [f"{'/'.join(values)}: {reason}" for values, reason in refused.items()]
        shown = "; ".join([*reasons[:_SHOWN], *(["…"] if len(reasons) > _SHOWN else [])])
        return f"Glue did not {what} {len(refused)} partition(s) of {self.table.name}: {shown}"


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


def _differs(stored: PartitionTypeDef, wanted: PartitionInputTypeDef) -> bool:
    return _shape(stored.get("StorageDescriptor", {})) != _shape(wanted["StorageDescriptor"]) or not (
        _serde_parameters(wanted["StorageDescriptor"]).items()
        <= _serde_parameters(stored.get("StorageDescriptor", {})).items()
    )


def _shape(storage: Any) -> tuple[object, ...]:
    """What decides how Athena reads a partition; comments do not."""
    return (
        storage.get("Location", "").rstrip("/"),
        [(column["Name"], column.get("Type", "")) for column in storage.get("Columns", ())],
        storage.get("SerdeInfo", {}).get("SerializationLibrary", ""),
        storage.get("InputFormat", ""),
    )


def _serde_parameters(storage: Any) -> dict[str, str]:
    # More than the declared ones is no difference: crawlers and MSCK add their own.
    return dict(storage.get("SerdeInfo", {}).get("Parameters", {}))


def _from_glue(partition: PartitionTypeDef) -> Partition:
    return Partition(
        values=tuple(partition["Values"]),
        location=partition.get("StorageDescriptor", {}).get("Location", ""),
        parameters=partition.get("Parameters", {}),
    )

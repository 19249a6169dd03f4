"""What CREATE EXTERNAL TABLE says of columns, storage and properties.

Belongs here: reading Hive's clauses. Does not belong here: changing the catalog (`ddl.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from retail_analytics.embedded.athena.catalog import Column
from retail_analytics.embedded.athena.column_types import duckdb_type
from retail_analytics.embedded.athena.errors import not_supported
from retail_analytics.embedded.athena.storage import STORAGE, Storage

if TYPE_CHECKING:
    from collections.abc import Iterable


def columns_of(definitions: list[exp.Expr]) -> list[Column]:
    """The columns of a list of definitions; what is no definition is refused."""
    found = []
    for item in definitions:
        if not isinstance(item, exp.ColumnDef) or item.kind is None:
            raise not_supported(f"the column definition {item.sql(dialect='hive')}")
        comment = item.find(exp.CommentColumnConstraint)
        found.append(
            Column(item.name.lower(), hive_spelling(item.kind), comment.this.name if comment else None)
        )
    return found


def hive_spelling(kind: exp.DataType) -> str:
    """A column's type as the catalog keeps it: lower case, no blanks."""
    text = kind.sql(dialect="hive").lower().replace(", ", ",").replace(": ", ":").replace("`", "")
    if text == "decimal":
        return "decimal(10,0)"
    duckdb_type(text)
    return text


class TableProperties:
    """What follows the columns in CREATE EXTERNAL TABLE."""

    def __init__(self, tree: exp.Create) -> None:
        self.keys: list[Column] = []
        self.location: str | None = None
        self.parameters: dict[str, str] = {}
        self.serde_properties: dict[str, str] = {}
        self.buckets: tuple[list[str], int] = ([], -1)
        self._serde: str | None = None
        self._formats: tuple[str, str] | None = None
        self._stored_as = "TEXTFILE"
        for item in tree.args["properties"].expressions if tree.args.get("properties") else ():
            self._take(item)
        if self._serde is None and self._stored_as == "TEXTFILE" and not self.serde_properties:
            self.serde_properties["serialization.format"] = "1"

    @property
    def storage(self) -> Storage:
        """The classes of the table's format."""
        base = STORAGE[self._stored_as]
        formats = self._formats or (base.input_format, base.output_format)
        return Storage(self._serde or base.serde, *formats)

    def _take(self, item: exp.Expr) -> None:
        if isinstance(item, exp.PartitionedByProperty):
            self.keys = columns_of(item.this.expressions)
        elif isinstance(item, exp.LocationProperty):
            self.location = item.this.name
        elif isinstance(item, exp.ClusteredByProperty):
            names = [column.name.lower() for column in item.expressions]
            self.buckets = (names, int(item.args["buckets"].name))
        elif isinstance(item, exp.SchemaCommentProperty):
            self.parameters["comment"] = item.this.name
        elif type(item) is exp.Property:
            self.parameters[item.name] = item.args["value"].name
        elif not isinstance(item, exp.ExternalProperty):
            self._take_storage(item)

    def _take_storage(self, item: exp.Expr) -> None:
        if isinstance(item, exp.RowFormatSerdeProperty):
            self._serde = item.this.name
            self._add_serde_properties(item.find_all(exp.Property))
        elif isinstance(item, exp.SerdeProperties):
            self._add_serde_properties(item.expressions)
        elif isinstance(item, exp.RowFormatDelimitedProperty):
            self._delimited(item)
        elif isinstance(item, exp.FileFormatProperty):
            self._format(item.this)
        else:
            raise not_supported(f"{item.sql(dialect='hive')} in CREATE EXTERNAL TABLE")

    def _add_serde_properties(self, pairs: Iterable[exp.Expr]) -> None:
        named = [pair for pair in pairs if type(pair) is exp.Property]
        self.serde_properties.update({pair.name: pair.args["value"].name for pair in named})

    def _delimited(self, item: exp.RowFormatDelimitedProperty) -> None:
        names = {
            "fields": "field.delim",
            "escaped": "escape.delim",
            "lines": "line.delim",
            "null": "serialization.null.format",
        }
        for part, name in names.items():
            if item.args.get(part):
                self.serde_properties[name] = item.args[part].name
        if item.args.get("collection_items") or item.args.get("map_keys"):
            raise not_supported("COLLECTION ITEMS and MAP KEYS of ROW FORMAT DELIMITED")
        if "field.delim" in self.serde_properties:
            self.serde_properties["serialization.format"] = self.serde_properties["field.delim"]

    def _format(self, what: exp.Expr) -> None:
        if isinstance(what, exp.InputOutputFormat):
            self._formats = (what.args["input_format"].name, what.args["output_format"].name)
            if "Parquet" in self._formats[0]:
                self._stored_as = "PARQUET"
        elif what.name.upper() in {"PARQUET", "TEXTFILE"}:
            self._stored_as = what.name.upper()
        else:
            raise not_supported(f"STORED AS {what.name.upper()}")

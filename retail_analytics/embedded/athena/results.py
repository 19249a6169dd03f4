"""Results as Athena stores and returns them: CSV objects, DDL's text objects, pages of GetQueryResults.

Belongs here: how values look to a client. Does not belong here: running the query (`execution.py`).
"""

# ruff: noqa: S608 - making SQL is what this module does; names go through quoted(), texts through literal()

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv

from retail_analytics.embedded.athena.column_types import athena_type, precision_and_scale, printed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb.sqltypes import DuckDBPyType

    from retail_analytics.embedded.athena.session import Session
    from retail_analytics.embedded.athena.translate import Plan

_BATCH_ROWS = 50_000


@dataclass(frozen=True)
class ResultColumn:
    """A column of a result, as GetQueryResults describes it."""

    name: str
    kind: str
    precision: int
    scale: int

    def as_dict(self) -> dict[str, Any]:
        """The API's ColumnInfo."""
        return {
            "CatalogName": "hive",
            "SchemaName": "",
            "TableName": "",
            "Name": self.name,
            "Label": self.name,
            "Type": self.kind,
            "Precision": self.precision,
            "Scale": self.scale,
            "Nullable": "UNKNOWN",
            "CaseSensitive": self.kind in {"varchar", "json", "char"},
        }


@dataclass(frozen=True)
class Result:
    """What a finished query returned; the rows lie in an Arrow file, every value as text.

    Attributes:
        columns: the result's columns.
        rows: the file, or None where there are no rows.
        row_count: how many rows it holds.
        with_header: whether the first row of GetQueryResults repeats the labels, as it does for queries.
        update_count: rows written by CTAS and INSERT.
    """

    columns: tuple[ResultColumn, ...] = ()
    rows: Path | None = None
    row_count: int = 0
    with_header: bool = False
    update_count: int = 0


def column_of(name: str, kind: DuckDBPyType) -> ResultColumn:
    """A result's column from DuckDB's type."""
    precision, scale = precision_and_scale(kind)
    return ResultColumn(name, athena_type(kind), precision, scale)


def run_query(session: Session, plan: Plan) -> tuple[Result, bytes]:
    """Runs a planned query; returns its result and the bytes of its CSV object."""
    columns = tuple(column_of(name, kind) for name, kind in zip(plan.labels, plan.types, strict=True))
    values = ", ".join(f"{printed(kind, f'c{index}')} AS c{index}" for index, kind in enumerate(plan.types))
    names = ", ".join(f"c{index}" for index in range(len(plan.types)))
    sql = f"SELECT {values} FROM ({plan.sql}) AS r({names})"
    schema = pa.schema([(f"c{index}", pa.string()) for index in range(len(columns))])
    path = session.engine.folder / "results" / f"{session.query_id}.arrow"
    body = io.BytesIO()
    body.write((",".join(_quoted(column.name) for column in columns) + "\n").encode())
    count = 0
    options = pa_csv.WriteOptions(include_header=False, quoting_style="all_valid")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as rows:
        try:
            for batch in session.cursor.sql(sql).to_arrow_reader(_BATCH_ROWS):
                table = pa.Table.from_batches([batch]).cast(schema)
                rows.write_table(table)
                pa_csv.write_csv(table, body, options)
                count += table.num_rows
        except duckdb.Error as error:
            raise session.failure(error, plan.locate) from error
    return Result(columns, path, count, with_header=True), body.getvalue()


def text_result(
    session: Session, lines: Sequence[tuple[str, ...]], columns: tuple[str, ...] = ()
) -> tuple[Result, bytes]:
    """The result of a DDL statement that lists something: one row a line, columns apart by tabs."""
    names = columns or ("result",)
    path = session.engine.folder / "results" / f"{session.query_id}.arrow"
    schema = pa.schema([(f"c{index}", pa.string()) for index in range(len(names))])
    arrays = [pa.array([line[index] for line in lines], pa.string()) for index in range(len(names))]
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as rows:
        rows.write_table(pa.Table.from_arrays(arrays, schema=schema))
    body = "".join("\t".join(line) + "\n" for line in lines).encode()
    kinds = tuple(ResultColumn(name, "string", 0, 0) for name in names)
    return Result(kinds, path, len(lines)), body


def page(result: Result, start: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """Rows of GetQueryResults from `start` on, and where the next page starts, or None at the end.

    The header, where there is one, is row 0.
    """
    header = 1 if result.with_header else 0
    rows: list[dict[str, Any]] = []
    if header and start == 0:
        rows.append({"Data": [{"VarCharValue": column.name} for column in result.columns]})
    first = max(0, start - header)
    wanted = min(limit - len(rows), result.row_count - first)
    if wanted > 0 and result.rows is not None:
        with pa.memory_map(str(result.rows)) as source:
            table = _slice(pa.ipc.open_file(source), first, wanted)
            values = [column.to_pylist() for column in table.columns]
        rows.extend({"Data": [_value(item) for item in row]} for row in zip(*values, strict=True))
    following = start + len(rows)
    return rows, following if following < result.row_count + header else None


def _slice(reader: Any, first: int, wanted: int) -> pa.Table:
    batches = []
    for index in range(reader.num_record_batches):
        batch = reader.get_batch(index)
        if first < batch.num_rows:
            piece = batch.slice(first, wanted)
            batches.append(piece)
            wanted -= piece.num_rows
        first = max(0, first - batch.num_rows)
        if wanted <= 0:
            break
    return pa.Table.from_batches(batches, schema=reader.schema)


def _value(item: str | None) -> dict[str, str]:
    return {} if item is None else {"VarCharValue": item}


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'

"""Statements that write data to a place of its own: CREATE TABLE AS, UNLOAD.

Belongs here: what Athena refuses of them, and the catalog's change at the end. A table becomes visible
after all of its objects are there. Does not belong here: the files (`writers.py`),
rows for a table that is there (`inserting.py`).
"""

# ruff: noqa: S608 - making SQL is what this module does; names go through quoted(), texts through literal()

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.catalog import Column, Partition
from retail_analytics.embedded.athena.column_types import athena_type, hive_type
from retail_analytics.embedded.athena.errors import QueryFailedError, not_supported
from retail_analytics.embedded.athena.objects import folder_of
from retail_analytics.embedded.athena.quoting import quoted
from retail_analytics.embedded.athena.results import Result
from retail_analytics.embedded.athena.storage import STORAGE, table_input
from retail_analytics.embedded.athena.translate import Plan, plan_query
from retail_analytics.embedded.athena.writers import Output, partition_folder, put_files, write_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from retail_analytics.embedded.athena.session import Session

    Answer = tuple[Result, bytes | None]

_KNOWN = {
    "format", "external_location", "partitioned_by", "bucketed_by", "bucket_count", "write_compression",
    "parquet_compression", "field_delimiter", "is_external", "table_type",
}  # fmt: skip
_UNSTORABLE = {"json", "time", "timestamp with time zone", "interval day to second", "unknown", "uuid"}


def create_table_as(session: Session, sql: str) -> Answer:
    """CREATE TABLE [IF NOT EXISTS] name WITH (…) AS query [WITH [NO] DATA]."""
    tree = grammar.parse(sql)
    if not isinstance(tree, exp.Create) or not isinstance(tree.this, exp.Table):
        raise not_supported("a list of columns in CREATE TABLE AS")
    _, database, name = grammar.split_name(tree.this)
    database = database or session.request.database
    if session.catalog.find(database, name):
        if tree.args.get("exists"):
            return Result(), None
        raise QueryFailedError(
            "TABLE_ALREADY_EXISTS",
            f"Table 'awsdatacatalog.{database}.{name}' already exists",
            position=grammar.position_of(tree.this),
        )
    if not session.catalog.has_database(database):
        raise QueryFailedError("SCHEMA_NOT_FOUND", f"Schema '{database}' does not exist")
    properties = _properties(tree)
    output = _output(properties)
    query = grammar.bind(tree.expression, session.request.parameters)
    plan = plan_query(session, query.copy())
    _check_columns(plan, output)
    location = _location(session, properties, f"{database}.{name}")
    no_data = tree.find(exp.WithDataProperty)
    rows = f"SELECT * FROM ({_typed(plan)}) LIMIT 0" if no_data and no_data.args.get("no") else _typed(plan)
    written, count = write_rows(session, rows, plan.labels, output, plan.locate)
    folders = {item.values: location + partition_folder(output.keys, item.values) for item in written}
    urls = put_files(session, written, output, folders)
    columns = [Column(label, hive_type(kind)) for label, kind in zip(plan.labels, plan.types, strict=True)]
    split = len(columns) - len(output.keys)
    definition = table_input(
        name,
        columns[:split],
        columns[split:],
        location,
        STORAGE[output.format],
        serde_properties=_serde_properties(output),
        parameters={
            "presto_query_id": session.query_id,
            "has_encrypted_data": "false",
            **_compression(output),
        },
        buckets=(output.buckets[0], output.buckets[1] if output.buckets[0] else -1),
    )
    try:
        session.catalog.create_table(database, name, definition)
        table = session.catalog.get(database, name)
        if output.keys:
            session.catalog.add_partitions(table, [Partition(values, at) for values, at in folders.items()])
    except BaseException:
        session.store.delete(session.account, urls)
        raise
    return Result(update_count=count), manifest(urls)


def unload(session: Session, sql: str) -> Answer:
    """UNLOAD (query) TO 's3://…' WITH (format = …, …)."""
    found = grammar.tokens(sql)
    to = next((i for i, t in enumerate(found) if t.text.upper() == "TO" and found[i - 1].text == ")"), None)
    if to is None or found[1].text != "(" or len(found) < to + 3:
        raise QueryFailedError(
            None, "line 1:8: UNLOAD is written UNLOAD (query) TO 's3://…' WITH (format = '…')"
        )
    query = sql[found[1].start + 1 : found[to - 1].start]
    rest = sql[found[to + 1].end + 1 : found[-1].end + 1]
    shell = grammar.parse(f"CREATE TABLE unloaded {rest} AS SELECT 1")
    properties = _properties(shell, extra={"compression"})
    if "format" not in properties:
        raise QueryFailedError("INVALID_TABLE_PROPERTY", "UNLOAD needs WITH (format = …)")
    if "compression" in properties:
        properties["write_compression"] = properties.pop("compression")
    output = _output(properties)
    plan = plan_query(session, grammar.bind(grammar.parse(query), session.request.parameters))
    if output.format == "PARQUET" or output.keys:
        _check_columns(plan, output)
    location = _empty(session, found[to + 1].text, "UNLOAD")
    written, count = write_rows(session, _typed(plan), plan.labels, output, plan.locate)
    folders = {item.values: location + partition_folder(output.keys, item.values) for item in written}
    urls = put_files(session, written, output, folders)
    return Result(update_count=count), manifest(urls)


def manifest(urls: Sequence[str]) -> bytes:
    """The object that lists what a statement wrote."""
    return "".join(f"{url}\n" for url in urls).encode()


def _properties(tree: exp.Expr, extra: set[str] | None = None) -> dict[str, exp.Expr]:
    found: dict[str, exp.Expr] = {}
    for item in tree.args["properties"].expressions if tree.args.get("properties") else ():
        if isinstance(item, exp.FileFormatProperty):
            found["format"] = item.this
        elif isinstance(item, exp.PartitionedByProperty):
            found["partitioned_by"] = item.this
        elif type(item) is exp.Property:
            found[item.name.lower()] = item.args["value"]
        elif isinstance(item, exp.LocationProperty):
            raise not_supported("the property location (an Iceberg table)")
        elif not isinstance(item, exp.WithDataProperty):
            raise not_supported(f"{item.sql(dialect='trino')} in CREATE TABLE AS")
    for name in found:
        if name not in _KNOWN | (extra or set()):
            raise QueryFailedError(
                "INVALID_TABLE_PROPERTY", f"Catalog 'awsdatacatalog' table property '{name}' does not exist"
            )
    if "table_type" in found and found["table_type"].name.upper() != "HIVE":
        raise not_supported(f"the table type {found['table_type'].name.upper()}")
    return found


def _names(value: exp.Expr | None) -> tuple[str, ...]:
    return tuple(item.name.lower() for item in value.expressions) if value is not None else ()


def _output(properties: Mapping[str, exp.Expr]) -> Output:
    kind = properties["format"].name.upper() if "format" in properties else "PARQUET"
    compression = properties.get("write_compression", properties.get("parquet_compression"))
    delimiter = properties["field_delimiter"].name if "field_delimiter" in properties else "\x01"
    bucketed = _names(properties.get("bucketed_by"))
    count = properties.get("bucket_count")
    if bool(bucketed) is not (count is not None):
        raise QueryFailedError(
            "INVALID_TABLE_PROPERTY", "bucketed_by and bucket_count must be given together"
        )
    buckets = (bucketed, int(count.name)) if count is not None else ((), 1)
    return Output(
        format=kind,
        compression=compression.name.upper() if compression is not None else "GZIP",
        delimiter=delimiter,
        keys=_names(properties.get("partitioned_by")),
        buckets=buckets,
    )


def _serde_properties(output: Output) -> dict[str, str]:
    if output.format == "TEXTFILE":
        return {"field.delim": output.delimiter, "serialization.format": output.delimiter}
    return {"serialization.format": "1"} if output.format == "PARQUET" else {}


def _compression(output: Output) -> dict[str, str]:
    return {"parquet.compression" if output.format == "PARQUET" else "write.compression": output.compression}


def _check_columns(plan: Plan, output: Output) -> None:
    for index, name in enumerate(plan.names, start=1):
        if not name:
            raise QueryFailedError(
                "COLUMN_NAME_NOT_SPECIFIED", f"Column name not specified at position {index}"
            )
    seen: set[str] = set()
    for label, kind in zip(plan.labels, plan.types, strict=True):
        if label in seen:
            raise QueryFailedError("DUPLICATE_COLUMN_NAME", f"Column name '{label}' specified more than once")
        seen.add(label)
        if athena_type(kind) in _UNSTORABLE:
            raise QueryFailedError(
                "NOT_SUPPORTED", f"Unsupported Hive type: {athena_type(kind)} of column '{label}'"
            )
    for key in (*output.keys, *output.buckets[0]):
        if key not in seen:
            raise QueryFailedError(
                "INVALID_TABLE_PROPERTY", f"Partition or bucket columns not present in schema: [{key}]"
            )
    if output.keys and plan.labels[-len(output.keys) :] != output.keys:
        raise QueryFailedError(
            "HIVE_COLUMN_ORDER_MISMATCH",
            "Partition keys must be the last columns in the table and in the same order as the table "
            "properties: "
            f"[{', '.join(output.keys)}]",
        )
    if len(output.keys) == len(plan.labels):
        raise QueryFailedError("INVALID_TABLE_PROPERTY", "Table contains only partition columns")


def _typed(plan: Plan) -> str:
    """The query with its columns in the types that files can hold."""
    names = ", ".join(f"c{index}" for index in range(len(plan.types)))
    wide = {"HUGEINT", "UBIGINT", "UINTEGER"}
    values = ", ".join(
        (f"CAST(c{index} AS BIGINT)" if str(kind) in wide else f"c{index}") + f" AS {quoted(label)}"
        for index, (kind, label) in enumerate(zip(plan.types, plan.labels, strict=True))
    )
    return f"SELECT {values} FROM ({plan.sql}) AS r({names})"


def _location(session: Session, properties: Mapping[str, exp.Expr], name: str) -> str:
    given = properties.get("external_location")
    if given is None:
        if not session.request.output_folder:
            raise QueryFailedError(None, "No output location: set one in the request or the workgroup")
        return _empty(session, f"{session.request.output_folder}tables/{session.query_id}/", name)
    if session.request.enforced_output:
        raise QueryFailedError(
            None,
            "The Create Table As Select query failed because it was submitted with an "
            "'external_location' property to "
            "an Athena Workgroup that enforces a centralized output location for all queries. Please "
            "remove the "
            "'external_location' property and resubmit the query.",
        )
    return _empty(session, given.name, name)


def _empty(session: Session, location: str, name: str) -> str:
    bucket, prefix = folder_of(location)
    at = f"s3://{bucket}/{prefix}"
    if not session.bucket(bucket).is_empty(prefix):
        raise QueryFailedError(
            "HIVE_PATH_ALREADY_EXISTS",
            f"Target directory for table '{name}' already exists: {at}. You may need to manually clean "
            f"the data at "
            f"location '{at}' before retrying. Athena will not delete data in your account.",
        )
    return at

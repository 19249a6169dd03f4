"""SHOW and DESCRIBE: what the catalog holds, printed as Athena prints it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from retail_analytics.embedded.athena import grammar
from retail_analytics.embedded.athena.errors import (
    Position,
    QueryFailedError,
    mismatched_input,
    not_supported,
)
from retail_analytics.embedded.athena.results import Result, text_result
from retail_analytics.embedded.athena.translate import view_definition

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

    from retail_analytics.embedded.athena.catalog import Column, Table
    from retail_analytics.embedded.athena.session import Session

    Answer = tuple[Result, bytes | None]

_IN = {"IN", "FROM"}


def databases(session: Session, sql: str) -> Answer:
    """SHOW DATABASES [LIKE 'regular expression']."""
    pattern = _pattern(grammar.tokens(sql)[2:])
    names = [name for name in session.catalog.databases() if pattern is None or _matches(pattern, name)]
    return text_result(session, [(name,) for name in names], ("database_name",))


def tables(session: Session, sql: str) -> Answer:
    """SHOW TABLES [IN database] ['pattern']."""
    database, pattern = _scope(session, sql)
    return text_result(
        session, [(name,) for name in _like(session.catalog.tables(database), pattern)], ("tab_name",)
    )


def views(session: Session, sql: str) -> Answer:
    """SHOW VIEWS [IN database] [LIKE 'pattern']."""
    database, pattern = _scope(session, sql)
    names = [name for name in session.catalog.tables(database) if session.catalog.get(database, name).is_view]
    return text_result(session, [(name,) for name in _like(names, pattern)], ("views",))


def partitions(session: Session, sql: str) -> Answer:
    """SHOW PARTITIONS table."""
    table = _table(session, sql, 2)
    if not table.keys:
        raise QueryFailedError(
            None,
            f"FAILED: SemanticException [Error 10241]: Table {table.full_name} is not a partitioned table",
        )
    names = [key.name for key in table.keys]
    lines = sorted(
        "/".join(f"{name}={value}" for name, value in zip(names, partition.values, strict=False))
        for partition in session.catalog.partitions(table)
    )
    return text_result(session, [(line,) for line in lines], ("partition",))


def columns(session: Session, sql: str) -> Answer:
    """SHOW COLUMNS IN table [IN database]."""
    found = grammar.tokens(sql)
    if (
        len(found) == len(["SHOW", "COLUMNS", "IN", "table", "IN", "database"])
        and found[-2].text.upper() in _IN
    ):
        table = session.table(f"{found[-1].text}.{found[3].text}", grammar.token_position(found[3]))
    else:
        table = _table(session, sql, 3)
    return text_result(
        session, [(f"{column.name:<20}",) for column in (*table.columns, *table.keys)], ("field",)
    )


def properties(session: Session, sql: str) -> Answer:
    """SHOW TBLPROPERTIES table [('property')]."""
    found = grammar.tokens(sql)
    at = next((index for index, token in enumerate(found) if token.text == "("), len(found))
    table = _table(session, sql[: found[at].start] if at < len(found) else sql, 2)
    lines = [(f"{name}\t{value}",) for name, value in sorted(table.parameters.items())]
    if at + 1 < len(found):
        name = found[at + 1].text
        missing = f"Table {table.full_name} does not have property: {name}"
        lines = [(table.parameters.get(name, missing),)]
    return text_result(session, lines, ("prpt_name",))


def describe(session: Session, sql: str) -> Answer:
    """DESCRIBE table."""
    found = grammar.tokens(sql)
    if len(found) > 1 and found[1].text.upper() in {"EXTENDED", "FORMATTED", "INPUT", "OUTPUT"}:
        raise not_supported(f"DESCRIBE {found[1].text.upper()}")
    names = [token for token in found[1:] if token.text != "."]
    dots = len(found) - 1 - len(names)
    if len(names) != dots + 1:
        raise not_supported("DESCRIBE of a partition, a column or a database")
    table = _table(session, sql, 1)
    lines = [_described(column) for column in (*table.columns, *table.keys)]
    if table.keys:
        lines += [
            "\t \t ",
            "# Partition Information\t \t ",
            f"{'# col_name':<20}\t{'data_type':<20}\t{'comment':<20}",
            "\t \t ",
        ]
        lines += [_described(column) for column in table.keys]
    rows = [tuple(line.split("\t")) for line in lines]
    return text_result(session, rows, ("col_name", "data_type", "comment"))


def create_view(session: Session, sql: str) -> Answer:
    """SHOW CREATE VIEW view."""
    table = _table(session, sql, 3)
    if not table.is_view:
        raise QueryFailedError(
            "NOT_SUPPORTED", f"{table.full_name} is a table, not a view: use SHOW CREATE TABLE"
        )
    lines = [f"CREATE VIEW {table.full_name} AS", *view_definition(table)["originalSql"].splitlines()]
    return text_result(session, [(line,) for line in lines], ("create view",))


def create_table(session: Session, sql: str) -> Answer:
    """SHOW CREATE TABLE table."""
    table = _table(session, sql, 3)
    if table.is_view:
        raise QueryFailedError(
            "NOT_SUPPORTED", f"{table.full_name} is a view, not a table: use SHOW CREATE VIEW"
        )
    definition = session.catalog.definition(table.database, table.name) or {}
    storage = definition.get("StorageDescriptor") or {}
    output, buckets = storage.get("OutputFormat") or "", int(storage.get("NumberOfBuckets") or 0)
    return text_result(session, [(line,) for line in _ddl(table, output, buckets)], ("createtab_stmt",))


def _ddl(table: Table, output_format: str, buckets: int) -> list[str]:
    lines = [f"CREATE EXTERNAL TABLE `{table.full_name}`(", *_column_lines(table.columns)]
    if table.parameters.get("comment"):
        lines += ["COMMENT ", f"  {_literal(table.parameters['comment'])}"]
    if table.keys:
        lines += ["PARTITIONED BY ( ", *_column_lines(table.keys)]
    if table.buckets:
        lines += [
            "CLUSTERED BY ( ",
            *[f"  {name}" for name in table.buckets][:-1],
            f"  {table.buckets[-1]}) ",
            f"INTO {buckets} BUCKETS",
        ]
    lines += ["ROW FORMAT SERDE ", f"  {_literal(table.serde)} "]
    if table.serde_properties:
        pairs = [
            f"  {_literal(name)}={_literal(value)}" for name, value in sorted(table.serde_properties.items())
        ]
        lines += ["WITH SERDEPROPERTIES ( ", *[f"{pair}, " for pair in pairs[:-1]], f"{pairs[-1]}) "]
    lines += [
        "STORED AS INPUTFORMAT ",
        f"  {_literal(table.input_format)} ",
        "OUTPUTFORMAT ",
        f"  {_literal(output_format)}",
    ]
    lines += ["LOCATION", f"  {_literal(table.location)}"]
    shown = {k: v for k, v in table.parameters.items() if k not in {"EXTERNAL", "comment"}}
    pairs = [f"  {_literal(name)}={_literal(value)}" for name, value in sorted(shown.items())]
    if pairs:
        lines += ["TBLPROPERTIES (", *[f"{pair}, " for pair in pairs[:-1]], f"{pairs[-1]})"]
    return lines


def _column_lines(found: tuple[Column, ...]) -> list[str]:
    lines = [
        f"  `{column.name}` {column.kind}"
        + (f" COMMENT {_literal(column.comment)}" if column.comment else "")
        for column in found
    ]
    return [*[f"{line}, " for line in lines[:-1]], *[f"{line})" for line in lines[-1:]]]


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _described(column: Column) -> str:
    return f"{column.name:<20}\t{column.kind:<20}\t{column.comment or '':<20}"


def _table(session: Session, sql: str, index: int) -> Table:
    found = grammar.tokens(sql)
    rest = found[index:]
    if rest and rest[0].text.upper() in _IN:
        rest = rest[1:]
    if not rest:
        raise mismatched_input("<EOF>", Position(found[-1].line, found[-1].col + 1))
    parts = [token.text for token in rest if token.text != "."]
    return session.table(".".join(parts), Position(rest[0].line, max(1, rest[0].col - len(rest[0].text) + 1)))


def _scope(session: Session, sql: str) -> tuple[str, str | None]:
    rest = grammar.tokens(sql)[2:]
    database = session.request.database
    if rest and rest[0].text.upper() in _IN:
        database = rest[1].text.lower() if len(rest) > 1 else database
        rest = rest[2:]
    return database, _pattern(rest)


def _pattern(rest: list[Token]) -> str | None:
    if rest and rest[0].text.upper() == "LIKE":
        rest = rest[1:]
    return rest[0].text if rest else None


def _matches(pattern: str, name: str) -> bool:
    """Whether a database's name matches, where `.*` stands for anything, and so does `*` alone."""
    try:
        return re.fullmatch(re.sub(r"(?<!\.)\*", ".*", pattern), name, re.IGNORECASE) is not None
    except re.error as error:
        raise QueryFailedError(None, f"FAILED: ParseException the pattern '{pattern}': {error}") from error


def _like(names: list[str], pattern: str | None) -> list[str]:
    if pattern is None:
        return names
    choices = [re.escape(part).replace(r"\*", ".*").replace("%", ".*") for part in pattern.split("|")]
    return [name for name in names if any(re.fullmatch(choice, name, re.IGNORECASE) for choice in choices)]

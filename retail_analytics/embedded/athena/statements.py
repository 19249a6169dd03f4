"""Which statement a text is, and who does it.

Belongs here: dispatch by the leading keywords. Everything else is refused by those keywords.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retail_analytics.embedded.athena import alter, ctas, ddl, grammar, inserting, prepared, show
from retail_analytics.embedded.athena.errors import (
    Position,
    mismatched_input,
    not_supported,
)
from retail_analytics.embedded.athena.results import Result, run_query, text_result
from retail_analytics.embedded.athena.translate import plan_query

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.tokenizer_core import Token

    from retail_analytics.embedded.athena.session import Session

_QUERIES = {"SELECT", "WITH", "VALUES", "(", "TABLE"}
_STARTERS = {
    "ALTER", "ANALYZE", "CALL", "CREATE", "DEALLOCATE", "DELETE", "DESC", "DESCRIBE", "DROP", "EXECUTE",
    "EXPLAIN", "GRANT",
    "INSERT", "MERGE", "MSCK", "OPTIMIZE", "PREPARE", "REVOKE", "SHOW", "TRUNCATE", "UNLOAD", "UPDATE",
    "USE", "VACUUM",
    *_QUERIES,
}  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """A statement's kind, as GetQueryExecution reports it, and the function that does it.

    Attributes:
        kind: DDL, DML or UTILITY.
        detail: SubstatementType, such as SELECT or CREATE_TABLE_AS_SELECT.
        suffix: what the result object's name ends with.
        run: does it; returns the result and the bytes of the result object, None where there is no object.
    """

    kind: str
    detail: str
    suffix: str
    run: Callable[[Session, str], tuple[Result, bytes | None]]


def classify(sql: str) -> Statement:
    """The statement that the text begins with.

    Raises:
        QueryFailedError: it begins with no statement of Athena, or with one that is not covered.
    """
    found = grammar.tokens(sql)
    words = " ".join(token.text.upper() for token in found[:6]).split()  # some keywords come in pairs
    if not words:
        raise mismatched_input("<EOF>", Position(1, 1))
    if words[0] not in _STARTERS:
        expecting = ", ".join(f"'{word}'" for word in sorted(_STARTERS - {"("}))
        first = found[0]
        raise mismatched_input(
            first.text, Position(first.line, max(1, first.col - len(first.text) + 1)), expecting
        )
    for pattern, statement in _STATEMENTS.items():
        if words[: len(pattern)] == list(pattern):
            return statement
    if words[:2] == ["CREATE", "TABLE"]:
        if any(
            token.text.upper() in {"SELECT", "WITH"} and _follows_as(found, index)
            for index, token in enumerate(found)
        ):
            return CTAS
        raise not_supported("CREATE TABLE without EXTERNAL or AS SELECT (an Iceberg table)")
    raise not_supported(" ".join(words[:2]) if words[0] in {"CREATE", "DROP", "SHOW", "ALTER"} else words[0])


def _follows_as(found: list[Token], index: int) -> bool:
    before = index - 1
    while before >= 0 and found[before].text == "(":
        before -= 1
    return before >= 0 and found[before].text.upper() == "AS"


def _select(session: Session, sql: str) -> tuple[Result, bytes | None]:
    tree = grammar.bind(grammar.parse(sql), session.request.parameters)
    return run_query(session, plan_query(session, tree, shown=True))


def _explain(session: Session, sql: str) -> tuple[Result, bytes | None]:
    rest = sql[grammar.tokens(sql)[0].end + 1 :]
    words = [token.text.upper() for token in grammar.tokens(rest)[:1]]
    if words == ["ANALYZE"] or words == ["("]:
        raise not_supported(f"EXPLAIN {words[0]}")
    if classify(rest) is not SELECT:
        raise not_supported("EXPLAIN of a statement that is no query")
    plan = plan_query(session, grammar.bind(grammar.parse(rest), session.request.parameters))
    rows = session.run(f"EXPLAIN {plan.sql}", plan.locate).fetchall()
    text = "\n".join(str(row[1]) for row in rows)
    return text_result(session, [(line,) for line in text.splitlines()], ("Query Plan",))


SELECT = Statement("DML", "SELECT", ".csv", _select)
CTAS = Statement("DDL", "CREATE_TABLE_AS_SELECT", "", ctas.create_table_as)
_INSERT = Statement("DML", "INSERT", "", inserting.insert_into)
_STATEMENTS: dict[tuple[str, ...], Statement] = {
    **{(word,): SELECT for word in _QUERIES},
    ("EXPLAIN",): Statement("UTILITY", "EXPLAIN", ".txt", _explain),
    ("INSERT", "INTO"): _INSERT,
    ("UNLOAD",): Statement("DML", "UNLOAD", "", ctas.unload),
    ("CREATE", "EXTERNAL", "TABLE"): Statement("DDL", "CREATE_TABLE", ".txt", ddl.create_external_table),
    ("CREATE", "DATABASE"): Statement("DDL", "CREATE_DATABASE", ".txt", ddl.create_database),
    ("CREATE", "SCHEMA"): Statement("DDL", "CREATE_DATABASE", ".txt", ddl.create_database),
    ("CREATE", "OR", "REPLACE", "VIEW"): Statement("DDL", "CREATE_VIEW", ".txt", ddl.create_view),
    ("CREATE", "VIEW"): Statement("DDL", "CREATE_VIEW", ".txt", ddl.create_view),
    ("DROP", "DATABASE"): Statement("DDL", "DROP_DATABASE", ".txt", ddl.drop_database),
    ("DROP", "SCHEMA"): Statement("DDL", "DROP_DATABASE", ".txt", ddl.drop_database),
    ("DROP", "TABLE"): Statement("DDL", "DROP_TABLE", ".txt", ddl.drop_table),
    ("DROP", "VIEW"): Statement("DDL", "DROP_VIEW", ".txt", ddl.drop_view),
    ("ALTER", "TABLE"): Statement("DDL", "ALTER_TABLE", ".txt", alter.alter_table),
    ("MSCK", "REPAIR", "TABLE"): Statement("DDL", "MSCK_REPAIR_TABLE", ".txt", ddl.repair_table),
    ("SHOW", "DATABASES"): Statement("UTILITY", "SHOW_DATABASES", ".txt", show.databases),
    ("SHOW", "SCHEMAS"): Statement("UTILITY", "SHOW_DATABASES", ".txt", show.databases),
    ("SHOW", "TABLES"): Statement("UTILITY", "SHOW_TABLES", ".txt", show.tables),
    ("SHOW", "VIEWS"): Statement("UTILITY", "SHOW_VIEWS", ".txt", show.views),
    ("SHOW", "PARTITIONS"): Statement("UTILITY", "SHOW_PARTITIONS", ".txt", show.partitions),
    ("SHOW", "COLUMNS"): Statement("UTILITY", "SHOW_COLUMNS", ".txt", show.columns),
    ("SHOW", "CREATE", "TABLE"): Statement("UTILITY", "SHOW_CREATE_TABLE", ".txt", show.create_table),
    ("SHOW", "CREATE", "VIEW"): Statement("UTILITY", "SHOW_CREATE_VIEW", ".txt", show.create_view),
    ("SHOW", "TBLPROPERTIES"): Statement("UTILITY", "SHOW_TBLPROPERTIES", ".txt", show.properties),
    ("DESCRIBE",): Statement("UTILITY", "DESCRIBE_TABLE", ".txt", show.describe),
    ("DESC",): Statement("UTILITY", "DESCRIBE_TABLE", ".txt", show.describe),
    ("PREPARE",): Statement("DDL", "PREPARE", ".txt", prepared.prepare),
    ("DEALLOCATE", "PREPARE"): Statement("DDL", "DEALLOCATE_PREPARE", ".txt", prepared.deallocate),
}


def resolve(session: Session, sql: str) -> tuple[Statement, str]:
    """The statement to run; EXECUTE becomes the statement that was prepared."""
    if [token.text.upper() for token in grammar.tokens(sql)[:1]] == ["EXECUTE"]:
        inner, parameters = prepared.resolve(session, sql)
        session.bind(parameters)
        return classify(inner), inner
    return classify(sql), sql

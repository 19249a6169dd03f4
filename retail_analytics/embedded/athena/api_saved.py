"""Athena's API of what is kept to be run later: named queries and prepared statements.

Belongs here: their requests and answers. Does not belong here: running them (`prepared.py`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.athena.responses import AthenaResponse
from moto.core.exceptions import JsonRESTError

from retail_analytics.embedded.athena.backend import DuckAthenaBackend, PreparedStatements, invalid

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from moto.athena.models import NamedQuery

_MOST_OF_A_BATCH = 50


class SavedQueries(AthenaResponse):
    """Moto's handler of Athena's requests, with named queries and prepared statements."""

    @property
    def duck(self) -> DuckAthenaBackend:
        """The backend of the request's account and region."""
        backend = self.athena_backend
        if not isinstance(backend, DuckAthenaBackend):
            raise TypeError("install() has to be called before moto makes its first Athena backend")
        return backend

    @property
    def asked(self) -> dict[str, Any]:
        """The request's JSON body."""
        try:
            found = json.loads(self.body or "{}")
        except ValueError:
            raise JsonRESTError("SerializationException", "The request's body is not JSON") from None
        if not isinstance(found, dict):
            raise JsonRESTError("SerializationException", "The request's body is not a JSON object")
        return found

    def ids(self, parameter: str) -> list[str]:
        """What a request about several names; AWS takes fifty."""
        found = list(self.asked.get(parameter) or [])
        if len(found) > _MOST_OF_A_BATCH:
            raise invalid(f"{parameter} holds {len(found)} values; it may hold at most {_MOST_OF_A_BATCH}.")
        return found

    def batch_get_named_query(self) -> str:
        """BatchGetNamedQuery."""
        ids = self.ids("NamedQueryIds")
        known = self.duck.named_queries
        missing = unknown("NamedQuery", ids, known)
        found = [_described(known[one]) for one in ids if one in known]
        return json.dumps({"NamedQueries": found, "UnprocessedNamedQueryIds": missing})

    def get_named_query(self) -> str:
        """GetNamedQuery; an unknown one is refused."""
        return json.dumps({"NamedQuery": _described(self._named_query())})

    def update_named_query(self) -> str:
        """UpdateNamedQuery."""
        query = self._named_query()
        query.name = self.asked.get("Name", query.name)
        query.description = self.asked.get("Description", query.description)
        query.query_string = self.asked.get("QueryString", query.query_string)
        return "{}"

    def delete_named_query(self) -> str:
        """DeleteNamedQuery."""
        del self.duck.named_queries[self._named_query().id]
        return "{}"

    def _named_query(self) -> NamedQuery:
        one = self.asked.get("NamedQueryId") or ""
        found = self.duck.named_queries.get(one)
        if found is None:
            raise invalid(f"NamedQuery {one} was not found")
        return found

    def create_prepared_statement(self) -> str:
        """CreatePreparedStatement; SQL's PREPARE makes the same."""
        name = str(self.asked["StatementName"]).lower()
        if self._statements().get(name) is not None:
            raise invalid(f"Prepared statement {name} already exists in workgroup {self.asked['WorkGroup']}")
        return self._put_statement()

    def update_prepared_statement(self) -> str:
        """UpdatePreparedStatement."""
        self._known_statement()
        return self._put_statement()

    def get_prepared_statement(self) -> str:
        """GetPreparedStatement."""
        found = {**self._known_statement(), "WorkGroupName": self.asked["WorkGroup"]}
        return json.dumps({"PreparedStatement": found})

    def delete_prepared_statement(self) -> str:
        """DeletePreparedStatement."""
        self._known_statement()
        self._statements().drop(str(self.asked["StatementName"]).lower())
        return "{}"

    def list_prepared_statements(self) -> str:
        """ListPreparedStatements."""
        self._statements()
        names = sorted(name for group, name in self.duck.prepared if group == self.asked["WorkGroup"])
        return json.dumps({"PreparedStatements": [{"StatementName": name} for name in names]})

    def batch_get_prepared_statement(self) -> str:
        """BatchGetPreparedStatement."""
        statements, group = self._statements(), self.asked["WorkGroup"]
        names = self.ids("PreparedStatementNames")
        texts = {name: statements.get(str(name).lower()) for name in names}
        found = [
            {"StatementName": name, "QueryStatement": text, "WorkGroupName": group}
            for name, text in texts.items()
            if text is not None
        ]
        missing = [
            {
                "StatementName": name,
                "ErrorCode": "STATEMENT_NOT_FOUND",
                "ErrorMessage": f"{name} was not found",
            }
            for name, text in texts.items()
            if text is None
        ]
        answer = {"PreparedStatements": found, "UnprocessedPreparedStatementNames": missing}
        return json.dumps(answer)

    def _put_statement(self) -> str:
        self._statements().put(str(self.asked["StatementName"]).lower(), self.asked["QueryStatement"])
        return "{}"

    def _statements(self) -> PreparedStatements:
        group = self.asked.get("WorkGroup") or ""
        if group not in self.duck.work_groups:
            raise invalid(f"WorkGroup {group} is not found.")
        return PreparedStatements(self.duck, group)

    def _known_statement(self) -> dict[str, str]:
        self._statements()
        name = str(self.asked.get("StatementName", "")).lower()
        found = self.duck.prepared.get((self.asked["WorkGroup"], name))
        if found is None:
            raise JsonRESTError("ResourceNotFoundException", f"PreparedStatement {name} was not found")
        return found


def unknown(what: str, ids: Iterable[str], known: Container[str]) -> list[dict[str, str]]:
    """What a batch request answers of the ids that nothing has."""
    return [
        {f"{what}Id": one, "ErrorCode": "INVALID_INPUT", "ErrorMessage": f"{what} {one} was not found"}
        for one in ids
        if one not in known
    ]


def _described(query: NamedQuery) -> dict[str, Any]:
    return {
        "Name": query.name,
        "Description": query.description,
        "Database": query.database,
        "QueryString": query.query_string,
        "NamedQueryId": query.id,
        "WorkGroup": query.workgroup.name,
    }

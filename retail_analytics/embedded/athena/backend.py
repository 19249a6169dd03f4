"""Athena in moto's server: requests checked as Athena checks them, work handed to `execution.py`.

Belongs here: executions, workgroups, idempotency, paging. Does not belong here: the wire (`api.py`), SQL.
"""

from __future__ import annotations

import threading
from itertools import islice
from typing import Any, ClassVar

from moto.athena import models as moto_models
from moto.athena.models import AthenaBackend
from moto.core.exceptions import JsonRESTError

from retail_analytics.embedded.athena import grammar, statements
from retail_analytics.embedded.athena.catalog import Catalog
from retail_analytics.embedded.athena.errors import QueryFailedError
from retail_analytics.embedded.athena.execution import FINAL, Execution, Runner
from retail_analytics.embedded.athena.results import page
from retail_analytics.embedded.athena.session import Request

_MAX_QUERY_BYTES = 262_144
_PAGE_ROWS = 1000


def invalid(message: str) -> JsonRESTError:
    """The API's answer to a request that cannot be served."""
    error = JsonRESTError("InvalidRequestException", message)
    error.code = 400
    return error


class PreparedStatements:
    """The prepared statements of one workgroup, shared by SQL and the API."""

    def __init__(self, backend: DuckAthenaBackend, workgroup: str) -> None:
        self._backend = backend
        self._workgroup = workgroup

    def get(self, name: str) -> str | None:
        """A statement's text, or None."""
        found = self._backend.prepared.get((self._workgroup, name))
        return found["QueryStatement"] if found else None

    def put(self, name: str, statement: str) -> None:
        """Adds or replaces a statement."""
        self._backend.prepared[(self._workgroup, name)] = {"StatementName": name, "QueryStatement": statement}

    def drop(self, name: str) -> bool:
        """Removes a statement; False where there is none."""
        return self._backend.prepared.pop((self._workgroup, name), None) is not None


class DuckAthenaBackend(AthenaBackend):
    """Moto's Athena backend of one account and region, with queries that run."""

    # moto finds a backend's URLs by the module of its class
    __module__ = moto_models.__name__
    runner: ClassVar[Runner | None] = None
    kept_executions: ClassVar[int] = 10_000

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.runs: dict[str, Execution] = {}
        self.prepared: dict[tuple[str, str], dict[str, str]] = {}
        self._by_token: dict[str, tuple[str, str]] = {}
        self._token_lock = threading.Lock()

    def reset(self) -> None:
        """Cancels what runs, then forgets everything, as moto's reset does."""
        for run in list(self.runs.values()):
            run.stop()
        super().reset()

    @property
    def catalog(self) -> Catalog:
        """The Glue catalog beside this Athena."""
        return Catalog(self.account_id, self.region_name)

    def submit(self, asked: dict[str, Any]) -> str:
        """StartQueryExecution: checks the request, queues the query, returns its id."""
        execution = self._execution(asked)
        token = asked.get("ClientRequestToken")
        with self._token_lock:
            if token and token in self._by_token:
                known, text = self._by_token[token]
                if text != execution.query:
                    raise invalid("Idempotent parameters do not match")
                return known
            self._forget_the_oldest()
            self.runs[execution.id] = execution
            if token:
                self._by_token[token] = (execution.id, execution.query)
        if self.runner is None:
            raise RuntimeError("this Athena was uninstalled; call install() before the server serves")
        self.runner.submit(execution, PreparedStatements(self, execution.workgroup))
        return execution.id

    def delete_group(self, name: str, *, with_contents: bool) -> None:
        """Removes a workgroup; one that holds queries or statements only together with them."""
        runs = [run for run in self.runs.values() if run.workgroup == name]
        named = [one for one, query in self.named_queries.items() if query.workgroup.name == name]
        statements = [key for key in self.prepared if key[0] == name]
        if (runs or named or statements) and not with_contents:
            raise invalid(f"WorkGroup {name} is not empty; RecursiveDeleteOption deletes what it holds.")
        for run in runs:
            run.stop()
            del self.runs[run.id]
        for one in named:
            del self.named_queries[one]
        for key in statements:
            del self.prepared[key]
        self.delete_work_group(name)

    def _forget_the_oldest(self) -> None:
        """Lets go of ended executions beyond `kept_executions`, with their rows; their objects in S3 stay."""
        excess = len(self.runs) + 1 - self.kept_executions
        if excess <= 0:
            return
        ended = (run for run in list(self.runs.values()) if run.state in FINAL)
        for run in list(islice(ended, excess)):
            del self.runs[run.id]
            self._by_token.pop(run.asked.get("ClientRequestToken") or "", None)

    def _execution(self, asked: dict[str, Any]) -> Execution:
        query = asked.get("QueryString") or ""
        size = len(query.encode())
        if not query.strip():
            raise invalid(
                "1 validation error detected: queryString must have length greater than or equal to 1"
            )
        if size > _MAX_QUERY_BYTES:
            raise invalid(
                f"Query string is {size} bytes long, over the limit of {_MAX_QUERY_BYTES} bytes (queryString)"
            )
        name = asked.get("WorkGroup") or "primary"
        workgroup = self.work_groups.get(name)
        if workgroup is None:
            raise invalid(f"WorkGroup {name} is not found.")
        if workgroup.state != "ENABLED":
            raise invalid(f"WorkGroup {name} is disabled.")
        folder, enforced = self._output_folder(asked, workgroup.configuration)
        limit = workgroup.configuration.get("BytesScannedCutoffPerQuery")
        context = asked.get("QueryExecutionContext") or {}
        catalog = context.get("Catalog") or "AwsDataCatalog"
        if catalog.lower() != "awsdatacatalog":
            raise invalid(f"Catalog {catalog} is not one that the embedded Athena reads: use AwsDataCatalog.")
        request = Request(
            query=query,
            account=self.account_id,
            region=self.region_name,
            database=(context.get("Database") or "default").strip("`").lower(),  # as awswrangler quotes it
            parameters=tuple(asked.get("ExecutionParameters") or ()),
            output_folder=folder,
            scan_limit=int(limit) if limit else None,
            enforced_output=enforced,
        )
        kind, detail, suffix = _kind(query)
        execution = Execution(query, request, name, kind, detail, None, asked)
        execution.output_location = (
            f"{folder}{execution.id}{suffix}" if suffix else f"{folder}tables/{execution.id}"
        )
        return execution

    def _output_folder(self, asked: dict[str, Any], configuration: dict[str, Any]) -> tuple[str, bool]:
        of_group = (configuration.get("ResultConfiguration") or {}).get("OutputLocation")
        of_request = (asked.get("ResultConfiguration") or {}).get("OutputLocation")
        enforced = bool(configuration.get("EnforceWorkGroupConfiguration")) and bool(of_group)
        location = of_group if enforced else of_request or of_group
        if not location:
            raise invalid(
                "No output location provided. An output location is required either through the "
                "Workgroup result "
                "configuration setting or as an API input."
            )
        if not str(location).startswith("s3://"):
            raise invalid(f"outputLocation is not a valid S3 path: {location}")
        return f"{str(location).rstrip('/')}/", enforced

    def find(self, query_id: str | None) -> Execution:
        """A query by its id."""
        run = self.runs.get(query_id or "")
        if run is None:
            raise invalid(f"QueryExecution {query_id} was not found")
        return run

    def rows(self, asked: dict[str, Any]) -> dict[str, Any]:
        """GetQueryResults."""
        run = self.find(asked.get("QueryExecutionId"))
        if run.state not in FINAL:
            raise invalid(f"Query has not yet finished. Current state: {run.state}")
        if run.state != "SUCCEEDED":
            raise invalid(f"Query did not finish successfully. Final query state: {run.state}")
        limit = asked.get("MaxResults") or _PAGE_ROWS
        if not 1 <= int(limit) <= _PAGE_ROWS:
            raise invalid(f"MaxResults is more than maximum allowed length {_PAGE_ROWS}.")
        token = asked.get("NextToken") or "0"
        if not token.isdigit():
            raise invalid(f"The NextToken {token} is not one of this query")
        rows, following = page(run.result, int(token), int(limit))
        answer: dict[str, Any] = {
            "UpdateCount": run.result.update_count,
            "ResultSet": {
                "Rows": rows,
                "ResultSetMetadata": {"ColumnInfo": [column.as_dict() for column in run.result.columns]},
            },
        }
        if following is not None:
            answer["NextToken"] = str(following)
        return answer


def _kind(query: str) -> tuple[str, str, str]:
    try:
        if [token.text.upper() for token in grammar.tokens(query)[:1]] == ["EXECUTE"]:
            return "DML", "EXECUTE", ".csv"
        statement = statements.classify(query)
    except QueryFailedError:
        return "DML", "UNKNOWN", ".csv"  # it fails with the reason when its turn comes
    return statement.kind, statement.detail, statement.suffix

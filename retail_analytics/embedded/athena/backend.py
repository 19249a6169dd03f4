"""Athena's API in moto's server: requests checked as Athena checks them, work handed to `execution.py`.

Belongs here: the wire side, workgroups, idempotency, paging. Does not belong here: SQL.
"""

from __future__ import annotations

import atexit
import json
import threading
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from moto.athena import models as moto_models
from moto.athena import urls as moto_urls
from moto.athena.models import AthenaBackend, athena_backends
from moto.athena.responses import AthenaResponse
from moto.core.exceptions import JsonRESTError

from retail_analytics.embedded.athena import api_catalog, grammar, statements
from retail_analytics.embedded.athena.catalog import Catalog
from retail_analytics.embedded.athena.engine import Engine
from retail_analytics.embedded.athena.errors import QueryFailedError
from retail_analytics.embedded.athena.execution import FINAL, Execution, Runner
from retail_analytics.embedded.athena.results import page
from retail_analytics.embedded.athena.session import Request

if TYPE_CHECKING:
    from pathlib import Path

_MAX_QUERY_BYTES = 262_144
_PAGE_ROWS = 1000
_PAGE_IDS = 50
# A quick query ends while its first GetQueryExecution waits, so that a client with a poll interval of a
# second does not sleep for one; a slow one costs its client this much more a poll.
_LONG_POLL_SECONDS = 0.1


def install(work_dir: Path, *, memory_limit: str = "1GB", concurrency: int = 4) -> None:
    """Puts this Athena in the place of moto's, in this process. Call it before moto's server serves.

    Args:
        work_dir: a folder of its own for it; what an earlier process left there is deleted.
        memory_limit: DuckDB's limit for all queries together.
        concurrency: how many queries run at once; more wait in state QUEUED.
    """
    uninstall()
    atexit.register(uninstall)
    runner = Runner(Engine(work_dir, memory_limit=memory_limit), concurrency)
    DuckAthenaBackend.runner = runner
    athena_backends.backend = DuckAthenaBackend
    athena_backends.clear()
    moto_urls.url_paths = {"{0}/$": DuckAthenaResponse.dispatch}


def uninstall() -> None:
    """Stops the queries of an `install` before and lets go of its DuckDB; nothing where there was none."""
    runner = DuckAthenaBackend.runner
    DuckAthenaBackend.runner = None
    if runner is not None:
        runner.close()


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


class DuckAthenaResponse(AthenaResponse):
    """Moto's handler of Athena's requests, with the answers that need more than moto keeps."""

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

    def start_query_execution(self) -> str:
        """StartQueryExecution."""
        return json.dumps({"QueryExecutionId": self.duck.submit(self.asked)})

    def get_query_execution(self) -> str:
        """GetQueryExecution."""
        run = self.duck.find(self.asked.get("QueryExecutionId"))
        run.done.wait(_LONG_POLL_SECONDS)
        return json.dumps({"QueryExecution": describe(run)})

    def batch_get_query_execution(self) -> str:
        """BatchGetQueryExecution."""
        ids = self.asked.get("QueryExecutionIds") or []
        known = self.duck.runs
        missing = [
            {
                "QueryExecutionId": one,
                "ErrorCode": "INVALID_INPUT",
                "ErrorMessage": f"QueryExecution {one} was not found",
            }
            for one in ids
            if one not in known
        ]
        found = [describe(known[one]) for one in ids if one in known]
        return json.dumps({"QueryExecutions": found, "UnprocessedQueryExecutionIds": missing})

    def get_query_results(self) -> str:
        """GetQueryResults."""
        return json.dumps(self.duck.rows(self.asked))

    def stop_query_execution(self) -> str:
        """StopQueryExecution."""
        self.duck.find(self.asked.get("QueryExecutionId")).stop()
        return "{}"

    def list_query_executions(self) -> str:
        """ListQueryExecutions, newest first."""
        group = self.asked.get("WorkGroup") or "primary"
        if group not in self.duck.work_groups:
            raise invalid(f"WorkGroup {group} is not found.")
        ids = [run.id for run in reversed(list(self.duck.runs.values())) if run.workgroup == group]
        token, size = str(self.asked.get("NextToken") or 0), int(self.asked.get("MaxResults") or _PAGE_IDS)
        if not token.isdigit():
            raise invalid(f"The NextToken {token} is not one of ListQueryExecutions")
        if not 0 <= size <= _PAGE_IDS:
            raise invalid(f"MaxResults is {size}; it may be at most {_PAGE_IDS}.")
        start = int(token)
        answer: dict[str, Any] = {"QueryExecutionIds": ids[start : start + size]}
        if start + size < len(ids):
            answer["NextToken"] = str(start + size)
        return json.dumps(answer)

    def get_query_runtime_statistics(self) -> str:
        """GetQueryRuntimeStatistics: the timeline and the rows; no stages, which DuckDB does not have."""
        run = self.duck.find(self.asked.get("QueryExecutionId"))
        timeline = {key: value for key, value in run.statistics().items() if key.endswith("Millis")}
        rows = {
            "InputBytes": run.scanned_bytes,
            "OutputRows": run.result.row_count or run.result.update_count,
        }
        return json.dumps({"QueryRuntimeStatistics": {"Timeline": timeline, "Rows": rows}})

    def get_work_group(self) -> str:
        """GetWorkGroup; an unknown one is refused, where moto answers null."""
        name = self.asked.get("WorkGroup") or ""
        found = self.duck.get_work_group(name)
        if found is None:
            raise invalid(f"WorkGroup {name} is not found.")
        return json.dumps({"WorkGroup": found})

    def update_work_group(self) -> str:
        """UpdateWorkGroup."""
        name = self.asked.get("WorkGroup") or ""
        group = self.duck.work_groups.get(name)
        if group is None:
            raise invalid(f"WorkGroup {name} is not found.")
        update_work_group(group, self.asked)
        return "{}"

    def create_prepared_statement(self) -> str:
        """CreatePreparedStatement; SQL's PREPARE makes the same."""
        self._statements().put(str(self.asked["StatementName"]).lower(), self.asked["QueryStatement"])
        return "{}"

    def update_prepared_statement(self) -> str:
        """UpdatePreparedStatement."""
        self._known_statement()
        return self.create_prepared_statement()

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

    def list_data_catalogs(self) -> str:
        """ListDataCatalogs: Glue's, and what CreateDataCatalog added (which no query can read)."""
        glue = {"CatalogName": "AwsDataCatalog", "Type": "GLUE"}
        return json.dumps({"DataCatalogsSummary": [glue, *self.duck.list_data_catalogs()]})

    def get_database(self) -> str:
        """GetDatabase, from the Glue catalog."""
        return json.dumps({"Database": api_catalog.database(self.duck.catalog, self.asked)})

    def list_databases(self) -> str:
        """ListDatabases, from the Glue catalog."""
        return json.dumps(api_catalog.databases(self.duck.catalog, self.asked))

    def get_table_metadata(self) -> str:
        """GetTableMetadata, from the Glue catalog."""
        return json.dumps({"TableMetadata": api_catalog.table(self.duck.catalog, self.asked)})

    def list_table_metadata(self) -> str:
        """ListTableMetadata, from the Glue catalog."""
        return json.dumps(api_catalog.tables(self.duck.catalog, self.asked))


def update_work_group(group: Any, asked: dict[str, Any]) -> None:
    """Applies UpdateWorkGroup's changes, those that remove a setting included."""
    changes = dict(asked.get("ConfigurationUpdates") or {})
    results = dict(changes.pop("ResultConfigurationUpdates", None) or {})
    configuration = group.configuration
    if changes.pop("RemoveBytesScannedCutoffPerQuery", False):
        configuration.pop("BytesScannedCutoffPerQuery", None)
    kept = dict(configuration.get("ResultConfiguration") or {})
    if results.pop("RemoveOutputLocation", False):
        kept.pop("OutputLocation", None)
    kept.update({key: value for key, value in results.items() if not key.startswith("Remove")})
    configuration.update(changes)
    configuration["ResultConfiguration"] = kept
    group.description = asked.get("Description", group.description)
    group.state = asked.get("State", group.state)


def describe(run: Execution) -> dict[str, Any]:
    """A query as GetQueryExecution shows it."""
    status: dict[str, Any] = {"State": run.state, "SubmissionDateTime": run.submitted}
    if run.ended is not None:
        status["CompletionDateTime"] = run.ended
    if run.reason:
        status["StateChangeReason"] = run.reason
    if run.error:
        status["AthenaError"] = run.error
    found = {
        "QueryExecutionId": run.id,
        "Query": run.query,
        "StatementType": run.kind,
        "SubstatementType": run.detail,
        "ResultConfiguration": {
            **(run.asked.get("ResultConfiguration") or {}),
            "OutputLocation": run.output_location,
        },
        "ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": False}},
        "QueryExecutionContext": run.asked.get("QueryExecutionContext") or {},
        "Status": status,
        "Statistics": run.statistics(),
        "WorkGroup": run.workgroup,
        "EngineVersion": {
            "SelectedEngineVersion": "AUTO",
            "EffectiveEngineVersion": "Athena engine version 3",
        },
    }
    if run.request.parameters:
        found["ExecutionParameters"] = list(run.request.parameters)
    return found

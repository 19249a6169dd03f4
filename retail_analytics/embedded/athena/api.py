"""Athena's API on the wire: each operation's request and answer as JSON.

Belongs here: what needs more than moto's handler keeps. Does not belong here: what is done (`backend.py`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.athena.responses import AthenaResponse
from moto.core.exceptions import JsonRESTError

from retail_analytics.embedded.athena import api_catalog
from retail_analytics.embedded.athena.backend import DuckAthenaBackend, PreparedStatements, invalid

if TYPE_CHECKING:
    from retail_analytics.embedded.athena.execution import Execution

_PAGE_IDS = 50
# A quick query ends while its first GetQueryExecution waits, so that a client with a poll interval of a
# second does not sleep for one; a slow one costs its client this much more a poll.
_LONG_POLL_SECONDS = 0.1


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

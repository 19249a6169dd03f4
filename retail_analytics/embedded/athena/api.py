"""Athena's API on the wire: each operation's request and answer as JSON.

Belongs here: what needs more than moto's handler keeps. Does not belong here: what is done (`backend.py`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from retail_analytics.embedded.athena import api_catalog
from retail_analytics.embedded.athena.api_saved import SavedQueries, unknown
from retail_analytics.embedded.athena.backend import invalid

if TYPE_CHECKING:
    from retail_analytics.embedded.athena.execution import Execution

_PAGE_IDS = 50
# A query of a laptop's size ends while a GetQueryExecution waits for it, so that its client learns of the end
# at once; between two polls it would sleep, as it must on AWS.
_LONG_POLL_SECONDS = 1.0


class DuckAthenaResponse(SavedQueries):
    """Moto's handler of Athena's requests, with the answers that need more than moto keeps."""

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
        ids = self.ids("QueryExecutionIds")
        known = self.duck.runs
        missing = unknown("QueryExecution", ids, known)
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

    def delete_work_group(self) -> str:
        """DeleteWorkGroup; one that holds queries is deleted with them, when that is asked."""
        name = self.asked.get("WorkGroup") or ""
        if name == "primary":
            raise invalid("The primary workgroup cannot be deleted.")
        if name not in self.duck.work_groups:
            raise invalid(f"WorkGroup {name} is not found.")
        self.duck.delete_group(name, with_contents=bool(self.asked.get("RecursiveDeleteOption")))
        return "{}"

    def get_data_catalog(self) -> str:
        """GetDataCatalog; an unknown one is refused, where moto answers null."""
        name = self.asked.get("Name") or ""
        found = self.duck.get_data_catalog(name)
        if name.lower() == "awsdatacatalog":
            found = {"Name": "AwsDataCatalog", "Type": "GLUE", "Description": "AWS Glue Data Catalog"}
        if found is None:
            raise invalid(f"Data catalog {name} is not found.")
        return json.dumps({"DataCatalog": found})

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
        "ResultReuseConfiguration": run.asked.get("ResultReuseConfiguration")
        or {"ResultReuseByAgeConfiguration": {"Enabled": False}},
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

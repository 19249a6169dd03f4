"""Athena's own view of the catalog through its API: GetDatabase, ListTableMetadata and the like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from moto.core.exceptions import JsonRESTError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from retail_analytics.embedded.athena.catalog import Catalog

_PAGE = 50


def database(catalog: Catalog, asked: Mapping[str, Any]) -> dict[str, Any]:
    """GetDatabase."""
    _check_catalog(asked)
    name = str(asked.get("DatabaseName", "")).lower()
    if not catalog.has_database(name):
        raise _missing(f"Database {name} not found.")
    found = catalog.glue.databases.get(name)
    description = found.input.get("Description") if found else None
    return {"Name": name, **({"Description": description} if description else {}), "Parameters": {}}


def databases(catalog: Catalog, asked: Mapping[str, Any]) -> dict[str, Any]:
    """ListDatabases."""
    _check_catalog(asked)
    names, token = _page(catalog.databases(), asked)
    return {"DatabaseList": [{"Name": name} for name in names], **token}


def table(catalog: Catalog, asked: Mapping[str, Any]) -> dict[str, Any]:
    """GetTableMetadata."""
    _check_catalog(asked)
    name = str(asked.get("DatabaseName", "")).lower()
    wanted = str(asked.get("TableName", "")).lower()
    definition = catalog.definition(name, wanted)
    if definition is None:
        raise _missing(f"Table {wanted} not found.")
    return _metadata(wanted, definition)


def tables(catalog: Catalog, asked: Mapping[str, Any]) -> dict[str, Any]:
    """ListTableMetadata."""
    found = database(catalog, asked)["Name"]
    expression = asked.get("Expression")
    names = [n for n in catalog.tables(found) if not expression or re.search(str(expression), n)]
    names, token = _page(names, asked)
    definitions = [(name, catalog.definition(found, name)) for name in names]
    return {"TableMetadataList": [_metadata(name, entry) for name, entry in definitions if entry], **token}


def _metadata(name: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    storage = definition.get("StorageDescriptor") or {}
    serde = storage.get("SerdeInfo") or {}
    created: datetime = definition["CreateTime"]
    parameters = dict(definition.get("Parameters") or {})
    described = {
        "location": storage.get("Location"),
        "inputformat": storage.get("InputFormat"),
        "outputformat": storage.get("OutputFormat"),
        "serde.serialization.lib": serde.get("SerializationLibrary"),
        **{f"serde.param.{key}": value for key, value in (serde.get("Parameters") or {}).items()},
    }
    parameters.update({key: value for key, value in described.items() if value})
    return {
        "Name": name,
        "CreateTime": created.timestamp(),
        "TableType": definition.get("TableType") or "EXTERNAL_TABLE",
        "Columns": [_column(entry) for entry in storage.get("Columns") or ()],
        "PartitionKeys": [_column(entry) for entry in definition.get("PartitionKeys") or ()],
        "Parameters": parameters,
    }


def _column(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("Name", "Type", "Comment") if entry.get(key)}


def _check_catalog(asked: Mapping[str, Any]) -> None:
    name = str(asked.get("CatalogName") or "")
    if name.lower() != "awsdatacatalog":
        raise JsonRESTError(
            "InvalidRequestException", f"Catalog {name} is not found: there is AwsDataCatalog"
        )


def _page(names: Sequence[str], asked: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    start, size = int(asked.get("NextToken") or 0), int(asked.get("MaxResults") or _PAGE)
    token = {"NextToken": str(start + size)} if start + size < len(names) else {}
    return list(names[start : start + size]), token


def _missing(message: str) -> JsonRESTError:
    # clients read Glue's error code out of this text: it has to be in AWS's form
    text = (
        f"{message} (Service: AmazonDataCatalog; Status Code: 400; "
        f"Error Code: EntityNotFoundException; Request ID: {uuid4()}; Proxy: null)"
    )
    return JsonRESTError("MetadataException", text)

"""Which AWS operations some source code calls, found in its syntax tree.

A client's operation is an attribute of its name (``glue.get_table``, handed over or called), or the text that
a paginator is asked for by. Not here: who makes the call, and may.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from botocore import xform_name
from botocore.session import get_session

_TRANSFERS = {"upload_fileobj", "download_fileobj"}  # boto3's own, on a client of S3


@cache
def operations(service: str) -> dict[str, str]:
    """A service's operations: the name of the client's method, and the operation's own."""
    return {xform_name(name): name for name in get_session().get_service_model(service).operation_names}


def calls(source: str, services: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The (service, method) of each operation of these services that the source mentions."""
    known = {method: service for service in sorted(services) for method in operations(service)}
    if "s3" in services:
        known |= dict.fromkeys(_TRANSFERS, "s3")
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name):
                if name in known:
                    yield known[name], name
            case ast.Call(func=ast.Attribute(attr="get_paginator"), args=[ast.Constant(value=str(name))]):
                yield known[name], name
            case ast.Call(func=ast.Attribute(attr="get_waiter"), args=[ast.Constant(value=str(name))]):
                yield "waiter", name  # of which no table knows the operation: whoever adds one says it


def services(source: str) -> Iterator[str]:
    """The services that the source makes boto3 clients or resources of."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="client" | "resource"), args=[ast.Constant(value=str(name)), *_]
            ):
                yield name


def python_files(folder: Path, *left_out: str) -> Iterator[Path]:
    """The modules below a folder, without those below the folders that are left out."""
    for path in sorted(folder.rglob("*.py")):
        if path.relative_to(folder).parts[0] not in left_out:
            yield path

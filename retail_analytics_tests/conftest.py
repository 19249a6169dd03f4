"""Fixtures for all tests: see the embedded cloud's pytest plugin, and ``dev_session.py``."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from dagster._core.storage.defs_state.base import set_defs_state_storage

from retail_analytics.embedded.pytest_plugin import (
    embedded_cloud,
    fresh_lake,
    fresh_settings,
    own_cloud,
    shared_cloud,
)
from retail_analytics_tests.dev_session import compacted, dev

if TYPE_CHECKING:
    from collections.abc import Iterator


@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "connect")
def not_through_to_the_disk(connection: Any, _: object) -> None:
    """Dagster's memory in a test need not outlive the power; waiting for the disk is half of its time."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(autouse=True)
def no_instance_of_another_test() -> Iterator[None]:
    """Instances that end in another order than they began leave a dead one in Dagster's context."""
    with set_defs_state_storage(None):
        yield


__all__ = [
    "compacted",
    "dev",
    "embedded_cloud",
    "fresh_lake",
    "fresh_settings",
    "own_cloud",
    "shared_cloud",
]

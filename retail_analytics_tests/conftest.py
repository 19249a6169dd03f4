"""Fixtures for all tests: see the embedded cloud's pytest plugin; how they are dealt out and repeated."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import sqlalchemy
from alembic.script import ScriptDirectory
from dagster._core.storage.defs_state import base as defs_state

from retail_analytics.embedded.pytest_plugin import (
    embedded_cloud,
    fresh_lake,
    fresh_settings,
    own_cloud,
    shared_cloud,
)
from retail_analytics_tests import properties, scheduling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster._core.storage.defs_state.base import DefsStateStorage

# Before any test is imported, since decorators take what holds then; `--hypothesis-profile` overrides it.
hypothesis.settings.load_profile(properties.SAME)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first; an exploration looks at more examples of whatever a test asks for."""
    scheduling.longest_first(items)
    if hypothesis.settings.get_current_profile_name() == properties.EXPLORE:
        properties.multiply(items, properties.TIMES)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> scheduling.FilesAndSession | None:
    """`--dist loadfile`, and one `retail-analytics dev` for all."""
    return scheduling.FilesAndSession(config, log) if config.getoption("dist") == "loadfile" else None


# Dagster stamps each database that it makes, one a run and three an instance, and alembic reads all of its
# migrations from their files for each stamp.
ScriptDirectory.from_config = staticmethod(cache(ScriptDirectory.from_config))  # type: ignore[method-assign]


@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "connect")
def not_through_to_the_disk(connection: Any, _: object) -> None:
    """Dagster's memory in a test need not outlive the power; waiting for the disk is half of its time."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


_entered: ContextVar[tuple[list[DefsStateStorage[Any] | None], ...]] = ContextVar("_entered", default=())


@contextmanager
def _state_of_definitions(storage: DefsStateStorage[Any] | None) -> Iterator[None]:
    """As Dagster's own, but whoever ends late takes nothing back that another has set meanwhile.

    The context of a sensor or a schedule ends when it is collected, whenever that is; and a run that is
    under way then finds, in place of its own instance, the dead one of an earlier test.
    """
    entry = [storage]
    _set((*_entered.get(), entry))
    try:
        yield
    finally:
        _set(tuple(each for each in _entered.get() if each is not entry))


def _set(entered: tuple[list[DefsStateStorage[Any] | None], ...]) -> None:
    _entered.set(entered)
    defs_state._current_storage.set(entered[-1][0] if entered else None)


defs_state.set_defs_state_storage = _state_of_definitions


@pytest.fixture(autouse=True)
def no_instance_of_another_test() -> Iterator[None]:
    """A test begins without an instance, whatever those before it have left."""
    with _state_of_definitions(None):
        yield


__all__ = [
    "embedded_cloud",
    "fresh_lake",
    "fresh_settings",
    "own_cloud",
    "shared_cloud",
]

"""Dagster's memory for commands that read it where it is, and for those that cannot do without."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Iterator


class NoInstanceError(ValueError):
    """A command needs Dagster's memory, and the environment does not say where it is."""


@contextmanager
def instance_if_any() -> Iterator[dg.DagsterInstance | None]:
    """The instance that DAGSTER_HOME names, or None without one."""
    if not os.environ.get("DAGSTER_HOME"):
        yield None
        return
    with dg.DagsterInstance.get() as instance:
        yield instance


@contextmanager
def instance_for(purpose: str) -> Iterator[dg.DagsterInstance]:
    """The instance that DAGSTER_HOME names.

    Raises:
        NoInstanceError: It names none.
    """
    with instance_if_any() as instance:
        if instance is None:
            raise NoInstanceError(
                f"DAGSTER_HOME is not set, and {purpose} is Dagster's to remember: set it to the deployment's"
                ' (`eval "$(retail-analytics env --export)"` for the embedded cloud).'
            )
        yield instance

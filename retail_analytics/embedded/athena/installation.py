"""Putting this Athena in the place of moto's, and taking it out again."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

from moto.athena import urls as moto_urls
from moto.athena.models import athena_backends

from retail_analytics.embedded.athena.api import DuckAthenaResponse
from retail_analytics.embedded.athena.backend import DuckAthenaBackend
from retail_analytics.embedded.athena.engine import Engine
from retail_analytics.embedded.athena.execution import Runner

if TYPE_CHECKING:
    from pathlib import Path


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

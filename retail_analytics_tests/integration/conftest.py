"""Fixtures of tests over the embedded cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from retail_analytics_tests.integration.lakes import Lake

if TYPE_CHECKING:
    from retail_analytics.embedded.pytest_plugin import FreshLake


@pytest.fixture
def lake(fresh_lake: FreshLake) -> Lake:
    """A lake of the test's own, its tables made, beginning with 2010-12-01 08:00."""
    return Lake.over(fresh_lake)

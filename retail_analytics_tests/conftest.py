"""Fixtures for all tests: see the embedded cloud's pytest plugin, and ``dev_session.py``."""

from __future__ import annotations

from retail_analytics.embedded.pytest_plugin import (
    embedded_cloud,
    fresh_lake,
    fresh_settings,
    own_cloud,
    shared_cloud,
)
from retail_analytics_tests.dev_session import compacted, dev

__all__ = [
    "compacted",
    "dev",
    "embedded_cloud",
    "fresh_lake",
    "fresh_settings",
    "own_cloud",
    "shared_cloud",
]

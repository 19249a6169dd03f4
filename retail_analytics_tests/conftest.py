"""Fixtures for all tests: see the embedded cloud's pytest plugin."""

from __future__ import annotations

from retail_analytics.embedded.pytest_plugin import (
    embedded_cloud,
    fresh_lake,
    fresh_settings,
    own_cloud,
    shared_cloud,
)

__all__ = ["embedded_cloud", "fresh_lake", "fresh_settings", "own_cloud", "shared_cloud"]

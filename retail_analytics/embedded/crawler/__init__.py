"""A Glue crawler that crawls: schemas and partitions inferred from objects, written by policy."""

from __future__ import annotations

from retail_analytics.embedded.crawler.backend import install

__all__ = ["install"]

"""The commands of ``retail-analytics`` that are about search."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_commands(_: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register them."""

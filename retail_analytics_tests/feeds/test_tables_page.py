"""The page of the processed tables says what is declared."""

from __future__ import annotations

import pytest

from retail_analytics_tests.feeds import tables_page


def test_the_page_is_up_to_date() -> None:
    written = tables_page.DOCUMENT.read_text()
    assert tables_page.updated(written) == written, "run python -m retail_analytics_tests.feeds.tables_page"


def test_a_page_without_markers_is_an_error() -> None:
    with pytest.raises(LookupError, match="markers"):
        tables_page.updated("text")

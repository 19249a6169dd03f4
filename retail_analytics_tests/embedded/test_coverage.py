"""The document says what the tests prove, and no more."""

from __future__ import annotations

import pytest

from retail_analytics_tests.embedded import coverage


def test_the_document_is_up_to_date() -> None:
    written = coverage.DOCUMENT.read_text()
    assert coverage.updated(written) == written, "run python -m retail_analytics_tests.embedded.coverage"


def test_a_promise_without_its_test_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = ("test_glue", "test_that_is_gone", "Glue", coverage.COVERED, "something")
    monkeypatch.setattr(coverage, "ELSEWHERE", (gone,))
    with pytest.raises(LookupError, match="test_that_is_gone"):
        coverage.promises()


def test_a_document_without_markers_is_an_error() -> None:
    with pytest.raises(LookupError, match="markers"):
        coverage.updated("text")

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from retail_analytics.feeds import get_feed

if TYPE_CHECKING:
    from collections.abc import Callable

    from retail_analytics.feeds import Feed

HEADER = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"
REAL_MONTH = Path(__file__).parents[3] / "shared/data/online_retail_2010-12.csv"


@pytest.fixture
def feed() -> Feed:
    return get_feed("retail_trans")


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of the notes' columns with the given lines."""

    def write(*lines: str, header: str = HEADER, name: str = "input.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def real_month() -> Path:
    if not REAL_MONTH.is_file():
        pytest.skip("the real month ../shared/data/online_retail_2010-12.csv is not beside this checkout")
    return REAL_MONTH


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that are no one's, and no endpoint: for moto within this process."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "us-east-1")

"""The UI in a real browser: the graph of assets, and an hour that was compacted, as a person finds them."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import urllib.parse
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from retail_analytics_tests.dev.session import DevSession

_LOADING_MILLISECONDS = 20_000  # of the page's own clock; a page that is idle is not waited for
_BROWSER_SECONDS = 300

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="Chromium is not installed (`apt-get install chromium`): the UI is not looked at",
)


def page_text(url: str, profile: Path) -> str:
    """What a page says once it has loaded: its DOM without scripts, styles and tags."""
    assert CHROMIUM is not None
    dumped = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--no-proxy-server", f"--user-data-dir={profile}", "--window-size=1900,1200"),
            *(f"--virtual-time-budget={_LOADING_MILLISECONDS}", "--dump-dom", url),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=_BROWSER_SECONDS,
    ).stdout
    without_code = re.sub(r"<(script|style)\b.*?</\1>", " ", dumped, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", without_code)))


def test_the_lineage_shows_every_asset(compacted: DevSession, tmp_path: Path) -> None:
    nodes = compacted.graphql("{ assetNodes { assetKey { path } groupName } }")["assetNodes"]
    names = {node["assetKey"]["path"][-1] for node in nodes}
    assert {"raw", "catalog", "compacted", "transactions", "search_index"} <= names

    text = page_text(f"http://127.0.0.1:{compacted.port}/asset-groups", tmp_path)

    assert "Global asset lineage" in text
    assert not [name for name in names if not re.search(rf"\b{name}\b", text)]


def test_a_compacted_hour_shows_its_status_its_figures_and_a_preview(
    compacted: DevSession, tmp_path: Path
) -> None:
    known = compacted.materializations("compacted", *compacted.hours())
    full = next(each for each in known if each["metadata"]["rows"])
    query = urllib.parse.urlencode({"view": "partitions", "partition": full["partition"]})

    text = page_text(f"http://127.0.0.1:{compacted.port}/assets/retail_trans/compacted?{query}", tmp_path)

    # The partition's own pane begins where its status follows its name.
    _, found, pane = text.partition(f"{full['partition']} Materialized Latest materialization")
    assert found, text
    assert full["metadata"]["state"] in ("published", "unchanged")  # others may have asked for it again
    assert re.search(rf"\bstate {full['metadata']['state']}\b", pane)
    assert re.search(rf"\brows {full['metadata']['rows']}\b", pane)
    assert re.search(r"\brejected 0\b", pane)
    assert full["metadata"]["digest"] in pane
    preview = pane.partition(" preview ")[2]
    assert preview.startswith("invoice stockcode description quantity invoicedate price customer_id country")
    assert re.search(r" 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+\.\d{4} ", preview)

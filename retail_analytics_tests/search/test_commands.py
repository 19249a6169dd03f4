"""The commands, and the zips that Lambda gets."""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore
import jmespath
import pytest
import s3transfer

from retail_analytics.search.commands import add_commands
from retail_analytics.search.dead_letters import DeadLetter, DeadLetterStore
from retail_analytics.search.environment import handler_environment
from retail_analytics_tests.search.records import event, line

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    options = parser.parse_args(arguments)
    return int(options.run(options))


@pytest.fixture
def deployment(settings: Settings, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETAIL_BUCKET", settings.bucket)
    monkeypatch.setenv("RETAIL_OPENSEARCH_URL", settings.opensearch_url)


def letter(number: int, data: bytes) -> DeadLetter:
    record_id = f"{number:032x}"
    return DeadLetter(record_id, "refused", "because", "2010-12-01", record_id, "", "", data)


def test_replaying_tells_what_became_of_the_letters(
    deployment: None, empty_search: OpenSearch, store: DeadLetterStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.put([letter(1, line(1)), letter(2, line(2, Country=""))])
    assert command("replay-dead-letters", "--feed", "retail_trans") == 1
    said = capsys.readouterr().out
    assert "2 dead letters read, 1 indexed, 1 remain." in said
    assert "Country is empty" in said
    empty_search.indices.refresh(index="retail_trans")
    assert empty_search.count(index="retail_trans")["count"] == 1
    assert command("replay-dead-letters", "--day", "2010-12-02") == 0


def test_replaying_without_a_server_is_an_error(
    deployment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETAIL_OPENSEARCH_URL", "http://127.0.0.1:9")
    assert command("replay-dead-letters") == 1
    assert "refused" in capsys.readouterr().err


def test_a_day_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command("replay-dead-letters", "--day", "yesterday")
    assert "--day" in capsys.readouterr().err


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("packed") / "new"
    assert command("package-handler", "--output", str(output)) == 0
    return output


def test_the_zips_are_reproducible_and_small(packed: Path, tmp_path: Path) -> None:
    assert command("package-handler", "--output", str(tmp_path)) == 0
    for name in ("upsert_to_es.zip", "es-lib.zip"):
        one, two = (hashlib.sha256((folder / name).read_bytes()).digest() for folder in (packed, tmp_path))
        assert one == two
        assert (packed / name).stat().st_size < 20_000_000


def test_the_zips_hold_nothing_compiled_and_no_absolute_path(packed: Path) -> None:
    names = zipfile.ZipFile(packed / "es-lib.zip").namelist()
    assert all(name.startswith("python/") and ".." not in name for name in names)
    assert not [name for name in names if name.endswith((".so", ".pyc"))]
    assert "python/opensearchpy/__init__.py" in names


def test_the_zips_are_all_that_the_handler_needs_beside_boto3(
    packed: Path, tmp_path: Path, search: OpenSearch, feed: Feed, settings: Settings
) -> None:
    task, layer, runtime = tmp_path / "task", tmp_path / "opt", tmp_path / "runtime"
    zipfile.ZipFile(packed / "upsert_to_es.zip").extractall(task)
    zipfile.ZipFile(packed / "es-lib.zip").extractall(layer)
    runtime.mkdir()
    for package in (boto3, botocore, s3transfer, jmespath):
        (runtime / package.__name__).symlink_to(Path(str(package.__file__)).parent)
    code = (
        "import json, sys\n"
        f"sys.path[:0] = {[str(task), str(layer / 'python'), str(runtime)]!r}\n"
        "from retail_analytics.search.upsert_to_es import lambda_handler\n"
        "answer = lambda_handler(json.load(sys.stdin), None)\n"
        "print(json.dumps(answer))\n"
    )
    environment = {
        **handler_environment(feed, settings),
        "DEAD_LETTER_BUCKET": "",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        input=json.dumps(event([line(1)])),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    metrics, answer = ran.stdout.splitlines()
    assert json.loads(answer) == {"batchItemFailures": []}
    assert json.loads(metrics)["Writes"] == 1
    search.indices.refresh(index="retail_trans")
    assert search.count(index="retail_trans")["count"] == 1

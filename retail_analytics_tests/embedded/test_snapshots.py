"""Snapshots: what a kill costs, what a snapshot writes, and which are refused."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from retail_analytics.embedded import cloud
from retail_analytics.embedded.cloud import CloudError
from retail_analytics.embedded.functions import FunctionSpec
from retail_analytics.embedded.state.folder import FOLDER_NAME, MANIFEST_NAME
from retail_analytics_tests.embedded.lives import (
    HANDLERS,
    Restartable,
    delivery_stream,
    make_stream,
    numbers_in,
    put_numbers,
    search,
)
from retail_analytics_tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Restartable:
    return Restartable(tmp_path / "state")


def test_after_a_kill_no_record_that_a_snapshot_holds_is_lost(place: Restartable) -> None:
    with place.running(then="kill") as running:
        boto3.client("s3").create_bucket(Bucket="lake")
        delivery_stream("fed", "lake", 900, make_stream("s"))
        delivery_stream("direct", "lake", 900)
        put_numbers("s", range(40))
        until(lambda: running.status()["delivery_streams"][0]["buffered_records"] == 40)
        records: Any = [{"Data": f"{number}\n".encode()} for number in range(30)]
        boto3.client("firehose").put_record_batch(DeliveryStreamName="direct", Records=records)
        assert running.keep_now()
        put_numbers("s", range(500, 510))
    with place.running():
        assert numbers_in("lake") == Counter()
    with place.running():
        assert numbers_in("lake", "fed/") == Counter(range(40))
        assert numbers_in("lake", "direct/") == Counter(range(30))


def test_after_a_kill_it_is_the_state_of_the_last_snapshot_and_says_so(place: Restartable) -> None:
    with place.running(then="kill") as running:
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="lake")
        s3.put_object(Bucket="lake", Key="kept", Body=b"kept")
        search(running, "PUT", "/x/_doc/1?refresh=true", {"a": 1})
        assert running.keep_now()
        assert not running.keep_now()
        s3.put_object(Bucket="lake", Key="lost", Body=b"lost")
        s3.delete_object(Bucket="lake", Key="kept")
        search(running, "PUT", "/x/_doc/2?refresh=true", {"a": 2})
        identity = running.id
    with place.running() as running:
        assert running.id == identity
        assert running.restored is not None
        assert not running.restored.clean
        moment = f"{running.restored.taken:%H:%M:%S} UTC; what came later is gone"
        assert moment in str(running.restored)
        found = boto3.client("s3").list_objects_v2(Bucket="lake")
        assert [entry["Key"] for entry in found["Contents"]] == ["kept"]
        assert search(running, "GET", "/x/_count")["count"] == 1


def test_a_kill_before_anything_was_written_again_is_told_too(place: Restartable) -> None:
    with place.running():
        boto3.client("s3").create_bucket(Bucket="lake")
    with place.running(then="kill") as running:
        assert running.restored is not None
        assert running.restored.clean
    with place.running() as running:
        assert running.restored is not None
        assert not running.restored.clean


def test_a_search_server_that_died_does_not_keep_the_rest_from_being_kept(place: Restartable) -> None:
    spec = FunctionSpec(
        name="keep",
        handler=f"{HANDLERS}.keep",
        stream="s",
        environment={"BUCKET": "lake", "PREFIX": "function/"},
    )
    with place.running() as running:
        boto3.client("s3").create_bucket(Bucket="lake")
        make_stream("s")
        running.add_function(spec)
        put_numbers("s", range(10))
        until(lambda: running.status()["functions"][0]["records_done"] == 10)
        search(running, "PUT", "/x/_doc/1?refresh=true", {"a": 1})
        assert running.keep_now()
        os.kill(running.address.opensearch_pid, signal.SIGKILL)
        until(lambda: not running.status()["opensearch"]["alive"])
        put_numbers("s", range(10, 30))
        until(lambda: running.status()["functions"][0]["records_done"] == 30)
        assert running.keep_now()
        assert "does not answer" in running.status()["snapshot"]["problem"]
    with place.running() as running:
        assert search(running, "GET", "/x/_count")["count"] == 1
        # What the index as it was cannot know is handed over again; nothing else is.
        again = Counter(range(30)) + Counter(range(10, 30))
        until(lambda: numbers_in("lake", "function/") == again)
        assert running.status()["snapshot"]["problem"] is None


def test_an_index_that_nobody_wrote_to_is_not_written_anew(place: Restartable) -> None:
    def files() -> dict[str, str]:
        return {index["name"]: index["file"] for index in place.manifest["search"]["indices"]}

    with place.running() as running:
        search(running, "PUT", "/one/_doc/1?refresh=true", {"a": 1})
        search(running, "PUT", "/two/_doc/1?refresh=true", {"a": 1})
        assert running.keep_now()
        first = files()
        search(running, "PUT", "/two/_doc/1?refresh=true", {"a": 2})
        assert running.keep_now()
        second = files()
        assert second["one"] == first["one"]
        assert second["two"] != first["two"]
    with place.running() as running:
        search(running, "PUT", "/two/_doc/2?refresh=true", {"a": 2})
        assert running.keep_now()
        assert files()["one"] == first["one"]
        assert files()["two"] != second["two"]


def test_a_snapshot_writes_the_bodies_that_are_new_and_lets_go_of_the_dead(place: Restartable) -> None:
    with place.running() as running:
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="lake")
        for number in range(50):
            s3.put_object(Bucket="lake", Key=f"k{number}", Body=b"x" * 1000)
        assert running.keep_now()
        first = place.manifest["packs"]
        assert sum(first.values()) == 50_000
        s3.put_object(Bucket="lake", Key="one-more", Body=b"y" * 10)
        assert running.keep_now()
        second = place.manifest["packs"]
        assert {name: size for name, size in second.items() if name not in first} == {
            next(name for name in second if name not in first): 10
        }
        for number in range(40):
            s3.delete_object(Bucket="lake", Key=f"k{number}")
        assert running.keep_now()
        assert sum(place.manifest["packs"].values()) == 10_010
        assert {path.name for path in (place.folder / FOLDER_NAME).iterdir()} == {
            MANIFEST_NAME,
            place.manifest["backends"],
            *place.manifest["packs"],
        }
    with place.running():
        s3 = boto3.client("s3")
        assert s3.get_object(Bucket="lake", Key="k49")["Body"].read() == b"x" * 1000
        assert s3.get_object(Bucket="lake", Key="one-more")["Body"].read() == b"y" * 10


def test_snapshots_come_by_themselves_while_others_write(place: Restartable) -> None:
    with place.running(snapshot_seconds=0.1, then="kill") as running:
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="lake")
        written = 0
        while int(running.status()["snapshot"]["number"]) < 2:
            s3.put_object(Bucket="lake", Key=f"{written:06d}", Body=str(written).encode())
            written += 1
            assert running.status()["snapshot"]["problem"] is None
    with place.running():
        found = boto3.client("s3").list_objects_v2(Bucket="lake").get("Contents", [])
        keys = [entry["Key"] for entry in found]
        assert keys == [f"{number:06d}" for number in range(len(keys))]
        assert 0 < len(keys) <= written
        body = boto3.client("s3").get_object(Bucket="lake", Key=keys[-1])["Body"].read()
        assert body == str(len(keys) - 1).encode()


def test_a_state_of_another_version_is_refused_in_a_sentence(place: Restartable) -> None:
    with place.running():
        boto3.client("s3").create_bucket(Bucket="lake")
    manifest = place.manifest
    manifest["versions"]["moto"] = "4.0.0"
    (place.folder / FOLDER_NAME / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(CloudError, match=r"was kept by .*moto 4\.0\.0.*start anew with --fresh"):
        cloud.start(place.folder, keep_state=True)
    assert not cloud.is_running(place.folder)
    with place.running(fresh=True) as running:
        assert running.restored is None
        with pytest.raises(ClientError, match="404|Not Found"):
            boto3.client("s3").head_bucket(Bucket="lake")


def test_a_damaged_state_is_refused_in_a_sentence(place: Restartable) -> None:
    with place.running():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="lake")
        s3.put_object(Bucket="lake", Key="k", Body=b"x" * 1000)
    for name in (place.manifest["backends"], *place.manifest["packs"]):
        path = place.folder / FOLDER_NAME / name
        whole = path.read_bytes()
        path.write_bytes(whole[:100])
        with pytest.raises(CloudError, match=f"{name}.*(cannot be read|cut short)"):
            cloud.start(place.folder, keep_state=True)
        path.write_bytes(whole)
    with place.running():
        assert boto3.client("s3").get_object(Bucket="lake", Key="k")["Body"].read() == b"x" * 1000


def test_without_the_option_nothing_is_kept_and_what_was_is_forgotten(place: Restartable) -> None:
    with place.running():
        boto3.client("s3").create_bucket(Bucket="lake")
    assert cloud.has_state(place.folder)
    with place.running(keep_state=False) as running:
        assert running.restored is None
        assert boto3.client("s3").list_buckets()["Buckets"] == []
        assert running.status()["snapshot"] is None
        with pytest.raises(CloudError, match="not started to keep its state"):
            running.keep_now()
    assert not cloud.has_state(place.folder)

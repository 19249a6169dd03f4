"""``retail-analytics dev``: Dagster's UI over the embedded cloud, with past hours and records flowing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from retail_analytics.commands.local import LocalError, local_deployment
from retail_analytics.embedded import cloud
from retail_analytics.ingest import synthetic
from retail_analytics.ingest.history import load_history, s3_client
from retail_analytics.ingest.producer import Options, Producer
from retail_analytics.ingest.services import connect
from retail_analytics.ingest.sources import live_records
from retail_analytics.lake import hours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from retail_analytics.feeds import Feed
    from retail_analytics.settings import Settings

FIREHOSE_INTERVAL_SECONDS = 30
_SEED = 7
_HISTORY_KEY = "_deployment/first_hour"
_GRACE_SECONDS = 15.0
_LOOK_SECONDS = 1.0
# That there is `dg dev` too is no news either; it would want a project's folder.
_NO_NEWS = "ignore:Function `dev_command` is superseded"


@dataclass(frozen=True)
class Dev:
    """One session of the UI.

    Attributes:
        state: The folder of the cloud's state and Dagster's home, which are kept over a restart.
        feed: The feed that flows.
        port: The UI's port.
        days: Days of generated history.
        records: Records of generated history.
        rate: Live records a second.
        fresh: Whether to begin anew, whatever is kept.
    """

    state: Path
    feed: Feed
    port: int
    days: int
    records: int
    rate: float
    fresh: bool = False

    def run(self) -> int:
        """Run until Ctrl-C or until Dagster ends; returns an exit status.

        Raises:
            LocalError: The port is taken, or another cloud is running in ``state``.
            CloudError: The embedded cloud did not come up.
        """
        _require_free(self.port)
        with local_deployment(
            self.state,
            firehose_interval_seconds=FIREHOSE_INTERVAL_SECONDS,
            keep_state=True,
            fresh=self.fresh,
        ) as deployment:
            settings = deployment.set_history(self.feed, datetime.now(UTC))
            first_hour = read_first_hour(settings) or self._load(settings)
            settings = deployment.set_history(self.feed, first_hour)
            _tell(f"AWS endpoint {deployment.cloud.endpoint_url}, OpenSearch {settings.opensearch_url}")
            _tell(f"Dagster at http://127.0.0.1:{self.port} in a few seconds; Ctrl-C ends everything.")
            with _records_flowing(self.feed, settings, self.rate), _dagster(self.state, self.port) as process:
                return self._follow(process)

    def _follow(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for Dagster's end; it would go on without its cloud, and fail with every tick.

        Raises:
            LocalError: The cloud has ended before it.
        """
        while True:
            try:
                return process.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                if not cloud.is_running(self.state):
                    raise LocalError(
                        "The embedded cloud has ended, and Dagster with it: the same command goes on from the"
                        f" last snapshot. {self.state / 'logs'} may say why it ended."
                    ) from None

    def _load(self, settings: Settings) -> datetime:
        now = datetime.now(UTC)
        until = hours.closed_until(self.feed, settings, now) - timedelta(seconds=1)
        path = self.state / "generated.csv"
        # What a kill interrupted is finished with the same file: the same objects, no others.
        if not path.exists():
            last = until.date() - timedelta(days=1)
            synthetic.write_csv(path, synthetic.Generator(_SEED).past(self.records, self.days, last))
        loaded = load_history(self.feed, settings, path, client=s3_client(settings), now=until)
        write_first_hour(settings, loaded.first_hour)
        first = f"{loaded.first_hour:%Y-%m-%d}"
        _tell(f"{loaded.records:,} records of {loaded.hours} past hours are in S3, from {first}.")
        return loaded.first_hour


def read_first_hour(settings: Settings) -> datetime | None:
    """The first hour of the history that the lake was given; None when it was not given all of it.

    In the lake, so that it goes back to a snapshot as the history itself does.
    """
    try:
        found = s3_client(settings).get_object(Bucket=settings.bucket, Key=_HISTORY_KEY)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return None
    return datetime.fromisoformat(found.decode())


def write_first_hour(settings: Settings, first_hour: datetime) -> None:
    """Note that the lake has its history."""
    body = first_hour.isoformat().encode()
    s3_client(settings).put_object(Bucket=settings.bucket, Key=_HISTORY_KEY, Body=body)


@contextmanager
def _records_flowing(feed: Feed, settings: Settings, rate: float) -> Iterator[None]:
    producer = Producer(connect("kinesis", feed.stream, settings.region, 1), Options(workers=1, rate=rate))
    thread = threading.Thread(
        target=producer.send, args=(live_records(feed, _SEED),), name="producer", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        producer.stop()
        thread.join(_GRACE_SECONDS)


@contextmanager
def _dagster(state: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """``dagster dev`` as a child that ends with this block, whatever ends it."""
    # A shell's `&` makes children ignore SIGINT, and `dagster dev` would inherit that and never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "dagster", "dev", "--host", "127.0.0.1", "--port", str(port)),
            *("--workspace", str(_workspace(state))),
            # Ticks every five seconds are no news; their pages in the UI tell of each.
            *("--log-level", "warning"),
        ],
        env={**os.environ, "PYTHONWARNINGS": _NO_NEWS},
        # A terminal's Ctrl-C goes to its whole group; a second SIGINT would cut Dagster's own ending short.
        start_new_session=True,
    )
    try:
        yield process
    except KeyboardInterrupt:
        _tell("Ending …")
    finally:
        _end(process)


def _workspace(state: Path) -> Path:
    """The workspace of the installed package, under the name that the repository's own has."""
    path = state / "workspace.yaml"
    path.write_text(
        "load_from:\n  - python_module:\n      module_name: retail_analytics.definitions\n"
        "      location_name: retail_analytics\n"
    )
    return path


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # A run under way outlives `dagster dev`, and so does the code server that it belongs to.
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _group_ends(process.pid, number):
            return


def _group_ends(group: int, number: int) -> bool:
    """Signal a process group; whether all of it has ended within the grace."""
    deadline = time.monotonic() + _GRACE_SECONDS
    pause = 0.05
    try:
        os.killpg(group, number)
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)
    except ProcessLookupError:
        return True
    return False


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LocalError(f"Port {port} is taken: give another with --port.") from error


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

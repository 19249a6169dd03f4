"""What the embedded cloud's server process is told at its start, and what it tells about itself.

Shared by the side that starts it (``cloud.py``) and the process itself (``server.py``); imports neither.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from retail_analytics.embedded.functions import FunctionSpec

# Obviously no credentials: they open nothing but the loopback server.
FAKE_CREDENTIAL = "embedded"


@dataclass(frozen=True)
class CloudConfiguration:
    """How to run the embedded cloud.

    Attributes:
        state: The folder that holds all it writes: ``cloud.json``, ``logs/``, ``athena/``.
        cloud_id: Its identity, new for each fresh cloud.
        port: The AWS endpoint's port on 127.0.0.1; None chooses a free one.
        opensearch_port: The search server's port; None chooses a free one.
        region: The region whose streams the functions read.
        functions: Functions on streams.
        server_memory_mebibytes: Address space that the server may use; beyond, its allocations fail.
        opensearch_memory_mebibytes: Memory of the search server; beyond, it is ended.
        athena_memory: DuckDB's memory limit for all queries together.
        athena_concurrency: Queries that run at once.
        die_with_parent: Whether the cloud ends when the process that started it does.
        keep_state: Whether its state is kept in the folder, and what is kept there is taken up.
        snapshot_seconds: How often it looks whether there is something new to keep.
    """

    state: Path
    cloud_id: str
    port: int | None = None
    opensearch_port: int | None = None
    region: str = "us-east-1"
    functions: tuple[FunctionSpec, ...] = ()
    server_memory_mebibytes: int = 8192
    opensearch_memory_mebibytes: int = 3072
    athena_memory: str = "1GB"
    athena_concurrency: int = 4
    die_with_parent: bool = False
    keep_state: bool = False
    snapshot_seconds: float = 30.0

    @property
    def logs(self) -> Path:
        """Where the logs are."""
        return self.state / "logs"

    @property
    def server_log(self) -> Path:
        """The server's log."""
        return self.logs / "server.log"

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        document = {
            **asdict(self),
            "state": str(self.state),
            "functions": [function.to_json() for function in self.functions],
        }
        path.write_text(json.dumps(document, indent=2))

    @classmethod
    def read(cls, path: Path) -> CloudConfiguration:
        """The inverse of :meth:`write`."""
        document: dict[str, Any] = json.loads(path.read_text())
        functions = tuple(FunctionSpec.from_json(function) for function in document.pop("functions"))
        return cls(**{**document, "state": Path(document["state"]), "functions": functions})


@dataclass(frozen=True)
class CloudAddress:
    """A running cloud, as ``cloud.json`` describes it.

    Attributes:
        id: Its identity.
        pid: The server process, which owns all others.
        opensearch_pid: The search server's process.
        endpoint_url: The AWS endpoint.
        opensearch_url: The search server.
        region: The region that it was started for.
        logs: The folder of its logs.
        keeps_state: Whether its state is kept over a restart.
        state_of: The moment whose state it began with, ISO 8601; None for one that began empty.
        state_clean: Whether the cloud before it had ended right then, so that nothing is missing.
    """

    id: str
    pid: int
    opensearch_pid: int
    endpoint_url: str
    opensearch_url: str
    region: str
    logs: str
    keeps_state: bool = False
    state_of: str | None = None
    state_clean: bool = True
    extra: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The variables that point boto3 and this product at this cloud."""
        exempt = {"127.0.0.1", "localhost", *filter(None, os.environ.get("NO_PROXY", "").split(","))}
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": FAKE_CREDENTIAL,
            "AWS_SECRET_ACCESS_KEY": FAKE_CREDENTIAL,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": ",".join(sorted(exempt)),
            "RETAIL_OPENSEARCH_URL": self.opensearch_url,
            **self.extra,
        }

    def write(self, path: Path) -> None:
        """Write it as JSON, in one step."""
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(self), indent=2))
        scratch.replace(path)

    @classmethod
    def read(cls, path: Path) -> CloudAddress:
        """The inverse of :meth:`write`."""
        return cls(**json.loads(path.read_text()))

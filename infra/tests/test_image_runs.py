"""What the image installs, at work: its locked packages alone, the tasks' own commands, Postgres behind them.

Docker is left out and ECS is played; the programs, their configuration and their health checks are the real
ones, taken from the templates. Slow: ``make test-image``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra.environments import variables
from infra.tests.conftest import Synthesised
from infra.tests.image import ROOT, copied, environment, is_in_context
from retail_analytics.settings import Settings

pytestmark = pytest.mark.skipif(
    "IMAGE_VENV" not in os.environ, reason="IMAGE_VENV names no environment; `make test-image` does"
)

RUN_TASK = "arn:aws:ecs:eu-west-1:123456789012:task-definition/retail-analytics-dev-run:1"
_LIMITED = ["prlimit", f"--as={4 * 1024**3}", "--"]
_DEADLINE = 240


@dataclass(frozen=True)
class Image:
    """The image's folders and variables, on this machine."""

    programs: Path
    home: Path
    app: Path
    variables: dict[str, str]

    def run(self, command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            shlex.split(command), env=self.variables | more, cwd=self.app, capture_output=True, text=True,
            timeout=_DEADLINE, check=False,
        )  # fmt: skip

    @contextlib.contextmanager
    def started(self, command: list[str], log: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a command, ended with the ``with`` block."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*_LIMITED, *command], env=self.variables | more, cwd=self.app, stdout=output, stderr=output
            )
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The context as Docker is given it, installed as the Dockerfile does beside the locked packages."""
    folder = tmp_path_factory.mktemp("image")
    app, home, site = (folder / name for name in ("app", "home", "site"))
    for sources, target in copied():
        into = home if "DAGSTER_HOME" in target else app
        into.mkdir(exist_ok=True)
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, into / source, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, into)
            assert is_in_context(source)
    programs = Path(os.environ["IMAGE_VENV"]) / "bin"
    subprocess.run(
        [programs / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, app],
        check=True,
    )
    shutil.rmtree(app / "retail_analytics")  # what is installed must do without what it was installed from
    ours = environment() | {
        "DAGSTER_HOME": str(home),
        "PATH": f"{programs}:{site}/bin:/usr/bin:/bin",
        "PYTHONPATH": str(site),
    }
    settings = Settings(deployment="retail-analytics-dev", bucket="a-bucket", region="eu-west-1")
    credentials = {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return Image(programs, home, app, ours | variables(settings) | credentials)


def test_the_definitions_are_valid(image: Image, tmp_path: Path) -> None:
    done = image.run(
        "dagster definitions validate --module-name retail_analytics.definitions", DAGSTER_HOME=str(tmp_path)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All code locations passed validation" in done.stdout + done.stderr


def test_peoples_commands_are_there(image: Image) -> None:
    done = image.run("retail-analytics --help")
    assert done.returncode == 0, done.stderr
    assert "replay-dead-letters" in done.stdout
    assert image.run("python -m retail_analytics.cli --help").returncode == 0


def test_nothing_of_the_laptop_is_installed(image: Image) -> None:
    """The embedded cloud's packages are not the image's, and nothing that it starts wants them."""
    for module in ("moto", "duckdb", "sqlglot", "pytest", "aws_cdk"):
        assert image.run(f"python -c 'import {module}'").returncode != 0, module


class _Ecs(BaseHTTPRequestHandler):
    """ECS, as far as the run launcher asks for it when it is made: what the run's definition holds."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        found = {"taskDefinitionArn": RUN_TASK, "containerDefinitions": [{"name": "run"}]}
        asked = self.headers.get("X-Amz-Target", "")
        body = json.dumps({"taskDefinition": found}).encode()
        self.send_response(200 if asked.endswith("DescribeTaskDefinition") else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def _ecs() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ecs)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[int]:
    """A server that takes TLS, as RDS does; as nobody, since it refuses to run as root."""
    port, nobody = _free_port(), 65534
    data = folder / "data"
    folder.mkdir()
    subprocess.run(
        ["openssl", "req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost",
         "-out", folder / "crt", "-keyout", folder / "key"], check=True, capture_output=True,
    )  # fmt: skip
    (folder / "key").chmod(0o600)
    as_nobody: dict[str, Any] = {}
    if os.geteuid() == 0:
        as_nobody = {"user": nobody, "group": nobody, "extra_groups": []}
        for path in (folder, folder / "crt", folder / "key"):
            os.chown(path, nobody, nobody)
    subprocess.run(
        ["initdb", "--pgdata", data, "--username", "dagster", "--auth", "trust"], check=True,
        capture_output=True, **as_nobody,
    )  # fmt: skip
    settings = {
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "ssl": "on",
        "ssl_cert_file": folder / "crt", "ssl_key_file": folder / "key", "shared_buffers": "32MB",
    }  # fmt: skip
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*_LIMITED, "postgres", "-D", data, *options], stdout=log, stderr=log, **as_nobody
        )
        try:
            _until(lambda: not _fails(["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "dagster", "-d", "postgres",
                                       "-c", "create database dagster"]), "Postgres")  # fmt: skip
            yield port
        finally:
            process.terminate()
            process.wait(30)


def _fails(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


def _until(answers: Any, what: str, logs: Path | None = None) -> None:
    deadline, wait = time.monotonic() + _DEADLINE, 0.5
    while not answers():
        if time.monotonic() > deadline:
            told = (
                "".join(f"\n== {log.name}\n{log.read_text()[-3000:]}" for log in logs.iterdir())
                if logs
                else ""
            )
            pytest.fail(f"{what} did not come up{told}")
        time.sleep(wait)
        wait = min(wait * 1.5, 5.0)


def test_dagster_comes_up_over_postgres(image: Image, dev: Synthesised, tmp_path_factory: Any) -> None:
    """Code server, web server and daemon by the tasks' commands, until each task's own health check passes."""
    if not all(map(shutil.which, ("initdb", "postgres", "psql", "openssl", "prlimit"))):
        pytest.skip("Postgres' server is not installed here")
    folder = Path(tmp_path_factory.mktemp("dagster"))
    folder.chmod(0o755)
    for above in list(folder.parents)[:2]:
        above.chmod(0o755)  # Postgres is another user
    tasks = dev.resources("orchestration", "AWS::ECS::TaskDefinition").values()
    containers = {each["Name"]: each for task in tasks for each in task["Properties"]["ContainerDefinitions"]}
    ports = {"4000": str(_free_port()), "3000": str(_free_port())}
    workspace = image.home / "workspace.yaml"
    workspace.write_text(workspace.read_text().replace("4000", ports["4000"]))

    def placed(text: str) -> str:
        for port, here in ports.items():
            text = text.replace(port, here)
        return text.replace("0.0.0.0", "127.0.0.1").replace("/opt/dagster/home", str(image.home))

    logs = folder / "logs"
    logs.mkdir()
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(_postgres(folder / "postgres"))
        dagster_yaml = image.home / "dagster.yaml"
        dagster_yaml.write_text(dagster_yaml.read_text().replace("port: 5432", f"port: {port}"))
        placed_here = {
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_USERNAME": "dagster",
            "DAGSTER_PG_PASSWORD": "not-a-secret",
            "DAGSTER_CODE_HOST": "127.0.0.1",
            "DAGSTER_RUN_TASK_DEFINITION": RUN_TASK,
            "AWS_ENDPOINT_URL_ECS": stack.enter_context(_ecs()),
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",  # nothing else of AWS is there: sensors fail, and say so
        }
        for name in ("code", "web", "daemon"):
            command = [placed(word) for word in containers[name]["Command"]]
            stack.enter_context(image.started(command, logs / name, **placed_here))
        for name in ("code", "web", "daemon"):
            check = placed(containers[name]["HealthCheck"]["Command"][1])
            _until(lambda check=check: image.run(check, **placed_here).returncode == 0, name, logs)

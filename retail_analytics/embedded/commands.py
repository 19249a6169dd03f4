"""``retail-analytics up | down | status | env``: the embedded cloud from a shell."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retail_analytics.embedded import cloud
from retail_analytics.embedded.functions import FunctionSpec

if TYPE_CHECKING:
    import argparse

DEFAULT_STATE = Path(".retail")
# Where `up`, `make dev` and `make demo` run theirs.
_USUAL_STATES = (DEFAULT_STATE, DEFAULT_STATE / "dev", DEFAULT_STATE / "demo")
_UNSET = ("AWS_PROFILE", "AWS_SESSION_TOKEN")


Furnish = Callable[[cloud.EmbeddedCloud, Path], Mapping[str, str]]
"""Puts a product's own things into a fresh cloud, given its state folder; returns variables to go with it."""

_MORE_ENVIRONMENT = "environment.json"


def add_commands(
    subparsers: argparse._SubParsersAction[Any], furnish: Furnish | None = None, *, with_status: bool = True
) -> None:
    """Register the commands; each sets ``run`` to a callable of the namespace that answers an exit status.

    Args:
        subparsers: Where to register them.
        furnish: What ``up`` does with a fresh cloud, unless it is asked for a bare one.
        with_status: Whether ``status`` is among them; a product that has one of its own shows
            :func:`describe` in it.
    """
    up_parser = _command(subparsers, "up", up, "start the embedded cloud and print its environment")
    up_parser.add_argument("--port", type=int, help="the AWS endpoint's port (default: a free one)")
    up_parser.add_argument(
        "--opensearch-port", type=int, help="the search server's port (default: a free one)"
    )
    up_parser.add_argument("--region", default="us-east-1", help="the region (default: %(default)s)")
    up_parser.add_argument(
        "--functions", type=Path, help="a JSON file with a list of functions on streams, run on their records"
    )
    up_parser.add_argument(
        "--fresh", action="store_true", help="begin anew: forget the state that is kept in --state-dir"
    )
    # Whoever names a folder wants what is in it; the default one is fresh each time.
    up_parser.set_defaults(state_dir=None)
    if furnish is not None:
        up_parser.add_argument("--bare", action="store_true", help="leave the cloud empty")
    up_parser.set_defaults(furnish=furnish)
    _export_option(up_parser)
    _command(subparsers, "down", down, "end the embedded cloud")
    if with_status:
        status_parser = _command(subparsers, "status", status, "show what runs and how it fares")
        status_parser.add_argument("--json", action="store_true", help="as JSON")
    _export_option(_command(subparsers, "env", env, "print the running cloud's environment"))


def _command(
    subparsers: argparse._SubParsersAction[Any], name: str, run: Any, text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=text, description=text)
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=DEFAULT_STATE,
        help="the folder of the cloud's state and logs (default: %(default)s)",
    )
    parser.set_defaults(run=run)
    return parser


def _export_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--export", action="store_true", help="print lines for a shell to eval")


def up(arguments: argparse.Namespace) -> int:
    """Start a cloud and print its environment; one with ``--state-dir`` goes on with the state kept there."""
    state: Path = arguments.state_dir or DEFAULT_STATE
    try:
        functions = read_functions(arguments.functions) if arguments.functions else ()
        running = cloud.start(
            state,
            port=arguments.port,
            opensearch_port=arguments.opensearch_port,
            region=arguments.region,
            functions=functions,
            keep_state=arguments.state_dir is not None,
            fresh=arguments.fresh,
        )
    except (cloud.CloudError, ValueError, OSError) as error:
        return _fail(error)
    print(_beginning(running, state), file=sys.stderr)
    if arguments.furnish is not None and not arguments.bare:
        try:
            with running.applied():
                more = arguments.furnish(running, state)
        except BaseException:
            running.stop()
            raise
        keep_furnished(state, more)
    print_environment(running, state, export=arguments.export)
    return 0


def _beginning(running: cloud.EmbeddedCloud, state: Path) -> str:
    if running.restored is not None:
        return str(running.restored)
    if running.address.keeps_state:
        return f"It begins empty, and keeps its state in {state} over `down` and `up`."
    return "It begins empty; with --state-dir it would keep its state over `down` and `up`."


def read_functions(path: Path) -> tuple[FunctionSpec, ...]:
    """Read a JSON list of functions.

    Raises:
        ValueError: It is no list of functions.
    """
    document = json.loads(path.read_text())
    if not isinstance(document, list):
        raise ValueError(f"{path} holds no JSON list of functions.")  # noqa: TRY004 - a bad value in a file
    return tuple(FunctionSpec.from_json(function) for function in document)


def down(arguments: argparse.Namespace) -> int:
    """End the cloud of a state folder."""
    try:
        ended = cloud.stop(arguments.state_dir)
    except cloud.CloudError as error:
        return _fail(error)
    print("ended" if ended else f"no embedded cloud runs in {arguments.state_dir}")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Show what runs; exit status 1 when nothing does."""
    try:
        running = cloud.load(arguments.state_dir)
        document = running.status()
    except cloud.CloudError as error:
        return _fail(error)
    if arguments.json:
        print(json.dumps(document, indent=2))
        return 0
    for line in describe(running, document):
        print(line)
    return 0


def describe(running: cloud.EmbeddedCloud, document: dict[str, Any]) -> list[str]:
    """The status as lines for a person."""
    search = document["opensearch"]
    lines = [
        f"cloud {running.id}, process {running.pid}, logs in {running.address.logs}",
        f"AWS endpoint {running.endpoint_url} ({document['server_mebibytes']} MiB)",
        f"OpenSearch {running.opensearch_url} ({search['mebibytes']} MiB)"
        + ("" if search["alive"] else " has ENDED"),
    ]
    snapshot = document["snapshot"]
    if snapshot is not None:
        lines.append(
            f"state kept as of {snapshot['taken_at'] or 'no moment yet'}"
            + (f"; the last snapshot FAILED: {snapshot['problem']}" if snapshot["problem"] else "")
        )
    lines += [
        f"delivery stream {stream['name']}: {stream['records']} records in {stream['objects']} objects, "
        f"{stream['buffered_records']} buffered"
        + (f", {stream['last_error']}" if stream["last_error"] else "")
        for stream in document["delivery_streams"]
    ]
    lines += [
        f"function {function['function']} on {function['stream']}: {function['records_done']} records done, "
        f"{function['records_given_up']} given up, {function['failed_calls']} failed calls, "
        f"{function['iterator_age_ms']} ms behind"
        for function in document["functions"]
    ]
    return lines


def env(arguments: argparse.Namespace) -> int:
    """Print the environment of the cloud that runs."""
    state = usual_state() if arguments.state_dir == DEFAULT_STATE else arguments.state_dir
    try:
        running = cloud.load(state)
    except cloud.CloudError as error:
        return _fail(error)
    print_environment(running, state, export=arguments.export)
    return 0


def usual_state() -> Path:
    """The state folder of the cloud that runs here, where none is named."""
    return next((state for state in _USUAL_STATES if cloud.is_running(state)), DEFAULT_STATE)


def keep_furnished(state: Path, more: Mapping[str, str]) -> None:
    """Note variables that go with the cloud of a state folder, for who asks for its environment."""
    (state / _MORE_ENVIRONMENT).write_text(json.dumps(dict(more)))


def furnished(state: Path) -> dict[str, str]:
    """The variables that go with the cloud of a state folder, beside its own."""
    more = state / _MORE_ENVIRONMENT
    variables: dict[str, str] = json.loads(more.read_text()) if more.is_file() else {}
    return variables


def print_environment(running: cloud.EmbeddedCloud, state: Path, *, export: bool) -> None:
    """Print ``K=V`` lines, or with ``export`` lines that a shell can eval."""
    if export:
        print(f"unset {' '.join(_UNSET)}")
    for name, value in {**running.environment(), **furnished(state)}.items():
        print(f"export {name}={shlex.quote(value)}" if export else f"{name}={value}")


def _fail(error: Exception) -> int:
    print(f"retail-analytics: {error}", file=sys.stderr)
    return 1

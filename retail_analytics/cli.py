"""Entry point of people: ``retail-analytics``. Options and messages only; the stages do the work."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from retail_analytics.feeds import FEEDS, get_feed

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return _INTERRUPTED
    except _expected() as error:
        print(f"retail-analytics {arguments.command}: {_sentence(error)}", file=sys.stderr)
        return 1
    return status


def _sentence(error: BaseException) -> str:
    """What went wrong; with what botocore does not say, how a shell gets what is missing."""
    from botocore.exceptions import ConnectionError as NotReachedError
    from botocore.exceptions import NoCredentialsError

    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if isinstance(error, NotReachedError) and endpoint:
        return (
            f"{endpoint} does not answer: start the embedded cloud again (`retail-analytics up`, `dev`), take"
            ' its environment, eval "$(retail-analytics env --export)", or unset AWS_ENDPOINT_URL for AWS.'
        )
    if isinstance(error, NoCredentialsError):
        return (
            f'{error}: sign in to AWS, or take the embedded cloud: eval "$(retail-analytics env --export)".'
        )
    return str(error)


def _parser() -> argparse.ArgumentParser:
    # Each stage registers its own commands; what they import is light.
    from retail_analytics.commands.hold import add_commands as add_hold
    from retail_analytics.commands.local import furnish
    from retail_analytics.commands.status import add_command as add_status
    from retail_analytics.commands.why import add_command as add_why
    from retail_analytics.embedded.commands import add_commands as add_embedded
    from retail_analytics.ingest.commands import add_commands as add_ingest
    from retail_analytics.search.commands import add_commands as add_search

    parser = argparse.ArgumentParser(
        prog="retail-analytics", description="A retailer's analytics, on AWS or on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_embedded(commands, furnish=furnish, with_status=False)
    add_status(commands)
    add_why(commands)
    add_hold(commands)
    add_ingest(commands)
    _add_demo(commands)
    _add_dev(commands)
    _add_backfill(commands)
    _add_checks(commands)
    _add_ddl(commands)
    add_search(commands)
    return parser


def _expected() -> tuple[type[Exception], ...]:
    """The errors that are told in one sentence; anything else is a defect and shows its trace."""
    from botocore.exceptions import BotoCoreError, ClientError

    from retail_analytics.commands.backfill import BackfillError
    from retail_analytics.commands.demo import DemoError
    from retail_analytics.commands.instances import NoInstanceError
    from retail_analytics.commands.local import LocalError
    from retail_analytics.embedded.cloud import CloudError
    from retail_analytics.ingest.errors import IngestError
    from retail_analytics.resources.athena import AthenaError
    from retail_analytics.settings import SettingsError

    return (
        *(AthenaError, BackfillError, BotoCoreError, ClientError, CloudError, DemoError),
        *(IngestError, LocalError, NoInstanceError, SettingsError),
    )


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from retail_analytics.ingest.arguments import whole

    parser = commands.add_parser(
        "demo",
        help="run the main job headless: past hours, backfill, a live slice, checks",
        description="Run the main job headless over a fresh embedded cloud. Exit status 0 only if every"
        " record is where it belongs and no check failed.",
    )
    parser.add_argument("-I", "--input-file", type=Path, help="a CSV file (default: generated transactions)")
    parser.add_argument(
        "--live", type=whole(1), default=5000, help="records to stream (default: %(default)s)"
    )
    parser.add_argument("--report", type=Path, help="write the figures to this file, as JSON")
    parser.add_argument("--state-dir", type=Path, default=Path(".retail/demo"), help="(default: %(default)s)")
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from retail_analytics.commands.demo import Demo
    from retail_analytics.commands.report import render

    done = Demo(arguments.state_dir, arguments.input_file, arguments.live, get_feed("retail_trans")).run()
    print(render(done))
    if arguments.report:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(json.dumps(done.document(), indent=2) + "\n")
    print("\nEvery record is where it belongs." if done.passed else "\nThe demo FAILED.")
    return 0 if done.passed else 1


def _add_dev(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from retail_analytics.commands.arguments import port
    from retail_analytics.ingest.arguments import rate, whole

    parser = commands.add_parser(
        "dev",
        help="open Dagster's UI over the embedded cloud with records flowing",
        description="Open Dagster's UI over the embedded cloud with records flowing. The state of both is"
        " kept in one folder and goes on at the next start.",
    )
    parser.add_argument("--port", type=port, default=3000, help="the UI's port (default: %(default)s)")
    parser.add_argument("--days", type=whole(1), default=3, help="days of history (default: %(default)s)")
    parser.add_argument(
        "--records", type=whole(1), default=6000, help="records of history (default: %(default)s)"
    )
    parser.add_argument("--rate", type=rate, default=5, help="live records a second (default: %(default)s)")
    parser.add_argument("--state-dir", type=Path, default=Path(".retail/dev"), help="(default: %(default)s)")
    parser.add_argument(
        "--fresh", action="store_true", help="begin anew: forget the state of the cloud and of Dagster"
    )
    parser.set_defaults(run=_dev)


def _dev(arguments: argparse.Namespace) -> int:
    from retail_analytics.commands.dev import Dev

    return Dev(
        state=arguments.state_dir,
        feed=get_feed("retail_trans"),
        port=arguments.port,
        days=arguments.days,
        records=arguments.records,
        rate=arguments.rate,
        fresh=arguments.fresh,
    ).run()


def _add_backfill(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from retail_analytics.commands.arguments import parse_hour

    parser = commands.add_parser(
        "backfill",
        help="compact an hour, a stretch of hours or all of a feed, and make their days, through Dagster",
        description="Compact an hour, a stretch of hours or all of a feed, and make their days, through"
        " Dagster. What is made already from what raw holds is left alone, unless --force says otherwise.",
    )
    _feed_option(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--from", dest="first", type=parse_hour, help="YYYY-MM-DDTHH, UTC")
    which.add_argument("--hour", type=parse_hour, help="this hour alone")
    which.add_argument("--all", action="store_true", help="from the feed's first hour to the last closed one")
    parser.add_argument(
        "--to", dest="last", type=parse_hour, help="YYYY-MM-DDTHH, UTC, included (default: the last closed)"
    )
    parser.add_argument(
        "--force", action="store_true", help="make again what is made already from what raw holds"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="tell what it would do and cost, and do nothing"
    )
    parser.set_defaults(run=_backfill)


def _backfill(arguments: argparse.Namespace) -> int:
    from retail_analytics.commands.backfill import BackfillError, run_backfill

    if arguments.last and not arguments.first:
        raise BackfillError("--to goes with --from; --hour and --all say which hours by themselves.")
    first, last = (arguments.hour or each for each in (arguments.first, arguments.last))
    return run_backfill(get_feed(arguments.feed), first, last, arguments.dry_run, arguments.force)


def _add_checks(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "asset-checks", help="run every asset check against the configured deployment"
    )
    parser.set_defaults(run=_checks)


def _checks(_: argparse.Namespace) -> int:
    from retail_analytics.commands.checks import run_checks

    return run_checks()


def _add_ddl(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("ddl", help="print the Athena DDL of a feed's tables")
    _feed_option(parser)
    parser.set_defaults(run=_ddl)


def _ddl(arguments: argparse.Namespace) -> int:
    from retail_analytics.lake.tables import all_tables, ddl
    from retail_analytics.settings import Settings

    settings = Settings.from_env()
    print(
        ";\n\n".join(
            ddl(table, settings.database) for table in all_tables(get_feed(arguments.feed), settings)
        )
    )
    return 0


def _feed_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--feed", choices=[feed.name for feed in FEEDS], default=FEEDS[0].name, help="(default: %(default)s)"
    )


if __name__ == "__main__":
    sys.exit(main())

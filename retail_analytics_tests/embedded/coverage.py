"""`docs/embedded.md` made from the tests: what the embedded cloud covers and what it refuses.

`python -m retail_analytics_tests.embedded.coverage` writes the tables between the document's markers. A
test names its promise with `@covers` or `@refuses`; the functions come from the parametrised cases, and
`ELSEWHERE` names the tests of the other services. A test that is gone is an error here, so that no line
outlives its proof.

Belongs here: collecting and writing. Does not belong here: claims without a test.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Test = TypeVar("Test", bound=Callable[..., object])

DOCUMENT = Path(__file__).parents[2] / "docs" / "embedded.md"
BEGIN = "<!-- made by `python -m retail_analytics_tests.embedded.coverage`: begin -->"
END = "<!-- made by `python -m retail_analytics_tests.embedded.coverage`: end -->"
_PACKAGE = "retail_analytics_tests.embedded"
_ATTRIBUTE = "promises"
COVERED, REFUSED = "covered", "refused"
_GROUPS = (
    "Queries", "Functions", "Types and names", "DDL", "Reading", "Writing", "Athena's service",
    "Glue crawler", "Glue", "Firehose", "Kinesis", "Functions on a stream", "S3", "The server",
    "PyAthena", "SQLAlchemy", "awswrangler", "boto3",
)  # fmt: skip
# Tests of the other services: module, test, group, state, construct.
ELSEWHERE = (
    ("test_crawler", "test_bare_folders_become_numbered_partitions", "Glue crawler", COVERED,
     "bare folders as `partition_0`, `partition_1` …"),
    ("test_crawler", "test_key_value_folders_name_their_partitions_and_new_ones_are_added", "Glue crawler",
     COVERED, "`key=value` folders; new partitions are added"),
    ("test_crawler", "test_update_policy_changes_the_table_and_keeps_comments", "Glue crawler", COVERED,
     "schema-change policy UPDATE_IN_DATABASE"),
    ("test_crawler", "test_log_policy_leaves_the_table_and_says_what_differs", "Glue crawler", COVERED,
     "schema-change policy LOG"),
    ("test_crawler", "test_catalog_target_adds_partitions_of_a_declared_table", "Glue crawler", COVERED,
     "catalog targets: partitions of a declared table"),
    ("test_crawler", "test_tables_whose_objects_are_gone", "Glue crawler", COVERED,
     "partitions and tables whose objects are gone"),
    ("test_crawler", "test_parquet_and_csv_and_unreadable_objects", "Glue crawler", COVERED,
     "JSON, CSV and Parquet; unreadable objects are told"),
    ("test_crawler_states", "test_a_running_crawler_cannot_be_started_again_or_deleted", "Glue crawler",
     COVERED, "READY, RUNNING, STOPPING, LastCrawl, `CrawlerRunningException`"),
    ("test_crawler", "test_what_is_not_done_is_refused_at_creation", "Glue crawler", REFUSED,
     "other targets, classifiers and options, when the crawler is made"),
    ("test_crawler_events", "test_the_first_crawl_lists_everything_and_the_next_looks_where_events_point",
     "Glue crawler", COVERED, "S3-event mode, fed by its queue"),
    ("test_glue", "test_all_pages_hold_every_partition_once", "Glue", COVERED, "GetPartitions, page by page"),
    ("test_glue", "test_batches_above_the_limits_are_refused", "Glue", REFUSED,
     "batches above AWS's limits"),
    ("test_firehose", "test_from_the_stream_into_hours_with_a_notification_for_each_object", "Firehose",
     COVERED, "a Kinesis stream as source, prefixes in UTC, AWS's object names"),
    ("test_firehose", "test_direct_put_and_its_update", "Firehose", COVERED,
     "Direct PUT, UpdateDestination"),
    ("test_delivery", "test_size_splits_objects_and_the_rest_waits_for_the_interval", "Firehose", COVERED,
     "buffering by size and by interval"),
    ("test_delivery", "test_delimiter_and_gzip", "Firehose", COVERED, "GZIP, AppendDelimiterToRecord"),
    ("test_delivery", "test_what_cannot_be_written_is_kept_and_written_later", "Firehose", COVERED,
     "at-least-once delivery: what cannot be written is kept"),
    ("test_firehose", "test_what_is_not_done_is_refused_at_creation", "Firehose", REFUSED,
     "record conversion, dynamic partitioning, processing, when the stream is made"),
    ("test_firehose", "test_other_destinations_are_refused_by_name", "Firehose", REFUSED,
     "destinations other than S3"),
    ("test_firehose", "test_limits_of_a_batch", "Firehose", REFUSED, "batches above AWS's limits"),
    ("test_streams", "test_resharding_leaves_records_where_they_are", "Kinesis", COVERED,
     "several shards, resharding, explicit order"),
    ("test_streams", "test_records_are_forgotten_after_the_retention", "Kinesis", COVERED, "retention"),
    ("test_streams", "test_iterators", "Kinesis", COVERED, "every type of shard iterator"),
    ("test_streams", "test_limits", "Kinesis", REFUSED, "records and requests above AWS's limits"),
    ("test_consumer", "test_every_record_is_handed_once_in_events_of_aws_s_shape", "Functions on a stream",
     COVERED, "batches handed to a Lambda handler, in AWS's events"),
    ("test_mapping", "test_a_window_gathers_what_comes_late", "Functions on a stream", COVERED,
     "batch size and batching window"),
    ("test_consumer", "test_bisecting_corners_poison_and_hands_over_the_rest", "Functions on a stream",
     COVERED, "bisect on error"),
    ("test_consumer", "test_partial_answers_go_on_from_the_first_failed_record", "Functions on a stream",
     COVERED, "partial-batch response"),
    ("test_mapping", "test_retries_are_counted_and_then_given_up_in_order", "Functions on a stream", COVERED,
     "retry limit"),
    ("test_mapping", "test_records_that_are_too_old_are_given_up_without_a_call", "Functions on a stream",
     COVERED, "age limit"),
    ("test_consumer", "test_failures_go_to_a_queue_as_metadata", "Functions on a stream", COVERED,
     "on-failure destination"),
    ("test_consumer", "test_a_timeout_is_a_failure_and_the_process_is_replaced", "Functions on a stream",
     COVERED, "timeout and memory limit, in a process of its own"),
    ("test_listing", "test_a_walk_equals_a_plain_computation", "S3", COVERED,
     "listings, delimiters, versions and delete markers"),
    ("test_s3_notifications", "test_overlapping_targets_are_refused_over_the_wire", "S3", REFUSED,
     "overlapping notification targets"),
    ("test_cloud", "test_services_that_are_not_covered_are_refused_by_name", "The server", REFUSED,
     "services that are not named here"),
    ("test_control", "test_operations_that_moto_lacks_are_refused_at_once", "The server", REFUSED,
     "operations that are not done, by name"),
    ("test_state", "test_objects_come_back_with_all_that_is_said_of_them", "The server", COVERED,
     "objects are kept from a stop to a start, with `--state-dir`"),
    ("test_state", "test_catalog_and_workgroups_come_back_and_work", "The server", COVERED,
     "the catalog and the workgroups likewise"),
    ("test_state", "test_unread_records_can_be_read", "The server", COVERED, "unread records likewise"),
    ("test_state", "test_the_index_comes_back_under_the_same_ids_versions_aliases_and_templates",
     "The server", COVERED, "the search index likewise"),
    ("test_snapshots", "test_after_a_kill_no_record_that_a_snapshot_holds_is_lost", "The server",
     COVERED, "after a kill, the state of the last snapshot"),
    ("test_cloud", "test_everything_listens_on_loopback_only", "The server", COVERED,
     "everything listens on loopback only"),
)  # fmt: skip


def covers(group: str, *constructs: str) -> Callable[[Test], Test]:
    """Marks a test that proves these constructs of the group to be done as AWS does them."""
    return _promise(group, COVERED, constructs)


def refuses(group: str, *constructs: str) -> Callable[[Test], Test]:
    """Marks a test that proves these constructs of the group to be refused with a message."""
    return _promise(group, REFUSED, constructs)


def _promise(group: str, state: str, constructs: tuple[str, ...]) -> Callable[[Test], Test]:
    if group not in _GROUPS:
        raise ValueError(f"{group!r} is no group of the document: add it to _GROUPS")

    def mark(test: Test) -> Test:
        known = getattr(test, _ATTRIBUTE, ())
        setattr(test, _ATTRIBUTE, (*known, *((group, state, one) for one in constructs)))
        return test

    return mark


def promises() -> list[tuple[str, str, str]]:
    """All that the tests promise: (group, covered or refused, construct), in the document's order."""
    found = [promise for module in _modules() for promise in _of_module(module)]
    for module, test, group, state, construct in ELSEWHERE:
        if not hasattr(importlib.import_module(f"{_PACKAGE}.{module}"), test):
            raise LookupError(f"{module}.{test} proves {construct!r} and is gone: change ELSEWHERE")
        found.append((group, state, construct))
    found += _functions()
    return sorted(set(found), key=lambda one: (_GROUPS.index(one[0]), one[1], found.index(one)))


def _modules() -> Iterator[object]:
    for package in ("", "athena", "strangers"):
        path = Path(__file__).parent / package
        for info in pkgutil.iter_modules([str(path)]):
            if info.name.startswith("test_"):
                yield importlib.import_module(".".join(filter(None, (_PACKAGE, package, info.name))))


def _of_module(module: object) -> Iterator[tuple[str, str, str]]:
    for value in vars(module).values():
        found = getattr(value, _ATTRIBUTE, ())
        yield from found if isinstance(found, tuple) else ()


def _functions() -> Iterator[tuple[str, str, str]]:
    functions = importlib.import_module(f"{_PACKAGE}.athena.test_functions")
    queries = importlib.import_module(f"{_PACKAGE}.athena.test_queries")
    yield "Functions", COVERED, _names(functions.called())
    yield "Functions", REFUSED, _names(functions.KNOWN_ELSEWHERE)
    for sql, construct in queries.NOT_COVERED:
        yield "Queries", REFUSED, f"`{construct}`: `{textwrap.shorten(sql, 90, placeholder=' …')}`"


def _names(names: set[str] | frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def tables() -> str:
    """The part of the document that is made."""
    found = promises()
    parts = []
    for group in _GROUPS:
        parts += ["", f"### {group}", ""]
        for state in (COVERED, REFUSED):
            lines = [
                textwrap.fill(construct, 118, initial_indent="- ", subsequent_indent="  ",
                              break_long_words=False, break_on_hyphens=False)
                for one, is_, construct in found
                if (one, is_) == (group, state)
            ]  # fmt: skip
            parts += [f"**{state.capitalize()}**", "", *lines, ""] if lines else []
        parts.pop()  # the next heading brings its own
    return "\n".join([BEGIN, *parts, "", END])


def updated(text: str) -> str:
    """The document with its made part made anew."""
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise LookupError(f"{DOCUMENT.name} has lost its markers: put back {BEGIN!r} and {END!r}")
    return before + tables() + after


def main() -> int:
    """Writes the document; 0."""
    DOCUMENT.write_text(updated(DOCUMENT.read_text()))
    sys.stdout.write(f"{DOCUMENT}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

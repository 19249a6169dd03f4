"""Write, audit, publish: what is compacted when, at which cost, and what readers see of it."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from retail_analytics.batch import compaction, staging
from retail_analytics.batch.state import hour_states
from retail_analytics.lake import hours, tables
from retail_analytics.resources.athena import AthenaError, AthenaResource
from retail_analytics_tests.integration.lakes import HOUR, body, later, line

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from retail_analytics.resources.athena import QueryResult
    from retail_analytics_tests.integration.lakes import Lake


def ids(*numbers: int) -> list[str]:
    return [f"{number:032x}" for number in numbers]


def test_an_hour_is_compacted_once_and_again_only_by_force(lake: Lake) -> None:
    lake.put(HOUR, [line(1), line(2)])
    first = lake.compact_one()
    assert (first.state, first.raw_objects, first.objects) == ("published", 1, 1)
    assert first.counts == compaction.Counts(lines=2, compacted=2)
    assert (lake.athena.writes, lake.athena.reads) == (1, 1)
    place = lake.location()

    again = lake.compact_one()
    assert (again.state, again.counts, again.digest) == ("unchanged", first.counts, first.digest)
    assert (again.objects, again.bytes, again.query_id) == (first.objects, first.bytes, first.query_id)
    assert (lake.athena.writes, lake.athena.reads) == (1, 1)
    assert lake.location() == place

    (forced,) = lake.compact(HOUR, force=True)
    assert (forced.state, forced.counts) == ("published", first.counts)
    assert lake.athena.writes == 2
    assert lake.location() != place
    assert lake.compacted_ids() == ids(1, 2)


def test_what_was_written_by_other_rules_is_written_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.put(HOUR, [line(1)])
    lake.compact_one()
    monkeypatch.setattr(compaction.compaction_sql, "RULES_VERSION", 1000)
    assert lake.compact_one().state == "published"
    assert lake.compact_one().state == "unchanged"


def test_a_late_object_is_taken_in_and_the_old_files_outlive_their_readers(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    before = lake.compact_one()
    place = lake.location()
    lake.put(HOUR, [line(2), "bad"])
    after = lake.compact_one()
    assert after.digest != before.digest
    assert after.counts == compaction.Counts(lines=3, compacted=2, rejected=1)
    assert lake.compacted_ids() == ids(1, 2)
    assert lake.rejects() == {"bad": "not JSON"}
    assert lake.location() != place
    assert lake.keys(place), "a running query may still read them"


def test_an_hour_cured_of_its_rejects_has_none(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    key = lake.put(HOUR, ["bad"])
    lake.compact_one()
    assert lake.rejects() == {"bad": "not JSON"}
    lake.delete(key)
    assert lake.compact_one().counts == compaction.Counts(lines=1, compacted=1)
    assert lake.rejects() == {}


def test_rejects_that_a_dead_attempt_left_go_with_the_next(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    key = lake.put(HOUR, ["bad"])
    lake.compact_one()
    values = tuple(hours.partition_values(HOUR))
    lake.catalog.delete(tables.compacted_table(lake.feed, lake.settings), [values])  # as if never published
    lake.delete(key)
    lake.compact_one()
    assert lake.rejects() == {}


def test_an_emptied_hour_is_published_as_empty_and_tells_its_days(lake: Lake) -> None:
    keys = [lake.put(HOUR, [line(1), line(2, InvoiceDate="2010-11-29 10:00:00")]), lake.put(HOUR, ["bad"])]
    lake.compact_one()
    for key in keys:
        lake.delete(key)
    emptied = lake.compact_one()
    assert (emptied.state, emptied.counts) == ("empty", compaction.Counts())
    assert emptied.changed_days == ("2010-11-29", "2010-12-01")
    assert lake.compacted_ids() == []
    assert lake.rejects() == {}
    # Whoever was told may have died: the days are told again, at no cost.
    asked = len(lake.athena.statements)
    assert lake.compact_one().changed_days == ("2010-11-29", "2010-12-01")
    assert len(lake.athena.statements) == asked
    lake.put(HOUR, [line(3)])
    refilled = lake.compact_one()
    assert refilled.state == "published"
    assert refilled.changed_days == ("2010-11-29", "2010-12-01")
    assert lake.compacted_ids() == ids(3)


def test_an_hour_without_an_object_costs_no_query(lake: Lake) -> None:
    result = lake.compact_one()
    assert (result.state, result.changed_days) == ("empty", ("2010-12-01",))
    assert lake.athena.statements == []


def test_days_of_every_publication_are_told_until_the_last(lake: Lake) -> None:
    # An attempt may die after it has published and before it has told anybody.
    for number, day in enumerate(("2010-11-27", "2010-11-28", "2010-11-29")):
        key = lake.put(HOUR, [line(number, InvoiceDate=f"{day} 10:00:00")])
        result = lake.compact_one()
        lake.delete(key)
    assert result.event_days == ("2010-11-29",)
    assert result.changed_days == ("2010-11-27", "2010-11-28", "2010-11-29", "2010-12-01")
    lake.put(HOUR, [line(9)])
    assert "2010-11-27" in lake.compact_one().changed_days


def test_a_hundred_and_twenty_hours_take_two_queries_and_two_audits(lake: Lake) -> None:
    for count in range(120):
        lake.put(later(count), [line(2 * count), line(2 * count + 1)])
    results = lake.compact(*(later(count) for count in range(120)))
    assert {result.state for result in results} == {"published"}
    assert (lake.athena.writes, lake.athena.reads) == (2, 2)
    assert len({result.query_id for result in results}) == 2
    assert lake.compacted_ids(*(later(count) for count in range(120))) == ids(*range(240))
    # A change in two of them costs one query and one audit, and as much again for their rejects.
    lake.put(later(3), [line(1000)])
    lake.put(later(110), ["bad"])
    results = lake.compact(*(later(count) for count in range(120)))
    assert [result.hour for result in results if result.state == "published"] == [later(3), later(110)]
    assert (lake.athena.writes, lake.athena.reads) == (4, 4)
    assert lake.rejects(later(110)) == {"bad": "not JSON"}


def test_each_hour_of_a_range_has_its_own(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    lake.put(later(2), [line(1), line(2)])  # delivered again in another hour: an hour keeps what it got
    results = lake.compact(HOUR, later(1), later(2), later(3))
    assert [result.state for result in results] == ["published", "empty", "published", "empty"]
    assert [result.counts.compacted for result in results] == [1, 0, 2, 0]
    assert lake.compacted_ids(HOUR) == ids(1)
    assert lake.compacted_ids(later(2)) == ids(1, 2)


def test_large_hours_are_written_in_several_files(lake: Lake) -> None:
    lake.put(HOUR, [line(number, Invoice=str(number)) for number in range(200)])
    small = lake.settings.__class__(**{**vars(lake.settings), "target_file_bytes": 2000})
    pipeline = compaction.replace(lake.pipeline, settings=small)
    (result,) = compaction.compact(pipeline, [HOUR])
    assert result.counts.compacted == 200
    assert result.objects > 1
    assert len(lake.keys(lake.location())) == result.objects


class Meddling(AthenaResource):
    """Athena beside which something happens: before each statement, and to an audit's answer."""

    _before: Callable[[str], None] = lambda _: None
    _answer: Callable[[QueryResult], QueryResult] = lambda result: result

    def query(self, sql: str, parameters: Any = ()) -> QueryResult:
        self._before(sql)
        return self._answer(super().query(sql, parameters))

    def begun(self, sql: str) -> Any:
        self._before(sql)
        return super().begun(sql)


def meddled(
    lake: Lake,
    before: Callable[[str], None] = lambda _: None,
    answer: Callable[[QueryResult], QueryResult] = lambda result: result,
) -> Any:
    athena = Meddling(**AthenaResource.of(lake.settings).model_dump())
    athena._before = before
    athena._answer = answer
    return compaction.replace(lake.pipeline, athena=athena)


def test_an_hour_that_changes_while_it_is_compacted_starts_over(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    lake.put(later(1), [line(5)])
    late = iter([[line(2)], [line(3)]])
    writes = []

    def deliver(statement: str) -> None:
        if statement.startswith("CREATE TABLE"):
            writes.append(statement)
            if content := next(late, None):
                lake.put(HOUR, content)

    said: list[str] = []
    results = compaction.compact(meddled(lake, deliver), [HOUR, later(1)], said.append)
    assert [result.state for result in results] == ["published", "published"]
    assert results[0].counts.compacted == 3
    assert lake.compacted_ids() == ids(1, 2, 3)
    assert len(writes) == 3
    assert sum("starting over" in each for each in said) == 2
    assert lake.compact_one().state == "unchanged"


def test_an_hour_that_changes_after_its_last_look_starts_over(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    lake.compact_one()
    lake.put(HOUR, [line(2)])
    left = [[line(3)]]

    def deliver(**_: Any) -> None:
        if left:
            lake.put(HOUR, left.pop())

    lake.glue.meta.events.register("before-call.glue.BatchUpdatePartition", deliver)
    result = lake.compact_one()
    assert not left
    assert result.counts.compacted == 3
    assert lake.compacted_ids() == ids(1, 2, 3)
    assert lake.compact_one().state == "unchanged"


def test_an_hour_that_is_filled_while_it_is_withdrawn_starts_over(lake: Lake) -> None:
    key = lake.put(HOUR, [line(1)])
    lake.compact_one()
    lake.delete(key)
    left = [[line(2)]]

    def deliver(**_: Any) -> None:
        if left:
            lake.put(HOUR, left.pop())

    lake.glue.meta.events.register("before-call.glue.BatchUpdatePartition", deliver)
    assert lake.compact_one().state == "published"
    assert lake.compacted_ids() == ids(2)


def test_an_hour_that_changes_and_changes_back_is_published_all_the_same(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    extra: list[str] = []

    def deliver(statement: str) -> None:
        if statement.startswith("CREATE TABLE") and not extra:
            extra.append(lake.put(HOUR, [line(2)]))

    # Gone again after the batch, which did not publish what had changed, and before the end.
    (result,) = compaction.compact(meddled(lake, deliver), [HOUR], lambda _: lake.delete(extra[0]))
    assert (result.state, result.counts.compacted) == ("published", 1)
    assert lake.compacted_ids() == ids(1)
    assert lake.compact_one().state == "unchanged"


def test_an_hour_that_never_rests_fails_and_readers_keep_what_they_had(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    lake.put(later(1), [line(2)])
    lake.compact_one()
    numbers = iter(range(100, 200))

    def deliver(statement: str) -> None:
        if statement.startswith("CREATE TABLE"):
            lake.put(HOUR, [line(next(numbers))])

    lake.put(HOUR, [line(3)])
    restless, quiet = compaction.compact(meddled(lake, deliver), [HOUR, later(1)])
    assert (restless.state, quiet.state) == ("failed", "published")
    assert "changed during each of 4 attempts" in restless.problem
    assert lake.compacted_ids() == ids(1)
    assert lake.compact_one().state == "published"
    assert lake.compacted_ids() == ids(1, 3, 100, 101, 102, 103)


def losing_a_line_of(hour: datetime) -> Callable[[QueryResult], QueryResult]:
    """An audit that finds a line more in raw than there is."""

    def answer(result: QueryResult) -> QueryResult:
        for row in result.rows:
            if row.get("part") == hours.part(hour):
                row["lines"] += 1
        return result

    return answer


def test_in_a_range_good_hours_publish_and_the_bad_one_keeps_what_it_had(lake: Lake) -> None:
    lake.put(later(1), [line(1)])
    lake.compact(later(1))
    for count in range(3):
        lake.put(later(count), [line(10 + count)])
    results = compaction.compact(
        meddled(lake, answer=losing_a_line_of(later(1))), [later(count) for count in range(3)]
    )
    assert [result.state for result in results] == ["published", "failed", "published"]
    assert results[1].problem == "3 lines in raw, but 2 compacted + 0 rejected + 0 duplicates = 2"
    assert lake.compacted_ids(HOUR) == ids(10)
    assert lake.compacted_ids(later(1)) == ids(1)
    assert lake.compacted_ids(later(2)) == ids(12)
    assert lake.compact(later(1))[0].state == "published"
    assert lake.compacted_ids(later(1)) == ids(1, 11)


def test_an_audit_that_does_not_see_an_hour_fails_it(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])

    def answer(result: QueryResult) -> QueryResult:
        result.rows.clear()
        return result

    (result,) = compaction.compact(meddled(lake, answer=answer), [HOUR])
    assert result.state == "failed"
    assert "the audit saw nothing of its" in result.problem
    assert lake.compacted_ids() == []


def test_two_compactions_at_once_end_in_one_published_result(lake: Lake) -> None:
    these = [later(count) for count in range(3)]
    for count, hour in enumerate(these):
        lake.put(hour, [line(2 * count), line(2 * count + 1), f"bad {count}"])
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(compaction.compact, meddled(lake), these) for _ in range(2)]
        results = [run.result() for run in runs]
    for made in results:
        assert {result.state for result in made} <= {"published", "unchanged"}
        assert [result.counts for result in made] == [compaction.Counts(3, 2, 1)] * 3
    assert lake.compacted_ids(*these) == ids(*range(6))
    assert lake.rejects(*these) == {f"bad {count}": "not JSON" for count in range(3)}
    assert {result.state for result in lake.compact(*these)} == {"unchanged"}


def test_no_temporary_table_stays(lake: Lake) -> None:
    lake.put(HOUR, [line(1), "bad"])
    lake.compact_one()
    names = [
        table["Name"] for table in lake.glue.get_tables(DatabaseName=lake.settings.database)["TableList"]
    ]
    assert sorted(names) == sorted(table.name for table in tables.all_tables(lake.feed, lake.settings))


def test_the_state_of_hours_is_told_without_a_query(lake: Lake) -> None:
    lake.put(HOUR, [line(1)])
    lake.put(later(1), [line(2)])
    key = lake.put(later(2), [line(3)])
    lake.compact(HOUR, later(1), later(2), later(3))
    lake.put(later(1), [line(4)])
    lake.delete(key)
    asked = len(lake.athena.statements)

    def current() -> list[bool]:
        states = hour_states(lake.s3, lake.catalog, lake.feed, lake.settings, HOUR, later(4))
        assert [state.raw.hour for state in states] == [later(count) for count in range(4)]
        return [state.current for state in states]

    assert current() == [True, False, False, True]
    assert len(lake.athena.statements) == asked
    lake.compact(later(1), later(2))
    assert current() == [True, True, True, True]


def test_people_read_the_raw_hour_and_compaction_reads_the_same(lake: Lake) -> None:
    lake.put(HOUR, body([line(1), line(2)]))
    lake.compact_one()
    catalogued = {
        table.name: lake.catalog.get(table, [tuple(hours.partition_values(HOUR))])
        for table in (tables.lines_table(lake.feed, lake.settings),)
    }
    (found,) = catalogued.values()
    assert [item.location for item in found.values()] == [
        f"s3://{lake.settings.bucket}/{hours.prefix(lake.feed, HOUR)}"
    ]
    assert len(lake.select("lines", "line", hours.hours_predicate([HOUR]))) == 2


def test_a_batch_is_written_while_the_one_before_it_is_audited(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MOST_PARTITIONS", 1)
    for number in range(3):
        lake.put(later(number), [line(number)])
    given: list[str] = []
    compaction.compact(meddled(lake, lambda sql: given.append(sql.split()[0])), [later(n) for n in range(3)])
    assert given == ["CREATE", "CREATE", "WITH", "CREATE", "WITH", "WITH"]
    assert lake.compacted_ids(*(later(number) for number in range(3))) == ids(0, 1, 2)


def test_a_failing_audit_takes_the_write_beside_it_along(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "MOST_PARTITIONS", 1)
    for number in range(3):
        lake.put(later(number), [line(number)])

    audits = itertools.count(1)

    def fail(sql: str) -> None:
        if sql.startswith("WITH") and next(audits) == 2:
            raise AthenaError("the query ran out of memory")

    with pytest.raises(AthenaError):
        compaction.compact(meddled(lake, fail), [later(number) for number in range(3)])
    assert lake.compacted_ids(*(later(number) for number in range(3))) == ids(0)
    assert lake.glue.get_tables(DatabaseName=lake.settings.database, Expression="tmp_.*")["TableList"] == []
    compaction.compact(lake.pipeline, [later(number) for number in range(3)])
    assert lake.compacted_ids(*(later(number) for number in range(3))) == ids(0, 1, 2)

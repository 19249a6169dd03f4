"""Publishing of hours of which Glue refuses one: the others are published, and the one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from retail_analytics.batch import compaction_sql
from retail_analytics_tests.integration import truths
from retail_analytics_tests.integration.lakes import later

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from retail_analytics_tests.integration.lakes import Lake
    from retail_analytics_tests.integration.truths import Change

REASON = {"ErrorCode": "InternalServiceException", "ErrorMessage": "later"}


def refuse(lake: Lake, table: str, hour: datetime) -> Callable[[], None]:
    """Glue takes every partition of a table but the hour's, until what is returned is called."""
    values = [f"{hour:%Y}", f"{hour:%m}", f"{hour:%d}", f"{hour:%H}"]
    left_out: list[dict[str, Any]] = []

    def take_out(params: dict[str, Any], **_: Any) -> None:
        for name in ("PartitionInputList", "Entries"):
            kept = [item for item in params.get(name, ()) if named(item) != values]
            if params["TableName"] == f"{lake.feed.name}_{table}" and len(kept) < len(params.get(name, ())):
                params[name] = kept
                left_out.append({"PartitionValues": values, "ErrorDetail": REASON})

    def answer(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Errors"] = [*parsed.get("Errors", []), *left_out]
        left_out.clear()

    operations = ("BatchCreatePartition", "BatchUpdatePartition")
    for name in operations:
        lake.glue.meta.events.register(f"provide-client-params.glue.{name}", take_out)
        lake.glue.meta.events.register(f"after-call.glue.{name}", answer)

    def relent() -> None:
        for name in operations:
            lake.glue.meta.events.unregister(f"provide-client-params.glue.{name}", take_out)
            lake.glue.meta.events.unregister(f"after-call.glue.{name}", answer)

    return relent


def named(item: dict[str, Any]) -> list[str]:
    return list(item.get("Values") or item["PartitionValueList"])


@pytest.mark.parametrize("table", ["compacted", "rejects"])
@pytest.mark.parametrize("refused", [0, 1])
def test_an_hour_that_glue_refuses_fails_by_its_name_and_keeps_what_it_had(
    lake: Lake, table: str, refused: int
) -> None:
    # The first is new, the others are replaced: the refused one is among either.
    makes: list[Callable[[datetime, int], Change]] = [truths.new, truths.late, truths.late]
    changes = [make(later(number), number) for number, make in enumerate(makes)]
    for change in changes:
        truths.become(lake, change.hour, change.old)
    lake.compact(*(change.hour for change in changes))
    for change in changes:
        truths.become(lake, change.hour, change.new)
    relent = refuse(lake, table, changes[refused].hour)
    results = lake.compact(*(change.hour for change in changes))
    relent()
    assert [result.state for result in results] == [
        "failed" if number == refused else "published" for number in range(3)
    ]
    assert results[refused].problem == "Glue refused it: InternalServiceException later"
    truths.assert_true(lake, [change for number, change in enumerate(changes) if number != refused])
    seen = truths.look(lake, [changes[refused].hour])[changes[refused].hour]
    assert seen.ids == changes[refused].old.seen.ids

    assert {result.state for result in lake.compact(*(change.hour for change in changes))} == {
        "published",
        "unchanged",
    }
    truths.assert_true(lake, changes)


def test_an_hour_whose_rejects_were_not_all_written_fails_and_keeps_what_it_had(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [truths.new(later(number), number) for number in range(2)]
    for change in changes:
        truths.become(lake, change.hour, change.new)
    lost = f"{changes[0].hour:%Y-%m-%d-%H}"
    whole = compaction_sql.rejects_select
    monkeypatch.setattr(compaction_sql, "rejects_select", lambda *a: f"{whole(*a)} AND part <> '{lost}'")
    results = lake.compact(*(change.hour for change in changes))
    assert [result.state for result in results] == ["failed", "published"]
    assert "1 records are rejected, 0 of them were written" in results[0].problem
    monkeypatch.undo()
    assert [result.state for result in lake.compact(*(c.hour for c in changes))] == ["published", "unchanged"]
    truths.assert_true(lake, changes)

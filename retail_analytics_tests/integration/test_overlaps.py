"""Two runs that ask for the same hours at once: they take turns, and each hour is compacted once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from retail_analytics.batch.alone import compaction_pool
from retail_analytics.lake import windows
from retail_analytics_tests.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    import dagster as dg

    from retail_analytics_tests.integration.lakes import Deployment


def span(deployment: Deployment, result: dg.ExecuteInProcessResult) -> tuple[float, float]:
    """When the step of compaction began and ended."""
    step = next(
        stats
        for stats in deployment.instance.get_run_step_stats(result.run_id)
        if stats.step_key.endswith("compacted")
    )
    assert step.start_time is not None
    assert step.end_time is not None
    return step.start_time, step.end_time


def written(deployment: Deployment) -> set[str]:
    """What compaction wrote: an hour's folder for each time that it wrote the hour."""
    lake = deployment.lake
    root = f"s3://{lake.settings.bucket}/compacted/{lake.feed.name}/"
    prefix = root.removeprefix(f"s3://{lake.settings.bucket}/")
    folders = {key.removeprefix(prefix).rsplit("/", 1)[0] for key in lake.keys(root)}
    return {folder for folder in folders if "/part=" in folder}


@pytest.mark.slow
def test_overlapping_requests_take_turns_and_write_an_hour_once(deployment: Deployment) -> None:
    for count in (3, 4, 5):
        deployment.put(count, count)
    pool = compaction_pool(deployment.lake.feed)
    storage = deployment.instance.event_log_storage
    storage.set_concurrency_slots(pool, 1)
    # Somebody is compacting while both are asked for, so that both wait at the same time.
    assert storage.claim_concurrency_slot(pool, "somebody", "step").is_claimed
    done: list[dg.ExecuteInProcessResult] = []

    def ask(first: int, last: int) -> None:
        tags = windows.range_tags(deployment.hour(first), deployment.hour(last))
        done.append(deployment.run("catalog", "compacted", tags=tags))

    asking = [threading.Thread(target=ask, args=hours) for hours in ((3, 4), (4, 5))]
    for thread in asking:
        thread.start()
    try:
        until(lambda: storage.get_concurrency_info(pool).pending_step_count, len(asking).__eq__)
        assert written(deployment) == set()
    finally:
        storage.free_concurrency_slot_for_step("somebody", "step")
        for thread in asking:
            thread.join(PATIENCE_SECONDS)
    assert [result.success for result in done] == [True, True]

    (_, first_ended), (second_began, _) = sorted(span(deployment, result) for result in done)
    assert first_ended <= second_began
    # The hour that both asked for was left alone by the second.
    assert len(written(deployment)) == 3
    assert deployment.lake.compacted_ids(*(deployment.hour(count) for count in (3, 4, 5))) == [
        f"{number:032x}" for number in (3, 4, 5)
    ]

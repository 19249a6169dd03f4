"""One run at a time: the pool's limit is there, and a slot that another holds sends a step back to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from retail_analytics.batch.alone import compaction_pool, stay_alone
from retail_analytics.feeds import get_feed

if TYPE_CHECKING:
    from collections.abc import Iterator

POOL = compaction_pool(get_feed("retail_trans"))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp() as made:
        yield made


def test_an_instance_without_a_limit_is_told_of_one(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    stay_alone(instance, POOL, "first")
    assert storage.get_concurrency_info(POOL).limit == 1
    assert storage.claim_concurrency_slot(POOL, "second", "step").is_claimed
    assert not storage.claim_concurrency_slot(POOL, "third", "step").is_claimed


def test_who_holds_the_slot_goes_on_and_another_goes_back_to_wait(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    storage.set_concurrency_slots(POOL, 1)
    assert storage.claim_concurrency_slot(POOL, "mine", "step").is_claimed
    stay_alone(instance, POOL, "mine")
    with pytest.raises(dg.RetryRequested):
        stay_alone(instance, POOL, "other")
    storage.free_concurrency_slot_for_step("mine", "step")
    stay_alone(instance, POOL, "other")


def test_a_step_that_was_sent_back_runs_when_the_slot_is_free(instance: dg.DagsterInstance) -> None:
    # As if the storage had let it in though another run holds the slot.
    storage = instance.event_log_storage
    storage.set_concurrency_slots(POOL, 1)
    assert storage.claim_concurrency_slot(POOL, "other", "step").is_claimed
    entered = []

    @dg.op
    def compacts(context) -> None:
        entered.append(context.retry_number)
        if context.retry_number:
            storage.free_concurrency_slot_for_step("other", "step")
        stay_alone(instance, POOL, context.run_id)

    @dg.job
    def compaction() -> None:
        compacts()

    assert compaction.execute_in_process(instance=instance).success
    assert entered == [0, 1]


def test_feeds_do_not_wait_for_each_other() -> None:
    assert POOL == "compaction-retail_trans"

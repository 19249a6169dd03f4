"""One run at a time compacts the hours of a feed, whoever asked for it.

A backfill, automation, the catch-up and a person may ask for the same hour at once. Two writers would do no
harm, as the newest digest wins, but the hour would be paid for twice. So compaction runs in a concurrency
pool of the feed's own whose limit is one: the second waits, then finds the hour published from what raw holds
and leaves it alone. Not here: what keeps two writers harmless all the same (``compaction.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from retail_analytics.feeds import Feed

_LIMIT = 1
_ASK_AGAIN_SECONDS = 1.0
_ASK_AGAIN_TIMES = 1000


def compaction_pool(feed: Feed) -> str:
    """The pool that lets one run at a time compact hours of the feed."""
    return f"compaction-{feed.name}"


def stay_alone(instance: dg.DagsterInstance, pool: str, run_id: str) -> None:
    """Make sure, in a step of the pool that has just begun, that no other holds its one slot.

    An instance that nobody told of a limit would let every run in: it is told here, by the first that comes.
    Dagster's storage on SQLite does not lock the slot while it hands it out: two steps that ask for it within
    the same milliseconds may both be let in. The slot then bears the name of the last, and the other goes
    back to wait. Postgres locks.

    Args:
        instance: Where the pool is.
        pool: The pool.
        run_id: The run that the step is of.

    Raises:
        RetryRequested: Another run holds the slot.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    slots = storage.get_concurrency_info(pool)
    if slots.limit is None:
        storage.set_concurrency_slots(pool, _LIMIT)
    elif slots.active_run_ids and run_id not in slots.active_run_ids:
        raise dg.RetryRequested(max_retries=_ASK_AGAIN_TIMES, seconds_to_wait=_ASK_AGAIN_SECONDS)

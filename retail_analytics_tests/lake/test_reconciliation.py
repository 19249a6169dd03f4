"""The slow sweep: all of history in bounded slices, from wherever it was ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from retail_analytics.feeds import get_feed
from retail_analytics.lake import hours, objects, reconciliation
from retail_analytics.lake.arrivals import DeploymentMismatchError
from retail_analytics.lake.reconciliation import Sweep
from retail_analytics.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_s3 import S3Client

FEED = get_feed("retail_trans")
FIRST = datetime(2010, 12, 1, tzinfo=UTC)
NOW = FIRST + timedelta(hours=50, minutes=1)
BUCKET = "lake"


def at(count: int) -> datetime:
    return FIRST + timedelta(hours=count)


@dataclass
class Sweeping:
    """The sensor's side: it keeps the cursor and what was reported."""

    s3: S3Client
    every: int = 24
    cursor: str | None = None
    known: dict[datetime, str] = field(default_factory=dict)

    def slice(
        self, now: datetime = NOW, slice_hours: int = 10, slice_keys: int = 1000
    ) -> list[datetime] | None:
        """One tick: the hours that it reported; None where it is not time."""
        settings = Settings(
            bucket=BUCKET,
            first_hours={FEED.name: FIRST},
            grace_seconds=0,
            lookback_hours=5,
            full_sweep_hours=self.every,
        )
        sweep = reconciliation.current_sweep(self.s3, FEED, settings, self.cursor, now)
        if sweep is None:
            return None
        found = reconciliation.sweep_slice(
            self.s3, FEED, settings, sweep, now, self.digests, slice_hours, slice_keys
        )
        self.cursor = found.sweep.dumps()
        self.known |= {raw.hour: raw.digest for raw in found.changed}
        return [raw.hour for raw in found.changed]

    def through(self) -> list[list[datetime]]:
        """Slices until the sweep is through."""
        slices = []
        while not slices or self.sweep.next is not None:
            found = self.slice()
            assert found is not None
            slices.append(found)
        return slices

    @property
    def sweep(self) -> Sweep:
        assert self.cursor is not None
        return Sweep.loads(self.cursor)

    def digests(self, wanted: Sequence[datetime]) -> dict[datetime, str]:
        return {hour: self.known[hour] for hour in wanted if hour in self.known}

    def put(self, count: int, name: str = "a", body: bytes = b"1") -> None:
        self.s3.put_object(Bucket=BUCKET, Key=hours.prefix(FEED, at(count)) + name, Body=body)


@pytest.fixture
def sweeping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeping]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield Sweeping(client)


def test_it_goes_through_all_hours_up_to_the_look_back_in_slices(sweeping: Sweeping) -> None:
    slices = sweeping.through()
    assert [len(found) for found in slices] == [10, 10, 10, 10, 5]
    assert sorted(sweeping.known) == [at(count) for count in range(45)]
    assert (sweeping.sweep.hours, sweeping.sweep.found) == (45, 45)


def test_it_finds_late_objects_rewritten_ones_and_deletions(sweeping: Sweeping) -> None:
    for count in (3, 20, 33):
        sweeping.put(count)
    sweeping.through()
    sweeping.put(3, "late")
    sweeping.put(20, body=b"2")
    sweeping.s3.delete_object(Bucket=BUCKET, Key=hours.prefix(FEED, at(33)) + "a")
    sweeping.put(47)  # of the look-back: not its business

    assert sweeping.slice(NOW + timedelta(hours=23)) is None
    tomorrow = NOW + timedelta(hours=24)
    found = [sweeping.slice(tomorrow) for _ in range(5)]
    assert [each for slice_ in found for each in slice_ or [] if each < at(45)] == [at(3), at(20), at(33)]
    assert sweeping.known[at(33)] == objects.EMPTY


def test_a_slice_ends_with_the_hour_in_which_it_has_read_enough(sweeping: Sweeping) -> None:
    for count in (0, 1, 2):
        for name in "abcd":
            sweeping.put(count, name)
    sweeping.put(8)
    assert sweeping.slice(slice_keys=6) == [at(0), at(1)]
    assert sweeping.slice(slice_keys=1) == [at(2), *(at(count) for count in range(3, 8))]
    assert sweeping.sweep.next == at(8)


def test_a_slice_that_was_not_reported_to_its_end_goes_on_there(sweeping: Sweeping) -> None:
    settings = Settings(bucket=BUCKET, first_hours={FEED.name: FIRST}, grace_seconds=0, lookback_hours=5)
    begun = Sweep(BUCKET, NOW, at(0))
    found = reconciliation.sweep_slice(sweeping.s3, FEED, settings, begun, NOW, sweeping.digests, 10)
    part = found.up_to(at(4))
    assert [raw.hour for raw in part.changed] == [at(count) for count in range(4)]
    assert (part.sweep.next, part.sweep.found, part.sweep.hours) == (at(4), 4, 4)
    # Hours that come again are counted once.
    rest = reconciliation.sweep_slice(sweeping.s3, FEED, settings, part.sweep, NOW, sweeping.digests, 10)
    assert (rest.sweep.next, rest.sweep.hours) == (at(14), 14)


def test_it_can_be_switched_off_and_finishes_what_it_began(sweeping: Sweeping) -> None:
    sweeping.slice()
    sweeping.every = 0
    assert sweeping.slice() is not None
    sweeping.through()
    assert sweeping.slice(NOW + timedelta(days=99)) is None


def test_a_lake_younger_than_the_look_back_is_through_at_once(sweeping: Sweeping) -> None:
    assert sweeping.slice(at(3)) == []
    assert sweeping.sweep.next is None


def test_a_sweep_of_another_lake_is_refused(sweeping: Sweeping) -> None:
    sweeping.slice()
    sweeping.s3.put_object(Bucket=BUCKET, Key="_deployment/id", Body=b"another")
    with pytest.raises(DeploymentMismatchError):
        sweeping.slice()

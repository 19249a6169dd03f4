"""Kinesis's answers that come a page at a time, where moto forgets the page or its token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.core.responses import ActionResult

if TYPE_CHECKING:
    from moto.kinesis.responses import KinesisResponse

MAX_SHARDS_PER_PAGE = 100
MAX_STREAMS_PER_PAGE = 100


def describe_stream(response: KinesisResponse) -> ActionResult:
    """DescribeStream a page at a time: moto forgets ExclusiveStartShardId."""
    asked = response._get_param
    stream = response.kinesis_backend.describe_stream(asked("StreamARN"), asked("StreamName"))
    found = stream.to_json()
    shards = found["StreamDescription"]["Shards"]
    rest = [shard for shard in shards if shard["ShardId"] > (asked("ExclusiveStartShardId") or "")]
    page = rest[: asked("Limit") or MAX_SHARDS_PER_PAGE]
    found["StreamDescription"].update(Shards=page, HasMoreShards=len(page) < len(rest))
    return ActionResult(found)


def list_streams(response: KinesisResponse) -> ActionResult:
    """ListStreams a page at a time, with the NextToken that moto leaves out."""
    asked = response._get_param
    after = asked("NextToken") or asked("ExclusiveStartStreamName") or ""
    streams = {stream.stream_name: stream for stream in response.kinesis_backend.list_streams()}
    rest = sorted(name for name in streams if name > after)
    page = rest[: asked("Limit") or MAX_STREAMS_PER_PAGE]
    summaries = [streams[name].to_json_summary()["StreamDescriptionSummary"] for name in page]
    answer = {"StreamNames": page, "StreamSummaries": summaries, "HasMoreStreams": len(page) < len(rest)}
    return ActionResult({**answer, **({"NextToken": page[-1]} if answer["HasMoreStreams"] else {})})

"""What an invocation of the handler did: the counts, and the line that makes CloudWatch metrics of them.

Not here: how the counts come about (``upsert_to_es.py``). Standard library only.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

METRICS_NAMESPACE = "RetailAnalytics/Search"


@dataclass
class Counts:
    """What one invocation did. Every line read is in exactly one of the five after it.

    Attributes:
        lines: Records read: the non-blank lines of the stream's records.
        created: Documents written.
        unchanged: Documents that were there already.
        dead: Records set aside.
        failed: Records given back, to come again.
        invalid: Records that are no documents; set aside or given back.
        refused: Documents that the index refused for good; set aside or given back.
        retried: Documents sent again within the invocation.
        unknown_fields: Keys left out because the feed does not declare them.
        bulks: Bulk requests.
        bytes: Their bytes.
    """

    lines: int = 0
    created: int = 0
    unchanged: int = 0
    dead: int = 0
    failed: int = 0
    invalid: int = 0
    refused: int = 0
    retried: int = 0
    unknown_fields: int = 0
    bulks: int = 0
    bytes: int = 0

    def check(self) -> None:
        """Refuse to acknowledge a batch whose records are not all accounted for.

        Raises:
            RuntimeError: The sum is wrong. The whole batch comes again.
        """
        accounted = self.created + self.unchanged + self.dead + self.failed
        if accounted != self.lines:
            raise RuntimeError(f"{self.lines} records were read and {accounted} accounted for.")


def metrics_line(counts: Counts, index: str, seconds: float) -> str:
    """One line of CloudWatch's embedded metric format."""
    values = {
        "Reads": counts.lines,
        "Writes": counts.created,
        "Unchanged": counts.unchanged,
        "Invalid": counts.invalid,
        "Refused": counts.refused,
        "Dead": counts.dead,
        "Retried": counts.retried,
        "Failed": counts.failed,
        "UnknownFields": counts.unknown_fields,
        "Bulks": counts.bulks,
        "BulkBytes": counts.bytes,
        "Milliseconds": round(seconds * 1000),
    }
    units = {"BulkBytes": "Bytes", "Milliseconds": "Milliseconds"}
    declared = [{"Name": name, "Unit": units.get(name, "Count")} for name in values]
    directive = {"Namespace": METRICS_NAMESPACE, "Dimensions": [["Index"]], "Metrics": declared}
    stamp = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": stamp, "Index": index, **values})

"""``retail-analytics asset-checks``: every asset check against the configured deployment, for CI."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext

import dagster as dg

from retail_analytics.commands import jobs
from retail_analytics.commands.instances import instance_if_any
from retail_analytics.lake.arrivals import lake_identity
from retail_analytics.resources.clients import s3_client
from retail_analytics.settings import Settings

PASSED, WARNING, FAILED = "passed", "warning", "FAILED"


def run_checks() -> int:
    """Run every check and print a line each; 0 only if there were some and none failed as an error.

    With a ``DAGSTER_HOME``, what its instance knows (failed runs, holds) is looked at too, and the outcome
    shows in its UI.

    Raises:
        ClientError: The lake is not there, or may not be read: one sentence in place of one a check.
        BotoCoreError: AWS, or the embedded cloud, does not answer.
    """
    settings = Settings.from_env()
    lake_identity(s3_client(settings.region), settings.bucket)
    definitions = jobs.load_definitions(settings)
    with (
        instance_if_any() as known,
        nullcontext(known) if known else dg.DagsterInstance.ephemeral() as instance,
    ):
        result = jobs.run_job(definitions, "asset_checks", instance)
        evaluations = result.get_asset_check_evaluations()
        for evaluation in sorted(evaluations, key=lambda each: (each.asset_key.path, each.check_name)):
            print(f"{verdict(evaluation)}  {named(evaluation)}  {evaluation.description or ''}".rstrip())
        broken = [] if result.success else jobs.failures_of(result)
        for failure in broken:
            print(f"{FAILED}  {failure}")
    counts = Counter(verdict(evaluation) for evaluation in evaluations)
    print(
        f"{counts[PASSED]} of {len(evaluations) + len(broken)} checks passed,"
        f" {counts[WARNING]} with a warning{f', {len(broken)} could not look' if broken else ''}."
    )
    return 0 if result.success and evaluations and not counts[FAILED] else 1


def named(evaluation: dg.AssetCheckEvaluation) -> str:
    """A check's name, after its asset's."""
    return f"{'/'.join(evaluation.asset_key.path)}: {evaluation.check_name}"


def verdict(evaluation: dg.AssetCheckEvaluation) -> str:
    """One word: :data:`PASSED`, :data:`WARNING` or :data:`FAILED`."""
    if evaluation.passed:
        return PASSED
    return WARNING if evaluation.severity is dg.AssetCheckSeverity.WARN else FAILED

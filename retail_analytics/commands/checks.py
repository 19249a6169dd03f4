"""``retail-analytics asset-checks``: every asset check against the configured deployment, for CI."""

from __future__ import annotations

import dagster as dg

from retail_analytics.commands import jobs
from retail_analytics.settings import Settings


def run_checks() -> int:
    """Run every check and print a line each; 0 only if there were some and all passed."""
    definitions = jobs.load_definitions(Settings.from_env())
    with dg.DagsterInstance.ephemeral() as instance:
        result = jobs.run_job(definitions, "asset_checks", instance)
        evaluations = result.get_asset_check_evaluations()
        for evaluation in sorted(evaluations, key=lambda each: (each.asset_key.path, each.check_name)):
            verdict = "passed" if evaluation.passed else "FAILED"
            name = f"{'/'.join(evaluation.asset_key.path)}: {evaluation.check_name}"
            print(f"{verdict}  {name}  {evaluation.description or ''}".rstrip())
        for failure in [] if result.success else jobs.failures_of(result):
            print(f"FAILED  {failure}")
    passed = sum(evaluation.passed for evaluation in evaluations)
    print(f"{passed} of {len(evaluations)} checks passed.")
    return 0 if result.success and evaluations and passed == len(evaluations) else 1

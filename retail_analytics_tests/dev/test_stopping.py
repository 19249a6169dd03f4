"""Ctrl-C in the terminal of ``retail-analytics dev``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retail_analytics_tests.dev.session import listens, lives

if TYPE_CHECKING:
    from retail_analytics_tests.dev.session import DevSession

LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on PythonError { message } } }"""
UNDER_WAY = """query($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs {
  results { runId } } } }"""


def launch(session: DevSession) -> None:
    """Have every asset check run, which takes a few seconds."""
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "retail_analytics",
        "jobName": "asset_checks",
    }
    answer = session.graphql(LAUNCH, params={"selector": selector, "mode": "default", "runConfigData": {}})
    assert answer["launchRun"]["__typename"] == "LaunchRunSuccess", answer


def runs_under_way(session: DevSession) -> bool:
    answer = session.graphql(UNDER_WAY, filter={"statuses": ["STARTING", "STARTED"]})
    return bool(answer["runsOrError"]["results"])


def test_ctrl_c_ends_every_process_even_while_a_run_is_under_way(dev: DevSession) -> None:
    address = dev.cloud.address
    urls = (f"http://127.0.0.1:{dev.port}", address.endpoint_url, address.opensearch_url)
    ports = [int(url.rsplit(":", 1)[1]) for url in urls]
    assert all(map(listens, ports))
    launch(dev)
    dev.wait_until(lambda: runs_under_way(dev), "a run is under way")
    started = dev.processes()
    assert {address.pid, address.opensearch_pid} <= {each.pid for each in started}

    dev.interrupt()

    left = {each.pid: each for each in [*started, *dev.processes()] if lives(each)}
    assert not [f"{each.pid} {' '.join(each.cmdline())}" for each in left.values()]
    assert not any(map(listens, ports))

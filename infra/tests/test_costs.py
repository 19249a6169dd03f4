"""The bill in the deployment guide is computed, and is about what the stacks make."""

from __future__ import annotations

import pytest

from infra import costs
from infra.environments import environment
from infra.tests.conftest import CONTEXTS, Synthesised
from infra.tests.image import ROOT

_GUIDE = (ROOT / "docs" / "deploy.md").read_text()


def _row(start: str) -> costs.Row:
    (row,) = [row for row in costs.ROWS if row.what.startswith(start)]
    return row


def test_the_guide_has_the_table() -> None:
    """`python -m infra.costs` prints it."""
    assert costs.table() in _GUIDE


def test_the_guides_advice_is_computed_too() -> None:
    for expression, said in {
        "10 * 730 * 0.015": "110",
        "12_000 * 0.014": "168",
        "10 * 730 * 0.015 + 12_000 * 0.014": "278",
        "300_000 * 0.029": "8,700",
        "232 * 730 * 0.015": "2,540",
        "60_000 * 0.014": "840",
    }.items():
        assert f"{costs.value(expression):,.0f}" == said
        assert said in _GUIDE


def test_services_are_as_large_as_the_stack_makes_them(either: Synthesised) -> None:
    tasks = either.resources("orchestration", "AWS::ECS::TaskDefinition")
    services = [task["Properties"] for name, task in tasks.items() if not name.startswith("run")]
    cores = sum(int(each["Cpu"]) for each in services) / 1024
    gibibytes = sum(int(each["Memory"]) for each in services) / 1024
    assert f"({cores:g} vCPU, {gibibytes:g} GB, ARM)" in _row("Fargate, three").what
    assert f"{cores:g} * 0.0324 + {gibibytes:g} * 0.00356" in _row("Fargate, three").months[0]


@pytest.mark.parametrize(("name", "size"), [("dev", 0), ("prod", 1)])
def test_environments_are_as_large_as_the_bill_says(name: str, size: int) -> None:
    sizes = environment(CONTEXTS[name].get).sizes
    run = f"{sizes.run_cpu // 1024} * 0.0324 + {sizes.run_memory // 1024} * 0.00356".removeprefix("1 * ")
    assert run in _row("Fargate, runs").months[size]
    assert sizes.database_class in _row("Postgres").price
    assert sizes.search_instance.removesuffix(".search") in _row("OpenSearch").price
    assert _row("NAT").months[size].startswith("2 * 730" if sizes.nat_gateways == 2 else "730")


def test_alarms_are_as_many_as_the_bill_says(dev: Synthesised) -> None:
    count = len(dev.resources("watch", "AWS::CloudWatch::Alarm"))
    assert all(month.startswith(f"{count} * 0.10") for month in _row("CloudWatch").months)


def test_a_quiet_dev_stays_below_its_budget(dev: Synthesised) -> None:
    limit = dev.one("watch", "AWS::Budgets::Budget")["Budget"]["BudgetLimit"]["Amount"]
    assert costs.totals()[0] < limit


@pytest.mark.parametrize("expression", ["__import__('os')", "1 ** 9", "x", "-1"])
def test_nothing_but_arithmetic_is_computed(expression: str) -> None:
    with pytest.raises(ValueError, match="no expression of numbers"):
        costs.value(expression)


def test_a_feed_takes_as_much_of_a_stack_as_the_guide_says(dev: Synthesised) -> None:
    """The first limit that feeds meet together: CloudFormation takes 500 resources a stack."""
    resources = dev.templates["ingest"]["Resources"]
    of_a_feed = [name for name in resources if "retailtrans" in name]
    said = f"{len(of_a_feed)} a feed and {len(resources) - len(of_a_feed)}, at most 500"
    assert said in (ROOT / "docs" / "scale.md").read_text()
    assert len(of_a_feed) * 38 + len(resources) - len(of_a_feed) > 500 > len(of_a_feed) * 37

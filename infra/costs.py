"""What the platform costs a month at three sizes; ``python -m infra.costs`` prints the table of the guide.

Each figure is an expression that is shown and computed, so that no arithmetic is done by hand. Prices are
list prices of us-east-1; a region has its own. Not here: how large an environment is (``environments.py``),
which the expressions repeat and a test compares.
"""

from __future__ import annotations

import ast
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = ("1 GB a day (`dev` sizes)", "100 GB a day (`prod`)", "10 TB a day (`prod`, grown)")

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Row:
    """One line of the bill.

    Attributes:
        what: What is paid for.
        price: Its prices.
        months: For each size the month's dollars as an expression of numbers, ``+``, ``-``, ``*`` and ``/``.
    """

    what: str
    price: str
    months: tuple[str, str, str]

    def dollars(self) -> tuple[float, ...]:
        """The month's dollars for each size."""
        return tuple(value(each) for each in self.months)


ROWS = (
    Row(
        "Fargate, three services (1.5 vCPU, 4 GB, ARM)",
        "0.0324 vCPU-h, 0.00356 GB-h",
        ("730 * (1.5 * 0.0324 + 4 * 0.00356)",) * 3,
    ),
    Row(
        "Fargate, runs: 280 a day and feed, a minute each (1 vCPU, 2 GB; from 100 GB on 2, 4)",
        "as above",
        (
            "280 * 30 / 60 * (0.0324 + 2 * 0.00356)",
            "(280 + 440) * 30 / 60 * (2 * 0.0324 + 4 * 0.00356)",
            "5 * 720 * (2 * 0.0324 + 4 * 0.00356)",
        ),
    ),
    Row(
        "Postgres, its disk growing by 5 GB a feed and year",
        "t4g.micro 0.016 h, t4g.medium 0.065 h, m7g.large 0.168 h; twice with a standby; 0.115 GB",
        ("730 * 0.016 + 20 * 0.115", "2 * (730 * 0.065 + 20 * 0.115)", "2 * (730 * 0.168 + 50 * 0.115)"),
    ),
    Row(
        "NAT",
        "0.045 h, 0.045 GB",
        (
            "730 * 0.045 + 10 * 0.045",
            "2 * 730 * 0.045 + 100 * 0.045",
            "2 * 730 * 0.045 + 1_000 * 0.045",
        ),
    ),
    Row(
        "public addresses: the NATs', the load balancer's two",
        "0.005 h",
        ("3 * 730 * 0.005", "4 * 730 * 0.005", "4 * 730 * 0.005"),
    ),
    Row("load balancer", "0.0225 h + use", ("730 * 0.0225 + 2", "730 * 0.0225 + 4", "730 * 0.0225 + 4")),
    Row(
        "OpenSearch; from 100 GB a day on, five days with a replica",
        "t3.small 0.036 h, r7g.large 0.167 h, r7g.4xlarge 1.34 h; gp3 0.122 GB",
        (
            "730 * 0.036 + 20 * 0.122",
            "2 * 730 * 0.167 + 1_200 * 0.122",
            "20 * 730 * 1.34 + 120_000 * 0.122",
        ),
    ),
    Row(
        "Kinesis, read twice",
        "shard 0.015 h, 0.014 a million records; on demand 0.04 h, 0.08 GB in (a record counts as 1 KB at"
        " least), 0.04 GB out",
        (
            "730 * 0.015 + 120 * 0.014",
            "730 * 0.04 + 12_000 * 0.08 + 6_000 * 0.04",
            "730 * 0.04 + 1_200_000 * 0.08 + 600_000 * 0.04",
        ),
    ),
    Row(
        "Firehose; a record counts as 5 KB at least",
        "0.029 GB up to 500 TB, 0.025 up to 2 PB, 0.020 above",
        (
            "600 * 0.029",
            "60_000 * 0.029",
            "500_000 * 0.029 + 1_500_000 * 0.025 + 4_000_000 * 0.020",
        ),
    ),
    Row(
        "S3, one month's raw and compacted",
        "0.023 GB up to 50 TB, 0.022 up to 500 TB",
        ("33 * 0.023", "3_300 * 0.023", "50_000 * 0.023 + 280_000 * 0.022"),
    ),
    Row(
        "S3 requests",
        "PUT 0.005 a thousand",
        ("1_440 * 30 / 1_000 * 0.005", "100_000 * 30 / 1_000 * 0.005", "10_000_000 * 30 / 1_000 * 0.005"),
    ),
    Row(
        "Lambda, half a GB: half an hour a day, two at a time, 200 at a time",
        "0.0000133 GB-s (ARM)",
        (
            "0.5 * 1_800 * 30 * 0.0000133",
            "2 * 0.5 * 2_592_000 * 0.0000133",
            "200 * 0.5 * 2_592_000 * 0.0000133",
        ),
    ),
    Row(
        "Athena; each record once to compact, once to audit, its tenth twice more",
        "5 a TB",
        ("0.03 * 2.2 * 5", "3 * 2.2 * 5", "300 * 2.2 * 5"),
    ),
    Row(
        "CloudWatch: alarms, metrics, a few GB of logs, Container Insights",
        "alarm 0.10, metric 0.30, log GB 0.50",
        (
            "18 * 0.10 + 30 * 0.30 + 5 * 0.50",
            "18 * 0.10 + 60 * 0.30 + 20 * 0.50",
            "18 * 0.10 + 200 * 0.30 + 300 * 0.50",
        ),
    ),
    Row(
        "KMS, SNS, SQS, Secrets",
        "key 1, secret 0.40, requests",
        ("1 + 0.40 + 1", "1 + 0.40 + 4", "1 + 0.40 + 49"),
    ),
)
"""The bill. 1 GB a day is 30 GB a month, 0.12 billion records of 250 bytes."""


def value(expression: str) -> float:
    """What an expression of numbers comes to.

    Raises:
        ValueError: It holds anything else.
    """
    return _value(ast.parse(expression, mode="eval").body, expression)


def _value(node: ast.expr, expression: str) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left, expression), _value(right, expression))
    raise ValueError(f"{expression!r} is no expression of numbers, +, -, * and /.")


def totals() -> tuple[float, ...]:
    """A month's dollars for each size."""
    return tuple(map(sum, zip(*(row.dollars() for row in ROWS), strict=True)))


def table() -> str:
    """The table of the deployment guide."""
    lines = [f"| what | price | {' | '.join(COLUMNS)} |", "| --- | --- | --- | --- | --- |"]
    for row in ROWS:
        cells = [f"{_shown(each)} = {value(each):,.0f}" for each in row.months]
        lines.append(f"| {row.what} | {row.price} | {' | '.join(cells)} |")
    sums = " | ".join(f"**{total:,.0f}**" for total in totals())
    return "\n".join([*lines, f"| **a month** | | {sums} |"])


def _shown(expression: str) -> str:
    return expression.replace(" * ", "\N{MULTIPLICATION SIGN}").replace(" / ", "/").replace("_", ",")


if __name__ == "__main__":
    print(table())

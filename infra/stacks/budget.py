"""The budget: what the deployment's resources cost, by their tag, once it is activated for cost allocation.

Not here: who is told of it besides the topic of notices (``watch.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_budgets

if TYPE_CHECKING:
    from aws_cdk import Stack, aws_sns

    from infra.environments import Environment

_Budget = aws_budgets.CfnBudget


def make_budget(stack: Stack, environment: Environment, notices: aws_sns.Topic) -> None:
    """Tell the topic when 80 % of a month's budget are spent, or all of it is forecast to be."""
    deployment = environment.settings.deployment
    tells = _Budget.SubscriberProperty(subscription_type="SNS", address=notices.topic_arn)

    def when(kind: str, percent: int) -> aws_budgets.CfnBudget.NotificationWithSubscribersProperty:
        return _Budget.NotificationWithSubscribersProperty(
            notification=_Budget.NotificationProperty(
                notification_type=kind,
                comparison_operator="GREATER_THAN",
                threshold=percent,
                threshold_type="PERCENTAGE",
            ),
            subscribers=[tells],
        )

    _Budget(
        stack,
        "Budget",
        budget=_Budget.BudgetDataProperty(
            budget_name=deployment,
            budget_type="COST",
            time_unit="MONTHLY",
            budget_limit=_Budget.SpendProperty(amount=environment.sizes.budget_usd, unit="USD"),
            cost_filters={"TagKeyValue": [f"user:deployment${deployment}"]},
        ),
        notifications_with_subscribers=[when("ACTUAL", 80), when("FORECASTED", 100)],
    )

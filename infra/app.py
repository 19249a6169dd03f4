"""The app: every stack of one environment, in the order in which they are deployed.

``python -m infra.app`` writes the templates to ``infra/cdk.out/``; it needs node, and no account. Context
comes from ``infra/cdk.json``'s keys, or from ``CDK_CONTEXT_JSON``; see ``infra/environments.py``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from aws_cdk import App, DefaultStackSynthesizer, Stack, Tags

from infra.environments import ContextError, Environment, environment
from infra.exceptions import acknowledge
from infra.stacks.catalog import CatalogStack
from infra.stacks.ingest import IngestStack
from infra.stacks.network import NetworkStack
from infra.stacks.orchestration import OrchestrationStack
from infra.stacks.search import SearchStack
from infra.stacks.watch import WatchStack
from retail_analytics.settings import SettingsError

if TYPE_CHECKING:
    from constructs import Construct


@dataclass(frozen=True)
class Platform:
    """The stacks of one environment."""

    network: NetworkStack
    ingest: IngestStack
    catalog: CatalogStack
    search: SearchStack
    orchestration: OrchestrationStack
    watch: WatchStack

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """All of them, each after those that it needs."""
        return (self.network, self.ingest, self.catalog, self.search, self.orchestration, self.watch)


def build(scope: Construct, where: Environment) -> Platform:
    """Make the stacks of an environment."""

    def options(part: str) -> dict[str, Any]:
        return {
            "stack_name": where.stack_name(part),
            "termination_protection": where.keeps_data,
            # The command line checks the bootstrap's version; a template that asks for it as a parameter
            # could be deployed by nothing else.
            "synthesizer": DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
        }

    network = NetworkStack(scope, where.stack_name("network"), where, **options("network"))
    ingest = IngestStack(scope, where.stack_name("ingest"), where, **options("ingest"))
    catalog = CatalogStack(scope, where.stack_name("catalog"), where, ingest, **options("catalog"))
    search = SearchStack(scope, where.stack_name("search"), where, network, ingest, **options("search"))
    orchestration = OrchestrationStack(
        scope, where.stack_name("orchestration"), where, network, ingest, search, **options("orchestration")
    )
    watch = WatchStack(
        scope, where.stack_name("watch"), where, ingest, search, orchestration, **options("watch")
    )
    # Dagster starts when its tables are there: nothing of it refers to the catalog's resources.
    orchestration.add_stack_dependency(catalog)
    platform = Platform(network, ingest, catalog, search, orchestration, watch)
    parts = {field.name: getattr(platform, field.name) for field in fields(platform)}
    acknowledge(parts, dev=not where.keeps_data)
    for stack in platform.stacks:
        Tags.of(stack).add("deployment", where.settings.deployment)
        Tags.of(stack).add("environment", where.name)
    return platform


def main() -> None:
    """Synthesise the environment that the context names."""
    # Without CDK's record of where in our code each construct was made: it takes longer than all the rest.
    app = App(outdir="infra/cdk.out", stack_traces=False, analytics_reporting=False)
    try:
        build(app, environment(app.node.try_get_context))
    except (ContextError, SettingsError) as error:
        sys.exit(f"infra: {error}")
    app.synth()


if __name__ == "__main__":
    main()

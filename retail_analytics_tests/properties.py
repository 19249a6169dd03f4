"""How property tests choose their examples: the same ones each time, or many others on demand.

``make test`` decides whether a change may land, so that it must not fail for what the change has nothing to
do with: its examples are the same in each run (profile ``same``). Looking for what those examples do not show
is a task of its own: ``make test-explore`` gives each property test random examples, :data:`TIMES` as many as
it asks for (profile ``explore``), whether it asks by ``@settings(max_examples=…)`` or not at all. What it
finds, and Hypothesis keeps in ``.hypothesis``, belongs into the test as an ``@example``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, is_hypothesis_test, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

SAME = "same"
EXPLORE = "explore"
TIMES = int(os.environ.get("EXPLORE_TIMES", "20"))

# Nothing that counts time: how long an example takes is the machine's affair.
settings.register_profile(SAME, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(EXPLORE, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))


def multiply(items: Sequence[pytest.Item], times: int) -> None:
    """Give each property test so many times the examples that it asks for, random ones.

    What ``@settings`` says overrides the profile, so that the profile alone could not do it. Hypothesis has
    no public way to change what a test asks for; an attribute that is gone fails here, in an exploration.
    """
    done = set()
    for item in items:
        function = getattr(item, "obj", None)
        function = getattr(function, "__func__", function)
        if is_hypothesis_test(function) and function not in done:
            done.add(function)  # a parametrised test is several items
            asked = function._hypothesis_internal_use_settings  # type: ignore[union-attr]
            function._hypothesis_internal_use_settings = settings(  # type: ignore[union-attr]
                asked, max_examples=asked.max_examples * times
            )

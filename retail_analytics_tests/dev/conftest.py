"""One session for all tests of this package, since it takes a minute to have something to show.

Whoever changes its lake leaves hours of others alone. It ends with the package's last test: its daemon would
take its share of the machine from all others.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from retail_analytics_tests.dev.session import DevSession, dev_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="package")
def current(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], DevSession]]:
    """Gives the session that runs; where a test has interrupted it, another one."""
    made: list[DevSession] = []
    with ExitStack() as stack:

        def session() -> DevSession:
            if not made or made[-1].interrupted:
                state = tmp_path_factory.mktemp("dev") / "state"
                made.append(stack.enter_context(dev_session(state)))
            return made[-1]

        yield session


@pytest.fixture(scope="module")
def dev(current: Callable[[], DevSession]) -> DevSession:
    """The session, ready as soon as its pages answer."""
    return current()


@pytest.fixture(scope="module")
def compacted(dev: DevSession) -> DevSession:
    """The session, once its past hours are compacted, which takes no hand."""
    dev.wait_until(
        lambda: dev.materialized_hours("compacted") == set(dev.hours()),
        "past hours are compacted",
    )
    return dev

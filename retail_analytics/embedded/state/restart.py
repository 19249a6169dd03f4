"""A cloud's beginning with the state of the one before it, or with nothing; what the server asks of it.

Not here: reading and writing a state (``keeper.py`` and its siblings).
"""

from __future__ import annotations

import logging
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from retail_analytics.embedded import firehose
from retail_analytics.embedded.gate import Gate
from retail_analytics.embedded.state.folder import FOLDER_NAME, Manifest, read_manifest
from retail_analytics.embedded.state.keeper import Keeper, load
from retail_analytics.embedded.state.search_index import SearchIndex
from retail_analytics.embedded.state.writing import KeptFunction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from retail_analytics.embedded.configuration import CloudAddress, CloudConfiguration
    from retail_analytics.embedded.consumer import EventSourceMapping

LOG = logging.getLogger(__name__)


class Restart:
    """What a cloud takes up of an earlier one, and how it keeps what the next one takes up.

    Attributes:
        manifest: The snapshot that it takes up; None for a cloud that begins empty.
        gate: What requests pass; None for a cloud that keeps nothing.
    """

    def __init__(self, configuration: CloudConfiguration) -> None:
        """Look at the state folder.

        Raises:
            SnapshotError: What is kept there was kept by other versions.
        """
        self._folder = configuration.state / FOLDER_NAME
        self._seconds = configuration.snapshot_seconds
        self._index: SearchIndex | None = None
        self.gate = Gate() if configuration.keep_state else None
        self.manifest = read_manifest(self._folder) if configuration.keep_state else None

    def port(self, part: str, given: int | None) -> int | None:
        """The port that is given, else the one that the earlier cloud had if it is free, else none."""
        if given or self.manifest is None:
            return given
        return free_port(self.manifest.addresses[part])

    def take_up(self, address: CloudAddress) -> dict[str, KeptFunction]:
        """Bring the earlier cloud's state back, before anything serves; returns its functions by name.

        Raises:
            SnapshotError: It cannot be read.
        """
        self._index = SearchIndex(address.opensearch_url, self._folder)
        if self.manifest is None:
            return {}
        functions, figures = load(self._folder, self.manifest, self._index)
        firehose.resume_all()
        found = _parts(address)
        moved = {before: found[part] for part, before in self.manifest.addresses.items()}
        LOG.info("the state of %s is back: %s", self.manifest.taken_at, figures)
        return {name: relocated(function, moved) for name, function in functions.items()}

    def keep(
        self, address: CloudAddress, mappings: Callable[[], Mapping[str, EventSourceMapping]]
    ) -> Keeper | None:
        """Begin to keep the cloud's state; None for a cloud that keeps nothing."""
        if self.gate is None or self._index is None:
            return None
        # Pickles run what they say: nobody else is to write them.
        self._folder.mkdir(mode=0o700, exist_ok=True)
        before = self.manifest or Manifest.empty(address.id)
        before = replace(before, addresses=_parts(address))
        keeper = Keeper(self._folder, self._seconds, self.gate, self._index, mappings, before)
        keeper.start()
        return keeper


def _parts(address: CloudAddress) -> dict[str, str]:
    return {
        "endpoint": address.endpoint_url.removeprefix("http://"),
        "search": address.opensearch_url.removeprefix("http://"),
    }


def relocated(function: KeptFunction, moved: Mapping[str, str]) -> KeptFunction:
    """A function whose variables name this cloud's addresses in place of those of the one before.

    Args:
        function: The function.
        moved: Old ``HOST:PORT`` to new.
    """
    environment = {}
    for name, value in function.spec["environment"].items():
        new = value
        for before, now in moved.items():
            new = new.replace(before, now)
        environment[name] = new
    return KeptFunction({**function.spec, "environment": environment}, function.positions)


def free_port(address: str) -> int | None:
    """The port of an address ``HOST:PORT`` if nobody listens there, else None."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return None
    return int(port)

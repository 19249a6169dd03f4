"""moto's backends as bytes and back: all services in one pickle, so that what refers to what is kept.

Left out are locks (new ones take their place), objects' bytes that a pack holds, and Athena's past queries;
what Firehose leaves out it says itself. Only the process's own state folder is ever read: a pickle can run
code. Not here: when and where it is written (``keeper.py``).
"""

from __future__ import annotations

import pickle
import threading
from collections import defaultdict
from types import FunctionType
from typing import TYPE_CHECKING, Any

from moto.athena import models as athena_models
from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.s3.models import FakeKey
from moto.ssm.models import ParameterDict

from retail_analytics.embedded.athena.backend import DuckAthenaBackend
from retail_analytics.embedded.control import COVERED_SERVICES
from retail_analytics.embedded.state.bodies import ATTRIBUTE, Packs, Reference, reference
from retail_analytics.embedded.state.folder import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

Backends = dict[str, dict[str, dict[str, Any]]]
"""Service, account, region: the backend."""

_LOCKS: dict[type, Callable[[], Any]] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
    threading.Condition: threading.Condition,
}
_TAGS_OF_SSM = "SimpleSystemManagerBackend.__init__.<locals>.<lambda>"


def install() -> None:
    """Make the backends' classes ones that pickle finds; to be called after they are installed."""
    setattr(athena_models, DuckAthenaBackend.__qualname__, DuckAthenaBackend)


class Body:
    """Stands for an object's bytes in a pickle."""

    def __init__(self, where: Reference) -> None:
        self._where = where

    def __reduce__(self) -> tuple[Any, ...]:
        """A call that the unpickler answers with the bytes."""
        return fetch_body, tuple(self._where)


def fetch_body(pack: str, offset: int, size: int) -> bytes:
    """Answered by :class:`StateUnpickler`, which knows where packs are."""
    raise SnapshotError(f"the body at {offset} of {pack} ({size} bytes) is for a snapshot's reader only.")


def tags_of_ssm() -> Callable[[], Any]:
    """In place of a function without a name that moto's SSM gives to a dictionary."""
    return _empty_tags


def _empty_tags() -> defaultdict[str, dict[str, str]]:
    return defaultdict(dict)


class StatePickler(pickle.Pickler):
    """Writes backends. Takes no lock, so that a child made by fork can use it whoever held which."""

    def reducer_override(self, obj: Any) -> Any:
        """How the objects are written that cannot be, or should not be, as they are."""
        kind = type(obj)
        if kind in _LOCKS:
            return _LOCKS[kind], ()
        if kind is threading.Event:
            return _event, (obj._flag,)
        if kind is FakeKey:
            return object.__new__, (FakeKey,), _state_of_key(obj)
        if kind is DuckAthenaBackend:
            state = {**obj.__dict__, "runs": {}, "_by_token": {}}
            return object.__new__, (DuckAthenaBackend,), state
        if kind is ParameterDict:
            made_of = (obj.account_id, obj.region_name)
            return ParameterDict, made_of, dict(obj.__dict__), None, iter(list(dict.items(obj)))
        if kind is FunctionType and obj.__qualname__ == _TAGS_OF_SSM:
            return tags_of_ssm, ()
        return NotImplemented


def _event(is_set: bool) -> threading.Event:
    event = threading.Event()
    if is_set:
        event.set()
    return event


def _state_of_key(key: FakeKey) -> dict[str, Any]:
    state = dict(key.__dict__)
    buffer = state.pop("_value_buffer")
    del state["lock"]
    where = reference(key)
    if where is not None:
        return {**state, "value": Body(where)}
    state.pop(ATTRIBUTE, None)
    if buffer.closed:
        # As moto does it: a key that was deleted and is still referred to.
        return {**state, "value": b""}
    if buffer._rolled:
        raise SnapshotError(f"object {key.name} came in this moment and is large; the next snapshot has it.")
    return {**state, "value": buffer._file.getvalue()}


class StateUnpickler(pickle.Unpickler):
    """Reads backends, and objects' bytes from their packs."""

    def __init__(self, file: BinaryIO, packs: Packs) -> None:
        super().__init__(file)
        self._packs = packs

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle means."""
        if (module, name) == (__name__, fetch_body.__name__):
            return lambda *where: self._packs.read(Reference(*where))
        return super().find_class(module, name)


def backends_in_use() -> Backends:
    """The backends of the covered services that were made so far."""
    return {
        registry.service_name: {account: dict(regions) for account, regions in list(registry.items())}
        for registry in list(BackendDict._instances)  # type: ignore[misc]
        if registry.service_name in COVERED_SERVICES
    }


def put_back(backends: Backends) -> None:
    """Put backends into moto's registries, which must not have served yet."""
    for service, accounts in backends.items():
        registry: Any = get_backend(service)  # type: ignore[call-overload]
        for account, regions in accounts.items():
            for region, backend in regions.items():
                registry[account][region] = backend

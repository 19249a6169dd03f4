"""Putting our backends in place of moto's.

moto keeps the wire protocol; a subclass of one of its backends, put into its registry before the first
request, replaces a pretence by the real thing. Here belongs that one trick; the behaviours are in the
modules named after the services.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moto.core.base_backend import BackendDict

ACCOUNT_ID = "123456789012"


def replace_backend(registry: BackendDict[Any], subclass: type[Any]) -> None:
    """Make ``registry`` create ``subclass`` instead of moto's own backend.

    Args:
        registry: moto's registry of one service, such as ``kinesis_backends``.
        subclass: A subclass of the backend that the registry creates.

    Raises:
        RuntimeError: The registry already holds backends, which would be lost.
    """
    if len(registry):
        raise RuntimeError(f"moto's {registry.service_name} backend is in use; install ours before serving.")
    original: type[Any] = registry.backend
    if not issubclass(subclass, original):
        raise TypeError(f"{subclass.__name__} is no subclass of moto's {original.__name__}")
    # moto finds a backend's URLs through the module that its class says it is from.
    subclass.__module__ = original.__module__
    # pickle looks a class up in the module that it names.
    setattr(sys.modules[original.__module__], subclass.__qualname__, subclass)
    registry.backend = subclass

"""Protocols for requests to servers: one module each, looked up by its name. Adding one touches nothing else."""

import pkgutil
from functools import cache
from importlib import import_module

from servegrid.protocols.base import Protocol

_SHARED = ("base", "events", "server_url")


@cache
def names() -> list[str]:
    """Sorted names of all protocols: the modules of this package, with - for _."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.replace("_", "-") for name in modules if name not in _SHARED and not name.startswith("_"))


def get(name: str) -> Protocol:
    """Protocol of this name.

    Raises:
        ValueError: when there is none.
    """
    if name not in names():
        raise ValueError(f"protocol {name!r}: expected one of {', '.join(names())}")
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    protocol: Protocol = module.PROTOCOL
    return protocol

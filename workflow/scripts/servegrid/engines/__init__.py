"""The engines. Each file of this package that defines a subclass of `Engine` is one; adding a file adds an engine."""

import functools
import importlib
import pkgutil

from servegrid.engines.base import Engine

__all__ = ["Engine", "get", "names"]


@functools.cache
def _engines() -> dict[str, Engine]:
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    kinds = [kind for module in modules for kind in vars(module).values() if _is_engine(kind, module.__name__)]
    return {kind.name: kind() for kind in sorted(kinds, key=lambda kind: str(kind.name))}


def _is_engine(thing: object, module: str) -> bool:
    return isinstance(thing, type) and issubclass(thing, Engine) and thing.__module__ == module and thing is not Engine


def names() -> list[str]:
    """The engines servegrid knows."""
    return list(_engines())


def get(name: str) -> Engine:
    """The engine of this name (KeyError if there is none)."""
    return _engines()[name]

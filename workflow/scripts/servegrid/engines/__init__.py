"""The engines. Each file of this package that defines a subclass of `Engine` is one; adding a file adds an engine."""

import functools
import importlib
import pkgutil

from servegrid.engines.base import Engine

__all__ = ["Engine", "get", "names"]


@functools.cache
def _engines() -> dict[str, Engine]:
    """The engines by name, from all modules of this package."""
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    classes = [value for module in modules for value in vars(module).values() if _is_engine(value, module.__name__)]
    return {engine.name: engine() for engine in sorted(classes, key=lambda engine: str(engine.name))}


def _is_engine(value: object, module: str) -> bool:
    return isinstance(value, type) and issubclass(value, Engine) and value.__module__ == module and value is not Engine


def names() -> list[str]:
    """Names of the engines that servegrid knows, in alphabetical order."""
    return list(_engines())


def get(name: str) -> Engine:
    """The engine of this name (KeyError if there is none)."""
    return _engines()[name]

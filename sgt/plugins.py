"""Plugins: classes that are found by their file in a folder, and named nowhere else."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from typing import Any


def plugins_in(package: str, folders: Iterable[str], base: type) -> list[Any]:
    """The classes that derive from a base class, are complete, and are defined in a file of a package.

    Args:
        package: name of the package.
        folders: where its files are: its ``__path__``.
        base: the class that plugins derive from, which may be abstract.
    """
    found = []
    for file in pkgutil.iter_modules(folders):
        module = importlib.import_module(f"{package}.{file.name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, base) and kind.__module__ == module.__name__ and not inspect.isabstract(kind):
                found.append(kind)
    return found

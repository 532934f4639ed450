"""Every task by its name. A task is found by its file in this folder: a class that derives from ``Task``.

Importing this package lets studies name them: see :mod:`sgt.config.benchmarks`.
"""

import importlib
import inspect
import pkgutil

from sgt.config.benchmarks import OPTIONS, Benchmark
from sgt.evaluation.task import Task

TASKS: dict[str, type[Task]] = {}


def find_tasks() -> None:
    """Enter the tasks of every file in :data:`TASKS`, and their options where studies look them up."""
    for file in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{file.name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, Task) and kind.__module__ == module.__name__ and not inspect.isabstract(kind):
                TASKS[kind.name], OPTIONS[kind.name] = kind, kind.Options


def make_task(benchmark: Benchmark) -> Task:
    """The task of a benchmark's file."""
    return TASKS[benchmark.task](benchmark)


find_tasks()

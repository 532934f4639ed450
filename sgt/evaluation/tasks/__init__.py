"""Every task by its name. A task is found by its file in this folder: a class that derives from ``Task``.

Importing this package lets studies name them: see :mod:`sgt.config.benchmarks`.
"""

from sgt.config.benchmarks import OPTIONS, Benchmark
from sgt.evaluation.task import Task
from sgt.plugins import plugins_in

TASKS: dict[str, type[Task]] = {}


def find_tasks() -> None:
    """Enter the tasks of every file in :data:`TASKS`, and their options where studies look them up."""
    for kind in plugins_in(__name__, __path__, Task):
        TASKS[kind.name], OPTIONS[kind.name] = kind, kind.Options


def make_task(benchmark: Benchmark) -> Task:
    """The task of a benchmark's file."""
    return TASKS[benchmark.task](benchmark)


find_tasks()

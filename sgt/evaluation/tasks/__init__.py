"""Every task by its name. A task is found by its file in this folder: a subclass of ``Task`` with ``Options``.

Importing this package lets studies name them: see :mod:`sgt.config.benchmarks`.
"""

import importlib
import inspect
import pkgutil

from sgt.config.benchmarks import OPTIONS, Benchmark
from sgt.evaluation.task import Task


def _defined_in(name: str) -> list[type[Task]]:
    module = importlib.import_module(f"{__name__}.{name}")
    classes = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, Task)]
    return [one for one in classes if one.__module__ == module.__name__ and not inspect.isabstract(one)]


TASKS: dict[str, type[Task]] = {
    task.name: task for module in pkgutil.iter_modules(__path__) for task in _defined_in(module.name)
}
OPTIONS.update({name: task.Options for name, task in TASKS.items()})


def make_task(benchmark: Benchmark) -> Task:
    """The task of a benchmark's file."""
    return TASKS[benchmark.task](benchmark)

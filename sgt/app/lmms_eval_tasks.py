"""Running tasks of lmms-eval with one of our models, where wanted on rows that lie here."""

import difflib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager
from lmms_eval.utils import handle_non_serializable, load_yaml_config
from tenacity import RetryError

from sgt.app.lmms_eval_model import SgtModel
from sgt.app.lmms_eval_plugin import NAME
from sgt.environment import environment
from sgt.errors import SgtError
from sgt.identity import write_record
from sgt.revision import code_revision

# Of what lmms-eval returns, what is kept: metrics, every reply with what was made of it, versions and counts.
KEPT = ("results", "samples", "versions", "n-samples")


def evaluate(
    model: str,
    tasks: Sequence[str],
    out: Path,
    command: str,
    data: Mapping[str, Path] | None = None,
    include: Sequence[Path] = (),
    limit: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Run tasks and write what lmms-eval makes of the replies, with the replies.

    Args:
        model: as :func:`~sgt.app.find.find_model` takes it.
        tasks: names of lmms-eval's tasks, groups or tags, or of those in ``include``.
        out: the JSON file to write.
        command: the command line, for the record.
        data: by name of a task, the parquet file or folder to read its rows from instead of a hub.
        include: folders with further task files.
        limit: take so many rows of each task, from the first.

    Returns:
        Metrics by task.

    Raises:
        SgtError: there is no such task or model, rows are missing, or a task needs what our models do not do.
    """
    manager = TaskManager("WARNING", include_path=[str(folder) for folder in include], model_name=NAME)
    chosen = [_task(manager, name, (data or {}).get(name)) for name in tasks]
    try:
        # Without its bootstrap, which resamples rows as if none shared an image.
        found = simple_evaluate(
            model=SgtModel(model), tasks=chosen, task_manager=manager, limit=limit, bootstrap_iters=0
        )
    except RetryError as error:
        cause = error.last_attempt.exception()
        problem = f"failed several times: {type(cause).__name__}: {cause}"
        remedy = "if the rows could not be fetched, name files of them with --data, else leave that task out"
        raise SgtError(f"--tasks {','.join(tasks)}", problem, remedy) from None
    except ModuleNotFoundError as error:
        problem = f"needs {error.name}, which is not installed"
        remedy = "install it into build/lmms-eval, or leave that task out"
        raise SgtError(f"--tasks {','.join(tasks)}", problem, remedy) from None
    record = {
        "model": model,
        "lmms_eval": version("lmms_eval"),
        **{name: found[name] for name in KEPT},
        "data": {name: str(path) for name, path in (data or {}).items()},
        "limit": limit,
        "code": code_revision(),
        "environment": environment(),
        "command": command,
    }
    write_record(out, json.loads(json.dumps(record, default=handle_non_serializable)))
    return found["results"]


def _task(manager: TaskManager, name: str, data: Path | None) -> str | dict[str, Any]:
    """A task as lmms-eval takes it: its name, or with rows that lie here, what differs from its file."""
    if name not in manager.all_tasks:
        near = difflib.get_close_matches(name, manager.all_tasks, 3)
        remedy = f"did you mean {' or '.join(near)}?" if near else "see `lmms-eval tasks list`"
        raise SgtError(f"--tasks {name}", "lmms-eval has no task of this name", remedy)
    if data is None:
        return name
    if name not in manager.all_subtasks:
        raise SgtError(f"--data {name}", "is a group of tasks", "name the rows of each task in it")
    files = sorted(data.rglob("*.parquet")) if data.is_dir() else sorted(data.parent.glob(data.name))
    if not files:
        raise SgtError(f"--data {name}", f"{data} has no parquet file", "name a folder or file that has, as fetched")
    settings = load_yaml_config(manager.task_index[name]["yaml_path"], mode="simple")
    split = settings.get("test_split") or settings.get("validation_split")
    rows = {"data_files": {split: [str(file.resolve()) for file in files]}}
    return {"task": name, "dataset_path": "parquet", "dataset_name": None, "dataset_kwargs": rows}

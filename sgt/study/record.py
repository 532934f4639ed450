"""The record that a finished run leaves."""

import json

from sgt.errors import SgtError
from sgt.study.load import LoadedStudy, Run


def read_run(study: LoadedStudy, run: Run) -> dict:
    """A run's ``run.json``.

    Raises:
        SgtError: the run is not finished.
    """
    path = study.run_dir(run) / "run.json"
    if not path.exists():
        command = f"sgt train {study.path} --model {run.model} --arm {run.arm} --seed {run.seed}"
        raise SgtError(path, "the run is not finished", f"run `{command}`")
    return json.loads(path.read_text())

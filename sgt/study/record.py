"""The record that a finished run leaves."""

from sgt.errors import SgtError
from sgt.identity import read_record
from sgt.study.load import LoadedStudy, Run


def read_run(study: LoadedStudy, run: Run) -> dict:
    """A run's ``run.json``.

    Raises:
        SgtError: the run is not finished, or its record was edited.
    """
    path = study.run_dir(run) / "run.json"
    if not path.exists():
        command = f"sgt train {study.path} --model {run.model} --arm {run.arm} --seed {run.seed}"
        raise SgtError(path, "the run is not finished", f"run `{command}`")
    return read_record(path)

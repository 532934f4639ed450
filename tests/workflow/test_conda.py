"""``snakemake --use-conda`` from a fresh clone: ``make test-conda``, which makes a conda where there is none.

The environment file is the workflow's own; only the channel that it names is local (tests/rigs/conda.sh).
"""

import json
import os

import pytest

from sgt.environment import environment
from tests.workflow.conftest import TABLE, clone

CONDA = os.environ.get("SGT_TEST_CONDA")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CONDA is None, reason="make test-conda makes a conda and tells where"),
]
# For people; what it installs is what the jobs' environment has. They then say `conda activate sgt`.
FOR_PEOPLE = "conda env create -f environment.yml"
WITH, WITHOUT = "snakemake --cores all --use-conda", "snakemake --cores all"
NOTHING = "Nothing to be done"


def test_with_conda_and_without_it_is_one_study(origin, reproduced, tmp_path):
    here = clone(origin, tmp_path / "sgt")
    path = f"{here.environment()['PATH']}:{CONDA}"
    said = here.run(WITH, PATH=path)
    assert "Activating conda environment: .snakemake/conda/" in said
    here.run(f"{FOR_PEOPLE} --dry-run", PATH=path)
    (python,) = (here / ".snakemake/conda").glob("*/bin/python")
    assert str(here.folder) in here.run(f"{python} -c 'import sgt; print(sgt.__file__)'", PYTHONPATH="")
    # The lock gives the same packages either way, so the tables are the same, and neither makes the other's again.
    ours = {"python": environment()["python"], "packages": environment()["packages"]}
    assert json.loads((here / "results/tiny/runs/micro/edge/seed0/run.json").read_text())["environment"] == ours
    assert (here / TABLE).read_text() == (reproduced / TABLE).read_text()
    assert NOTHING in here.run(WITHOUT) and NOTHING in here.run(WITH, PATH=path)
    # A study begun without conda is ended with it.
    here.run("rm -r results/tiny/report")
    assert "report 1" in " ".join(here.run(WITH, PATH=path).split())

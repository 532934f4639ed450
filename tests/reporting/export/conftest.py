"""Studies of one trained run of each family, and that run exported."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from sgt.identity import read_record, write_record
from sgt.study.load import load_study
from sgt.study.loaded import LoadedStudy
from tests.conftest import MICRO, sgt, write_study

STUDY = Path("config/micro.yaml")


def words(family: str, arm: str = "segmentation") -> list[object]:
    """The arguments of a command that works on a run."""
    return [STUDY, "--model", MICRO[family]["name"], "--arm", arm, "--seed", 0]


@pytest.fixture(scope="session")
def trained(prepared_for, tmp_path_factory) -> Callable[[str], Path]:
    """A function of a family: a study with a finished run of segmentation; that of BAGEL has base and sft, too."""

    @cache
    def train(family: str) -> Path:
        root = tmp_path_factory.mktemp(f"trained-{family}") / "study"
        shutil.copytree(prepared_for(family), root)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            name = MICRO[family]["name"]
            write_study(root, models=[name], arms=["base", "sft", "segmentation"], benchmarks=["toyworld-qa"])
            for arm in ("base", "sft", "segmentation") if family == "bagel" else ("segmentation",):
                sgt("train", *words(family, arm))
                sgt("predict", *words(family, arm), "--benchmark", "toyworld-qa")
                sgt("score", *words(family, arm), "--benchmark", "toyworld-qa")
            sgt("treatment", *words(family))
        return root

    return train


@pytest.fixture
def trained_study(trained, tmp_path, monkeypatch) -> Callable[[str], LoadedStudy]:
    """A function of a family: a copy of its trained study, which becomes the working directory."""

    def copy(family: str = "bagel") -> LoadedStudy:
        root = tmp_path / "study"
        shutil.copytree(trained(family), root)
        monkeypatch.chdir(root)
        return load_study(STUDY)

    return copy


@pytest.fixture
def release(trained_study) -> Path:
    """The exported run of BAGEL, which did not learn its proxy."""
    trained_study()
    sgt("export", *words("bagel"), "--out", "release", "--anyway")
    return Path("release")


def give_use(study: LoadedStudy, use: float) -> None:
    """Say in the record of the treatment of the study's segmentation that it had this use."""
    (run,) = study.proxy_runs
    record = read_record(study.treatment_file(run))
    write_record(study.treatment_file(run), {**record, "use": {**record["use"], "value": use}})

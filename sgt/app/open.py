"""Opening what a person names: a study, a run, a released checkpoint."""

import os
from os import PathLike
from pathlib import Path

import torch

from sgt.app.find import RUN_FILE, find_model, find_run, is_run_name, require_same_model, run_of, study_at
from sgt.app.interactive import InteractiveModel, InteractiveRun
from sgt.app.results import StudyResults
from sgt.app.weights import require_weights
from sgt.config.fields import Precision
from sgt.models.registry import load_model as load_weights
from sgt.study.loaded import LoadedStudy
from sgt.study.record import checkpoint_of, read_run
from sgt.study.runs import Run


def load_study(path: str | PathLike[str]) -> StudyResults:
    """The results of a study, by its file (``config/tiny.yaml``) or its results folder (``results/tiny``).

    Raises:
        SgtError: there is no such study, or it is not valid.
    """
    return StudyResults(study_at(Path(path)))


def load_run(study: str | PathLike[str] | StudyResults, run: str) -> InteractiveRun:
    """A finished run of a study.

    Args:
        study: its file, its results folder, or what :func:`load_study` returned.
        run: ``MODEL/ARM/seedN``; of a transplant, its name is the arm.

    Raises:
        SgtError: there is no such study or run, the run is not finished, its model's file is no longer the one that it
            was trained with, or its weights are not there.
    """
    loaded = study.study if isinstance(study, StudyResults) else study_at(Path(study))
    return _open_run(loaded, run_of(loaded, run))


def load_model(
    model: str | PathLike[str], *, precision: Precision | None = None, device: torch.device | str | None = None
) -> InteractiveModel:
    """A checkpoint by itself, of no study.

    Args:
        model: a file of ``config/models`` by its name (``bagel-7b``), or a folder: one that ``sgt export`` made, or
            that of a finished run, which :func:`load_run` opens with its proxy.
        precision: that of the model's file if None.
        device: that of the model's file if None.

    Raises:
        SgtError: there is no such model, or its weights are not there.
    """
    spec, folder = find_model(os.fspath(model))
    require_weights(spec, folder)
    place = None if device is None else torch.device(device)
    return InteractiveModel(spec.name, spec, lambda: load_weights(spec, folder, precision=precision, device=place))


def open_by_name(name: str, study: Path | None = None) -> InteractiveModel:
    """A run or a model, as the command line names them.

    Args:
        name: of a run, a model or a folder.
        study: that a run is of; if None, the one study of ``config/`` that has finished it.

    Raises:
        SgtError: nothing has the name, or several studies have such a run.
    """
    if is_run_name(name):
        return _open_run(*find_run(name, study))
    return load_model(name)


def _open_run(study: LoadedStudy, run: Run) -> InteractiveRun:
    spec, folder = study.models[run.model], checkpoint_of(study, run)
    require_same_model(read_run(study, run), spec, study.run_dir(run) / RUN_FILE)
    require_weights(spec, folder)
    return InteractiveRun(study, run, lambda: load_weights(spec, folder))

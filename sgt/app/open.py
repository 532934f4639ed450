"""Finding and opening what a person names: a run, a released checkpoint, a study."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from os import PathLike
from pathlib import Path

import torch

from sgt.app.interactive import InteractiveModel, InteractiveRun
from sgt.app.results import StudyResults
from sgt.app.weights import require_weights
from sgt.config.fields import Precision
from sgt.config.files import load_yaml
from sgt.errors import SgtError
from sgt.models.registry import load_model as load_weights
from sgt.models.released import MODEL_FILE, read_model_file
from sgt.study.load import LoadedStudy, Run, load_model_spec
from sgt.study.load import load_study as load_study_file
from sgt.study.record import checkpoint_of, read_run

CONFIG = Path("config")
MODELS = CONFIG / "models"
# Fields of a study that its runs come from.
COORDINATES = ("models", "arms", "seeds")
RUN = re.compile(r"[^/]+/[^/]+/seed\d+")
STUDIES_REMEDY = f"name a study file, or work in the folder that has {CONFIG}/"


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
        SgtError: there is no such study or run, the run is not finished, or its weights are not there.
    """
    loaded = study.study if isinstance(study, StudyResults) else study_at(Path(study))
    return _open_run(loaded, _run_of(loaded, run))


def load_model(
    model: str | PathLike[str], *, precision: Precision | None = None, device: torch.device | str | None = None
) -> InteractiveModel:
    """A checkpoint that is no run.

    Args:
        model: a file of ``config/models`` by its name (``bagel-7b``), or a folder that ``sgt export`` made.
        precision: that of the model's file if None.
        device: that of the model's file if None.

    Raises:
        SgtError: there is no such model, or its weights are not there.
    """
    folder = Path(model)
    if (folder / MODEL_FILE).exists():
        spec = read_model_file(folder)
    else:
        names = model_names()
        if str(model) not in names:
            near = near_matches(str(model), [*names, *_run_ids(find_studies())])
            raise SgtError(model, "no such model, nor a folder that `sgt export` made", near or _list_remedy("models"))
        spec = load_model_spec(str(model), MODELS)
    require_weights(spec)
    place = None if device is None else torch.device(device)
    return InteractiveModel(
        spec.name, spec, lambda: load_weights(spec, Path(spec.checkpoint), precision=precision, device=place)
    )


def open_by_name(name: str, study: Path | None = None) -> InteractiveModel:
    """A run or a model, as the command line names them.

    Args:
        name: of a run, a model or a folder.
        study: that a run is of; if None, the one study of ``config/`` that has finished it.

    Raises:
        SgtError: nothing has the name, or several studies have such a run.
    """
    if RUN.fullmatch(name) and not (Path(name) / MODEL_FILE).exists():
        return _open_run(*find_run(name, study))
    return load_model(name)


def find_run(name: str, study: Path | None = None) -> tuple[LoadedStudy, Run]:
    """A run by its name, finished or not, with its study; see :func:`open_by_name`.

    Raises:
        SgtError: no study, or several, have such a run.
    """
    loaded = study_at(study) if study else _study_of_run(name)
    return loaded, _run_of(loaded, name)


def study_at(path: Path) -> LoadedStudy:
    """A study by its file or its results folder.

    Raises:
        SgtError: there is no such study, or it is not valid.
    """
    if not path.is_dir():
        return load_study_file(path)
    for file, content in find_studies().items():
        if Path(content.get("results", "results")).resolve() == path.resolve():
            return load_study_file(file)
    raise SgtError(path, f"no study in {CONFIG}/ has its results there", STUDIES_REMEDY)


def find_studies() -> dict[Path, dict]:
    """Every file of ``config/`` that is a study, with what it says, unchecked."""
    found = {}
    for file in sorted(CONFIG.glob("*.yaml")):
        content = load_yaml(file)
        if isinstance(content, dict) and content.keys() >= set(COORDINATES):
            found[file] = content
    return found


def model_names() -> list[str]:
    """The models of ``config/models``."""
    return sorted(file.stem for file in MODELS.glob("*.yaml"))


def near_matches(name: str, known: Iterable[str]) -> str | None:
    """A remedy that lists the names that begin with one, or are most like it; None if none is."""
    distinct = list(dict.fromkeys(known))
    close = [each for each in distinct if each.startswith(name)][:3] or get_close_matches(name, distinct, 3, 0.6)
    return f"perhaps {' or '.join(close)}" if close else None


def _study_of_run(name: str) -> LoadedStudy:
    """The one study of ``config/`` that has finished a run, or failing that the one that has the run.

    Raises:
        SgtError: there is none, or there are several.
    """
    studies = find_studies()
    having = [file for file, content in studies.items() if name in _ids(content)]
    finished = [
        file
        for file, content in studies.items()
        if (Path(content.get("results", "results")) / "runs" / name / "run.json").exists()
    ]
    match finished or having:
        case [file]:
            return load_study_file(file)
        case []:
            remedy = near_matches(name, _run_ids(studies)) or _list_remedy("runs")
            raise SgtError(name, f"no study in {CONFIG}/ has such a run", remedy)
        case several:
            raise SgtError(name, f"a run of {', '.join(map(str, several))}", "choose one with --study")


def _run_of(study: LoadedStudy, name: str) -> Run:
    known = {run.id: run for run in study.evaluated_runs}
    if name not in known:
        raise SgtError(study.path, f"no run {name}", near_matches(name, known) or _list_remedy("runs"))
    return known[name]


def _open_run(study: LoadedStudy, run: Run) -> InteractiveRun:
    read_run(study, run)
    spec, folder = study.models[run.model], checkpoint_of(study, run)
    require_weights(spec, folder)
    return InteractiveRun(study, run, lambda: load_weights(spec, folder))


def _run_ids(studies: dict[Path, dict]) -> list[str]:
    return [each for content in studies.values() for each in _ids(content)]


def _ids(content: dict) -> list[str]:
    """The runs of a study that may not be valid."""
    models, arms, seeds = (content[field] if isinstance(content[field], list) else [] for field in COORDINATES)
    arms = [*arms, *(content.get("transplants") or ())]
    return [f"{model}/{arm}/seed{seed}" for model in models for arm in arms for seed in seeds]


def _list_remedy(what: str) -> str:
    return f"see `sgt ls {what}`"

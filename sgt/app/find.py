"""Finding what a person names: a study, a run, or the weights of a model."""

import re
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from sgt.config.files import load_yaml
from sgt.config.models import Model
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.errors import SgtError
from sgt.identity import difference, read_record
from sgt.models.released import MODEL_FILE, read_model_file
from sgt.models.rules import model_identity
from sgt.study.load import load_model_spec, load_study
from sgt.study.loaded import LoadedStudy
from sgt.study.record import FINAL
from sgt.study.runs import Run

CONFIG = Path("config")
MODELS = CONFIG / "models"
RUN_FILE = "run.json"
# Fields of a study that its runs come from.
COORDINATES = ("models", "arms", "seeds")
RUN_NAME = re.compile(r"[^/]+/[^/]+/seed\d+")
STUDIES_REMEDY = f"name a study file, or work in the folder that has {CONFIG}/"


def study_at(path: Path) -> LoadedStudy:
    """A study by its file or its results folder.

    Raises:
        SgtError: there is no such study, or it is not valid.
    """
    if not path.is_dir():
        return load_study(path)
    for file, content in find_studies().items():
        if _results_of(content).resolve() == path.resolve():
            return load_study(file)
    raise SgtError(path, f"no study in {CONFIG}/ has its results there", STUDIES_REMEDY)


def find_run(name: str, study: Path | None = None) -> tuple[LoadedStudy, Run]:
    """A run by its name, finished or not, with its study.

    Args:
        name: ``MODEL/ARM/seedN``; of a transplant, its name is the arm.
        study: that it is of; if None, the one study of ``config/`` that has finished it.

    Raises:
        SgtError: no study, or several, have such a run.
    """
    loaded = study_at(study) if study else _study_of_run(name)
    return loaded, run_of(loaded, name)


def is_run_name(name: str) -> bool:
    """Whether a name is that of a run in a study, and no exported folder has it."""
    return RUN_NAME.fullmatch(name) is not None and not (Path(name) / MODEL_FILE).is_file()


def find_model(name: str) -> tuple[Model, Path]:
    """A model and the folder of its weights, for :func:`sgt.models.registry.load_model`.

    Args:
        name: of a file in ``config/models``, whose base weights are meant; or a folder: of a finished run, as
            ``results/tiny/runs/bagel-tiny/depth/seed0``, or one that ``sgt export`` wrote.

    Raises:
        SgtError: there is no such model, or its file is no longer the one that the run was trained with.
    """
    folder = Path(name)
    if (folder / MODEL_FILE).is_file():
        return read_model_file(folder), folder
    if (folder / RUN_FILE).is_file():
        return _model_of_run(folder)
    if name in (names := model_names()):
        spec = load_model_spec(name, MODELS)
        return spec, Path(spec.checkpoint)
    if folder.is_dir():
        remedy = "name a model, the folder of a finished run, or one that `sgt export` wrote"
        raise SgtError(folder, f"has neither {RUN_FILE} nor {MODEL_FILE}", remedy)
    near = near_matches(name, [*names, *_run_ids(find_studies())])
    raise SgtError(name, "no such model, nor a folder that `sgt export` made", near or _list_remedy("models"))


def require_same_model(record: dict, spec: Model, path: Path) -> None:
    """Check that a run was made with a model's file as it is, which says how pictures are scaled.

    Args:
        record: of the run.
        spec: the model, from its file.
        path: of the record.

    Raises:
        SgtError: the file has changed.
    """
    changed = difference(record["identity"]["model"], model_identity(spec))
    if changed:
        problem = f"was made with another config/models/{spec.name}.yaml: {changed}"
        raise SgtError(path, problem, "undo that change, or train the run again")


def run_of(study: LoadedStudy, name: str) -> Run:
    """A run of a study by its name, as :func:`find_run` takes it.

    Raises:
        SgtError: the study has no such run.
    """
    known = {run.id: run for run in study.evaluated_runs}
    if name not in known:
        raise SgtError(study.path, f"no run {name}", near_matches(name, known) or _list_remedy("runs"))
    return known[name]


def find_studies() -> dict[Path, dict]:
    """Every file of ``config/`` that is a study, with what it says, unchecked; without those that cannot be read."""
    found = {}
    for file in sorted(CONFIG.glob("*.yaml")):
        with suppress(SgtError):
            if (content := study_content(file)) is not None:
                found[file] = content
    return found


def study_content(file: Path) -> dict | None:
    """What a file says, unchecked; None if it is no study.

    Raises:
        SgtError: it cannot be read, or is not YAML.
    """
    content = load_yaml(file)
    return content if isinstance(content, dict) and content.keys() >= set(COORDINATES) else None


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
    finished = [file for file, content in studies.items() if (_results_of(content) / "runs" / name / RUN_FILE).exists()]
    match finished or having:
        case [file]:
            return load_study(file)
        case []:
            remedy = near_matches(name, _run_ids(studies)) or _list_remedy("runs")
            raise SgtError(name, f"no study in {CONFIG}/ has such a run", remedy)
        case several:
            raise SgtError(name, f"a run of {', '.join(map(str, several))}", "choose one with --study")


def _model_of_run(folder: Path) -> tuple[Model, Path]:
    record = read_record(folder / RUN_FILE)
    spec = load_model_spec(record["model"])
    require_same_model(record, spec, folder / RUN_FILE)
    return spec, Path(spec.checkpoint) if record["arm"] == ARM_WITHOUT_TRAINING else folder / FINAL


def _run_ids(studies: dict[Path, dict]) -> list[str]:
    return [each for content in studies.values() for each in _ids(content)]


def models_of(content: dict) -> list:
    """The models of a study that may not be valid."""
    return content["models"] if isinstance(content["models"], list) else []


def _results_of(content: dict) -> Path:
    """The results folder of a study that may not be valid."""
    return Path(str(content.get("results", "results")))


def _ids(content: dict) -> list[str]:
    """The runs of a study that may not be valid."""
    models, arms, seeds = (content[field] if isinstance(content[field], list) else [] for field in COORDINATES)
    transplants = content.get("transplants")
    arms = [*arms, *(transplants if isinstance(transplants, dict) else ())]
    return [f"{model}/{arm}/seed{seed}" for model in models for arm in arms for seed in seeds]


def _list_remedy(what: str) -> str:
    return f"see `sgt ls {what}`"

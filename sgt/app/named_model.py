"""Models by a name that a person types: one of ``config/models``, a run, or an exported folder."""

from pathlib import Path

from sgt.config.models import Model
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.errors import SgtError
from sgt.identity import difference, read_record
from sgt.models.released import MODEL_FILE, read_model_file
from sgt.models.rules import model_identity
from sgt.study.load import load_model_spec
from sgt.study.record import FINAL

RUN_FILE = "run.json"


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
    if folder.is_dir():
        remedy = "name a model, the folder of a finished run, or one that `sgt export` wrote"
        raise SgtError(folder, f"has neither {RUN_FILE} nor {MODEL_FILE}", remedy)
    spec = load_model_spec(name)
    return spec, Path(spec.checkpoint)


def _model_of_run(folder: Path) -> tuple[Model, Path]:
    record = read_record(folder / RUN_FILE)
    spec = load_model_spec(record["model"])
    changed = difference(record["identity"]["model"], model_identity(spec))
    if changed:
        problem = f"was made with another config/models/{spec.name}.yaml: {changed}"
        raise SgtError(folder / RUN_FILE, problem, "undo that change, or train the run again")
    return spec, Path(spec.checkpoint) if record["arm"] == ARM_WITHOUT_TRAINING else folder / FINAL

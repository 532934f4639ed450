"""What a base model can do: measured on held-out scenes, before anything is post-trained from it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sgt.config.datasets import Toyworld
from sgt.config.models import Model
from sgt.data.dataset import ShardDataset
from sgt.data.images import image_of
from sgt.data.manifest import shard_name
from sgt.data.toyworld.dataset import write_shard
from sgt.errors import SgtError
from sgt.evaluation.predict import replier
from sgt.evaluation.score import score_predictions
from sgt.evaluation.task import AnyReply, Row, Task
from sgt.evaluation.tasks import make_task
from sgt.models.tower import TowerHealth, measure_tower
from sgt.models.unified import UnifiedModel
from sgt.study.loaded import LoadedStudy
from sgt.training.batch_loader import ExampleSource
from sgt.training.examples import edit_source, sharpen_source
from sgt.training.image_use import SEED, held_out_draw, noise_seed, paired_errors, swapped, use_of

# No dataset of ours has this seed, so that no scene has been trained on, and none is used to compare arms.
SCENES_SEED = 15
# For questions, for the tower, for the use of images, and for captions: the first so many.
SCENES, TOWER_SCENES, USE_SCENES, CAPTION_SCENES = 400, 64, 100, 100
AT_ONCE = 20
LEFT_RIGHT, SHAPE = "left_right", "shape"


@dataclass(frozen=True)
class Measured:
    """What is measured of a base model; shares and accuracies are from 0 to 1.

    Attributes:
        tower: health of the vision tower; None if the model has none of its own.
        use_edit, use_sharpen: use of the input image in edits and in super-resolution.
        left_right, shape: accuracy of these kinds of question.
        shape_low: lower end of the 95% interval of ``shape``.
        shape_chance: what the best answers without the image would get of ``shape``.
        generation: score of images made from captions.
    """

    tower: TowerHealth | None
    use_edit: float
    use_sharpen: float
    left_right: float
    shape: float
    shape_low: float
    shape_chance: float
    generation: float


def measured_scenes(study: LoadedStudy, spec: Model) -> Toyworld:
    """The scenes that a base model is measured on: as large as those that it is pretrained on, and with edits.

    Raises:
        SgtError: the model is not pretrained on toyworld.
    """
    trained_on = study.study.datasets[spec.pretrain.dataset] if spec.pretrain else None
    if not isinstance(trained_on, Toyworld):
        raise SgtError(
            f"model {spec.name}: pretrain", "is not on toyworld, whose scenes it is measured on", "change it"
        )
    return Toyworld(
        source="toyworld", split="validation", scenes=SCENES, size=trained_on.size, seed=SCENES_SEED, edits=True
    )


def measure_base(study: LoadedStudy, spec: Model, model: UnifiedModel) -> Measured:
    """Everything that is required of a base model.

    Args:
        study: for its benchmarks of toyworld, whose decoding and sampling are used.
        spec, model: pretrained on toyworld.

    Raises:
        SgtError: the study lacks one of the benchmarks, or the model is not pretrained on toyworld.
    """
    questions, captions = (_task(study, name) for name in ("toyworld-qa", "toyworld-gen"))
    with TemporaryDirectory() as folder:
        scenes = _make(measured_scenes(study, spec), Path(folder))
        model.network.eval()
        images = [image_of(scenes[place]) for place in range(TOWER_SCENES)]
        answered = _metrics(
            questions, model, spec, scenes, SCENES, lambda row: row.dimensions["kind"] in (LEFT_RIGHT, SHAPE)
        )
        made = _metrics(captions, model, spec, scenes, CAPTION_SCENES, lambda row: True)
        shape = answered[f"accuracy/{SHAPE}"]
        return Measured(
            tower=measure_tower(model.tower, images) if model.tower else None,
            use_edit=_use(model, edit_source(scenes)),
            use_sharpen=_use(model, sharpen_source(scenes, SEED)),
            left_right=answered[f"accuracy/{LEFT_RIGHT}"]["value"],
            shape=shape["value"],
            shape_low=shape["low"],
            shape_chance=shape["chance"],
            generation=made["generation/score"]["value"],
        )


def _make(spec: Toyworld, folder: Path) -> ShardDataset:
    """Scenes in a folder, made in this process."""
    shards = [folder / shard_name(index) for index in range(spec.shards)]
    counts = [write_shard(shard, spec, index) for index, shard in enumerate(shards)]
    return ShardDataset(shards, counts)


def _task(study: LoadedStudy, name: str) -> Task:
    """The task of the study's first benchmark of this task."""
    benchmark = next((each for each in study.benchmarks.values() if each.task == name), None)
    if benchmark is None:
        raise SgtError(
            f"{study.path}: benchmarks", f"has none of task {name}", "add one: base models are measured by it"
        )
    return make_task(benchmark)


def _metrics(
    task: Task, model: UnifiedModel, spec: Model, scenes: ShardDataset, count: int, wanted: Callable[[Row], bool]
) -> dict[str, dict[str, Any]]:
    """The metrics of a task over the wanted rows of the first scenes."""
    reply, predictions = replier(model, spec, task), list[tuple[Row, AnyReply]]()
    for start in range(0, count, AT_ONCE):
        samples = [scenes[place] for place in range(start, min(start + AT_ONCE, count))]
        rows = [row for row in task.rows(samples) if wanted(row)]
        predictions += zip(rows, reply(rows), strict=True)
    return score_predictions(task, predictions).metrics


def _use(model: UnifiedModel, source: ExampleSource) -> float:
    """``use`` of the input image over the first scenes; see :mod:`sgt.training.image_use`."""
    examples = [source.make(held_out_draw(place)) for place in range(USE_SCENES)]
    others = [swapped(example, examples[place - 1]) for place, example in enumerate(examples)]
    seeds = [noise_seed(place) for place in range(USE_SCENES)]
    return use_of(*paired_errors(model, examples, others, seeds, AT_ONCE))

"""Whether a base model is good enough to be post-trained from: what it can do, and the limits of its model file.

A study compares what proxies add to a base model. That needs a base whose vision tower still tells images apart, which
draws what it is shown, and which answers some kinds of question well and has left room in others.
"""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from sgt.atomic import sha256
from sgt.config.models import Acceptance, Model
from sgt.environment import environment
from sgt.errors import SgtError
from sgt.evaluation.base_model import Measured, measure_base, measured_scenes
from sgt.identity import write_record
from sgt.models.registry import load_model
from sgt.revision import code_revision
from sgt.study.loaded import LoadedStudy

log = logging.getLogger("sgt")


@dataclass(frozen=True)
class Criterion:
    """One measured value and its limits; None for no limit.

    Attributes:
        name: as in the record.
        value: measured.
        at_least, at_most: what it may be.
    """

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the value is within its limits."""
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def __str__(self) -> str:
        limits = [("at least", self.at_least), ("at most", self.at_most)]
        required = " and ".join(f"{words} {limit:.4g}" for words, limit in limits if limit is not None)
        return f"{self.name} is {self.value:.4g}, required: {required}"


def criteria(measured: Measured, limits: Acceptance) -> list[Criterion]:
    """Each value with its limits; those of the vision tower only if the model has one."""
    tower = measured.tower
    of_tower = [
        Criterion("rank", tower.rank, at_least=limits.min_rank),
        Criterion("dead", max(tower.dead), at_most=limits.max_dead),
    ] if tower else []  # fmt: skip
    return [
        *of_tower,
        Criterion("use_edit", measured.use_edit, at_least=limits.min_use),
        Criterion("use_sharpen", measured.use_sharpen, at_least=limits.min_use),
        Criterion("left_right", measured.left_right, at_least=limits.min_left_right),
        Criterion("shape", measured.shape, at_most=limits.max_shape),
        Criterion("shape_low", measured.shape_low, at_least=measured.shape_chance),
        Criterion("generation", measured.generation, at_least=limits.min_generation),
    ]


def check_base(study: LoadedStudy, spec: Model, checkpoint: Path, out: Path, command: str) -> None:
    """Measure a base model, write the record, and log one line per criterion.

    Args:
        study: for its benchmarks of toyworld, whose decoding and sampling are used.
        spec: a model with a pretrain recipe.
        checkpoint: folder of the weights.
        out: the record.
        command: the command line, for the record.

    Raises:
        SgtError: a criterion is not met; the record is written before. Or the checkpoint or a benchmark is missing.
    """
    if spec.pretrain is None:
        raise SgtError(f"model {spec.name}", "has no pretrain recipe, and with it no limits", "see config/models")
    torch.set_num_threads(spec.predict.threads)
    hashes = {str(file.relative_to(checkpoint)): sha256(file) for file in sorted(checkpoint.rglob("*.safetensors"))}
    measured = measure_base(study, spec, load_model(spec, checkpoint))
    checked = criteria(measured, spec.pretrain.accept)
    failed = [each for each in checked if not each.passed]
    record = {
        "model": spec.name,
        "passed": not failed,
        "criteria": [{**asdict(each), "passed": each.passed} for each in checked],
        "tower": measured.tower and measured.tower.record(),
        "scenes": measured_scenes(study, spec).model_dump(),
        "sha256": hashes,
        "code": code_revision(),
        "environment": environment(),
        "command": command,
    }
    write_record(out, record)
    for each in checked:
        log.log(logging.INFO if each.passed else logging.ERROR, "%s: %s", "met" if each.passed else "NOT MET", each)
    if failed:
        problem = f"not accepted: {'; '.join(map(str, failed))}"
        raise SgtError(checkpoint, problem, f"see {out}, change the pretrain recipe, and train it again")

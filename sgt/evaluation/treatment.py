"""Whether a proxy arm learned its proxy: the record of the check of one run, written and read here.

``use`` is how much the model's drawing depends on the image that it is shown: 1 − (flow error with the right image) /
(flow error with another scene's image), near noise, on held-out scenes. An arm below :data:`MIN_USE` draws much the
same whatever it is shown: its treatment was not administered, and nothing can be concluded from its scores.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sgt.errors import SgtError
from sgt.evaluation.statistics import Estimate
from sgt.identity import read_record, write_record
from sgt.study.loaded import LoadedStudy
from sgt.study.runs import Run

MIN_USE = 0.5


@dataclass(frozen=True)
class Fidelity:
    """One measure of how like its true target an image is, as a mean over held-out images.

    Attributes:
        name: of the measure, as in tables.
        unit: ``""`` where it has none.
        higher_is_better: whether a larger value is a closer image.
        range: the lowest and the highest possible value; None where there is no bound.
        made: of the images that the arm made.
        floor: of the true target of another image in their place.
        ceiling: of the true target, encoded and decoded by the VAE, in their place.
    """

    name: str
    unit: str
    higher_is_better: bool
    range: tuple[float | None, float | None]
    made: Estimate
    floor: Estimate
    ceiling: Estimate


@dataclass(frozen=True)
class Treatment:
    """The check of one run of a proxy arm.

    Attributes:
        proxy: its name.
        dataset: the held-out images, by the name of their dataset.
        items: how many of them.
        time: of the flow, at which ``use`` was measured; 1 is noise.
        use: see the module.
        fidelity: the proxy's first measure.
        more: its other measures.
    """

    proxy: str
    dataset: str
    items: int
    time: float
    use: Estimate
    fidelity: Fidelity
    more: tuple[Fidelity, ...] = ()

    @property
    def is_administered(self) -> bool:
        """Whether the arm learned to draw what it is shown."""
        return self.use.value >= MIN_USE


def write_treatment(path: Path, treatment: Treatment, about: Mapping[str, Any]) -> None:
    """Write the check of a run.

    Args:
        path: ``study.treatment_file(run)``.
        treatment: what was measured.
        about: where it comes from: ``identity``, ``command``, …
    """
    write_record(path, {**about, **asdict(treatment)})


def read_treatment(study: LoadedStudy, run: Run) -> Treatment:
    """The check of a run of a proxy arm.

    Raises:
        SgtError: there is none, or it is damaged or was edited.
    """
    path = study.treatment_file(run)
    try:
        record = read_record(path)
    except FileNotFoundError:
        command = f"sgt treatment {study.path} --model {run.model} --arm {run.arm} --seed {run.seed}"
        raise SgtError(path, "whether the arm learned its proxy is not known", f"run `{command}`") from None
    return Treatment(
        proxy=record["proxy"],
        dataset=record["dataset"],
        items=record["items"],
        time=record["time"],
        use=Estimate(**record["use"]),
        fidelity=_fidelity(record["fidelity"]),
        more=tuple(map(_fidelity, record["more"])),
    )


def _fidelity(fields: dict[str, Any]) -> Fidelity:
    low, high = fields["range"]
    return Fidelity(
        name=fields["name"],
        unit=fields["unit"],
        higher_is_better=fields["higher_is_better"],
        range=(low, high),
        made=Estimate(**fields["made"]),
        floor=Estimate(**fields["floor"]),
        ceiling=Estimate(**fields["ceiling"]),
    )

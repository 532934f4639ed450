"""``printed.yaml``: what the paper prints, and what of it may stand beside a study's own values."""

from collections.abc import Mapping
from functools import cache
from math import inf
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from sgt.config.benchmarks import Benchmark
from sgt.config.fields import Strict
from sgt.config.files import read_yaml
from sgt.config.models import Model
from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING

FILE = Path(__file__).with_name("printed.yaml")
# The name of every task's way to ask that is, as far as is known, the paper's.
PAPER_PROTOCOL = "paper"
# The tables that print values of whole benchmarks, the one with more of them first.
OF_BENCHMARKS = ("main", "proxy_ablation")


class Comparable(Strict):
    """What a printed benchmark is here, and what may stand beside each other."""

    task: str = Field(description="of the benchmark")
    options: dict[str, Any] = Field({}, description="that the benchmark's file must have")
    metric: str = Field(description="name of the task's metric")
    beside: Literal["values", "gains", "nothing"] = Field(
        description="values: the numbers themselves; gains: only differences; nothing: neither"
    )
    why: str = Field(description="in a phrase")

    def is_of(self, benchmark: Benchmark) -> bool:
        """Whether a study's benchmark is the printed one."""
        return benchmark.task == self.task and all(
            getattr(benchmark, name, None) == value for name, value in self.options.items()
        )


class PrintedTable(Strict):
    """One table or figure of the paper: values by model, arm, and column or place on the axis."""

    where: str = Field(description="where it is printed")
    digitised: bool = Field(description="whether the numbers were read off a figure")
    within: float = Field(gt=0, description="reading error, or half of the last digit")
    values: dict[str, dict[str, dict[str, float]]] = Field(description="model, arm, column")


class PrintedFile(Strict):
    """The whole file."""

    models: dict[str, str] = Field(description="the paper's name of a model, and its family here")
    comparable: dict[str, Comparable] = Field(description="by the paper's name of a benchmark")
    tables: dict[str, PrintedTable] = Field(description="by name")

    @model_validator(mode="after")
    def _known(self) -> "PrintedFile":
        for name, table in self.tables.items():
            if unknown := set(table.values) - set(self.models):
                raise ValueError(f"tables.{name}: {sorted(unknown)[0]!r} is none of models")
            columns = {column for arms in table.values.values() for row in arms.values() for column in row}
            if name in OF_BENCHMARKS and (unknown := columns - set(self.comparable)):
                raise ValueError(f"tables.{name}: comparable has nothing about {sorted(unknown)[0]!r}")
        return self


class Printed(NamedTuple):
    """A printed number, in percent: whether it was read off a figure, where it is, whether it is a gain over sft."""

    value: float
    digitised: bool
    where: str
    is_gain: bool = False


class PrintedRelease(NamedTuple):
    """Printed numbers of a base, of weights post-trained from it, and their difference; None if only that compares."""

    base: Printed | None
    value: Printed | None
    gain: Printed


@cache
def printed_file() -> PrintedFile:
    """The file that sgt has."""
    return read_yaml(FILE, PrintedFile)


def paper_name(benchmark: Benchmark) -> str | None:
    """What the paper calls a study's benchmark; None if it prints nothing about it."""
    found = (name for name, about in printed_file().comparable.items() if about.is_of(benchmark))
    return next(found, None)


def paper_model(model: Model) -> str | None:
    """What the paper calls a study's model; None if it is none that the paper trains."""
    own_sizes = not model.architecture
    found = (name for name, family in printed_file().models.items() if family == model.family and own_sizes)
    return next(found, None)


def printed_value(table: str, model: Model, arm: str, benchmark: Benchmark, metric: str) -> Printed | None:
    """What the paper prints of a value of a study, or of its gain over sft; None where nothing comparable is printed.

    Args:
        table: that prints it.
        model, arm, benchmark, metric: the study's. Released weights are the arm that they were post-trained on, and
            what is trained from them is none of the paper's. A benchmark that is cut to some samples has no printed
            value, nor has one that is prompted or read by another protocol than the paper's.
    """
    if model.released:
        if arm != ARM_WITHOUT_TRAINING:
            return None
        arm = model.released.arm
    column = _column(model, benchmark, metric)
    if column is None:
        return None
    of_model, of_benchmark, about = column
    printed = printed_file().tables[table]
    arms = printed.values.get(of_model, {})
    value, control = (arms.get(each, {}).get(of_benchmark) for each in (arm, ARM_WITHOUT_PROXY))
    if value is None:
        return None
    if about.beside == "values":
        return Printed(value, printed.digitised, printed.where)
    if control is None or arm == ARM_WITHOUT_PROXY:
        return None
    return Printed(round(value - control, 6), printed.digitised, printed.where, is_gain=True)


def printed_release(model: Model, benchmark: Benchmark, metric: str) -> PrintedRelease | None:
    """What the paper prints of released weights and of their base; None where nothing comparable is printed.

    Args:
        model: with the released weights.
        benchmark, metric: the study's; see :func:`printed_value`.
    """
    column = _column(model, benchmark, metric)
    if column is None or model.released is None:
        return None
    of_model, of_benchmark, about = column
    for printed in (printed_file().tables[name] for name in OF_BENCHMARKS):
        arms = printed.values.get(of_model, {})
        base, value = (arms.get(arm, {}).get(of_benchmark) for arm in (ARM_WITHOUT_TRAINING, model.released.arm))
        if base is None or value is None:
            continue
        gain = Printed(round(value - base, 6), printed.digitised, printed.where, is_gain=True)
        if about.beside == "gains":
            return PrintedRelease(None, None, gain)
        of_base, of_release = (Printed(each, printed.digitised, printed.where) for each in (base, value))
        return PrintedRelease(of_base, of_release, gain)
    return None


def _column(model: Model, benchmark: Benchmark, metric: str) -> tuple[str, str, Comparable] | None:
    """The paper's names of a model and a benchmark, and what may stand beside its metric; None if nothing may."""
    of_benchmark, of_model = paper_name(benchmark), paper_model(model)
    if of_benchmark is None or of_model is None:
        return None
    # A sample is one row or several, so that as many samples as there are rows are all.
    is_whole = benchmark.samples is None or benchmark.samples >= getattr(benchmark, "published_rows", inf)
    if not is_whole or benchmark.protocol != PAPER_PROTOCOL:
        return None
    about = printed_file().comparable[of_benchmark]
    return None if about.beside == "nothing" or about.metric != metric else (of_model, of_benchmark, about)


def printed_pair(benchmark: Benchmark) -> tuple[float, float] | None:
    """What is printed of BAGEL, and of BAGEL trained on segmentation, percent; None where nothing is."""
    name = paper_name(benchmark)
    if name is None:
        return None
    for table in OF_BENCHMARKS:
        arms: Mapping[str, Mapping[str, float]] = printed_file().tables[table].values["BAGEL"]
        if name in arms["base"] and name in arms["segmentation"]:
            return arms["base"][name], arms["segmentation"][name]
    return None

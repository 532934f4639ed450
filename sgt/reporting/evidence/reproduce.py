"""Making the number of one cell again, in a folder of its own, and comparing every step with the evidence."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from sgt.atomic import sha256, write_json
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.errors import SgtError
from sgt.reporting.evidence.cells import cells_of, treatment_cells
from sgt.reporting.evidence.compare import (
    CHECKED,
    SCORED,
    number_differences,
    predictions_difference,
    record_difference,
    training_difference,
)
from sgt.reporting.evidence.copy import copy_replies, copy_study, link_file, link_predictions, link_run, narrowed
from sgt.reporting.evidence.schema import Cell, Evidence, Value
from sgt.reporting.scores import Scores
from sgt.reporting.treatments import read_treatments
from sgt.study.loaded import LoadedStudy
from sgt.study.record import read_run
from sgt.study.runs import Run

Start = Literal["scores", "predictions", "checkpoints", "training"]
# What the reproduction starts from, each with less kept and more made again than the one before. Training starts from
# data and targets.
STARTS: tuple[Start, ...] = ("scores", "predictions", "checkpoints", "training")
# Half of the last digit of the tables.
TOLERANCE = 0.0005
REPRODUCTION = "reproduction.json"


@dataclass
class Step:
    """One result of the chain, compared with the evidence.

    Attributes:
        what: the result.
        difference: how and where it first differs; None if it is equal.
    """

    what: str
    difference: str | None


@dataclass
class Reproduction:
    """What came of it.

    Attributes:
        cell: the row and column.
        start: what was kept.
        folder: where it was made.
        commands: that were run.
        steps: every result that was made or used, in order.
        changed: the numbers of the cell that differ, each as it was and is.
        largest: the largest difference of these; None if one has no value, 0 if none differs.
    """

    cell: str
    start: Start
    folder: str
    commands: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    changed: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    largest: float | None = 0.0

    @property
    def first_difference(self) -> str | None:
        """The first result that differs, and how."""
        return next((f"{step.what}: {step.difference}" for step in self.steps if step.difference), None)

    def verdict(self, tolerance: float) -> str:
        """``equal``, ``equal within …`` or ``different``."""
        if not self.changed:
            return "equal"
        if self.largest is None or self.largest > tolerance:
            return "different"
        return f"equal within {self.largest:.2g}"


def reproduce(
    study: LoadedStudy,
    evidence: Evidence,
    cell: Cell,
    start: Start,
    folder: Path,
    run_command: Callable[[Sequence[str]], None],
) -> Reproduction:
    """Make a cell's number again.

    Args:
        study, evidence, cell: which one.
        start: what is kept of the study.
        folder: of the new results; work that was interrupted there goes on.
        run_command: runs a command of ``sgt``, given its words.

    Raises:
        SgtError: the folder holds a finished reproduction; what is kept is not there or not as it was recorded; or a
            number is requested that cannot be made from what is kept.
    """
    if (folder / REPRODUCTION).exists():
        raise SgtError(folder, "holds a finished reproduction", "delete it, or choose another folder with --out")
    if cell.treatments and start == "predictions":
        remedy = "start from scores or checkpoints"
        raise SgtError(f"--from {start}", f"`sgt treatment` draws and measures {cell.column} in one step", remedy)
    made = Reproduction(f"{cell.row} {cell.column}", start, str(folder))
    again = _Again(study, copy_study(study, folder), evidence, made, run_command)
    for name in dict.fromkeys([*cell.runs, *(cell.control.runs if cell.control else [])]):
        again.make(name, cell)
    made.changed = number_differences(cell, again.cell(cell))
    made.largest = _largest_distance(made.changed)
    numbers = ", ".join(f"{name} was {was}, is {now}" for name, (was, now) in made.changed.items())
    made.steps.append(Step("the number", numbers or None))
    write_json(folder / REPRODUCTION, asdict(made))
    return made


def _largest_distance(changed: dict[str, tuple[float | None, float | None]]) -> float | None:
    distances = [None if was is None or now is None else abs(was - now) for was, now in changed.values()]
    known = [each for each in distances if each is not None]
    return max(known, default=0.0) if len(known) == len(distances) else None


@dataclass
class _Again:
    """Makes the results behind a cell again, in the copy of its study."""

    study: LoadedStudy
    copy: LoadedStudy
    evidence: Evidence
    made: Reproduction
    run_command: Callable[[Sequence[str]], None]

    def make(self, name: str, cell: Cell) -> None:
        """Make what a cell needs of a run, and compare it."""
        about = self.evidence.runs[name]
        run = self.study.run(about.model, about.arm, about.seed)
        if self.made.start == "training":
            self._train(run)
        elif self.made.start != "scores":
            link_run(self.study, self.copy, run)
        if cell.benchmark:
            self._evaluate(run, cell.benchmark)
        if run.proxy:
            self._check(run, needed=bool(cell.treatments))

    def _train(self, run: Run) -> None:
        self._command("launch", "train", run=run)
        recorded, record = self.evidence.runs[run.id].checkpoint, read_run(self.copy, run)
        folders = self.study.run_dir(run), self.copy.run_dir(run)
        found = training_difference(recorded.sha256, *folders, record["checkpoint_sha256"])
        what = "base weights" if run.arm == ARM_WITHOUT_TRAINING else "checkpoint"
        self.made.steps.append(Step(f"{what} of {run.id}", found))

    def _evaluate(self, run: Run, benchmark: str) -> None:
        recorded = self.evidence.evaluations[f"{run.id}/{benchmark}"]
        original, scored = Path(recorded.scores.record.path), self.copy.score_file(run, benchmark)
        predictions = recorded.predictions
        if self.made.start == "scores":
            self._use(original, scored, recorded.scores.record.sha256, f"scores of {run.id}")
            return
        if self.made.start == "predictions":
            link_predictions(self.study, self.copy, run, benchmark)
        else:
            self._command("predict", run=run, benchmark=benchmark)
        file = self.copy.prediction_dir(run, benchmark) / Path(predictions.path).name
        found = predictions_difference(predictions.sha256, Path(predictions.path), file)
        self.made.steps.append(Step(f"predictions of {run.id}", found))
        if recorded.judgements:
            copy_replies(self.study, self.copy)
            self._command("judge", run=run, benchmark=benchmark)
            original_judgements = Path(recorded.judgements.path)
            file = self.copy.judgement_dir(run, benchmark) / original_judgements.name
            found = predictions_difference(recorded.judgements.sha256, original_judgements, file)
            self.made.steps.append(Step(f"judgements of {run.id}", found))
        self._command("score", run=run, benchmark=benchmark)
        self.made.steps.append(Step(f"scores of {run.id}", record_difference(original, scored, SCORED)))

    def _check(self, run: Run, needed: bool) -> None:
        """The check of a proxy arm: what the cell shows, or else as it was, since reading scores takes one."""
        recorded, file = self.evidence.treatments[run.id].record, self.copy.treatment_file(run)
        if not needed or self.made.start == "scores":
            self._use(Path(recorded.path), file, recorded.sha256, f"check of {run.id}")
            return
        self._command("treatment", run=run)
        self.made.steps.append(Step(f"check of {run.id}", record_difference(Path(recorded.path), file, CHECKED)))

    def _use(self, original: Path, to: Path, recorded: str, what: str) -> None:
        """Use a record as it is.

        Raises:
            SgtError: it is not there.
        """
        if not original.exists():
            raise SgtError(original, "is not there", "restore it, or start from an earlier step with --from")
        link_file(original, to)
        found = None if sha256(original) == recorded else f"{original} is not as the evidence has it"
        self.made.steps.append(Step(what, found))

    def _command(self, *words: str, run: Run, benchmark: str | None = None) -> None:
        coordinates = ["--model", run.model, "--arm", run.arm, "--seed", str(run.seed)]
        coordinates += ["--benchmark", benchmark] if benchmark else []
        command = [*words, str(self.copy.path), *coordinates]
        self.run_command(command)
        self.made.commands.append(shlex.join(["sgt", *command]))

    def cell(self, cell: Cell) -> Cell:
        """The cell, from what the copy has now."""
        arms = [cell.arm, *([cell.control.arm] if cell.control else [])]
        part = narrowed(self.copy, cell.model, arms, [cell.benchmark] if cell.benchmark else [])
        if cell.benchmark:
            cells = cells_of(Scores(part))
        else:
            cells = treatment_cells(part, read_treatments(part), cell.model, cell.arm)
        place = (cell.row, cell.benchmark, cell.metric.name)
        found = next((each for each in cells if (each.row, each.benchmark, each.metric.name) == place), None)
        # Scores have no metric that no item of these runs is of.
        nothing = {"number": Value(value=None, low=None, high=None), "gain": None, "items": 0}
        return found or cell.model_copy(update=nothing)

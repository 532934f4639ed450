"""The chain behind one cell, from number to data: a tree for people, or the evidence of this cell alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sgt.reporting.evidence.schema import (
    Base,
    Cell,
    Code,
    Data,
    Evidence,
    MetricAbout,
    RunEvidence,
    TreatmentEvidence,
    Value,
    Work,
)
from sgt.study.releases import release_in_words


@dataclass
class Node:
    """A line of the tree, and what it follows from."""

    text: str
    children: list["Node"] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The node and everything below it, drawn as a tree."""
        drawn = [self.text]
        for child in self.children:
            first, rest = ("└─ ", "   ") if child is self.children[-1] else ("├─ ", "│  ")
            head, *below = child.lines()
            drawn += [first + head, *(rest + line for line in below)]
        return drawn


def evidence_of_cell(evidence: Evidence, cell: Cell) -> Evidence:
    """The evidence of one cell alone: itself, and everything that it names."""
    control = cell.control
    runs = dict.fromkeys([*cell.runs, *(control.runs if control else [])])
    evaluations = dict.fromkeys([*cell.evaluations, *(control.evaluations if control else [])])
    chosen_runs = {name: evidence.runs[name] for name in runs}
    data = [evidence.evaluations[name].data for name in evaluations]
    data += [evidence.treatments[name].data for name in cell.treatments]
    targets = {run.targets for run in chosen_runs.values()}
    datasets = {name for run in chosen_runs.values() for name in (run.questions, run.images)}
    datasets |= {each.dataset for each in data}
    downloads = {evidence.datasets[name].download for name in datasets if name}
    downloads |= {name for each in data for name in each.downloads}
    downloads |= {name for each in evaluations for name in evidence.evaluations[each].scores.downloads}
    downloads |= {name for each in targets if each for name in evidence.targets[each].downloads}
    return evidence.model_copy(
        update={
            "identity": {name: each for name, each in evidence.identity.items() if name != "records"},
            "bases": {name: each for name, each in evidence.bases.items() if name == cell.model},
            "downloads": {name: each for name, each in evidence.downloads.items() if name in downloads},
            "datasets": {name: each for name, each in evidence.datasets.items() if name in datasets},
            "targets": {name: each for name, each in evidence.targets.items() if name in targets},
            "runs": chosen_runs,
            "evaluations": {name: evidence.evaluations[name] for name in evaluations},
            "treatments": {name: evidence.treatments[name] for name in cell.treatments},
            "cells": [cell],
        }
    )


def tree(evidence: Evidence, cell: Cell) -> Node:
    """The chain behind a cell, from the number back to the data."""
    return _Tree(evidence).cell(cell)


class _Tree:
    """Makes the nodes. What several results are made from is written out the first time that it occurs."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._shown: set[str] = set()

    def cell(self, cell: Cell) -> Node:
        parts = [Node(_metric(cell.metric)), Node(f"$ {cell.command}")]
        parts += [self.evaluation(name) for name in cell.evaluations]
        parts += [self.treatment(self.evidence.treatments[name]) for name in cell.treatments]
        if cell.gain and cell.control:
            below = [self.evaluation(name) for name in cell.control.evaluations]
            parts.append(Node(f"gain {_number(cell.gain, '+')} over {cell.control.arm}", below))
        seeds = ", ".join(map(str, cell.seeds))
        return Node(f"{cell.row} {cell.column}: {_number(cell.number)}, {cell.items} items, seeds {seeds}", parts)

    def evaluation(self, name: str) -> Node:
        evaluation = self.evidence.evaluations[name]
        scores, predictions = evaluation.scores, evaluation.predictions
        below = [Node(f"$ {predictions.work.command}"), _made(predictions.work)]
        below += [self.data(evaluation.data), self.run(evaluation.run)]
        of_predictions = Node(f"predictions {_file(predictions.path, predictions.sha256)}, {predictions.count}", below)
        parts = [Node(f"$ {scores.work.command}"), _made(scores.work)]
        parts += [self.download(folder) for folder in scores.downloads]
        scored = of_predictions
        if judged := evaluation.judgements:
            how = [Node(f"$ {judged.work.command}"), _made(judged.work), of_predictions]
            scored = Node(f"judgements {_file(judged.path, judged.sha256)}, {judged.count}", how)
        return Node(f"scores {_file(scores.record.path, scores.record.sha256)}", [*parts, scored])

    def treatment(self, treatment: TreatmentEvidence) -> Node:
        below = [
            Node(f"$ {treatment.work.command}"),
            _made(treatment.work),
            Node(f"images that it made {_file(treatment.path, treatment.sha256)}"),
            self.data(treatment.data),
            self.run(treatment.run),
        ]
        return Node(f"check {_file(treatment.record.path, treatment.record.sha256)}", below)

    def run(self, name: str) -> Node:
        run = self.evidence.runs[name]
        return self._once(f"run {name}", lambda: self._run(run))

    def _run(self, run: RunEvidence) -> list[Node]:
        checkpoint = run.checkpoint
        record = Node(f"record {_file(run.record.path, run.record.sha256)}")
        parts = [Node(f"$ {run.work.command}"), _made(run.work), record]
        if run.steps:
            files = [Node(_file(*each)) for each in checkpoint.files.items()]
            parts.append(Node(f"checkpoint {_file(checkpoint.folder, checkpoint.sha256)}, {run.steps} steps", files))
        parts.append(self.base(run.model))
        for what, dataset in (("questions", run.questions), ("images", run.images)):
            parts += [self.dataset(what, dataset)] if dataset else []
        return [*parts, *([self.targets(run.targets)] if run.targets else [])]

    def base(self, model: str) -> Node:
        base: Base = self.evidence.bases[model]
        folders = " with ".join(base.folders)
        what = f"{release_in_words(base.released)}:" if base.released else "base weights"

        def parts() -> list[Node]:
            commits = [Node(f"{folder} revision {revision}") for folder, revision in base.revisions.items()]
            return [*commits, *_files(base.files)]

        return self._once(f"{what} {_file(folders, base.content)}", parts)

    def data(self, data: Data) -> Node:
        if data.dataset:
            return self.dataset("items", data.dataset)
        return Node(f"items {data.sha256}", [self.download(folder) for folder in data.downloads])

    def dataset(self, what: str, name: str) -> Node:
        dataset = self.evidence.datasets[name]

        def parts() -> list[Node]:
            commands = [Node(f"$ {command}") for command in dataset.commands]
            fetched = [self.download(dataset.download)] if dataset.download else []
            return [*commands, *fetched, *_files(dataset.files)]

        head = self._once(f"dataset {name}, {dataset.samples} samples, content {dataset.content}", parts)
        return Node(f"{what}: {head.text}", head.children)

    def targets(self, name: str) -> Node:
        targets = self.evidence.targets[name]

        def parts() -> list[Node]:
            shards = zip(targets.files.items(), targets.commands, strict=True)
            rendered = [Node(_file(*file), [Node(f"$ {command}")]) for file, command in shards]
            return [*(self.download(folder) for folder in targets.downloads), *rendered]

        return self._once(f"targets {name}", parts)

    def download(self, folder: str) -> Node:
        return self._once(f"download {folder}", lambda: _files(self.evidence.downloads.get(folder, {})))

    def _once(self, text: str, parts: Callable[[], list[Node]]) -> Node:
        if text in self._shown:
            return Node(f"{text} (as above)")
        self._shown.add(text)
        return Node(text, parts())


def _files(files: Mapping[str, str]) -> list[Node]:
    return [Node(_file(*each)) for each in files.items()]


def _file(path: str, digest: str) -> str:
    return f"{path} sha256 {digest}"


def _metric(metric: MetricAbout) -> str:
    about = [f"{name} {value}" for name, value in metric.definition.items()]
    about += [f"protocol {metric.protocol}, version {metric.version}"] if metric.protocol else []
    return f"metric {metric.name}{f' ({metric.unit})' if metric.unit else ''}: {', '.join(about)}"


def _number(value: Value, sign: str = "") -> str:
    """Value and interval, with all digits: it is what a reproduction is compared with."""
    if value.value is None:
        return "no value"
    bounds = "" if value.low is None or value.high is None else f" [{value.low:{sign}}, {value.high:{sign}}]"
    return f"{value.value:{sign}}{bounds}"


def _made(work: Work) -> Node:
    """One line about how a result was made."""
    parts = [_code(work.code)]
    if work.environment:
        elsewhere = f", from elsewhere {work.environment.elsewhere}" if work.environment.elsewhere else ""
        parts.append(f"Python {work.environment.python}, packages {work.environment.packages}{elsewhere}")
    parts += [work.device.name] if work.device else []
    parts += [f"{work.seconds:.1f} s"] if work.seconds is not None else []
    parts += [f"{work.gpu_hours:.3g} GPU-hours"] if work.gpu_hours else []
    return Node("; ".join(parts))


def _code(code: Code) -> str:
    if code.revision is None:
        return "code of no known revision"
    state = {True: "clean", False: "with uncommitted changes", None: "from an archive"}[code.clean]
    return f"code {code.revision} ({state})"

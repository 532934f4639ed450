"""Scoring: metrics from the files of predictions, or of their judgements, alone, whatever the task."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from sgt.atomic import sha256
from sgt.config.benchmarks import Benchmark
from sgt.environment import environment
from sgt.errors import SgtError
from sgt.evaluation.metrics import summary
from sgt.evaluation.overlap import overlap, trained_on
from sgt.evaluation.predictions import StoredRows, read_judgements, read_predictions
from sgt.evaluation.task import AnyReply, Judgement, Row, Task
from sgt.evaluation.tasks import make_task
from sgt.identity import read_record, write_record
from sgt.revision import code_revision
from sgt.study.identity import SCORE_SCHEMA, score_identity
from sgt.study.loaded import LoadedStudy
from sgt.study.results import Results, require_current
from sgt.study.runs import Run

log = logging.getLogger("sgt")
# Rows about one image follow each other, so that a text recurs soon or is a dimension, which are few.
_KNOWN_TEXTS = 10_000


@dataclass(frozen=True)
class Scored:
    """What a task made of predictions.

    Attributes:
        metrics: by name, in the order of the tables: ``value``, ``low``, ``high``, ``n``, if known ``chance``, and as
            ``about`` the fields of :class:`~sgt.evaluation.metrics.Metric` but its name.
        items: the table of items as columns: ``id``, the rows' dimensions and groups, the task's values,
            ``chance`` if it is known, and the task's joint columns.
        statuses: how many replies were parsed with each status.
        rows: as predicted.
    """

    metrics: dict[str, dict[str, Any]]
    items: dict[str, list]
    statuses: dict[str, int]
    rows: Sequence[Row]


def score_benchmark(study: LoadedStudy, run: Run, benchmark: Benchmark, command: str) -> None:
    """Write ``results/scores/RUN/BENCHMARK.json``.

    Args:
        study, run, benchmark: what to score.
        command: the command line, for the record.

    Raises:
        SgtError: the predictions or their judgements are unfinished, damaged, or of another version of the benchmark.
    """
    results = Results(study)
    require_current(results.judgement(run, benchmark) if benchmark.judged else results.prediction(run, benchmark))
    meta = read_record(study.prediction_dir(run, benchmark.name) / "meta.json")
    judged = _judgements(study, run, benchmark)
    made, file = judged or (meta, study.prediction_dir(run, benchmark.name) / meta["file"])
    command_of = "judge" if judged else "predict"
    if sha256(file) != made["judgements_sha256" if judged else "predictions_sha256"]:
        raise SgtError(file, "changed since it was made", f"run `sgt {command_of}` again")
    task = make_task(benchmark)
    not_scored = {name: made[name] for name in ("not_scored",) if name in made}
    if not_scored:
        scored = Scored({}, {"id": []}, {}, [])
    else:
        scored = score_predictions(task, read_judgements(file) if judged else read_predictions(file), _stored(file))
    count = len(scored.items["id"])
    if count != made["count"]:
        raise SgtError(file, f"{count} rows, meta.json has {made['count']}", f"run `sgt {command_of}` again")
    stages = {"predict": meta, **({"judge": made} if judged else {})}
    result = {
        "schema": SCORE_SCHEMA,
        "identity": score_identity(benchmark, made),
        "run": meta["run"],
        "benchmark": benchmark.name,
        "version": benchmark.version,
        "options": meta["options"],
        "counts": {"predicted": meta["count"], "scored": count},
        **not_scored,
        "statuses": scored.statuses,
        "metrics": scored.metrics,
        "other_protocols": {} if judged else _other_protocols(task, file),
        "overlap": overlap(task, scored.rows, trained_on(study, run)),
        "chance_definition": task.chance_definition,
        "evaluator": made["evaluator"] if judged else task.evaluator,
        "hashes": {
            "predictions": meta["predictions_sha256"],
            **({"judgements": made["judgements_sha256"]} if judged else {}),
            "data": meta["data_sha256"],
            "checkpoint": meta["checkpoint_sha256"],
        },
        "code": {name: each["code"] for name, each in stages.items()} | {"score": code_revision()},
        "environment": {name: each.get("environment") for name, each in stages.items()} | {"score": environment()},
        "commands": [*(each["command"] for each in stages.values()), command],
        "items": scored.items,
    }
    write_record(study.score_file(run, benchmark.name), result)
    for name, metric in scored.metrics.items():
        chance = f"  chance {metric['chance']:.3f}" if "chance" in metric else ""
        log.info("%-24s %.3f  [%.3f, %.3f]  n %d%s", name, *(metric[k] for k in ("value", "low", "high", "n")), chance)


def _judgements(study: LoadedStudy, run: Run, benchmark: Benchmark) -> tuple[dict[str, Any], Path] | None:
    """The record and the file of the judgements of a run's predictions; None if the benchmark has none."""
    if not benchmark.judged:
        return None
    folder = study.judgement_dir(run, benchmark.name)
    record = read_record(folder / "meta.json")
    return record, folder / record["file"]


def _other_protocols(task: Task, predictions: Path) -> dict[str, dict]:
    """Metrics and statuses of the same replies under every other protocol that asks the same, by its name."""
    found = {}
    for name in task.other_protocols:
        other = make_task(task.options.model_copy(update={"protocol": name}))
        scored = score_predictions(other, read_predictions(predictions), _stored(predictions))
        found[name] = {"metrics": scored.metrics, "statuses": scored.statuses}
    return found


def _stored(file: Path) -> StoredRows | None:
    """The rows of a file of lines; None of images, which are few, and whose rows are held."""
    return StoredRows(file) if file.suffix == ".jsonl" else None


def score_predictions(
    task: Task, predictions: Iterable[tuple[Row, AnyReply | Judgement]], stored: Sequence[Row] | None = None
) -> Scored:
    """Parse and score predictions one by one, so that no more than one image is held, and sum them up.

    Args:
        task: whose they are.
        predictions: rows with replies or judgements.
        stored: the same rows, where they need not be held in memory.

    Raises:
        SgtError: two rows have the same id, an evaluator does not work as it must, or the task's rows, values and
            metrics do not fit together.
    """
    held: list[Row] = []
    statuses: Counter[str] = Counter()
    table = _Table()
    for row, reply in predictions:
        parsed = task.parse(row, reply, task.options.protocol)
        if stored is None:
            held.append(row)
        table.add(row, task.score(row, parsed))
        statuses[parsed.status] += 1
    rows = held if stored is None else stored
    items = table.columns(task, rows)
    metrics = {}
    for metric in task.metrics(rows):
        summed = summary(metric, items)
        if summed is not None:
            about = asdict(metric)
            metrics[about.pop("name")] = {**summed, "about": about}
    return Scored(metrics, items, dict(statuses), rows)


class _Table:
    """The table of items, by column, of rows and their scores, which are added one by one."""

    def __init__(self) -> None:
        self._columns: dict[str, list] = {}
        # The id and columns of the first row that has others than the very first one.
        self._odd: tuple[str, list[str]] | None = None
        self._known: dict[str, str] = {}

    def add(self, row: Row, scores: dict[str, float]) -> None:
        """Add the row's id, dimensions, groups and scores."""
        line = {"id": row.id, **self._once(row.dimensions), **self._once(row.groups), **scores}
        if not self._columns:
            self._columns = {name: [] for name in line}
        if list(line) != list(self._columns):
            self._odd = self._odd or (row.id, list(line))
            return
        for column, value in zip(self._columns.values(), line.values(), strict=True):
            column.append(value)

    def columns(self, task: Task, rows: Sequence[Row]) -> dict[str, list]:
        """The table, with ``chance`` if the task knows it, and the task's joint columns.

        Raises:
            SgtError: see :func:`score_predictions`.
        """
        chance = task.chance(rows)
        where, remedy = f"task {task.name}", "correct its rows or scores"
        # Sorted, they take less memory than in a set.
        ids = sorted((row.id for row in rows) if self._odd else self._columns.get("id", ()))
        if any(one == other for one, other in pairwise(ids)):
            repeated = [name for name, count in Counter(row.id for row in rows).items() if count > 1]
            raise SgtError(where, f"several rows have the id {repeated[0]!r}", remedy)
        del ids
        names = list(self._columns)
        if self._odd:
            name, columns = self._odd
            raise SgtError(where, f"row {name!r} has columns {columns}, the first has {names}", remedy)
        items = self._columns or {"id": []}
        if chance is not None and len(rows):
            items["chance"] = [value for _, value in zip(rows, chance, strict=True)]
        return {**items, **task.joint_columns(rows, items)}

    def _once(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The same texts; of those that recur, one object alone is held."""
        if len(self._known) > _KNOWN_TEXTS:
            self._known.clear()
        return {name: self._known.setdefault(text, text) if type(text) is str else text for name, text in texts.items()}

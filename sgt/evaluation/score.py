"""Scoring: metrics from the files of predictions, or of their judgements, alone, whatever the task."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sgt.atomic import sha256
from sgt.config.benchmarks import Benchmark
from sgt.environment import environment
from sgt.errors import SgtError
from sgt.evaluation.metrics import summary
from sgt.evaluation.overlap import overlap, trained_on
from sgt.evaluation.predictions import read_judgements, read_predictions
from sgt.evaluation.task import AnyReply, Judgement, Row, Task
from sgt.evaluation.tasks import make_task
from sgt.identity import read_record, write_record
from sgt.revision import code_revision
from sgt.study.identity import SCORE_SCHEMA, score_identity
from sgt.study.loaded import LoadedStudy
from sgt.study.results import Results, require_current
from sgt.study.runs import Run

log = logging.getLogger("sgt")


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
    rows: list[Row]


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
        scored = score_predictions(task, read_judgements(file) if judged else read_predictions(file))
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
        scored = score_predictions(other, read_predictions(predictions))
        found[name] = {"metrics": scored.metrics, "statuses": scored.statuses}
    return found


def score_predictions(task: Task, predictions: Iterable[tuple[Row, AnyReply | Judgement]]) -> Scored:
    """Parse and score predictions one by one, so that no more than one image is held, and sum them up.

    Raises:
        SgtError: two rows have the same id, an evaluator does not work as it must, or the task's rows, values and
            metrics do not fit together.
    """
    rows: list[Row] = []
    scores: list[dict[str, float]] = []
    statuses: Counter[str] = Counter()
    for row, reply in predictions:
        parsed = task.parse(row, reply, task.options.protocol)
        rows.append(row)
        scores.append(task.score(row, parsed))
        statuses[parsed.status] += 1
    items = _columns(task, rows, scores)
    metrics = {}
    for metric in task.metrics(rows):
        summed = summary(metric, items)
        if summed is not None:
            about = asdict(metric)
            metrics[about.pop("name")] = {**summed, "about": about}
    return Scored(metrics, items, dict(statuses), rows)


def _columns(task: Task, rows: list[Row], scores: list[dict[str, float]]) -> dict[str, list]:
    """The table of items, by column."""
    lines = [{"id": row.id, **row.dimensions, **row.groups, **values} for row, values in zip(rows, scores, strict=True)]
    chance = task.chance(rows)
    if chance is not None:
        lines = [{**line, "chance": value} for line, value in zip(lines, chance, strict=True)]
    where, remedy = f"task {task.name}", "correct its rows or scores"
    repeated = [name for name, count in Counter(row.id for row in rows).items() if count > 1]
    if repeated:
        raise SgtError(where, f"several rows have the id {repeated[0]!r}", remedy)
    names = list(lines[0]) if lines else ["id"]
    if odd := next((line for line in lines if list(line) != names), None):
        raise SgtError(where, f"row {odd['id']!r} has columns {list(odd)}, the first has {names}", remedy)
    items = {name: [line[name] for line in lines] for name in names}
    return {**items, **task.joint_columns(rows, items)}

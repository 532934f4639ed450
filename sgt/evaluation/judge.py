"""Judging: what a benchmark's evaluator records of each prediction, whatever the evaluator.

The predictions of one run are judged by a job of their own, those of several runs in one pass, each row of all runs
before the next row: what a judge's drift changes, it then changes in all runs alike. Judgements are made in chunks,
each written whole to a work folder, so a killed call resumes where it was.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sgt.atomic import sha256, write_json
from sgt.config.benchmarks import Benchmark, ImageBenchmark
from sgt.environment import environment
from sgt.errors import SgtError
from sgt.evaluation.predictions import Shard, join_predictions, read_judgements, read_predictions, write_judgements
from sgt.evaluation.task import AnyReply, Evaluator, Judgement, Row, SelfCheckFailed, Task
from sgt.evaluation.tasks import make_task
from sgt.identity import digest, read_record, write_record
from sgt.json_files import read_json
from sgt.progress import Progress
from sgt.revision import code_revision
from sgt.study.identity import judgement_identity
from sgt.study.loaded import LoadedStudy
from sgt.study.results import Results, require_current
from sgt.study.runs import Run

log = logging.getLogger("sgt")
ROWS_PER_CHUNK = 20
# Of all runs together, in memory: a study may have a hundred runs, and an image a megapixel.
IMAGES_AT_ONCE = 100
FILE = "judgements.jsonl"
STATUSES = ("ok", "refused", "unparsable", "timeout", "error")


@dataclass(frozen=True)
class _Judged:
    """The judgements of one run, as they are being made.

    Attributes:
        run: whose predictions are judged.
        folder: of the judgements.
        work: folder of finished chunks.
        predictions: the record of what is judged.
        file: the predictions.
        identity: what decides the judgements.
    """

    run: Run
    folder: Path
    work: Path
    predictions: dict[str, Any]
    file: Path
    identity: dict[str, Any]

    def part(self, chunk: range) -> Path:
        return self.work / f"part-{chunk.start:07d}.jsonl"


def judge_benchmark(
    study: LoadedStudy, runs: Sequence[Run], benchmark: Benchmark, command: str, shard: Shard | None = None
) -> None:
    """Judge every chunk that is not there yet, join them, and write ``meta.json`` of each run last.

    Args:
        study, benchmark: what to judge.
        runs: whose predictions. Of several, those whose judgements are there already are left as they are.
        command: the command line, for the record.
        shard: judge these chunks alone, and join nothing; a call without one then finds every chunk.

    Raises:
        SgtError: the benchmark has no evaluator, or it cannot judge now; or predictions are missing, or not those of
            the study as it is. One that does not pass its self-check leaves judgements of nothing that say so.
    """
    if not benchmark.judged:
        raise SgtError(f"benchmark {benchmark.name}", "is scored without a judge", "run `sgt score`")
    results = Results(study)
    if len(runs) > 1:
        runs = [run for run in runs if results.fault(results.judgement(run, benchmark))]
    require_current(*(results.prediction(run, benchmark) for run in runs))
    task = make_task(benchmark)
    evaluator = task.make_evaluator(study.replies_dir)
    judged = [_judged(study, run, benchmark, evaluator) for run in runs]
    if not judged:
        return
    try:
        self_check = _proven(evaluator, [each.work for each in judged])
    except SelfCheckFailed as error:
        log.error("%s; nothing is scored", error)
        if shard is None:
            about = {"name": evaluator.name, "identity": evaluator.identity(), "self_check": {"failed": str(error)}}
            for each in judged:
                _finish(each, benchmark, [], {"evaluator": about, "not_scored": str(error)}, command)
        return
    chunks = _chunks(max(each.predictions["count"] for each in judged), shard or Shard(1, 1))
    _judge_chunks(study, task, evaluator, judged, chunks)
    if shard is not None:
        return
    about = {"name": evaluator.name, "identity": evaluator.identity(), "self_check": self_check}
    for each in judged:
        _finish(each, benchmark, chunks, {"evaluator": about}, command)


def _judged(study: LoadedStudy, run: Run, benchmark: Benchmark, evaluator: Evaluator) -> _Judged:
    predicted, folder = study.prediction_dir(run, benchmark.name), study.judgement_dir(run, benchmark.name)
    meta = read_record(predicted / "meta.json")
    file = predicted / meta["file"]
    if sha256(file) != meta["predictions_sha256"]:
        raise SgtError(file, "changed since it was made", "run `sgt predict` again")
    identity = judgement_identity(benchmark, meta)
    work = folder / "work" / digest([identity, evaluator.identity()])[:16]
    work.mkdir(parents=True, exist_ok=True)
    return _Judged(run, folder, work, meta, file, identity)


def _proven(evaluator: Evaluator, works: Sequence[Path]) -> dict[str, Any]:
    """The record of the self-check, which an interrupted job has not to make again.

    Raises:
        SelfCheckFailed: the evaluator passes less of it than it must.
    """
    files = [work / "self-check.json" for work in works]
    found = next((file for file in files if file.exists()), None)
    record = read_json(found, "delete it") if found else evaluator.prove()
    for file in files:
        if not file.exists():
            write_json(file, record)
    return record


def _chunks(count: int, shard: Shard) -> list[range]:
    starts = range(0, count, ROWS_PER_CHUNK)[shard.number - 1 :: shard.of]
    return [range(start, min(start + ROWS_PER_CHUNK, count)) for start in starts]


def _judge_chunks(
    study: LoadedStudy, task: Task, evaluator: Evaluator, judged: Sequence[_Judged], chunks: Sequence[range]
) -> None:
    """Judge what is not there yet, row by row in turn of all runs."""
    missing = {each.run: [chunk for chunk in chunks if not each.part(chunk).exists()] for each in judged}
    predictions = {
        each.run: read_predictions(each.file, {place for chunk in missing[each.run] for place in chunk})
        for each in judged
    }
    wanted = {place for of_run in missing.values() for chunk in of_run for place in chunk}
    sources = _source_rows(study, task, wanted) if wanted else iter(())
    progress = Progress("rows", len(judged) * sum(map(len, chunks)))
    for chunk in chunks:
        waiting = [each for each in judged if chunk in missing[each.run]]
        rows: dict[Run, list[Row]] = {each.run: [] for each in waiting}
        records: dict[Run, list[Judgement]] = {each.run: [] for each in waiting}
        at_once = max(1, IMAGES_AT_ONCE // max(1, len(waiting)))
        for start in range(0, len(chunk) if waiting else 0, at_once):
            count = min(at_once, len(chunk) - start)
            found = {each.run: list(islice(predictions[each.run], count)) for each in waiting}
            judgements = _in_turn(evaluator, list(found.values()), list(islice(sources, count)))
            for run, of_run in zip(found, judgements, strict=True):
                rows[run] += [row for row, _ in found[run]]
                records[run] += of_run
        for each in waiting:
            write_judgements(each.part(chunk), rows[each.run], records[each.run])
        progress.add(len(judged) * len(chunk))


def _in_turn(
    evaluator: Evaluator, of_runs: Sequence[Sequence[tuple[Row, AnyReply]]], sources: Sequence[Row]
) -> list[list[Judgement]]:
    """The records of some rows of each run; the evaluator is given the first row of all runs, then the next."""
    rows, replies = [], []
    for place, of_row in enumerate(zip(*of_runs, strict=True)):
        for row, reply in of_row:
            if sources and sources[place].id != row.id:
                raise SgtError(
                    f"row {row.id}", f"the benchmark now has {sources[place].id} in its place", "predict again"
                )
            rows.append(sources[place] if sources else row)
            replies.append(reply)
    records = list(evaluator.judge(rows, replies))
    if len(records) != len(rows) or any(record.get("status") not in STATUSES for record in records):
        raise ValueError(f"{evaluator.name}: not a record with a status for each of {len(rows)} rows")
    return [records[number :: len(of_runs)] for number in range(len(of_runs))]


def _source_rows(study: LoadedStudy, task: Task, places: Container[int]) -> Iterator[Row]:
    """The rows of these places with their images, which prediction files leave out; none unless images are edited."""
    options = task.options
    if not (isinstance(options, ImageBenchmark) and options.edits):
        return
    samples = task.samples(study.rows_dirs(options))
    rows = task.rows(samples[index] for index in range(len(samples)))
    yield from (row for place, row in enumerate(rows) if place in places)


def _finish(
    judged: _Judged, benchmark: Benchmark, chunks: Sequence[range], about: dict[str, Any], command: str
) -> None:
    file = judged.folder / FILE
    count = join_predictions([judged.part(chunk) for chunk in chunks], file)
    statuses = Counter(record["status"] for _, record in read_judgements(file))
    run = judged.run
    meta = {
        "identity": judged.identity,
        "run": {"id": run.id, "model": run.model, "arm": run.arm, "seed": run.seed},
        "benchmark": benchmark.name,
        "version": benchmark.version,
        "options": benchmark.judging_options,
        **about,
        "statuses": dict(statuses),
        "code": code_revision(),
        "environment": environment(),
        "command": command,
        "file": file.name,
        "count": count,
        "predictions_sha256": judged.predictions["predictions_sha256"],
        "judgements_sha256": sha256(file),
    }
    write_record(judged.folder / "meta.json", meta)
    shutil.rmtree(judged.folder / "work")

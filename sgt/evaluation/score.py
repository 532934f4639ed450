"""Metrics from the prediction files alone."""

import json
import logging
from pathlib import Path

from sgt.atomic import sha256
from sgt.config.benchmarks import Benchmark
from sgt.data.images import decode_image
from sgt.data.shards import read_shard
from sgt.environment import environment
from sgt.errors import SgtError
from sgt.evaluation.questions import score_questions
from sgt.identity import read_record, write_record
from sgt.revision import code_revision
from sgt.study.identity import SCORE_SCHEMA, score_identity
from sgt.study.load import LoadedStudy, Run
from sgt.study.results import Results, require_current

log = logging.getLogger("sgt")


def score_benchmark(study: LoadedStudy, run: Run, benchmark: Benchmark, command: str) -> None:
    """Write ``results/scores/RUN/BENCHMARK.json``.

    Args:
        study, run, benchmark: what to score.
        command: the command line, for the record.

    Raises:
        SgtError: the predictions are unfinished, damaged, or of another version of the benchmark.
    """
    folder = study.prediction_dir(run, benchmark.name)
    require_current(Results(study).prediction(run, benchmark))
    meta = read_record(folder / "meta.json")
    file = folder / meta["file"]
    if sha256(file) != meta["predictions_sha256"]:
        raise SgtError(file, "changed since it was made", "run `sgt predict` again")
    match benchmark.protocol.kind:
        case "questions":
            metrics, items = score_questions(_lines(file), benchmark.groups)
            evaluator = {"name": "exact match after normalisation"}
        case "generation":
            metrics, items, evaluator = _score_images(file)
    scored = len(items["id"])
    if scored != meta["count"]:
        raise SgtError(file, f"{scored} predictions, meta.json says {meta['count']}", "run `sgt predict` again")
    result = {
        "schema": SCORE_SCHEMA,
        "identity": score_identity(benchmark, meta),
        "run": meta["run"],
        "benchmark": benchmark.name,
        "version": benchmark.version,
        "protocol": meta["protocol"],
        "counts": {"predicted": meta["count"], "scored": scored},
        "metrics": metrics,
        "evaluator": evaluator,
        "hashes": {
            "predictions": meta["predictions_sha256"],
            "data": meta["data_sha256"],
            "checkpoint": meta["checkpoint_sha256"],
        },
        "code": {"predict": meta["code"], "score": code_revision()},
        "environment": {"predict": meta.get("environment"), "score": environment()},
        "commands": [meta["command"], command],
        "items": items,
    }
    write_record(study.score_file(run, benchmark.name), result)
    for name, metric in metrics.items():
        chance = f"  chance {metric['chance']:.3f}" if "chance" in metric else ""
        log.info("%-24s %.3f  [%.3f, %.3f]  n %d%s", name, *(metric[k] for k in ("value", "low", "high", "n")), chance)


def _lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _score_images(file: Path) -> tuple[dict, dict, dict]:
    # Only images need these, and they take long to import.
    from sgt.evaluation.generation import score_scenes
    from sgt.evaluation.scene_reader import SceneReader

    samples = list(read_shard(file))
    images = [decode_image(sample.get("png"), f"{file}: {sample.key}.png") for sample in samples]
    reader = SceneReader(images[0].width)
    check = reader.self_check()
    log.info("scene reader: %s", check)
    metrics, items = score_scenes(
        [sample.key for sample in samples],
        [sample.json()["objects"] for sample in samples],
        [reader.read(image) for image in images],
    )
    return metrics, items, {"name": "scene reader", "self_check": vars(check)}

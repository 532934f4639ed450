"""Predicting: the replies of one run to the requests of one benchmark, whatever its task.

Predictions are made in chunks, each written whole to a work folder, so a killed call resumes where it was. Order and
random draws depend on the benchmark alone, so the files are the same however often it was killed.
"""

import shutil
from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

import torch
from PIL import Image

from sgt.atomic import sha256
from sgt.config.benchmarks import AnswerBenchmark, Benchmark, ImageBenchmark, LikelihoodBenchmark, RatedAnswerBenchmark
from sgt.config.inference import DecodingOptions, EditSamplingOptions, SamplingOptions
from sgt.config.models import Model
from sgt.environment import environment
from sgt.errors import SgtError
from sgt.evaluation.limit import Samples
from sgt.evaluation.predictions import Shard, join_predictions, prediction_file, write_predictions
from sgt.evaluation.task import AnyReply, Row, Task
from sgt.evaluation.tasks import make_task
from sgt.identity import digest, write_record
from sgt.models.interface import Sampling
from sgt.models.registry import describe_device, device_of, load_model, target_transform
from sgt.models.requests import Decoding, Request
from sgt.models.unified import UnifiedModel
from sgt.progress import Progress
from sgt.revision import code_revision
from sgt.study.identity import prediction_identity
from sgt.study.loaded import LoadedStudy
from sgt.study.record import checkpoint_of, read_run
from sgt.study.results import Results, require_current
from sgt.study.runs import Run
from sgt.training.screening import check_items

SAMPLES_PER_CHUNK = 20


def predict_benchmark(
    study: LoadedStudy, run: Run, benchmark: Benchmark, command: str, shard: Shard | None = None
) -> None:
    """Predict every chunk that is not there yet, join them, and write ``meta.json`` last.

    Args:
        study, run, benchmark: what to predict.
        command: the command line, for the record.
        shard: predict these chunks alone, and join nothing. Any number of processes may predict a shard each; a call
            without one then finds every chunk, and needs no model.

    Raises:
        SgtError: the run or the dataset is missing, or not that of the study as it is.
    """
    spec = study.models[run.model]
    torch.set_num_threads(spec.predict.threads)
    results = Results(study)
    require_current(*results.rows_of(benchmark), results.run(run))
    record = read_run(study, run)
    if benchmark.dataset is not None:
        check_items(study, benchmark, benchmark.dataset)
    folder = study.prediction_dir(run, benchmark.name)
    identity = prediction_identity(study, run, benchmark, record["checkpoint_sha256"])
    work = folder / "work" / digest(identity)[:16]
    work.mkdir(parents=True, exist_ok=True)

    task = make_task(benchmark)
    samples = task.samples(study.rows_dirs(benchmark))
    file = folder / prediction_file(benchmark)
    # A process that only joins what others predicted loads no model.
    reply = cache(lambda: replier(load_model(spec, checkpoint_of(study, run)), spec, task))
    parts = _predict_chunks(task, samples, work, file.suffix, reply, shard or Shard(1, 1))
    if shard is not None:
        return
    count = join_predictions(parts, file)
    meta = {
        "identity": identity,
        "run": {"id": run.id, "model": run.model, "arm": run.arm, "seed": run.seed},
        "benchmark": benchmark.name,
        "version": benchmark.version,
        "options": benchmark.prediction_options,
        "data_sha256": identity["data"]["content"],
        "checkpoint_sha256": record["checkpoint_sha256"],
        "code": code_revision(),
        "environment": environment(),
        # A call that only joins what others predicted may run where there is no such device.
        "device": describe_device(device_of(spec)) if reply.cache_info().currsize else None,
        "command": command,
        "file": file.name,
        "count": count,
        "predictions_sha256": sha256(file),
    }
    write_record(folder / "meta.json", meta)
    shutil.rmtree(folder / "work")


def _predict_chunks(
    task: Task,
    samples: Samples,
    work: Path,
    suffix: str,
    reply: Callable[[], Callable[[list[Row]], Sequence[AnyReply]]],
    shard: Shard,
) -> list[Path]:
    """Predict the chunks of a shard that are not there yet; returns their files, in order."""
    starts = range(0, len(samples), SAMPLES_PER_CHUNK)[shard.number - 1 :: shard.of]
    chunks = [range(start, min(start + SAMPLES_PER_CHUNK, len(samples))) for start in starts]
    parts = [work / f"part-{chunk.start:07d}{suffix}" for chunk in chunks]
    progress = Progress("samples", sum(map(len, chunks)))
    for chunk, part in zip(chunks, parts, strict=True):
        if not part.exists():
            rows = list(task.rows(samples[index] for index in chunk))
            write_predictions(part, rows, reply()(rows))
        progress.add(len(chunk))
    return parts


def replier(model: UnifiedModel, spec: Model, task: Task) -> Callable[[list[Row]], Sequence[AnyReply]]:
    """The call of the model that a task needs, from rows to replies.

    Raises:
        SgtError: the task's options are of no kind of benchmark.
    """
    options = task.options

    def requests(rows: list[Row]) -> list[Request]:
        return [task.request(row, options.protocol) for row in rows]

    def decoding(given: DecodingOptions) -> Decoding:
        return Decoding(given.max_new_tokens, given.temperature, given.seed)

    def continuations(rows: list[Row]) -> list[Sequence[str]]:
        return [task.continuations(row, options.protocol) for row in rows]

    def generate(rows: list[Row], sampling: SamplingOptions, edits: bool) -> list[Image.Image]:
        images: list[Image.Image] = []
        for size, group in groupby(rows, key=lambda row: row.size):
            alike = list(group)
            if size is None:
                raise SgtError(
                    f"task {task.name}", f"row {alike[0].id!r} has no size", "give it that of the image to make"
                )
            width, height = target_transform(spec).size(*size)
            images += model.generate(
                requests(alike),
                sampling_of(sampling),
                seeds=[sampling.seed + row.repeat for row in alike],
                size=(height, width),
                edit=edits,
            )
        return images

    match options:
        case RatedAnswerBenchmark():
            return lambda rows: model.answer_and_rate(requests(rows), decoding(options.decoding), continuations(rows))
        case AnswerBenchmark():
            return lambda rows: model.answer(requests(rows), decoding(options.decoding))
        case LikelihoodBenchmark():
            return lambda rows: model.loglikelihood(requests(rows), continuations(rows))
        case ImageBenchmark():
            return lambda rows: generate(rows, options.sampling, options.edits)
    classes = ", ".join(each.__name__ for each in (AnswerBenchmark, LikelihoodBenchmark, ImageBenchmark))
    raise SgtError(f"task {task.name}", f"its Options are none of {classes}", "derive them from one of these")


def sampling_of(options: SamplingOptions) -> Sampling:
    """How a benchmark samples images."""
    edits = isinstance(options, EditSamplingOptions)
    of_edits = options.model_dump(include={"cfg_image_scale", "renorm", "renorm_min"}) if edits else {}
    return Sampling(
        **of_edits,
        num_steps=options.num_steps,
        shift=options.timestep_shift,
        cfg_text_scale=options.cfg_text_scale,
        cfg_interval=options.cfg_interval,
        solver=options.solver,
        negative_prompt=options.negative_prompt,
        think_tokens=options.think_tokens,
    )

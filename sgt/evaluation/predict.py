"""What one run answers to, or makes of, one benchmark.

Predictions are made in chunks; each is written whole to a work folder, so a killed call resumes where it was. Order
and random draws depend on the benchmark alone, so the files are the same however often it was killed.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from sgt.atomic import sha256, write_text
from sgt.config.benchmarks import Benchmark, GenerationProtocol, QuestionProtocol
from sgt.config.models import Model
from sgt.data.dataset import ShardDataset, open_dataset
from sgt.data.images import encode_png, image_of
from sgt.data.shards import Sample, ShardWriter, read_shard
from sgt.environment import environment
from sgt.identity import digest, write_record
from sgt.models.interface import Answerer, Decoding, Generator, Request, Sampling
from sgt.models.registry import load_model, target_transform
from sgt.progress import Progress
from sgt.revision import code_revision
from sgt.study.identity import prediction_identity
from sgt.study.load import LoadedStudy, Run
from sgt.study.record import checkpoint_of, read_run
from sgt.study.results import Results, require_current
from sgt.training.screening import check_items

IMAGES_PER_CHUNK = 20


def predict_benchmark(study: LoadedStudy, run: Run, benchmark: Benchmark, command: str) -> None:
    """Predict every chunk, join them, and write ``meta.json`` last.

    Args:
        study, run, benchmark: what to predict.
        command: the command line, for the record.

    Raises:
        SgtError: the run or the dataset is not there, or not of the study as it is.
    """
    spec = study.models[run.model]
    torch.set_num_threads(spec.predict.threads)
    results = Results(study)
    require_current(results.dataset(benchmark.dataset), results.run(run))
    record = read_run(study, run)
    dataset, protocol = open_dataset(study.dataset_dir(benchmark.dataset)), benchmark.protocol
    check_items(study, benchmark, dataset)
    folder = study.prediction_dir(run, benchmark.name)
    identity = prediction_identity(study, run, benchmark, record["checkpoint_sha256"])
    work = folder / "work" / digest(identity)[:16]
    work.mkdir(parents=True, exist_ok=True)

    model = load_model(spec, checkpoint_of(study, run))
    match protocol:
        case QuestionProtocol():
            total, suffix = len(dataset), "jsonl"
            predict = _answerer(model, protocol)
        case GenerationProtocol():
            total, suffix = protocol.prompts, "tar"
            predict = _painter(model, spec, protocol)
    parts = _predict_chunks(dataset, total, work, suffix, predict)
    file, count = _join(parts, folder)
    meta = {
        "identity": identity,
        "run": {"id": run.id, "model": run.model, "arm": run.arm, "seed": run.seed},
        "benchmark": benchmark.name,
        "version": benchmark.version,
        "protocol": protocol.model_dump(mode="json"),
        "data_sha256": identity["data"]["content"],
        "checkpoint_sha256": record["checkpoint_sha256"],
        "code": code_revision(),
        "environment": environment(),
        "command": command,
        "file": file.name,
        "count": count,
        "predictions_sha256": sha256(file),
    }
    write_record(folder / "meta.json", meta)
    shutil.rmtree(folder / "work")


def _predict_chunks(
    dataset: ShardDataset, total: int, work: Path, suffix: str, predict: Callable[[list[Sample], Path], None]
) -> list[Path]:
    """Predict samples 0 … total in chunks that are not there yet; returns the files of all chunks, in order."""
    starts = range(0, total, IMAGES_PER_CHUNK)
    parts = [work / f"part-{start:07d}.{suffix}" for start in starts]
    progress = Progress("samples", total)
    for start, part in zip(starts, parts, strict=True):
        samples = [dataset[index] for index in range(start, min(start + IMAGES_PER_CHUNK, total))]
        if not part.exists():
            predict(samples, part)
        progress.add(len(samples))
    return parts


def _answerer(model: Answerer, protocol: QuestionProtocol) -> Callable[[list[Sample], Path], None]:
    def predict(samples: list[Sample], part: Path) -> None:
        asked = [sample.json()["questions"] for sample in samples]
        images = [image_of(sample) for sample in samples]
        requests = [
            Request((image, question["question"]), protocol.system)
            for image, questions in zip(images, asked, strict=True)
            for question in questions
        ]
        replies = iter(model.answer(requests, Decoding(protocol.max_new_tokens)))
        lines = [
            json.dumps({**question, "key": sample.key, "prediction": next(replies).text})
            for sample, questions in zip(samples, asked, strict=True)
            for question in questions
        ]
        write_text(part, "".join(line + "\n" for line in lines))

    return predict


def _painter(model: Generator, spec: Model, protocol: GenerationProtocol) -> Callable[[list[Sample], Path], None]:
    sampling = sampling_of(protocol)

    def predict(samples: list[Sample], part: Path) -> None:
        about = [sample.json() for sample in samples]
        width, height = target_transform(spec).size(*image_of(samples[0]).size)
        requests = [Request((record["caption"],), protocol.system) for record in about]
        seeds = [protocol.seed] * len(requests)
        images = model.generate(requests, sampling, seeds=seeds, size=(height, width))
        with ShardWriter(part) as shard:
            for sample, record, image in zip(samples, about, images, strict=True):
                asked = {"prompt": record["caption"], "objects": record["scene"]["objects"]}
                shard.add(sample.key, {"png": encode_png(image), "json": json.dumps(asked).encode()})

    return predict


def sampling_of(protocol: GenerationProtocol) -> Sampling:
    """How a protocol samples images."""
    return Sampling(
        num_steps=protocol.num_steps,
        shift=protocol.timestep_shift,
        cfg_text_scale=protocol.cfg_text_scale,
        cfg_interval=protocol.cfg_interval,
        solver=protocol.solver,
        negative_prompt=protocol.negative_prompt,
        think_tokens=protocol.think_tokens,
    )


def _join(parts: list[Path], folder: Path) -> tuple[Path, int]:
    """Join the chunks into ``predictions.jsonl`` or ``images.tar``; returns the file and the number of predictions."""
    if parts[0].suffix == ".jsonl":
        file = folder / "predictions.jsonl"
        lines = [line for part in parts for line in part.read_text(encoding="utf-8").splitlines()]
        write_text(file, "".join(line + "\n" for line in lines))
        return file, len(lines)
    file = folder / "images.tar"
    with ShardWriter(file) as shard:
        for part in parts:
            for sample in read_shard(part):
                shard.add(sample.key, sample.files)
    return file, shard.count

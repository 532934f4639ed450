"""Samples of what a proxy arm learned: its targets for a few held-out images."""

import torch

from sgt.atomic import sha256
from sgt.data.dataset import open_dataset
from sgt.data.images import encode_png, image_of
from sgt.data.mixture import generator
from sgt.data.shards import ShardWriter
from sgt.errors import SgtError
from sgt.evaluation.predict import sampling_of
from sgt.identity import write_record
from sgt.models.interface import Request
from sgt.models.registry import load_model, target_transform
from sgt.proxies.render import target_of
from sgt.study.identity import target_samples_identity
from sgt.study.load import LoadedStudy, Run
from sgt.study.record import checkpoint_of, read_run
from sgt.study.results import Results, require_current


def sample_targets(study: LoadedStudy, run: Run, count: int, command: str) -> None:
    """Write ``predictions/RUN/targets/images.tar``: the input, its true target, and what the run made.

    Args:
        study, run: a proxy arm's run.
        count: how many images.
        command: the command line, for the record.

    Raises:
        SgtError: the run has no proxy or the study no benchmark of images; or the run or the dataset is missing, or
            not that of the study as it is.
    """
    if run.proxy is None:
        raise SgtError(run.id, "has no proxy whose targets it could make", "choose a proxy arm")
    spec, proxy = study.models[run.model], study.proxy(run.proxy)
    torch.set_num_threads(spec.predict.threads)
    benchmark = study.sampling_benchmark
    if benchmark is None:
        raise SgtError(study.path, "no benchmark of images", "add one: its dataset and sampling are used")
    results = Results(study)
    require_current(results.dataset(benchmark.dataset), results.run(run))
    record = read_run(study, run)
    dataset = open_dataset(study.dataset_dir(benchmark.dataset))
    samples = [dataset[index] for index in range(min(count, len(dataset)))]
    inputs = [
        proxy.condition(image_of(sample), generator(benchmark.sampling.seed, "demonstrate", place))
        for place, sample in enumerate(samples)
    ]
    width, height = target_transform(spec).size(*inputs[0].size)
    model = load_model(spec, checkpoint_of(study, run))
    seeds = [benchmark.sampling.seed + place for place in range(len(samples))]
    requests = [Request((image, proxy.prompts[0]), benchmark.system) for image in inputs]
    made = model.generate(requests, sampling_of(benchmark.sampling), seeds=seeds, size=(height, width))
    images = study.prediction_dir(run, "targets") / "images.tar"
    with ShardWriter(images) as shard:
        for sample, given, image in zip(samples, inputs, made, strict=True):
            target = target_of(proxy, sample).convert("RGB")
            shard.add(
                sample.key,
                {"png": encode_png(image), "target.png": encode_png(target), "input.png": encode_png(given)},
            )
    about = {
        "identity": target_samples_identity(study, run, record["checkpoint_sha256"]),
        "command": command,
        "file": images.name,
        "count": shard.count,
        "predictions_sha256": sha256(images),
    }
    write_record(images.with_name("meta.json"), about)

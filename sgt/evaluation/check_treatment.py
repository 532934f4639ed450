"""Checking whether a proxy arm learned its proxy, on held-out images.

``use`` says whether what it draws depends on the image (:mod:`sgt.training.image_use`). Fidelity says how like its true
target the drawn one is, by the proxy's own measures: between a floor, the true target of another image, and a ceiling,
the true target through the VAE, which no image that the model makes can pass by much.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from PIL import Image

from sgt.atomic import sha256
from sgt.data.dataset import open_dataset
from sgt.data.images import encode_png
from sgt.data.shards import ShardWriter
from sgt.environment import environment
from sgt.errors import SgtError
from sgt.evaluation.predict import sampling_of
from sgt.evaluation.statistics import Estimate, bootstrap
from sgt.evaluation.treatment import Fidelity, Treatment, write_treatment
from sgt.models.examples import Example, InputImage, TargetImage, Text
from sgt.models.interface import Request
from sgt.models.registry import describe_device, device_of, load_model, target_transform
from sgt.models.transforms import TargetTransform, to_images, to_tensor
from sgt.models.unified import UnifiedModel
from sgt.proxies.base import Proxy
from sgt.proxies.fidelity import Measure
from sgt.proxies.render import target_of
from sgt.revision import code_revision
from sgt.study.identity import treatment_identity
from sgt.study.loaded import LoadedStudy
from sgt.study.record import checkpoint_of, read_run
from sgt.study.results import Results, require_current
from sgt.study.runs import Run
from sgt.training.examples import proxy_example
from sgt.training.image_use import SEED, TIME, held_out_draw, noise_seed, paired_errors, swapped

log = logging.getLogger("sgt")
# Flow errors of examples of so many tokens are computed at once: a 7B model needs less memory than it draws with.
TOKENS_AT_ONCE = 4096
FLOOR, MADE, CEILING = KINDS = ("floor", "made", "ceiling")


@dataclass(frozen=True)
class Item:
    """A held-out image with its true target, as an example of the proxy.

    Attributes:
        key: of the sample.
        place: number of the draw that decided prompt, conditioning and noise.
        given: the input image, degraded if the proxy degrades it.
        prompt: one of the proxy's.
        target: as rendered.
    """

    key: str
    place: int
    given: Image.Image
    prompt: str
    target: Image.Image

    @property
    def example(self) -> Example:
        """The item for the model's loss."""
        return [InputImage(self.given), Text(self.prompt), TargetImage(self.target)]


# Per image, by measure, for each of KINDS.
Rows = dict[str, list[dict[Measure, float]]]


def check_treatment(study: LoadedStudy, run: Run, command: str) -> None:
    """Write what the arm makes of held-out images, and then ``scores/RUN/treatment.json``.

    Args:
        study, run: a proxy arm's run.
        command: the command line, for the record.

    Raises:
        SgtError: the run has no proxy; or the run or the dataset is missing, or not that of the study as it is; or
            fewer than two images can be used.
    """
    if run.proxy is None or study.held_out is None:
        raise SgtError(run.id, "has no proxy that it could have learned", "choose a proxy arm")
    spec, proxy = study.models[run.model], study.proxy(run.proxy)
    torch.set_num_threads(spec.predict.threads)
    results = Results(study)
    require_current(results.dataset(study.held_out), results.run(run))
    checkpoint = read_run(study, run)["checkpoint_sha256"]
    model = load_model(spec, checkpoint_of(study, run))
    model.network.eval()
    items = held_out_items(study, proxy, model)
    right, wrong = flow_errors(model, items)
    made = draw(study, model, items, target_transform(spec))
    rows = compare(proxy, model, items, made, target_transform(spec))
    first, *more = fidelities(rows, study.held_out)
    use, name = _use(right, wrong), study.proxy_name(run.proxy)
    treatment = Treatment(name, study.held_out, len(items), TIME, use, first, tuple(more))
    images = study.drawn_targets(run)
    _write_images(study, run, items, made)
    about = {
        "identity": treatment_identity(study, run, checkpoint),
        "run": {"id": run.id, "model": run.model, "arm": run.arm, "seed": run.seed},
        "command": command,
        "code": code_revision(),
        "environment": environment(),
        "device": describe_device(device_of(spec)),
        "checkpoint_sha256": checkpoint,
        "images_sha256": sha256(images),
        "images": {"id": [item.key for item in items], "right_error": right, "wrong_error": wrong, **_columns(rows)},
    }
    write_treatment(study.treatment_file(run), treatment, about)
    log.info("use of the image %s", _shown(treatment.use))
    for each in (treatment.fidelity, *treatment.more):
        log.info("%s %s, floor %s, ceiling %s", each.name, *map(_shown, (each.made, each.floor, each.ceiling)))


def held_out_items(study: LoadedStudy, proxy: Proxy, model: UnifiedModel) -> list[Item]:
    """The first held-out images of which the proxy has a target that the model can make.

    Raises:
        SgtError: there are fewer than two, or the study has no held-out images.
    """
    if study.held_out is None:
        raise SgtError(study.path, "no held-out images", "name a dataset in data.held_out")
    folder, items = study.dataset_dir(study.held_out), list[Item]()
    dataset = open_dataset(folder)
    for place in range(len(dataset)):
        if len(items) == study.study.data.held_out_samples:
            break
        sample = dataset[place]
        try:
            target = target_of(proxy, sample)
            example = proxy_example(proxy, sample, target, held_out_draw(place), SEED, text_dropout=0.0)
            model.check(example)
        except SgtError as error:
            log.warning("left out: %s", error)
            continue
        (given,) = (part.image for part in example if isinstance(part, InputImage))
        (prompt,) = (part.text for part in example if isinstance(part, Text))
        items.append(Item(sample.key, place, given, prompt, target))
    if len(items) < 2:
        raise SgtError(folder, f"{len(items)} images that {proxy.name} can be checked on", "use a dataset with more")
    return items


def flow_errors(model: UnifiedModel, items: Sequence[Item]) -> tuple[list[float], list[float]]:
    """Flow error of each item's target with its own image, and with that of the next item."""
    examples = [item.example for item in items]
    others = [swapped(example, items[(index + 1) % len(items)].example) for index, example in enumerate(examples)]
    seeds = [noise_seed(item.place) for item in items]
    at_once = max(1, TOKENS_AT_ONCE // max(model.tokens(example) for example in examples + others))
    return paired_errors(model, examples, others, seeds, at_once)


def draw(
    study: LoadedStudy, model: UnifiedModel, items: Sequence[Item], transform: TargetTransform
) -> list[Image.Image]:
    """What the model makes of each item, RGB, of the size that it makes its target."""
    options, made = study.target_sampling, list[Image.Image]()
    for size, group in groupby(items, key=lambda item: item.target.size):
        alike = list(group)
        width, height = transform.size(*size)
        requests = [Request((item.given, item.prompt)) for item in alike]
        seeds = [options.seed + item.place for item in alike]
        made += model.generate(requests, sampling_of(options), seeds=seeds, size=(height, width))
    return made


def compare(
    proxy: Proxy, model: UnifiedModel, items: Sequence[Item], made: Sequence[Image.Image], transform: TargetTransform
) -> Rows:
    """How like the true targets the made images are, those of the next items, and themselves through the VAE."""
    targets = [transform.resize(item.target) for item in items]
    rows: Rows = {kind: [] for kind in KINDS}
    for index, (item, target) in enumerate(zip(items, targets, strict=True)):
        other = targets[(index + 1) % len(targets)].resize(target.size, Image.Resampling.NEAREST)
        given = item.given.resize(target.size, Image.Resampling.BICUBIC)
        for kind, image in zip(KINDS, (other, made[index], through_vae(model, target)), strict=True):
            rows[kind].append(proxy.fidelity(image, target, given))
    return rows


@torch.no_grad()
def through_vae(model: UnifiedModel, image: Image.Image) -> Image.Image:
    """An RGB image, encoded and decoded."""
    return to_images(model.vae.reconstruct(to_tensor(image)[None].to(model.device)))[0]


def _use(right: list[float], wrong: list[float]) -> Estimate:
    return bootstrap(np.array([right, wrong]).T, lambda means: 1 - means[..., 0] / means[..., 1])


def fidelities(rows: Rows, dataset: str) -> list[Fidelity]:
    """The mean of each measure over the images that have it.

    Raises:
        SgtError: no image of the dataset has one of them.
    """
    found = []
    for measure in rows[MADE][0]:
        values = np.array([[row[measure] for row in rows[kind]] for kind in KINDS])
        known = ~np.isnan(values).any(axis=0)
        if not known.any():
            raise SgtError(f"dataset {dataset}", f"no image has a {measure.name}", "name another in data.held_out")
        floor, made, ceiling = (bootstrap(row[known, None], lambda means: means[..., 0]) for row in values)
        about = measure.name, measure.unit, measure.higher_is_better, measure.range
        found.append(Fidelity(*about, made=made, floor=floor, ceiling=ceiling))
    return found


def _columns(rows: Rows) -> dict[str, list[float | None]]:
    """The measures of each image, as columns; None where it has none."""
    return {
        f"{measure.name} {kind}": [None if np.isnan(row[measure]) else row[measure] for row in rows[kind]]
        for measure in rows[MADE][0]
        for kind in KINDS
    }


def _write_images(study: LoadedStudy, run: Run, items: Sequence[Item], made: Sequence[Image.Image]) -> None:
    with ShardWriter(study.drawn_targets(run)) as shard:
        for item, image in zip(items, made, strict=True):
            target = item.target.convert("RGB")
            files = {"png": image, "target.png": target, "input.png": item.given}
            shard.add(item.key, {extension: encode_png(picture) for extension, picture in files.items()})


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"

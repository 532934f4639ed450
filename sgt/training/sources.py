"""The training and validation data of a run: its mixture, and the examples of each source."""

from dataclasses import dataclass

from PIL import Image

from sgt.config.recipe import Recipe
from sgt.config.study import EQUAL_COMPUTE
from sgt.data.dataset import ShardDataset, open_dataset, open_targets
from sgt.data.images import image_of
from sgt.data.mixture import Mixed, Mixture, Sequential, Source, Weighted
from sgt.proxies.base import Proxy
from sgt.proxies.render import read_target, target_of
from sgt.study.loaded import LoadedStudy
from sgt.study.runs import Run
from sgt.training import image_use
from sgt.training.batch_loader import ExampleSource
from sgt.training.examples import proxy_source, vqa_source
from sgt.training.screening import left_out, require_samples, screened_dataset

PROXY, VQA = "proxy", "vqa"


@dataclass(frozen=True)
class TrainingData:
    """The training data of a run.

    Attributes:
        mixture: decides which samples each step has.
        sources: of examples, by name of the mixture's source.
        steps: number of optimizer steps.
    """

    mixture: Mixture
    sources: dict[str, ExampleSource]
    steps: int


def training_datasets(study: LoadedStudy, run: Run) -> list[str]:
    """The datasets that a trained run learns from, each once: its questions, and its proxy's images."""
    return list(dict.fromkeys([study.questions.dataset, *([study.images(run.proxy)] if run.proxy else [])]))


def screen_data(study: LoadedStudy, run: Run) -> list[str]:
    """Screen the datasets of a run, unless that is done; returns "DATASET SHARD KEY" of each sample that is left out.

    Raises:
        SgtError: more samples are unusable than ``data.max_bad`` allows.
    """
    data = study.study.data
    if data.validation:
        left_out(study, data.validation.dataset)
    names = sorted(training_datasets(study, run))
    return [f"{name} {shard} {key}" for name in names for shard, key in sorted(left_out(study, name))]


def training_data(study: LoadedStudy, run: Run, recipe: Recipe) -> TrainingData:
    """The training data of a run.

    All arms of a seed have the same questions in the same order; ``sft-compute`` goes further in it in each step.
    """
    questions = screened_dataset(study, study.questions)
    sources, scenes = {VQA: vqa_source(questions)}, None
    if run.proxy:
        scenes, targets = _images_and_targets(study, run.proxy)

        def target(index: int) -> Image.Image:
            return read_target(targets[index]) if recipe.supervise == "target" else image_of(scenes[index])

        sources[PROXY] = proxy_source(study.proxy(run.proxy), scenes, target, run.seed, recipe.text_dropout)
    if run.arm == EQUAL_COMPUTE:
        mixture = _questions_alone(recipe, run.seed, len(questions), study.sft_compute_batches[run.model])
    else:
        mixture = _mixture(recipe, run.seed, len(questions), scenes)
    return TrainingData(sources=sources, **mixture)


def _images_and_targets(study: LoadedStudy, arm: str) -> tuple[ShardDataset, ShardDataset]:
    """The images that an arm is trained on, and their targets.

    Raises:
        SgtError: there is none; or see :func:`sgt.data.dataset.open_targets`.
    """
    subset, shards = study.image_subset(arm), study.target_shards(arm)
    folder = study.dataset_dir(subset.dataset)
    source, excluded = open_dataset(folder, shards), left_out(study, subset.dataset)
    images, targets = open_targets(study.target_dir(arm), source, shards, excluded, subset.limit)
    return require_samples(images, folder), targets


def validation_sources(study: LoadedStudy, run: Run, recipe: Recipe) -> dict[str, ExampleSource]:
    """Held-out examples of the same kinds; targets are rendered on the fly. Empty without a validation dataset."""
    subset = study.study.data.validation
    if subset is None:
        return {}
    dataset = screened_dataset(study, subset)
    sources = {VQA: vqa_source(dataset)}
    if run.proxy:
        sources[PROXY] = _rendered(study.proxy(run.proxy), dataset, run.seed, recipe.text_dropout)
    return sources


def held_out_proxy_source(study: LoadedStudy, run: Run) -> ExampleSource | None:
    """Held-out examples of a run's proxy that all have its prompt; None without a proxy or a validation dataset."""
    name = study.study.data.validation
    if run.proxy is None or name is None:
        return None
    return _rendered(study.proxy(run.proxy), screened_dataset(study, name), image_use.SEED, text_dropout=0.0)


def _rendered(proxy: Proxy, dataset: ShardDataset, seed: int, text_dropout: float) -> ExampleSource:
    """Examples whose targets are rendered when they are made."""
    return proxy_source(proxy, dataset, lambda index: target_of(proxy, dataset[index]), seed, text_dropout)


def _mixture(recipe: Recipe, seed: int, questions: int, scenes: ShardDataset | None) -> dict:
    """Mixture and number of steps of an arm. Without scenes (the control): a proxy arm's questions alone."""
    proxies = len(scenes) if scenes is not None else 1
    if recipe.sampling_weights:
        shares = zip((PROXY, VQA), (proxies, questions), recipe.sampling_weights, strict=True)
        without = () if scenes is not None else (PROXY,)
        return {
            "mixture": Weighted([Source(*share) for share in shares], seed, recipe.batch, without),
            "steps": recipe.steps,
        }
    proxy_samples, vqa_samples = recipe.samples
    sources = [Source(PROXY, proxies, proxy_samples)] if scenes is not None else []
    sources.append(Source(VQA, questions, vqa_samples))
    if recipe.order == "mixed":
        return {"mixture": Mixed(sources, seed), "steps": recipe.steps}
    if scenes is not None:
        return {"mixture": Sequential(sources, seed, recipe.steps), "steps": recipe.steps}
    return _questions_alone(recipe, seed, questions, vqa_samples)


def _questions_alone(recipe: Recipe, seed: int, questions: int, samples: int) -> dict:
    """Mixture and number of steps of an arm with ``samples`` questions for each step of the recipe, and no proxy."""
    if recipe.order == "mixed":
        return {"mixture": Mixed([Source(VQA, questions, samples)], seed), "steps": recipe.steps}
    # As many questions per step as in the second part of a proxy arm.
    source = Source(VQA, questions, recipe.batch)
    return {"mixture": Mixed([source], seed), "steps": recipe.steps * samples // recipe.batch}

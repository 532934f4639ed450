"""What the runs of a study learn from: their mixture, and the examples of each of its sources."""

from dataclasses import dataclass

from PIL import Image

from sgt.config.recipe import Recipe
from sgt.data.dataset import ShardDataset, open_dataset, open_targets
from sgt.data.images import image_of
from sgt.data.manifest import dataset_shards
from sgt.data.mixture import Mixed, Mixture, Sequential, Source, Weighted
from sgt.proxies.render import read_target, target_of
from sgt.study.load import LoadedStudy, Run
from sgt.training.examples import proxy_supply, vqa_supply
from sgt.training.screening import left_out, screened_dataset
from sgt.training.stream import Supply

PROXY, VQA = "proxy", "vqa"


@dataclass(frozen=True)
class Sources:
    """A run's data.

    Attributes:
        mixture: which samples each step sees.
        supplies: how they become examples.
        steps: optimizer steps.
    """

    mixture: Mixture
    supplies: dict[str, Supply]
    steps: int


def screen_data(study: LoadedStudy, run: Run) -> list[str]:
    """Judge the datasets of a run, unless that was done; returns the samples that it does not learn from, in words.

    Raises:
        SgtError: more cannot be used than ``data.max_bad`` allows.
    """
    data = study.study.data
    if data.validation:
        left_out(study, data.validation)
    names = sorted({data.vqa, study.images(run.proxy)} if run.proxy else {data.vqa})
    return [f"{name} {shard} {key}" for name in names for shard, key in sorted(left_out(study, name))]


def training_sources(study: LoadedStudy, run: Run, recipe: Recipe) -> Sources:
    """The data of a run. Arms of one seed see the same questions in the same order; a proxy arm more beside them."""
    questions = screened_dataset(study, study.study.data.vqa)
    supplies, scenes = {VQA: vqa_supply(questions)}, None
    if run.proxy:
        images = study.images(run.proxy)
        folder = study.dataset_dir(images)
        names = [shard.name for shard in dataset_shards(folder)]
        left = left_out(study, images)
        scenes, targets = open_targets(study.target_dir(run.proxy), open_dataset(folder), names, left)

        def made(index: int) -> Image.Image:
            return read_target(targets[index]) if recipe.supervise == "target" else image_of(scenes[index])

        supplies[PROXY] = proxy_supply(study.proxy(run.proxy), scenes, made, run.seed, recipe.text_dropout)
    return Sources(supplies=supplies, **_mixture(recipe, run.seed, len(questions), scenes))


def validation_supplies(study: LoadedStudy, run: Run, recipe: Recipe) -> dict[str, Supply]:
    """Held-out examples of the same kinds; targets are rendered as they are needed. Empty without such a dataset."""
    name = study.study.data.validation
    if name is None:
        return {}
    dataset = screened_dataset(study, name)
    supplies = {VQA: vqa_supply(dataset)}
    if run.proxy:
        proxy = study.proxy(run.proxy)
        supplies[PROXY] = proxy_supply(
            proxy, dataset, lambda index: target_of(proxy, dataset[index]), run.seed, recipe.text_dropout
        )
    return supplies


def _mixture(recipe: Recipe, seed: int, questions: int, scenes: ShardDataset | None) -> dict:
    """The mixture of an arm and its number of steps; without scenes, what a proxy arm has beside its proxy."""
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
    # The questions alone, as many per step as in the second part of a proxy arm.
    alone = [Source(VQA, questions, recipe.batch)]
    return {"mixture": Mixed(alone, seed), "steps": recipe.steps * vqa_samples // recipe.batch}

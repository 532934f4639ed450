"""What a study file expands to: its runs, and the recipe, proxy and images of each."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sgt.config.data import Subset
from sgt.config.recipe import Recipe
from sgt.config.study import ARM_WITHOUT_TRAINING, NO_PROXY
from sgt.data.manifest import shard_name
from sgt.errors import SgtError
from sgt.proxies import PROXIES, Proxy, make_proxy
from sgt.study.schema import StudyFile


@dataclass(frozen=True)
class Run:
    """One trained checkpoint: (model, arm, seed)."""

    model: str
    arm: str
    seed: int

    @property
    def id(self) -> str:
        """``model/arm/seedN``, which is also its folder below ``runs``."""
        return f"{self.model}/{self.arm}/seed{self.seed}"

    @property
    def proxy(self) -> str | None:
        """The arm, if it is trained on a proxy (`StudyRuns.proxy` tells which), None for base and controls."""
        return None if self.arm in NO_PROXY else self.arm


@dataclass(frozen=True)
class StudyRuns:
    """The runs of a study, by its file alone."""

    path: Path
    study: StudyFile

    @cached_property
    def runs(self) -> list[Run]:
        """Every run, model by model. ``base`` is not trained, so it has one seed only, the first."""
        return [
            Run(model, arm, seed)
            for model in self.study.models
            for arm in self.study.arms
            for seed in (self.study.seeds[:1] if arm == ARM_WITHOUT_TRAINING else self.study.seeds)
        ]

    @cached_property
    def transplant_runs(self) -> list[Run]:
        """Every transplant, model by model; its name stands for the arm."""
        return [
            Run(model, name, seed)
            for model in self.study.models
            for name in self.study.transplants
            for seed in self.study.seeds
        ]

    @property
    def evaluated_runs(self) -> list[Run]:
        """Every run that benchmarks are predicted with: those of arms, and transplants."""
        return self.runs + self.transplant_runs

    def transplanted(self, run: Run) -> tuple[Run, Run]:
        """The two runs that a transplant is made of: the one that gets parts, and the one that they are of."""
        transplant = self.study.transplants[run.arm]
        arms = transplant.into, transplant.parts_from
        seeds = [self.study.seeds[0] if arm == ARM_WITHOUT_TRAINING else run.seed for arm in arms]
        into, donor = (Run(run.model, arm, seed) for arm, seed in zip(arms, seeds, strict=True))
        return into, donor

    def run(self, model: str, arm: str, seed: int, transplants: bool = False) -> Run:
        """The run with these coordinates.

        Args:
            model, arm, seed: the coordinates.
            transplants: it may be one of a transplant, whose name is given as the arm.

        Raises:
            SgtError: the study has no such run.
        """
        run = Run(model, arm, seed)
        if run not in (self.evaluated_runs if transplants else self.runs):
            raise SgtError(self.path, f"no run {run.id}", "see `sgt check` for the runs of this study")
        return run

    @property
    def proxy_runs(self) -> list[Run]:
        """The runs of proxy arms, each of which is checked: did it learn its proxy?"""
        return [run for run in self.runs if run.proxy]

    def recipe(self, model: str, arm: str | None = None) -> Recipe:
        """The recipe a model is post-trained with; an arm that is a variant has its own ratio."""
        recipe = self.study.recipes.get(model, self.study.recipe)
        return self.study.variants[arm].changed(recipe) if arm in self.study.variants else recipe

    @property
    def proxy_arms(self) -> list[str]:
        """The arms that have a proxy, in the study's order."""
        return [arm for arm in self.study.arms if arm not in NO_PROXY]

    def proxy_name(self, arm: str) -> str:
        """The name of an arm's proxy, as its targets are filed: that of a variant is its proxy's."""
        return self.study.variants[arm].proxy if arm in self.study.variants else arm

    def proxy(self, arm: str) -> Proxy:
        """An arm's proxy, with what the study chose about it."""
        name = self.proxy_name(arm)
        return make_proxy(self.study.proxies[name]) if name in self.study.proxies else PROXIES[name]

    @property
    def distinct_proxies(self) -> list[str]:
        """The proxies of all arms, by the names that their targets are filed under, once each."""
        return list(dict.fromkeys(self.proxy_name(arm) for arm in self.proxy_arms))

    def image_subset(self, arm: str) -> Subset:
        """The images that an arm's proxy is rendered from.

        Raises:
            ValueError: the arm has no proxy.
        """
        variant = self.study.variants.get(arm)
        images = (variant and variant.images) or self.study.data.proxy
        if images is None:
            raise ValueError(f"arm {arm!r} has no proxy")
        return images

    def images(self, arm: str) -> str:
        """The dataset that an arm's proxy is rendered from; raises the errors of :meth:`image_subset`."""
        return self.image_subset(arm).dataset

    def target_shards(self, arm: str) -> list[str]:
        """Names of the shards that an arm's targets are rendered from: those that hold its images."""
        images = self.image_subset(arm)
        return [shard_name(index) for index in range(self.study.datasets[images.dataset].shards_of(images.limit))]

    @property
    def rendered_shards(self) -> dict[tuple[str, str], int]:
        """How many shards of targets there are, by the dataset and the proxy that they are rendered from."""
        counts: dict[tuple[str, str], int] = {}
        for arm in self.proxy_arms:
            key = self.images(arm), self.proxy_name(arm)
            counts[key] = max(counts.get(key, 0), len(self.target_shards(arm)))
        return counts

    @property
    def questions(self) -> Subset:
        """The questions that every trained arm is trained on.

        Raises:
            ValueError: the study has none, and so trains no arm.
        """
        if self.study.data.vqa is None:
            raise ValueError(f"{self.path}: no questions to train on")
        return self.study.data.vqa

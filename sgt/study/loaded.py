"""A study with the models, benchmarks and analyses that it names, and what follows from all of them together."""

import shlex
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from sgt.config.analyses import AnalysisOptions
from sgt.config.benchmarks import Benchmark, ImageBenchmark
from sgt.config.inference import SamplingOptions
from sgt.config.models import Model
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.errors import SgtError
from sgt.study.paths import StudyPaths
from sgt.study.runs import Run

Part = TypeVar("Part")
# Of the sampler that proxy arms draw with, in a study without a benchmark of images.
DEFAULT_STEPS = 24
# Between the name of a benchmark and the number of samples that a command was limited to.
LIMITED = ".limit-"


@dataclass(frozen=True)
class LoadedStudy(StudyPaths):
    """A valid study with the models, benchmarks and analyses it names."""

    models: dict[str, Model]
    benchmarks: dict[str, Benchmark]
    analyses: dict[str, AnalysisOptions] = field(default_factory=dict)
    # Benchmarks that the study names and cannot run as it is configured, and why; they are not among ``benchmarks``.
    not_run: dict[str, str] = field(default_factory=dict)

    def model(self, name: str) -> Model:
        """One of the study's models.

        Raises:
            SgtError: it has none of this name.
        """
        return self._named("model", self.models, name)

    def benchmark(self, name: str, limit: int | None = None) -> Benchmark:
        """One of the study's benchmarks.

        Args:
            name: of the benchmark.
            limit: only so many samples, from the first. Then its name, and so where its predictions and scores lie, is
                one that no file of a benchmark can have: they never take the place of those of all samples.

        Raises:
            SgtError: it has none of this name, or cannot run it as it is configured.
        """
        if name in self.not_run:
            raise SgtError(self.benchmark_file(name), f"not run: {self.not_run[name]}", "see docs/benchmarks.md")
        found = self._named("benchmark", self.benchmarks, name)
        if limit is None:
            return found
        samples = min(limit, found.samples or limit)
        return found.model_copy(update={"samples": samples, "name": f"{name}{LIMITED}{limit}"})

    def analysis(self, name: str) -> AnalysisOptions:
        """One of the study's analyses.

        Raises:
            SgtError: it has none of this name.
        """
        return self._named("analysis", self.analyses, name)

    def _named(self, what: str, known: dict[str, Part], name: str) -> Part:
        if name not in known:
            remedy = f"use one of {', '.join(known)}" if known else "add it to the study"
            raise SgtError(self.path, f"no {what} {name!r}", remedy)
        return known[name]

    @cached_property
    def sft_compute_batches(self) -> dict[str, int]:
        """VQA samples per step of the arm ``sft-compute``, by model: its recipe's, or those of equal compute."""
        # torch, which sizes are found with, takes seconds to import, and most studies fix the number or lack the arm.
        from sgt.models import estimate
        from sgt.models.registry import sizes_of

        batches, text = {}, self.study.datasets[self.questions.dataset].text
        for name, spec in self.models.items():
            recipe, sizes = self.recipe(name), sizes_of(spec)
            if recipe.sft_compute_batch:
                batches[name] = recipe.sft_compute_batch
            elif sizes:
                batches[name] = estimate.equal_questions(spec, sizes, recipe, text)
        return batches

    @property
    def sampling_benchmark(self) -> ImageBenchmark | None:
        """The benchmark whose sampler proxy arms draw with: images for a dataset's captions; None if there is none."""
        made = (each for each in self.benchmarks.values() if isinstance(each, ImageBenchmark))
        return next((each for each in made if each.needs == "captions"), None)

    @property
    def target_sampling(self) -> SamplingOptions:
        """How proxy arms draw their targets: as the benchmark of images samples, or by default, and without guidance.

        Every instruction of a proxy is the same, so guidance by it exaggerates what all targets have in common.
        """
        benchmark = self.sampling_benchmark
        sampling = benchmark.sampling if benchmark else SamplingOptions(num_steps=DEFAULT_STEPS)
        return sampling.model_copy(update={"cfg_text_scale": 1.0})

    @property
    def held_out(self) -> str | None:
        """The dataset that proxy arms are checked on; None if no dataset has what their proxies need."""
        data, benchmark = self.study.data, self.sampling_benchmark
        if named := data.held_out or (data.validation and data.validation.dataset):
            names = [named]
        else:
            names = [each.dataset for each in (benchmark, *self.benchmarks.values()) if each and each.dataset]
        proxies = [self.proxy(name) for name in self.distinct_proxies]

        def has_all(name: str) -> bool:
            return all(proxy.missing_from(self.study.datasets[name]) is None for proxy in proxies)

        return next(filter(has_all, names), None)

    @property
    def screened_datasets(self) -> list[str]:
        """The datasets whose samples every model must be able to take: those of training and of benchmarks."""
        data = self.study.data
        trained = (data.vqa, data.validation) if set(self.study.arms) - {ARM_WITHOUT_TRAINING} else ()
        names = [subset.dataset for subset in trained if subset]
        names += [self.images(arm) for arm in self.proxy_arms]
        names += [benchmark.dataset for benchmark in self.benchmarks.values() if benchmark.dataset]
        return list(dict.fromkeys(names))

    @property
    def preview_dataset(self) -> str | None:
        """The dataset whose first samples the contact sheet of targets shows: None without a proxy arm."""
        if not self.proxy_arms:
            return None
        return self.study.data.proxy.dataset if self.study.data.proxy else self.images(self.proxy_arms[0])

    @property
    def used_datasets(self) -> list[str]:
        """The datasets that the study uses, in its order."""
        used = {self.preview_dataset, *self.screened_datasets, *([self.held_out] if self.proxy_arms else [])}
        used |= {each.dataset for each in self.analyses.values()}
        return [name for name in self.study.datasets if name in used]

    @property
    def fetched_models(self) -> dict[Path, str]:
        """Folders of fetched models that proxies are rendered or benchmarks scored with, and where each is named."""
        arms = {self.proxy_name(arm): self.proxy(arm) for arm in self.proxy_arms}
        named = {
            Path(folder): f"{self.path}: proxies.{name}" for name, proxy in arms.items() for folder in proxy.downloads
        }
        for name, benchmark in self.benchmarks.items():
            named |= {Path(folder): str(self.benchmark_file(name)) for folder in benchmark.downloads}
        return named

    @property
    def read_downloads(self) -> list[Path]:
        """Folders of what is fetched, besides the models of the study: of datasets, benchmarks, proxies, evaluators."""
        folders = [self.download_of(name) for name in self.used_datasets]
        folders += [self.download_dir(name) for each in self.benchmarks.values() for name in each.data_downloads]
        return list(dict.fromkeys([*filter(None, folders), *self.fetched_models]))

    def rows_dirs(self, benchmark: Benchmark) -> list[Path]:
        """The folders that a benchmark's rows are read from: its dataset's, or those that were fetched."""
        if benchmark.dataset is not None:
            return [self.dataset_dir(benchmark.dataset)]
        return [self.download_dir(name) for name in benchmark.data_downloads]

    @cached_property
    def analysed(self) -> list[tuple[Run, str]]:
        """Every run with the name of every analysis that is made of it."""
        return [
            (run, name)
            for run in self.runs
            for name, options in self.analyses.items()
            if options.reference is None or run.arm != ARM_WITHOUT_TRAINING
        ]

    def compared_arms(self, options: AnalysisOptions) -> list[str]:
        """The arms that an analysis compares with its reference: all trained ones."""
        return [arm for arm in self.study.arms if arm not in (ARM_WITHOUT_TRAINING, options.reference)]

    def read_by_analysis(self, run: Run, name: str) -> list[tuple[Run, str]]:
        """The analyses whose findings an analysis of a run reads: those of its arm and of the reference, of all seeds.

        Of the reference itself, those of every arm that is compared with it.
        """
        options = self.analyses[name]
        if not options.reads:
            return []
        arms = {run.arm, options.reference}
        if run.arm == options.reference:
            arms.update(self.compared_arms(options))
        runs = [each for each in self.runs if each.model == run.model and each.arm in arms]
        return [(each, read) for _, read in options.reads.values() for each in runs]

    def analysis_command(self, run: Run, name: str) -> str:
        """The command that makes an analysis of a run."""
        what = f"--model {run.model} --arm {run.arm} --seed {run.seed} --analysis {name}"
        return f"sgt {self.analyses[name].analysis} {shlex.quote(str(self.path))} {what}"

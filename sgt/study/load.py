"""Reading a study and the files it names, and the runs and paths it expands to."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from sgt.config.analyses import ANALYSES, ANALYSIS_OPTIONS, AnalysisEntry, AnalysisOptions
from sgt.config.benchmarks import (
    OPTIONS,
    TARGETS,
    TASKS,
    TREATMENT,
    Benchmark,
    ImageBenchmark,
    SamplingOptions,
    TaskName,
)
from sgt.config.datasets import Images, Subset
from sgt.config.files import first_fault, read_yaml
from sgt.config.judges import JudgedImageBenchmark
from sgt.config.models import Model
from sgt.config.recipe import Recipe
from sgt.config.study import ARM_WITHOUT_TRAINING, NO_PROXY
from sgt.data.manifest import shard_name
from sgt.errors import SgtError
from sgt.models.rules import rules_of
from sgt.proxies import PROXIES, Proxy, make_proxy
from sgt.study.compatibility import check_compatibility
from sgt.study.ownership import require_own_results
from sgt.study.schema import StudyFile
from sgt.study.sources import check_sources
from sgt.study.versioning import require_versionable

Named = TypeVar("Named", bound=Model | Benchmark)
Part = TypeVar("Part")
# Of the sampler that proxy arms draw with, in a study without a benchmark of images.
DEFAULT_STEPS = 24
JUDGEMENTS = "judgements"
# Between the name of a benchmark and the number of samples that a command was limited to.
LIMITED = ".limit-"


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
        """The arm, if it is trained on a proxy (`LoadedStudy.proxy` tells which), None for base and controls."""
        return None if self.arm in NO_PROXY else self.arm


@dataclass(frozen=True)
class LoadedStudy:
    """A valid study with the models, benchmarks and analyses it names."""

    path: Path
    study: StudyFile
    models: dict[str, Model]
    benchmarks: dict[str, Benchmark]
    analyses: dict[str, AnalysisOptions] = field(default_factory=dict)
    # Benchmarks that the study names and cannot run as it is configured, and why; they are not among ``benchmarks``.
    not_run: dict[str, str] = field(default_factory=dict)

    def model_file(self, name: str) -> Path:
        """The file of one of the study's models."""
        return self.path.parent / "models" / f"{name}.yaml"

    def benchmark_file(self, name: str) -> Path:
        """The file of one of the study's benchmarks."""
        return self.path.parent / "benchmarks" / f"{name}.yaml"

    @property
    def results(self) -> Path:
        """Root of everything the study makes."""
        return Path(self.study.results)

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

    def recipe(self, model: str, arm: str | None = None) -> Recipe:
        """The recipe a model is post-trained with; an arm that is a variant has its own ratio."""
        recipe = self.study.recipes.get(model, self.study.recipe)
        return self.study.variants[arm].changed(recipe) if arm in self.study.variants else recipe

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

    def images(self, arm: str) -> str:
        """The dataset that an arm's proxy is rendered from; raises the errors of :meth:`image_subset`."""
        return self.image_subset(arm).dataset

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

    @property
    def distinct_proxies(self) -> list[str]:
        """The proxies of all arms, by the names that their targets are filed under, once each."""
        return list(dict.fromkeys(self.proxy_name(arm) for arm in self.proxy_arms))

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
    def proxy_runs(self) -> list[Run]:
        """The runs of proxy arms, each of which is checked: did it learn its proxy?"""
        return [run for run in self.runs if run.proxy]

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

    def is_fetched(self, folder: Path | str) -> bool:
        """Whether a folder is one that `sgt fetch` fills."""
        return Path(folder).parent == Path(self.study.downloads)

    def download_dir(self, name: str) -> Path:
        """Folder of a fetched dataset or model."""
        return Path(self.study.downloads) / name

    def download_of(self, dataset: str) -> Path | None:
        """Folder of the download that a dataset is made from; None if it is made from none."""
        download = getattr(self.study.datasets[dataset], "download", None)
        return self.download_dir(download) if download else None

    def source_dir(self, dataset: str) -> Path | None:
        """Folder that a dataset is made from: a download, or pictures; None for one that is synthetic."""
        spec = self.study.datasets[dataset]
        return Path(spec.folder) if isinstance(spec, Images) else self.download_of(dataset)

    def dataset_dir(self, name: str) -> Path:
        """Folder of a dataset's shards and manifest."""
        return self.results / "shards" / name

    def target_dir(self, arm: str) -> Path:
        """Folder of the target shards of an arm's proxy, named as the shards of its images."""
        return self.results / "targets" / self.images(arm) / self.proxy_name(arm)

    def run_dir(self, run: Run) -> Path:
        """Folder of a run: ``final/``, ``run.json``, and ``work/`` while it trains."""
        return self.results / "runs" / run.id

    def prediction_dir(self, run: Run, benchmark: str) -> Path:
        """Folder of a run's predictions on a benchmark."""
        return self.results / "predictions" / run.id / benchmark

    def judgement_dir(self, run: Run, benchmark: str) -> Path:
        """Folder of what a judged benchmark's evaluator made of a run's predictions."""
        return self.results / JUDGEMENTS / run.id / benchmark

    @property
    def replies_dir(self) -> Path:
        """Folder of the replies of judges, each in a file of its own, which no call is ever repeated for."""
        # No model has a name like this.
        return self.results / JUDGEMENTS / "_replies"

    def score_file(self, run: Run, benchmark: str) -> Path:
        """Metrics of a run on a benchmark."""
        return self.results / "scores" / run.id / f"{benchmark}.json"

    def drawn_targets(self, run: Run) -> Path:
        """What a run of a proxy arm made of held-out images, beside inputs and true targets: a tar."""
        return self.prediction_dir(run, TARGETS) / "images.tar"

    def treatment_file(self, run: Run) -> Path:
        """Whether a run of a proxy arm learned its proxy."""
        return self.results / "scores" / run.id / f"{TREATMENT}.json"

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

    def analysis_file(self, run: Run, name: str) -> Path:
        """What an analysis found in a run's model."""
        return self.results / "analyses" / run.id / f"{name}.json"

    def analysis_command(self, run: Run, name: str) -> str:
        """The command that makes an analysis of a run."""
        what = f"--model {run.model} --arm {run.arm} --seed {run.seed} --analysis {name}"
        return f"sgt {self.analyses[name].analysis} {self.path} {what}"


def load_study(path: Path | str) -> LoadedStudy:
    """Read a study and every file it names, and check that it can be run to its end.

    Every command and the workflow use this one check.

    Raises:
        SgtError: one line naming the file, the field and the remedy.
    """
    path = Path(path)
    study = read_yaml(path, StudyFile)
    models = {name: load_model_spec(name, path.parent / "models") for name in study.models}
    named = {name: _load_benchmark(path.parent / "benchmarks", name, study) for name in study.benchmarks}
    not_run = {name: reason for name, each in named.items() if (reason := each.not_run)}
    benchmarks = {name: each for name, each in named.items() if name not in not_run}
    if not benchmarks:
        name, reason = next(iter(not_run.items()))
        raise SgtError(f"{path}: benchmarks", f"none can be run ({name}: {reason})", "configure one, or add another")
    loaded = LoadedStudy(path, study, models, benchmarks, _load_analyses(path, study.analyses), not_run)
    require_own_results(loaded)
    require_versionable(loaded)
    check_compatibility(loaded)
    check_sources(loaded)
    return loaded


def load_model_spec(name: str, folder: Path = Path("config/models")) -> Model:
    """One model's file.

    Raises:
        SgtError: there is none, or it is not valid.
    """
    spec = _load_named(folder, name, Model)
    try:
        rules_of(spec.family).images(spec)
    except SgtError as error:
        raise SgtError(f"{folder / name}.yaml: {error.where}", error.problem, error.remedy) from None
    return spec


def _load_benchmark(folder: Path, name: str, study: StudyFile) -> Benchmark:
    file = folder / f"{name}.yaml"
    task = read_yaml(file, TaskName).task
    import_module(TASKS)
    if task not in OPTIONS:
        raise SgtError(f"{file}: task", f"no task {task!r}", f"use one of {', '.join(OPTIONS)}")
    benchmark = _load_named(folder, name, OPTIONS[task])
    limits = [each for each in (benchmark.samples, study.limit) if each is not None]
    of_study: dict[str, object] = {"samples": min(limits, default=None)}
    if isinstance(benchmark, JudgedImageBenchmark):
        of_study["judge"] = benchmark.judge or study.judge
    return benchmark.model_copy(update=of_study)


def _load_analyses(path: Path, entries: list[AnalysisEntry]) -> dict[str, AnalysisOptions]:
    if entries:
        import_module(ANALYSES)
    loaded = {}
    for place, entry in enumerate(entries):
        where = f"{path}: analyses.{place}"
        kind = ANALYSIS_OPTIONS.get(entry.analysis)
        if kind is None:
            remedy = f"use one of {', '.join(ANALYSIS_OPTIONS)}"
            raise SgtError(f"{where}.analysis", f"no analysis {entry.analysis!r}", remedy)
        try:
            # As `read_yaml` does it.
            options = kind.model_validate_json(json.dumps(entry.model_dump(exclude_unset=True)), strict=True)
        except ValidationError as error:
            part, problem, remedy = first_fault(kind, error)
            raise SgtError(f"{where}.{part}" if part else where, problem, remedy) from None
        loaded[entry.file_name] = options
    return loaded


def _load_named(folder: Path, name: str, kind: type[Named]) -> Named:
    spec = read_yaml(folder / f"{name}.yaml", kind)
    if spec.name != name:
        raise SgtError(folder / f"{name}.yaml", f"name is {spec.name!r}", f"make it {name!r}, as the file")
    return spec

"""Whether the parts of a study fit together: what its arms, models and benchmarks need of its datasets and recipes."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sgt.config.analyses import AnalysisOptions
from sgt.config.benchmarks import Benchmark, ImageBenchmark
from sgt.config.files import read_yaml
from sgt.config.models import Model, Pretrain
from sgt.config.samples import Samples
from sgt.config.study import ARM_WITHOUT_PROXY, ARM_WITHOUT_TRAINING, EQUAL_COMPUTE
from sgt.errors import SgtError
from sgt.models.rules import rules_of
from sgt.study.amounts import many
from sgt.study.loaded import LoadedStudy

Part = TypeVar("Part")


def check_compatibility(study: LoadedStudy) -> None:
    """Refuse what would end a job of the study, however late.

    Raises:
        SgtError: one line naming the file, the field and the remedy.
    """
    for benchmark in study.benchmarks.values():
        _check_benchmark(study, benchmark)
    for model in study.models.values():
        _check_model(study, model)
    for options in study.analyses.values():
        _check_analysis(study, options)
    _check_data(study)


def _check_benchmark(study: LoadedStudy, benchmark: Benchmark) -> None:
    if benchmark.dataset is None:
        if isinstance(benchmark, ImageBenchmark):
            _check_images_made(study, benchmark, None)
        return
    dataset = study.study.datasets.get(benchmark.dataset)
    if dataset is None:
        problem = f"benchmark {benchmark.name} needs dataset {benchmark.dataset!r}"
        raise SgtError(study.path, problem, "define it under datasets")
    file, where = study.benchmark_file(benchmark.name), f"{study.path}: datasets.{benchmark.dataset}"
    if benchmark.needs is not None and benchmark.needs not in dataset.texts:
        problem = f"{dataset.source} has no {benchmark.needs}, which benchmark {benchmark.name} needs"
        raise SgtError(where, problem, "use a dataset that has some, such as toyworld")
    if benchmark.samples is not None and dataset.count < benchmark.samples:
        problem = f"it has {dataset.count} samples, benchmark {benchmark.name} uses {benchmark.samples}"
        raise SgtError(where, problem, f"make it larger, or lower samples in {file}")
    if isinstance(benchmark, ImageBenchmark):
        _check_images_made(study, benchmark, dataset)


def _check_analysis(study: LoadedStudy, options: AnalysisOptions) -> None:
    where, dataset = f"{study.path}: analyses.{options.name}", study.study.datasets.get(options.dataset)
    if dataset is None:
        raise SgtError(f"{where}.dataset", f"no dataset {options.dataset!r}", "define it under datasets")
    if (missing := options.missing_from(dataset)) is not None:
        problem = f"it reads {missing}, and {options.dataset!r} ({dataset.source}) has none"
        raise SgtError(f"{where}.dataset", problem, "name another dataset")
    if options.samples is not None and dataset.counted and dataset.count < options.samples:
        problem = f"{options.samples}, and {options.dataset!r} has {dataset.count}"
        raise SgtError(f"{where}.samples", problem, "lower it, or make the dataset larger")
    for field, (kind, name) in options.reads.items():
        names = [each for each, other in study.analyses.items() if other.analysis == kind]
        if name not in names:
            remedy = f"use one of {', '.join(names)}" if names else f"add an analysis {kind} to the study"
            raise SgtError(f"{where}.{field}", f"no analysis {name!r} of the kind {kind}", remedy)
    if options.asks is not None and options.asks not in study.benchmarks:
        remedy = f"use one of {', '.join(study.benchmarks)}"
        raise SgtError(f"{where}.benchmark", f"no benchmark {options.asks!r} in the study", remedy)
    if options.asks is not None and isinstance(study.benchmarks[options.asks], ImageBenchmark):
        raise SgtError(f"{where}.benchmark", f"{options.asks!r} asks nothing, it makes images", "name another")
    if options.reference is not None and not study.compared_arms(options):
        problem = f"it compares trained arms with {options.reference!r}, and there is none"
        raise SgtError(where, problem, "add an arm, or leave the analysis out")


def _check_images_made(study: LoadedStudy, benchmark: ImageBenchmark, dataset: Samples | None) -> None:
    file, wanted = study.benchmark_file(benchmark.name), benchmark.image_side(dataset)
    for model in study.models.values():
        rules = rules_of(model.family)
        _in_file(f"{file}: sampling", rules.check_generation, benchmark.sampling, f" (model {model.name})")
        side = rules.target_side(model, wanted)
        if side < benchmark.smallest_side:
            problem = f"images of {wanted} pixels, which {model.name} makes {side} pixels wide"
            remedy = f"make them larger, or target_image in {study.model_file(model.name)}"
            where = f"{study.path}: datasets.{benchmark.dataset}" if dataset else str(file)
            raise SgtError(where, f"{problem}; they are scored from {benchmark.smallest_side} pixels", remedy)


def _check_model(study: LoadedStudy, model: Model) -> None:
    file, rules = study.model_file(model.name), rules_of(model.family)
    _in_file(str(file), rules.check_model, model)
    if model.pretrain:
        _check_pretrain(study, model, model.pretrain, file)
    base = study.models.get(model.released.base) if model.released else None
    if base and (base.family, base.checkpoint) != (model.family, model.checkpoint):
        problem = f"{base.name} has another family or checkpoint than {model.name}, which is compared with it"
        raise SgtError(f"{file}: released.base", problem, "name the model that the weights were post-trained from")
    arms = [arm for arm in study.study.arms if arm != ARM_WITHOUT_TRAINING]
    if not arms:
        return
    recipe = study.recipe(model.name)
    own = f"recipes.{model.name}" if model.name in study.study.recipes else "recipe"
    _in_file(f"{study.path}: {own}", rules.check_recipe, recipe, f" (model {model.name})")
    if EQUAL_COMPUTE in arms and model.architecture is None and recipe.sft_compute_batch is None:
        problem = f"arm {EQUAL_COMPUTE!r} needs it, to find how many questions take a proxy arm's compute"
        raise SgtError(f"{file}: architecture", problem, f"add it, or give sft_compute_batch in {own} of {study.path}")
    trained = recipe.lora.parts if recipe.lora else recipe.trains
    if ARM_WITHOUT_PROXY in arms and set(trained) == {"generation"}:
        field = "lora.parts" if recipe.lora else "trains"
        problem = f"generation alone, which arm {ARM_WITHOUT_PROXY!r} does not use: it would train nothing"
        raise SgtError(f"{study.path}: {own}.{field}", problem, "train another part too")


def _check_pretrain(study: LoadedStudy, model: Model, recipe: Pretrain, file: Path) -> None:
    dataset = study.study.datasets.get(recipe.dataset)
    if dataset is None:
        raise SgtError(study.path, f"model {model.name} pretrains on {recipe.dataset!r}", "define it under datasets")
    if not dataset.texts >= {"captions", "questions"}:
        problem = f"{recipe.dataset!r} is {dataset.source}, which has no captions and questions"
        raise SgtError(f"{file}: pretrain.dataset", problem, "pretrain on toyworld")
    if recipe.edit_batch and "edit.jpg" not in dataset.files:
        problem = f"{recipe.dataset!r} has no edits"
        raise SgtError(f"{file}: pretrain.edit_batch", problem, "set edits: true in the dataset")
    if recipe.vae_of:
        owner = read_yaml(study.model_file(recipe.vae_of), Model)
        sizes = _vae_sizes(owner)
        if sizes is not None and sizes != _vae_sizes(model):
            where = f"{file}: architecture.vae"
            raise SgtError(where, f"{owner.name}'s VAE, which it takes, has other sizes", "make them equal")


def _vae_sizes(model: Model) -> dict | None:
    return (model.architecture or {}).get("vae")


def _check_data(study: LoadedStudy) -> None:
    data, trained = study.study.data, set(study.study.arms) - {ARM_WITHOUT_TRAINING}
    for part in ("vqa", "validation") if trained else ():
        subset = getattr(data, part)
        if subset is not None and not study.study.datasets[subset.dataset].texts & {"questions", "conversations"}:
            problem = f"{subset.dataset!r} is {study.study.datasets[subset.dataset].source}, which asks nothing"
            raise SgtError(f"{study.path}: data.{part}", problem, "name a dataset of questions or conversations")
    for arm in study.proxy_arms:
        _check_images(study, arm, study.images(arm), "its images")
        if data.validation:
            _check_images(study, arm, data.validation.dataset, "data.validation")
        if data.held_out:
            _check_images(study, arm, data.held_out, "data.held_out")
    if study.proxy_arms and study.held_out is None:
        problem = "no benchmark's dataset has what every proxy needs, to check on what the arms learned"
        raise SgtError(f"{study.path}: data.held_out", problem, "name a dataset of held-out images")
    if trained:
        _check_held_out(study)


def _check_held_out(study: LoadedStudy) -> None:
    """Refuse to validate or to check proxy arms on images that arms are trained on, or on less than two."""
    data, datasets = study.study.data, study.study.datasets
    trained_on = dict.fromkeys((study.questions.dataset, *map(study.images, study.proxy_arms)))
    held_out = {"validation": data.validation.dataset} if data.validation else {}
    held_out |= {"held_out": study.held_out} if study.proxy_arms and study.held_out else {}
    for part, name in held_out.items():
        for trained in trained_on:
            if common := datasets[name].drawn_from & datasets[trained].drawn_from:
                problem = f"{name!r} and {trained!r}, which arms are trained on, both have images of {min(common)}"
                remedy = "hold out images of another split, seed or folder"
                raise SgtError(f"{study.path}: data.{part}", problem, remedy)
    if study.proxy_arms and study.held_out and (count := study.study.datasets[study.held_out].count) < 2:
        where = f"{study.path}: datasets.{study.held_out}"
        problem = f"it has {many(count, 'sample')}, and proxy arms are checked on 2 or more"
        raise SgtError(where, problem, "make it larger, or name another in data.held_out")


def _check_images(study: LoadedStudy, arm: str, name: str, part: str) -> None:
    dataset = study.study.datasets[name]
    if (missing := study.proxy(arm).missing_from(dataset)) is not None:
        problem = f"arm {arm!r} is rendered from {missing}, and {part} ({name!r}, {dataset.source}) have none"
        raise SgtError(f"{study.path}: datasets.{name}", problem, "use another dataset, or leave the arm out")


def _in_file(where: str, check: Callable[[Part], None], part: Part, whose: str = "") -> None:
    try:
        check(part)
    except SgtError as error:
        joint = ": " if where.endswith(".yaml") else "."
        raise SgtError(f"{where}{joint}{error.where}", f"{error.problem}{whose}", error.remedy) from None

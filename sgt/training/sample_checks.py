"""Checking that the models of a study can take a sample, in every use that the study makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sgt.config.benchmarks import Benchmark, ImageBenchmark
from sgt.config.models import Model
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.data.images import checked_image, read_header
from sgt.data.shards import IMAGE_SUFFIXES, Member, Sample, read_sample
from sgt.errors import SgtError
from sgt.models.examples import Example, ImageOutline, InputImage, QAPair, TargetImage, Text
from sgt.models.registry import model_without_weights
from sgt.models.unified import UnifiedModel
from sgt.study.loaded import LoadedStudy
from sgt.training.examples import vqa_example

# Bytes of an image file that are read to find its size; enough for most.
_HEADER = 64 * 2**10
# Kinds of use that belong to training and validation.
TRAINING = frozenset(("vqa", "proxy"))


@dataclass(frozen=True)
class DatasetUse:
    """What a study does with the samples of a dataset.

    Attributes:
        kind: of the examples that are made from them.
        prompts: of proxies, any of which a sample may get.
        benchmark: whose items the samples are.
    """

    kind: Literal["vqa", "proxy", "benchmark"]
    prompts: tuple[str, ...] = ()
    benchmark: Benchmark | None = None

    @property
    def name(self) -> str:
        """The kind, with the name of a benchmark."""
        return f"benchmark {self.benchmark.name}" if self.benchmark else self.kind

    @property
    def identity(self) -> dict:
        """What decides how samples are checked for it."""
        options = self.benchmark.prediction_options if self.benchmark else None
        return {"use": self.name, "prompts": list(self.prompts), "options": options}


@dataclass(frozen=True)
class RefusedSample:
    """A sample that cannot be used.

    Attributes:
        shard: name of its file.
        key: of the sample.
        uses: names of the uses that it is refused for.
        models: names of the models that cannot take it.
        reason: the first that was found, after the key of the sample or the name of its file.
    """

    shard: str
    key: str
    uses: list[str]
    models: list[str]
    reason: str

    @property
    def in_training(self) -> bool:
        """Whether it is refused for training or validation."""
        return bool(TRAINING.intersection(self.uses))


def uses_of(study: LoadedStudy, dataset: str) -> list[DatasetUse]:
    """Everything that a study does with a dataset, besides pretraining a model on it."""
    data, uses = study.study.data, []
    validation = data.validation and data.validation.dataset
    if dataset in (data.vqa and data.vqa.dataset, validation) and trained_arms(study):
        uses.append(DatasetUse("vqa"))
    arms = [arm for arm in study.proxy_arms if dataset in (study.images(arm), validation)]
    if arms:
        prompts = {prompt for arm in arms for prompt in study.proxy(arm).prompts}
        uses.append(DatasetUse("proxy", prompts=tuple(sorted(prompts))))
    benchmarks = [benchmark for benchmark in study.benchmarks.values() if benchmark.dataset == dataset]
    return uses + [DatasetUse("benchmark", benchmark=benchmark) for benchmark in benchmarks]


def trained_arms(study: LoadedStudy) -> list[str]:
    """The arms that are trained."""
    return [arm for arm in study.study.arms if arm != ARM_WITHOUT_TRAINING]


def pack_limit(study: LoadedStudy, model: str) -> int | None:
    """Tokens per pack, at most, in the arm of a model where that is least; None without a limit."""
    limits = [study.recipe(model, arm).max_tokens_per_pack for arm in trained_arms(study)]
    return min((limit for limit in limits if limit is not None), default=None)


class SampleChecker:
    """Checks the samples of one dataset, from their records and the sizes of their images.

    Images are decoded at reduced size to detect damaged files, unless only proxies use them: those were decoded when
    their targets were rendered.

    Args:
        study: its models' checkpoints must exist, for their tokenizers and sizes.
        dataset: name of one of the study's.

    Raises:
        SgtError: a checkpoint is missing or damaged.
    """

    def __init__(self, study: LoadedStudy, dataset: str) -> None:
        self.uses = uses_of(study, dataset)
        self._models = {name: _load_without_weights(spec) for name, spec in study.models.items()}
        self._limits = {name: pack_limit(study, name) for name in study.models}
        self._read = _read_header if all(use.kind == "proxy" for use in self.uses) else _read_whole
        prompts = [prompt for use in self.uses for prompt in use.prompts]
        self._longest_prompts = {
            name: max(prompts, key=lambda prompt: model.tokens([Text(prompt)]), default="")
            for name, model in self._models.items()
        }

    def check(self, shard: Path, key: str, members: Sequence[Member]) -> RefusedSample | None:
        """Why a sample cannot be used; None if all models can take it in all uses.

        Args:
            shard: its file.
            key: of the sample.
            members: where its files are in the shard.
        """
        try:
            sample, image = self._read(shard, key, members)
        except SgtError as error:
            uses = [use.name for use in self.uses]
            return RefusedSample(shard.name, key, uses, list(self._models), _reason(key, error))
        found = []
        for use in self.uses:
            for name in self._models:
                try:
                    self._check_use(use, name, sample, image)
                except SgtError as error:
                    found.append((use.name, name, _reason(key, error)))
        if not found:
            return None
        uses, models, reasons = (list(dict.fromkeys(column)) for column in zip(*found, strict=True))
        return RefusedSample(shard.name, key, uses, models, reasons[0])

    def _check_use(self, use: DatasetUse, name: str, sample: Sample, image: ImageOutline | None) -> None:
        """Check that a model can take a sample in one use.

        Raises:
            SgtError: it cannot.
        """
        example = self._example(use, name, sample, image)
        tokens, limit = self._models[name].check(example), self._limits[name]
        if use.kind != "benchmark" and limit is not None and tokens > limit:
            raise SgtError(sample.key, f"{tokens} tokens, a pack holds {limit}", "raise recipe.max_tokens_per_pack")

    def _example(self, use: DatasetUse, name: str, sample: Sample, image: ImageOutline | None) -> Example:
        """The largest example that one use makes of a sample for a model.

        Raises:
            SgtError: the sample lacks what the use needs.
        """

        def needed(_: Sample) -> ImageOutline:
            if image is None:
                raise SgtError(sample.key, "no image", "leave this sample out")
            return image

        if use.benchmark is not None:
            return _benchmark_example(use.benchmark, sample, needed(sample))
        if use.kind == "proxy":
            return [InputImage(needed(sample)), Text(self._longest_prompts[name]), TargetImage(needed(sample))]
        # Samples without an image are questions about a text.
        return vqa_example(sample, needed)


def _load_without_weights(spec: Model) -> UnifiedModel:
    try:
        return model_without_weights(spec)
    except SgtError as error:
        problem = f"{error.problem} (samples are checked for every model of the study)"
        raise SgtError(error.where, problem, f"make or fetch the base of {spec.name} first") from None


def _reason(key: str, error: SgtError) -> str:
    *_, place = error.where.split(": ")
    return f"{place if place.startswith(f'{key}.') else key}: {error.problem}"


def _read_header(shard: Path, key: str, members: Sequence[Member]) -> tuple[Sample, ImageOutline]:
    """A sample without its record, and the size of its image, of which no more than the header is read if possible."""
    images = [member for member in members if member.extension in IMAGE_SUFFIXES]
    sample = read_sample(shard, key, images, _HEADER)
    try:
        return sample, ImageOutline(read_header(sample.image, sample.image_name).size)
    except SgtError:
        sample = read_sample(shard, key, images)
        return sample, ImageOutline(read_header(sample.image, sample.image_name).size)


def _read_whole(shard: Path, key: str, members: Sequence[Member]) -> tuple[Sample, ImageOutline | None]:
    """A sample and the size of its image, if it has one, after checking that it can be decoded."""
    sample = read_sample(shard, key, members)
    return sample, ImageOutline(checked_image(sample.image, sample.image_name).size) if sample.has_image else None


def _benchmark_example(benchmark: Benchmark, sample: Sample, image: ImageOutline) -> Example:
    """What a model is given of a sample: all its questions, or its longest prompt and a target image."""
    texts = benchmark.item_texts(sample.json(), f"{sample.shard}: {sample.key}.json")
    system = [Text(benchmark.system)] if benchmark.system else []
    if isinstance(benchmark, ImageBenchmark):
        return [*system, Text(max(texts, key=len, default="")), TargetImage(image)]
    # What a model answers is cut off where its context ends.
    return [*system, InputImage(image, vqa=True), *(QAPair(text, "") for text in texts)]

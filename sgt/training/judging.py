"""Whether the models of a study can take a sample, for everything that the study does with it."""

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
from sgt.models.examples import Example, InputImage, QAPair, TargetImage, Text
from sgt.models.registry import model_without_weights
from sgt.models.unified import UnifiedModel
from sgt.study.load import LoadedStudy
from sgt.training.examples import vqa_example

# Enough of most image files to know their size.
_BEGINNING = 64 * 2**10
# Kinds of use that are training and its validation.
TRAINING = frozenset(("vqa", "proxy"))


@dataclass(frozen=True)
class Outline:
    """All that judging knows of a picture: its (width, height)."""

    size: tuple[int, int]


@dataclass(frozen=True)
class Use:
    """What a study does with the samples of a dataset.

    Attributes:
        kind: what its samples become.
        prompts: of proxies, one of which a sample may get.
        benchmark: that asks about the samples.
    """

    kind: Literal["vqa", "proxy", "benchmark"]
    prompts: tuple[str, ...] = ()
    benchmark: Benchmark | None = None

    @property
    def name(self) -> str:
        """In words."""
        return f"benchmark {self.benchmark.name}" if self.benchmark else self.kind

    @property
    def identity(self) -> dict:
        """What decides how samples are judged for it."""
        options = self.benchmark.prediction_options if self.benchmark else None
        return {"use": self.name, "prompts": list(self.prompts), "options": options}


@dataclass(frozen=True)
class Refusal:
    """A sample that cannot be used.

    Attributes:
        shard: name of the file it lies in.
        key: of the sample.
        uses: names of those for which it is no good.
        models: those that cannot take it.
        reason: the first that was found, after the name of the sample or of its file.
    """

    shard: str
    key: str
    uses: list[str]
    models: list[str]
    reason: str

    @property
    def in_training(self) -> bool:
        """Whether it is no good for training or validation."""
        return bool(TRAINING.intersection(self.uses))


def uses_of(study: LoadedStudy, dataset: str) -> list[Use]:
    """Everything that a study does with a dataset, besides pretraining a model on it."""
    data, uses = study.study.data, []
    if dataset in (data.vqa, data.validation) and trained_arms(study):
        uses.append(Use("vqa"))
    arms = [arm for arm in study.proxy_arms if dataset in (study.images(arm), data.validation)]
    if arms:
        prompts = {prompt for arm in arms for prompt in study.proxy(arm).prompts}
        uses.append(Use("proxy", prompts=tuple(sorted(prompts))))
    return uses + [Use("benchmark", benchmark=each) for each in study.benchmarks.values() if each.dataset == dataset]


def trained_arms(study: LoadedStudy) -> list[str]:
    """The arms that learn something."""
    return [arm for arm in study.study.arms if arm != ARM_WITHOUT_TRAINING]


def most_tokens(study: LoadedStudy, model: str) -> int | None:
    """Tokens that every arm of a model has room for in a pack; None without a limit."""
    limits = [study.recipe(model, arm).max_tokens_per_pack for arm in trained_arms(study)]
    return min((limit for limit in limits if limit is not None), default=None)


class Judge:
    """Judges the samples of one dataset, from their records and the sizes of their pictures.

    Pictures are decoded, coarsely, to know that they are whole, unless they are only images of proxies: those were
    when their targets were rendered.

    Args:
        study: its models' checkpoints must be there, for their tokenizers and sizes.
        dataset: name of one of the study's.

    Raises:
        SgtError: a checkpoint is missing or damaged.
    """

    def __init__(self, study: LoadedStudy, dataset: str) -> None:
        self.uses = uses_of(study, dataset)
        self._models = {name: _base(spec) for name, spec in study.models.items()}
        self._limits = {name: most_tokens(study, name) for name in study.models}
        self._only_proxies = all(use.kind == "proxy" for use in self.uses)
        prompts = [prompt for use in self.uses for prompt in use.prompts]
        self._longest = {
            name: max(prompts, key=lambda prompt: model.tokens([Text(prompt)]), default="")
            for name, model in self._models.items()
        }

    def judge(self, shard: Path, key: str, members: Sequence[Member]) -> Refusal | None:
        """Why a sample cannot be used, if so.

        Args:
            shard: its file.
            key: of the sample.
            members: where its files lie in the shard.
        """
        try:
            sample, outline = (self._glanced if self._only_proxies else _looked)(shard, key, members)
        except SgtError as error:
            return Refusal(shard.name, key, [use.name for use in self.uses], list(self._models), _reason(key, error))
        found = []
        for use in self.uses:
            for name in self._models:
                try:
                    self._check(use, name, sample, outline)
                except SgtError as error:
                    found.append((use.name, name, _reason(key, error)))
        if not found:
            return None
        uses, models, reasons = (list(dict.fromkeys(column)) for column in zip(*found, strict=True))
        return Refusal(shard.name, key, uses, models, reasons[0])

    def _check(self, use: Use, name: str, sample: Sample, outline: Outline | None) -> None:
        """See that a model can take a sample.

        Raises:
            SgtError: it cannot.
        """
        if use.kind != "vqa" and outline is None:
            raise SgtError(sample.key, "no image", "leave this sample out")
        match use:
            case Use("vqa"):
                example = vqa_example(sample, lambda _: outline)
            case Use("proxy"):
                example = [InputImage(outline), Text(self._longest[name]), TargetImage(outline)]
            case Use(benchmark=benchmark):
                example = _asked(benchmark, sample, outline)
        tokens, limit = self._models[name].check(example), self._limits[name]
        if use.kind != "benchmark" and limit is not None and tokens > limit:
            raise SgtError(sample.key, f"{tokens} tokens, a pack holds {limit}", "raise recipe.max_tokens_per_pack")

    def _glanced(self, shard: Path, key: str, members: Sequence[Member]) -> tuple[Sample, Outline]:
        """A sample of which no more is read than the size of its picture."""
        pictures = [member for member in members if member.extension in IMAGE_SUFFIXES]
        sample = read_sample(shard, key, pictures, _BEGINNING)
        try:
            return sample, Outline(read_header(sample.image, sample.image_name).size)
        except SgtError:
            sample = read_sample(shard, key, pictures)
            return sample, Outline(read_header(sample.image, sample.image_name).size)


def _base(spec: Model) -> UnifiedModel:
    try:
        return model_without_weights(spec)
    except SgtError as error:
        problem = f"{error.problem} (samples are judged for every model of the study)"
        raise SgtError(error.where, problem, f"make or fetch the base of {spec.name} first") from None


def _reason(key: str, error: SgtError) -> str:
    *_, place = error.where.split(": ")
    return f"{place if place.startswith(f'{key}.') else key}: {error.problem}"


def _looked(shard: Path, key: str, members: Sequence[Member]) -> tuple[Sample, Outline | None]:
    """A whole sample, whose picture can be decoded if it has one."""
    sample = read_sample(shard, key, members)
    return sample, Outline(checked_image(sample.image, sample.image_name).size) if sample.has_image else None


def _asked(benchmark: Benchmark, sample: Sample, outline: Outline) -> Example:
    """What a model is given of a benchmark's sample: all its questions, or its longest prompt and an image to make."""
    texts = benchmark.item_texts(sample.json(), f"{sample.shard}: {sample.key}.json")
    system = [Text(benchmark.system)] if benchmark.system else []
    if isinstance(benchmark, ImageBenchmark):
        return [*system, Text(max(texts, key=len, default="")), TargetImage(outline)]
    # What a model answers is cut off where its context ends.
    return [*system, InputImage(outline, asked=True), *(QAPair(text, "") for text in texts)]

"""``config/benchmarks/NAME.yaml``: a task with its data, its protocol and its options.

What every benchmark has stands here. What can be chosen about one task alone are the fields of its ``Options``, a
subclass of one of the classes below in the task's own file (``sgt/evaluation/tasks``). Studies are loaded in a room
below evaluation, which they may not import, and yet a wrong option must be refused before anything runs. So tasks
are plugins: importing the package :data:`TASKS` enters each task's ``Options`` in :data:`OPTIONS`, where a study looks
them up by the name of the task, and pydantic checks the whole file in one pass.
"""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import ConfigDict, Field, model_validator

from sgt.config.fields import Count, Name, Strict
from sgt.config.inference import DecodingOptions, SamplingOptions
from sgt.config.samples import Samples

# The package whose modules are the tasks; it is imported by name when the first benchmark is read.
TASKS = "sgt.evaluation.tasks"
# What a proxy arm draws lies in a folder of this name beside those of the benchmarks, and whether it learned its proxy
# in a file of this name beside their scores.
TARGETS = "targets"
TREATMENT = "treatment"
# The protocol of a file that names none: the one of whoever published the benchmark.
OFFICIAL = "official"


class Benchmark(Strict):
    """What every benchmark has; a task's ``Options`` derive from one of the classes below.

    Attributes:
        needs: what each sample of the dataset must have for the task: ``questions``, ``captions`` or
            ``conversations``; None if the task reads something else.
        scoring_version: raised by whoever changes how the task parses replies, scores them or sums them up.
            Predictions stay, scores are made anew.
        scoring_fields: names of the fields that change scores alone, not what the model is given.
        judged: an evaluator judges predictions in a stage of its own before they are scored.
        judging_version: of a judged task, raised by whoever changes what its evaluator is given or what it records.
            Predictions stay, judgements are made anew.
        judging_fields: names of the fields that change judgements, not what the model is given.
    """

    needs: ClassVar[str | None] = None
    scoring_version: ClassVar[int] = 1
    scoring_fields: ClassVar[frozenset[str]] = frozenset()
    judged: ClassVar[bool] = False
    judging_version: ClassVar[int] = 1
    judging_fields: ClassVar[frozenset[str]] = frozenset()

    name: Name = Field(description="as in the file's name")
    task: Name = Field(description="file of sgt/evaluation/tasks, written with dashes")
    version: Count = Field(description="to be raised when anything changes what models are given")
    dataset: Name | None = Field(
        None, description="dataset of the study that the rows come from, unless they are fetched"
    )
    protocol: Name = Field(OFFICIAL, description="which of the task's ways to prompt models and to read replies")
    samples: Count | None = Field(
        None,
        description="how many samples: of the dataset, from the first, or images with their questions of a fetched "
        "benchmark, of each of its parts its share; all if left out",
    )

    @model_validator(mode="after")
    def _own_folder(self) -> "Benchmark":
        if self.name in (TARGETS, TREATMENT):
            raise ValueError(f"name: {self.name!r} is the name of a result of proxy arms: rename the benchmark")
        return self

    @property
    def system(self) -> str | None:
        """A text before everything else that a model is given."""
        return None

    @model_validator(mode="after")
    def _rows_from_one_place(self) -> "Benchmark":
        if self.dataset is None and not self.data_downloads:
            raise ValueError("dataset: the rows come from a dataset of the study: name it")
        if self.dataset is not None and self.data_downloads:
            raise ValueError("dataset: the rows are read where they were fetched: remove it")
        return self

    @property
    def data_downloads(self) -> tuple[str, ...]:
        """Names of the downloads that the rows are read from, each the value of a field; none if a dataset has them."""
        return ()

    @property
    def downloads(self) -> tuple[str, ...]:
        """Folders of fetched models that an evaluator needs, each the value of one of the fields."""
        return ()

    @property
    def not_run(self) -> str | None:
        """Why the benchmark cannot be run as it is configured, such as without a judge; None if it can."""
        return None

    @property
    def judged_together(self) -> bool:
        """Whether one job judges the predictions of all runs, row by row in turn, because a judge may drift."""
        return False

    @property
    def prediction_options(self) -> dict:
        """What decides, besides version and data, what models are given, as JSON."""
        scoring = {"name", "version", "dataset", *self.scoring_fields, *self.judging_fields, *self._folders}
        return self.model_dump(mode="json", exclude=scoring)

    @property
    def judging_options(self) -> dict:
        """What decides how predictions are judged, besides the content of downloads, as JSON."""
        fields = set(self.judging_fields) - self._folders
        return {"version": self.judging_version, **self.model_dump(mode="json", include=fields)}

    @property
    def scoring_options(self) -> dict:
        """What decides how replies are scored, besides the content of downloads, as JSON."""
        fields = set(self.scoring_fields) - self._folders
        return {"version": self.scoring_version, **self.model_dump(mode="json", include=fields)}

    @property
    def _folders(self) -> set[str]:
        """Fields that name downloads: where a model or a benchmark lies decides nothing."""
        named = (*self.downloads, *self.data_downloads)
        return {field for field in type(self).model_fields if getattr(self, field) in named}

    def item_texts(self, record: dict, where: str) -> list[str]:
        """The questions or prompts of one sample, so that a study can check early that every model can take them.

        Args:
            record: the sample's JSON.
            where: its name, for messages.

        Raises:
            SgtError: the record lacks what the task reads.
        """
        raise NotImplementedError


class AnswerBenchmark(Benchmark):
    """The model answers in words."""

    decoding: DecodingOptions

    @property
    def system(self) -> str | None:
        """That of the decoding."""
        return self.decoding.system


class FetchedBenchmark(AnswerBenchmark):
    """A published benchmark that the model answers in words. Its rows are read where they were fetched.

    Attributes:
        token_limits: by name of a protocol, how many tokens an answer may have, unless ``decoding`` says it.
        published_rows: how many rows are published, for estimates.
    """

    token_limits: ClassVar[Mapping[str, int]]
    published_rows: ClassVar[int]

    download: Name = Field(description="entry of config/data/downloads.yaml that has the rows")

    @model_validator(mode="before")
    @classmethod
    def _decoding_of_the_protocol(cls, content: object) -> object:
        if not isinstance(content, dict):
            return content
        limit = cls.token_limits.get(str(content.get("protocol")))
        decoding = content.get("decoding", {})
        if limit is None or not isinstance(decoding, dict):
            return content
        return {**content, "decoding": {"max_new_tokens": limit, **decoding}}

    @property
    def data_downloads(self) -> tuple[str, ...]:
        """The one with the rows."""
        return (self.download,)


class RatedAnswerBenchmark(AnswerBenchmark):
    """The model answers in words, and rates given continuations besides, such as the right answer."""


class LikelihoodBenchmark(Benchmark):
    """The model rates given continuations by their likelihood."""


class ImageBenchmark(Benchmark):
    """The model makes an image, which an evaluator reads.

    Attributes:
        edits: the images of a request are references to edit, not only to look at.
        smallest_side: in pixels, of an image that the evaluator can read.
    """

    edits: ClassVar[bool] = False
    smallest_side: ClassVar[int] = 1

    sampling: SamplingOptions

    @property
    def system(self) -> str | None:
        """That of the sampling."""
        return self.sampling.system

    def image_side(self, dataset: Samples | None) -> int:
        """Side of the square image that models are to make, pixels, before a model rounds it to what it can make.

        Args:
            dataset: that the prompts come from; None if they were fetched.
        """
        raise NotImplementedError


class FetchedImageBenchmark(ImageBenchmark):
    """A published benchmark that the model makes images for. Its prompts are read where they were fetched.

    Attributes:
        published_rows: how many prompts are published, for estimates.
    """

    published_rows: ClassVar[int]

    download: Name = Field(description="entry of config/data/downloads.yaml that has the prompts")
    side: Count = Field(1024, description="of the square images, pixels; of edited ones, about as much as this")

    @property
    def data_downloads(self) -> tuple[str, ...]:
        """The one with the prompts."""
        return (self.download,)

    @property
    def published_images(self) -> int:
        """How many images are made: one of each prompt, unless the benchmark has several."""
        return self.published_rows

    def image_side(self, dataset: Samples | None) -> int:
        """As the file says."""
        return self.side


class TaskName(Strict):
    """The one field of a benchmark's file that says what the others are."""

    model_config = ConfigDict(extra="ignore")

    task: str

    @model_validator(mode="before")
    @classmethod
    def _protocol_is_a_name(cls, content: object) -> object:
        # As files had it before tasks had names.
        if isinstance(content, dict) and isinstance(content.get("protocol"), dict):
            raise ValueError("protocol: is now a name: name the task, and write options under decoding or sampling")
        return content


# The ``Options`` of each task by its name.
OPTIONS: dict[str, type[Benchmark]] = {}

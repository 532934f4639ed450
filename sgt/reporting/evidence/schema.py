"""What ``evidence.json`` holds. Its JSON schema is published as ``config/evidence.schema.json``.

A cell names its runs and evaluations, these name their checkpoints, data and targets, so that nothing stands twice.
``sgt trace --json`` writes out the chain of one cell.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from sgt.config.fields import Count, Strict
from sgt.config.models import Release
from sgt.identity import UNKNOWN
from sgt.study.identity import EVIDENCE_SCHEMA

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# The content of a dataset or of base weights that are not there any more is not known.
Content = Annotated[str, Field(pattern=rf"^([0-9a-f]{{64}}|\{UNKNOWN})$")]
Files = Annotated[dict[str, Sha256], Field(description="SHA-256 of each file, by its path")]


class Code(Strict):
    """Which code ran."""

    revision: str | None = Field(description="git commit; null outside a checkout and an archive of one")
    clean: bool | None = Field(description="whether no tracked file of the package was changed; null if not known")


class Environment(Strict):
    """Which packages were installed."""

    python: str = Field(description="its version")
    packages: Sha256 = Field(description="of the names and versions; a key of `packages` if they are known")
    elsewhere: str | None = Field(None, description="packages that were imported from outside the environment")


class Device(Strict):
    """What a result was computed on."""

    type: str = Field(description="cpu or cuda")
    name: str = Field(description="of the hardware")


class Work(Strict):
    """How a result was made."""

    command: str
    code: Code
    environment: Environment | None = Field(description="null in results of earlier versions")
    device: Device | None = Field(description="null where it was not recorded")
    seconds: float | None = Field(description="wall time of the last call, which may have resumed; null if not known")
    gpu_hours: float | None = Field(description="wall time × processes on a GPU; null if not known")


class Record(Strict):
    """The JSON file that a command writes last, beside its result."""

    path: str
    sha256: Sha256


class Dataset(Strict):
    """A dataset of shards."""

    record: Record
    content: Content = Field(description="hash of the shards' hashes and counts, which identities have")
    files: Files
    samples: Count
    source: str | None = Field(description="where the images and annotations are from")
    revision: str | None = Field(description="of the source")
    licence: str | None
    download: str | None = Field(description="entry of `downloads` that it was made from; null if it was generated")
    commands: list[str]


class Targets(Strict):
    """The targets of a proxy, rendered from a dataset."""

    dataset: str
    proxy: dict[str, Any] = Field(description="its options and version")
    records: Files
    files: Files
    downloads: list[str] = Field(description="models in `downloads` that they were rendered with")
    commands: list[str] = Field(description="one per shard")


class Base(Strict):
    """The weights that a model's runs start from."""

    folders: list[str] = Field(description="the checkpoint, and what is laid over it")
    revisions: dict[str, str] = Field({}, description="commit on its hub of each folder that was fetched from one")
    released: Release | None = Field(None, description="of weights that others post-trained: from what, and on what")
    content: Content = Field(description="hash of the files' hashes, which identities have")
    files: Files


class Checkpoint(Strict):
    """The weights of a run."""

    folder: str
    sha256: Sha256 = Field(description="of the weights; of the arm base, of all files that are read")
    files: Files


class RunEvidence(Strict):
    """One trained checkpoint."""

    model: str
    arm: str
    seed: int
    record: Record
    identity: dict[str, Any] = Field(description="everything that decided the weights: recipe, data, base, targets")
    base: Content = Field(description="content of the model's entry in `bases`")
    questions: str | None = Field(description="dataset of questions")
    images: str | None = Field(description="dataset of images of the proxy")
    targets: str | None = Field(description="entry of `targets`")
    checkpoint: Checkpoint
    steps: int
    work: Work


class Data(Strict):
    """What the items of a benchmark were made from."""

    sha256: Content
    dataset: str | None = Field(description="entry of `datasets`")
    downloads: list[str] = Field(description="entries of `downloads`")


class Predictions(Strict):
    """What a run predicted on a benchmark."""

    record: Record
    path: str
    sha256: Sha256
    count: int
    work: Work


class Judgements(Strict):
    """What an evaluator made of predictions."""

    record: Record
    path: str
    sha256: Sha256
    count: int
    statuses: dict[str, int] = Field(description="how many rows were judged with each status; only `ok` gives numbers")
    work: Work


class ScoreFile(Strict):
    """What the predictions were scored as."""

    record: Record
    count: int
    scoring: dict[str, Any] = Field(description="options and version of the scoring")
    evaluator: Any = Field(description="what read the replies, with its self-check")
    downloads: list[str] = Field(description="models in `downloads` that they were read with")
    work: Work


class Evaluation(Strict):
    """A run on a benchmark."""

    run: str
    benchmark: str
    task: str
    version: int
    protocol: str
    options: dict[str, Any]
    data: Data
    predictions: Predictions
    judgements: Judgements | None = Field(None, description="null where predictions are scored as they are")
    scores: ScoreFile


class TreatmentEvidence(Strict):
    """The check of a run: whether it learned its proxy."""

    run: str
    record: Record
    data: Data
    path: str = Field(description="images that the run made")
    sha256: Sha256
    items: int
    work: Work


class MetricAbout(Strict):
    """What a number is."""

    name: str
    title: str
    unit: str
    definition: dict[str, Any] = Field(description="how it follows from the items of a score file")
    higher_is_better: bool
    range: tuple[float | None, float | None]
    version: int | None = Field(description="of the benchmark")
    protocol: str | None


class Value(Strict):
    """A number with its 95% interval; null without items, or without a spread."""

    value: float | None
    low: float | None
    high: float | None


class Control(Strict):
    """What a gain is a difference from."""

    arm: str
    runs: list[str]
    evaluations: list[str]


class Cell(Strict):
    """A cell of a table."""

    tables: list[Literal["main", "all"]]
    row: str = Field(description="MODEL/ARM")
    column: str = Field(description="BENCHMARK TITLE; `use` or `fidelity` for what says whether the arm learned")
    model: str
    arm: str
    seeds: list[int]
    benchmark: str | None = Field(description="null for use and fidelity")
    metric: MetricAbout
    number: Value
    items: int
    gain: Value | None = Field(description="over the control; null without one")
    runs: list[str] = Field(description="keys of `runs`")
    evaluations: list[str] = Field(description="keys of `evaluations`; empty for use and fidelity")
    treatments: list[str] = Field(description="keys of `treatments`")
    control: Control | None
    command: str = Field(description="makes the tables from the score files")


class StudyAbout(Strict):
    """Which study."""

    name: str
    files: Files = Field(description="SHA-256 of the files of the study, its models and benchmarks")


class Evidence(Strict):
    """What lies behind every cell of a study's tables."""

    record_sha256: Sha256 | None = Field(None, description="of everything else in this file, as sorted JSON")
    evidence_schema: Literal[EVIDENCE_SCHEMA] = EVIDENCE_SCHEMA  # type: ignore[valid-type]
    identity: dict[str, Any] = Field(
        description="the study's name and arms, and the SHA-256 of the records of runs, predictions, checks and scores"
    )
    study: StudyAbout
    packages: dict[Sha256, dict[str, str]] = Field(description="version of each package, by the hash of all")
    downloads: dict[str, Files] = Field(description="what was fetched, by its folder")
    bases: dict[str, Base] = Field(description="by model")
    datasets: dict[str, Dataset]
    targets: dict[str, Targets] = Field(description="by DATASET/PROXY")
    runs: dict[str, RunEvidence] = Field(description="by MODEL/ARM/seedN")
    evaluations: dict[str, Evaluation] = Field(description="by MODEL/ARM/seedN/BENCHMARK")
    treatments: dict[str, TreatmentEvidence] = Field(description="by MODEL/ARM/seedN")
    cells: list[Cell]


def evidence_schema() -> str:
    """The JSON schema of ``evidence.json``, as text."""
    schema = Evidence.model_json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"

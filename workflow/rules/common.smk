# The study, the paths it expands to, and what each kind of job depends on besides files.
import atexit
import json
import os
import re
import shlex
import sys
from pathlib import Path

from sgt.config.models import Model
from sgt.data.fetch import FETCHED
from sgt.data.manifest import MANIFEST, SCREENED, shard_name
from sgt.environment import require_own_packages
from sgt.errors import SgtError
from sgt.lock import locked
from sgt.models.rules import rules_of
from sgt.proxies import PROXIES
from sgt.signals import forward_to_jobs
from sgt.reporting.contents import figure_files, figures_of, table_files
from sgt.study.commands import render_choices
from sgt.study.load import load_model_spec, load_study
from sgt.study.loaded import LoadedStudy
from sgt.study.runs import Run
from sgt.study.ownership import claim_results
from sgt.study.results import EVIDENCE_FILE, PAGES, SOURCES
from sgt.config.study import ARM_WITHOUT_TRAINING
from sgt.study.reconcile import reconcile


def loaded_study() -> LoadedStudy:
    """The study of this invocation; a study that is not valid ends the run with one line."""
    try:
        require_own_packages()
        if len(workflow.configfiles) != 1:
            names = ", ".join(str(path) for path in workflow.configfiles)
            raise SgtError("--configfile", f"names more than one study ({names})", "give one")
        if workflow.config_settings.config_args:
            raise SgtError("--config", "cannot change a study", "edit the study file, or copy it to a new one")
        return load_study(os.path.relpath(workflow.configfiles[0]))
    except SgtError as error:
        sys.exit(f"snakemake: error: {error}")


def reconciled() -> dict[Path, str]:
    """The results that are not those of the study as it is, and why; one that was edited ends the run with one line."""
    try:
        return reconcile(STUDY)
    except SgtError as error:
        sys.exit(f"snakemake: error: {error}")


def remove_stale_pages() -> None:
    """Remove tables, figures, report and evidence, if they do not follow from the results of the study as it is."""
    if RESULTS / EVIDENCE_FILE in OUTDATED:
        (RESULTS / EVIDENCE_FILE).unlink(missing_ok=True)
    for page in PAGES:
        if RESULTS / page / SOURCES in OUTDATED:
            for path in (RESULTS / page).glob("*"):
                if path.is_file() and path.stem != "proxies":
                    path.unlink()


class StudyLock:
    """A lock on the results, held as long as this process lives.

    It is acquired before anything is planned, if the folder of results is there. A dry run goes on without it, since
    another run does not disturb it, and leaves no folder behind.
    """

    def __init__(self) -> None:
        self._lock, self._refused = None, None
        if RESULTS.exists():
            self._acquire()

    def require(self) -> None:
        """End this run with one line if another is going on, or the results are another study's."""
        if self._lock is None:
            self._acquire()
        try:
            if self._refused:
                raise self._refused
            claim_results(STUDY)
            # DVC versions these folders whether the study has such results or not, and cannot where they are not there.
            for folder in ("analyses", "judgements"):
                (RESULTS / folder).mkdir(exist_ok=True)
        except SgtError as error:
            sys.exit(f"snakemake: error: {error}")

    def _acquire(self) -> None:
        self._lock = locked(RESULTS / ".lock", f"study {STUDY.study.name}", "is being run")
        try:
            self._lock.__enter__()
            atexit.register(self._lock.__exit__, None, None, None)
        except SgtError as error:
            self._refused = error


# The signals that a scheduler sends ahead of a time limit are for the job's command, which saves and ends.
forward_to_jobs()

STUDY = loaded_study()
RESULTS = STUDY.results
LOGS = RESULTS / "logs"
TIMES = RESULTS / "benchmarks"
BASE_DATA = Path("data.dvc")
RUN = Run("{model}", "{arm}", "{seed}")
PREDICTIONS = RESULTS / "predictions" / RUN.id
JUDGEMENTS = RESULTS / "judgements" / RUN.id
SCORES = RESULTS / "scores" / RUN.id
# Benchmarks whose predictions are judged before they are scored: of each run alone, or of all runs in turn.
JUDGED_TOGETHER = [name for name, each in STUDY.benchmarks.items() if each.judged and each.judged_together]
JUDGED_ALONE = [name for name, each in STUDY.benchmarks.items() if each.judged and not each.judged_together]
# Newer than everything where some result is out of date: an input of the jobs that make it again. Snakemake compares
# the contents of small files, so this one never has the same twice.
CHANGED = Path(".snakemake/changed")
OUTDATED: dict[Path, str] = {}


def unless_current(*records):
    """Input of a job besides its files: none if its results are current, else a file that is newer than all."""

    def changed(wildcards) -> list[Path]:
        paths = [Path(str(record).format(**dict(wildcards.items()))) for record in records]
        return [CHANGED] if any(path in OUTDATED and path.exists() for path in paths) else []

    return changed


def fetched(folder: Path | str) -> Path:
    """The record that `sgt fetch` leaves in a folder, written last."""
    return Path(folder) / FETCHED


def vae_owner(spec: Model) -> Model | None:
    """The model whose VAE a base model takes, if it trains none of its own; the study need not have it."""
    name = spec.pretrain and spec.pretrain.vae_of
    return load_model_spec(name, STUDY.path.parent / "models") if name else None


LOCAL_CHECKPOINTS = {
    model.checkpoint: rules_of(model.family).weights
    for model in [*STUDY.models.values(), *filter(None, map(vae_owner, STUDY.models.values()))]
    if not STUDY.is_fetched(model.checkpoint)
}


wildcard_constraints:
    model="|".join(STUDY.models),
    arm="|".join([*STUDY.study.arms, *STUDY.study.transplants]),
    seed=r"\d+",
    benchmark="|".join(STUDY.benchmarks),
    analysis="|".join(STUDY.analyses),
    proxy="|".join([*PROXIES, *STUDY.study.proxies]),
    images="|".join(STUDY.study.datasets),
    download="[a-z0-9][a-z0-9_-]*",
    shard=r"shard-\d{5}",
    number=r"\d+",
    of=r"\d+",


def shards(dataset: str) -> list[str]:
    """Names of a dataset's shards."""
    return [shard_name(index) for index in range(STUDY.study.datasets[dataset].shards)]


def dataset(name: str) -> list[Path]:
    """Every file of a dataset."""
    return [STUDY.dataset_dir(name) / file for file in (MANIFEST, *shards(name))]


def targets(arm: str) -> list[Path]:
    """The target shards of an arm's proxy, and their reports."""
    tars = [STUDY.target_dir(arm) / file for file in STUDY.target_shards(arm)]
    return tars + [tar.with_suffix(".json") for tar in tars]


def preview_choices() -> str:
    """The arguments of `sgt preview` for the study's proxies and what it chose about them."""
    options = {name: STUDY.proxy(name).options.model_dump(exclude_unset=True) for name in STUDY.distinct_proxies}
    return f" --options {shlex.quote(json.dumps(options))}"


def models_to_render(arm: str) -> list[Path]:
    """The records of the fetched models that an arm's targets are rendered with."""
    return [fetched(folder) for folder in STUDY.proxy(arm).downloads]


def pretrained(model: str) -> Path:
    """The record of a base model that was made here, written after its weights."""
    return RESULTS / "base" / model / "run.json"


def base_weights_of(name: str) -> list[str]:
    """Weights a model's runs start from: those that DVC keeps, or the record of those that were fetched."""
    spec = STUDY.models[name]
    over = [str(fetched(spec.overlay))] if spec.overlay and STUDY.is_fetched(spec.overlay) else []
    if STUDY.is_fetched(spec.checkpoint):
        return [str(fetched(spec.checkpoint)), *over]
    return [*(f"{spec.checkpoint}/{file}" for file in rules_of(spec.family).weights), *over]


def all_base_weights(wildcards) -> list[str]:
    """The base weights of all models: every sample is checked for all of them."""
    return [file for name in STUDY.models for file in base_weights_of(name)]


def screened(*names: str):
    """The screenings of datasets. A training that needs another one makes it itself, so their times decide nothing."""
    return [ancient(STUDY.dataset_dir(name) / SCREENED) for name in names]


def training_data(wildcards) -> list[Path]:
    """What a run is trained on: the questions, and for a proxy arm its images and targets."""
    files = targets(wildcards.arm) if wildcards.arm in STUDY.proxy_arms else []
    for name in training_datasets(wildcards.arm):
        files += dataset(name)
    return files


def training_datasets(arm: str) -> list[str]:
    """The datasets that an arm is trained and validated on."""
    names = [subset.dataset for subset in (STUDY.study.data.vqa, STUDY.study.data.validation) if subset]
    names += [STUDY.images(arm)] if arm in STUDY.proxy_arms else []
    return list(dict.fromkeys(names))


def pretraining_data(wildcards) -> list:
    """What a base model is made from: a dataset, and another base model if it takes that one's VAE."""
    spec = STUDY.models[wildcards.model]
    if spec.pretrain is None:
        return []  # `sgt pretrain` refuses it in one line
    owner = vae_owner(spec)
    vae = [f"{owner.checkpoint}/{file}" for file in rules_of(owner.family).weights] if owner else []
    return [*dataset(spec.pretrain.dataset), *map(ancient, vae)]


def trained_run(wildcards) -> Path:
    """The record of a run, written after its weights, whose hash it holds."""
    return STUDY.run_dir(Run(wildcards.model, wildcards.arm, wildcards.seed)) / "run.json"


def transplanted_runs(wildcards) -> list[Path]:
    """The records of the two runs that a transplant is made of."""
    run = Run(wildcards.model, wildcards.arm, int(wildcards.seed))
    return [STUDY.run_dir(each) / "run.json" for each in STUDY.transplanted(run)]


def benchmark_data(wildcards) -> list[Path]:
    """What a benchmark's predictions are made of."""
    return rows_of_benchmark(wildcards.benchmark)


def rows_of_benchmark(name: str) -> list[Path]:
    """The dataset of a benchmark and the record of its screening, or the records of what its rows are read from."""
    benchmark = STUDY.benchmarks[name]
    if benchmark.dataset is None:
        return [fetched(folder) for folder in STUDY.rows_dirs(benchmark)]
    return [*dataset(benchmark.dataset), *screened(benchmark.dataset)]


def shards_of_predictions(wildcards) -> list[str]:
    """What the jobs that share a prediction leave; none if one job predicts all."""
    count = STUDY.models[wildcards.model].predict.shards
    folder = STUDY.prediction_dir(Run(wildcards.model, wildcards.arm, wildcards.seed), wildcards.benchmark)
    return [f"{folder}/shard-{number}-of-{count}" for number in range(1, count + 1)] if count > 1 else []


def models_to_score(wildcards) -> list[Path]:
    """The records of the fetched models that a benchmark is scored with."""
    return [fetched(folder) for folder in STUDY.benchmarks[wildcards.benchmark].downloads]


def what_is_scored(wildcards) -> Path:
    """The record of a run's predictions on a benchmark, or of the judgements of them if it is judged."""
    run = Run(wildcards.model, wildcards.arm, wildcards.seed)
    folder = STUDY.judgement_dir if STUDY.benchmarks[wildcards.benchmark].judged else STUDY.prediction_dir
    return folder(run, wildcards.benchmark) / "meta.json"


def of_every_run(kind: str) -> list[Path]:
    """The records of predictions or judgements of every run on a benchmark, whose name is left open."""
    return [RESULTS / kind / run.id / "{benchmark}" / "meta.json" for run in STUDY.evaluated_runs]


def one_of(names: list[str]) -> str:
    """A pattern that these names match, and no other text."""
    return "|".join(map(re.escape, names)) or "(?!)"


def scores() -> list[Path]:
    """The score files of every run on every benchmark."""
    return [RESULTS / "scores" / run.id / f"{name}.json" for run in STUDY.evaluated_runs for name in STUDY.benchmarks]


def records() -> list[Path]:
    """The records of every run, of its predictions, and of the judgements of them."""
    folders = [STUDY.run_dir(run) for run in STUDY.evaluated_runs]
    made = [STUDY.prediction_dir(run, name) for run in STUDY.evaluated_runs for name in STUDY.benchmarks]
    judged = [*JUDGED_ALONE, *JUDGED_TOGETHER]
    made += [STUDY.judgement_dir(run, name) for run in STUDY.evaluated_runs for name in judged]
    return [folder / "run.json" for folder in folders] + [folder / "meta.json" for folder in made]


def treatments() -> list[Path]:
    """The checks of every run of a proxy arm: whether it learned its proxy."""
    return [STUDY.treatment_file(run) for run in STUDY.proxy_runs]


def analyses() -> list[Path]:
    """Every analysis of every run."""
    return [STUDY.analysis_file(run, name) for run, name in STUDY.analysed]


def read_by_analysis(wildcards) -> list[Path]:
    """What an analysis reads besides a model and its dataset: other analyses, and the data of a benchmark."""
    run = Run(wildcards.model, wildcards.arm, int(wildcards.seed))
    files = [STUDY.analysis_file(each, name) for each, name in STUDY.read_by_analysis(run, wildcards.analysis)]
    asked = STUDY.analyses[wildcards.analysis].asks
    return [*files, *(rows_of_benchmark(asked) if asked else [])]


def figure(name: str) -> Path:
    """A figure's file."""
    return RESULTS / "figures" / f"{name}.png"


# The contact sheet of a study's proxies, if it has some.
PREVIEW = [figure("proxies")] if STUDY.preview_dataset else []


def shown_figure(name: str):
    """A figure that `snakemake --report` shows, with its caption."""
    return report(figure(name), caption=f"../report/{name}.rst", category="Figures", labels={"figure": name})


def shown_table(path: Path):
    """A table that `snakemake --report` shows."""
    return report(path, caption="../report/table.rst", category="Tables", labels={"table": path.stem})


def constant(value):
    """A parameter whose value is fixed now. Names in a command are looked up when its job runs, after the loop around it."""
    return lambda wildcards: value


def needs(stage: str, resource: str):
    """A job's resource, as its model says for this stage."""
    return lambda wildcards: getattr(getattr(STUDY.models[wildcards.model], stage), resource)


def to_render(resource: str):
    """A resource of a job that renders a shard, as the study says of the proxy."""
    return lambda wildcards: getattr(STUDY.proxy(wildcards.proxy).options.render, resource)


def to_render_all(resource: str) -> int:
    """A resource of a job that renders samples of every proxy."""
    return max((getattr(STUDY.proxy(arm).options.render, resource) for arm in STUDY.proxy_arms), default=1)


def on_several_nodes(value):
    """A resource that only training on several nodes has, from what the model needs for training."""

    def resource(wildcards):
        train = STUDY.models[wildcards.model].train
        return value(train) if train.nodes > 1 else None

    return resource


def gpus_of_one_node(wildcards):
    """GPUs of training on one node. On several nodes they are requested per node, as ``gres``."""
    train = STUDY.models[wildcards.model].train
    return train.gpu if train.nodes == 1 else None

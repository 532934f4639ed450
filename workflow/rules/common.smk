# The study, the paths it expands to, and what each kind of job depends on besides files.
import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path

from sgt.study.downloads import FETCHED
from sgt.data.shards import MANIFEST, shard_name
from sgt.errors import SgtError
from sgt.proxies import PROXIES
from sgt.study.adopt import require_recorded
from sgt.study.load import LoadedStudy, Run, load_model_spec, load_study
from sgt.study.benchmarks import TARGETS as DRAWN, GenerationProtocol
from sgt.study.files import load_yaml
from sgt.study.recipe import WITHOUT_EFFECT
from sgt.study.schema import ARM_WITHOUT_TRAINING


def loaded_study() -> LoadedStudy:
    """The study of this invocation; a study that is not valid ends the run with one line."""
    try:
        if len(workflow.configfiles) != 1:
            names = ", ".join(str(path) for path in workflow.configfiles)
            raise SgtError("--configfile", f"names more than one study ({names})", "give one")
        if workflow.config_settings.config_args:
            raise SgtError("--config", "cannot change a study", "edit the study file, or copy it to a new one")
        return load_study(os.path.relpath(workflow.configfiles[0]))
    except SgtError as error:
        sys.exit(f"snakemake: error: {error}")


def refuse_results_of_others() -> None:
    """Results that Snakemake has no record of end the run with one line."""
    try:
        require_recorded(STUDY)
    except SgtError as error:
        sys.exit(f"snakemake: error: {error}")


# What a scheduler sends ahead of a time limit is for the job's command, which saves and ends. Snakemake and the job's
# shell inherit this, and stay to see how it ends.
for warning in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(warning, signal.SIG_IGN)

STUDY = loaded_study()
RESULTS = STUDY.results
LOGS = RESULTS / "logs"
TIMES = RESULTS / "benchmarks"
BASE_DATA = Path("data.dvc")
RUN = Run("{model}", "{arm}", "{seed}")
PREDICTIONS = RESULTS / "predictions" / RUN.id
SCORES = RESULTS / "scores" / RUN.id
GENERATES = any(isinstance(spec.protocol, GenerationProtocol) for spec in STUDY.benchmarks.values())


def fetched(folder: Path | str) -> Path:
    """The record that `sgt fetch` leaves in a folder, written last."""
    return Path(folder) / FETCHED


LOCAL_CHECKPOINTS = [model.checkpoint for model in STUDY.models.values() if not STUDY.is_fetched(model.checkpoint)]


wildcard_constraints:
    model="|".join(STUDY.models),
    arm="|".join(STUDY.study.arms),
    seed=r"\d+",
    benchmark="|".join(STUDY.benchmarks),
    proxy="|".join([*PROXIES, *STUDY.study.proxies]),
    images="|".join(STUDY.study.datasets),
    download="[a-z0-9][a-z0-9_-]*",
    shard=r"shard-\d{5}",
    checkpoint="|".join(re.escape(folder) for folder in LOCAL_CHECKPOINTS) or "-",
    weights="|".join(re.escape(file) for model in STUDY.models.values() for file in model.weights),


def shards(dataset: str) -> list[str]:
    """Names of a dataset's shards."""
    return [shard_name(index) for index in range(STUDY.study.datasets[dataset].shards)]


def dataset(name: str) -> list[Path]:
    """Every file of a dataset."""
    return [STUDY.dataset_dir(name) / file for file in (MANIFEST, *shards(name))]


def targets(arm: str) -> list[Path]:
    """The target shards of an arm's proxy, and their reports."""
    tars = [STUDY.target_dir(arm) / file for file in shards(STUDY.images(arm))]
    return tars + [tar.with_suffix(".json") for tar in tars]


def render_choices(name: str) -> str:
    """The arguments that tell `sgt render` what the study chose about a proxy; none where it chose nothing."""
    options = STUDY.proxy(name).options.model_dump_json(exclude={"task"}, exclude_unset=True)
    told = "" if options == "{}" else f" --options {shlex.quote(options)}"
    return told + (f" --max-bad {STUDY.study.data.max_bad}" if STUDY.study.data.max_bad else "")


def preview_choices() -> str:
    """The arguments that tell `sgt preview` which proxies the study has, and what it chose about them."""
    arms = [arm for arm in STUDY.proxy_arms if arm not in STUDY.study.variants]
    options = {arm: STUDY.proxy(arm).options.model_dump(exclude_unset=True) for arm in arms}
    return f" --options {shlex.quote(json.dumps(options))}"


def models_to_render(arm: str) -> list[Path]:
    """The records of the fetched models that an arm's targets are rendered with."""
    return [fetched(folder) for folder in STUDY.proxy(arm).downloads]


def pretrained(model: str) -> Path:
    """The record of a base model that was made here, written after its weights."""
    return RESULTS / "base" / model / "run.json"


def base_weights_of(wildcards) -> list[str]:
    """Weights a model's runs start from: those that DVC keeps, or the record of those that were fetched."""
    spec = STUDY.models[wildcards.model]
    over = [str(fetched(spec.overlay))] if spec.overlay and STUDY.is_fetched(spec.overlay) else []
    if STUDY.is_fetched(spec.checkpoint):
        return [str(fetched(spec.checkpoint)), *over]
    return [*(f"{spec.checkpoint}/{file}" for file in spec.weights), *over]


def training_data(wildcards) -> list[Path]:
    """What a run is trained on: the questions, and for a proxy arm its images and targets."""
    files = dataset(STUDY.study.data.vqa)
    if wildcards.arm in STUDY.proxy_arms:
        files += dataset(STUDY.images(wildcards.arm)) + targets(wildcards.arm)
    if STUDY.study.data.validation:
        files += dataset(STUDY.study.data.validation)
    return files


def pretraining_data(wildcards) -> list:
    """What a base model is made from: a dataset, and another base model if it takes that one's VAE."""
    recipe = STUDY.models[wildcards.model].pretrain
    owner = load_model_spec(recipe.vae_of, STUDY.path.parent / "models") if recipe.vae_of else None
    taken = [f"{owner.checkpoint}/{file}" for file in owner.weights] if owner else []
    return [*dataset(recipe.dataset), *map(ancient, taken)]


def trained_run(wildcards) -> Path:
    """The record of a run, written after its weights, whose hash it holds."""
    return STUDY.run_dir(Run(wildcards.model, wildcards.arm, wildcards.seed)) / "run.json"


def benchmark_data(wildcards) -> list[Path]:
    """The dataset of a benchmark."""
    return dataset(STUDY.benchmarks[wildcards.benchmark].dataset)


def scores() -> list[Path]:
    """The score files of every run on every benchmark."""
    return [RESULTS / "scores" / run.id / f"{name}.json" for run in STUDY.runs for name in STUDY.benchmarks]


def demonstrations() -> list[Path]:
    """What each proxy arm that can be shown on held-out scenes draws for them, first seed only."""
    seed = STUDY.study.seeds[0]
    runs = [run for run in STUDY.runs if run.proxy and run.seed == seed and STUDY.demonstrates(run.proxy)]
    return [STUDY.prediction_dir(run, DRAWN) / "images.tar" for run in runs]


def figure(name: str) -> Path:
    """A figure's file."""
    return RESULTS / "figures" / f"{name}.png"


# The contact sheet of a study's proxies, if it has some.
PREVIEW = [figure("proxies")] if STUDY.previewed else []


def shown_figure(name: str):
    """A figure that `snakemake --report` shows, with its caption."""
    return report(figure(name), caption=f"../report/{name}.rst", category="Figures", labels={"figure": name})


def shown_table(path: Path):
    """A table that `snakemake --report` shows."""
    return report(path, caption="../report/table.rst", category="Tables", labels={"table": path.stem})


def needs(stage: str, resource: str):
    """A job's resource, as its model says for this stage."""
    return lambda wildcards: getattr(getattr(STUDY.models[wildcards.model], stage), resource)


def of_nodes(value):
    """A resource that only training on several nodes has, from what the model needs for training."""

    def resource(wildcards):
        train = STUDY.models[wildcards.model].train
        return value(train) if train.nodes > 1 else None

    return resource


def gpus_of_one_node(wildcards):
    """GPUs of training on one node. On several nodes they are asked for per node, as ``gres``."""
    train = STUDY.models[wildcards.model].train
    return train.gpu if train.nodes == 1 else None


def model_identity(name: str) -> str:
    """What decides a model's results, as JSON: not how it was pretrained, nor what its jobs need."""
    return STUDY.models[name].model_dump_json(exclude={"train", "predict", "pretrain"})


def base_version() -> str:
    """DVC's hash of the versioned base weights: it is the same in every clone, modification times are not."""
    if not BASE_DATA.exists():
        return "not versioned"
    return load_yaml(BASE_DATA)["outs"][0]["md5"]


def recipe_identity(wildcards) -> str:
    """What decides a run's weights besides its data, as JSON; how often it saves does not."""
    return STUDY.recipe(wildcards.model, wildcards.arm).model_dump_json(exclude=WITHOUT_EFFECT)


def proxy_identity(wildcards) -> str:
    """What the study chose about an arm's proxy, as JSON: it decides what the model is shown, too."""
    if wildcards.arm not in STUDY.proxy_arms:
        return ""
    return STUDY.proxy(wildcards.arm).options.model_dump_json()


def benchmark_identity(wildcards) -> str:
    """What decides predictions besides model and data, as JSON."""
    return STUDY.benchmarks[wildcards.benchmark].model_dump_json(exclude={"groups"})


def groups_of(wildcards) -> str:
    """The kinds that are scored together, as JSON."""
    return STUDY.benchmarks[wildcards.benchmark].model_dump_json(include={"groups"})


def generation_identity(wildcards) -> str:
    """The protocols that image generation follows, as JSON."""
    specs = STUDY.benchmarks.values()
    return " ".join(spec.model_dump_json() for spec in specs if isinstance(spec.protocol, GenerationProtocol))


def pretrain_identity(wildcards) -> str:
    """What decides a base model besides its data, as JSON."""
    return STUDY.models[wildcards.model].model_dump_json(exclude={"name", "checkpoint", "train", "predict"})

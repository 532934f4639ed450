"""A study so small that everything in it runs in seconds: real formats, real code, a model that knows nothing."""

import json
import shutil
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from sgt.commands.main import main
from sgt.study.load import load_study

# The same examples at every run, on every machine and at any load; nothing is kept between runs.
settings.register_profile("reproducible", derandomize=True, deadline=None, database=None, max_examples=200)
settings.load_profile("reproducible")

# Tests that a script starts in the background, or nohup starts, inherit that these are ignored, and a run that inherits
# that ignores them too.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# The micro model of each family that has tests, a file of config/models.
MICRO = {
    path.parent.name: yaml.safe_load(path.read_text()) for path in Path(__file__).parent.glob("models/*/micro.yaml")
}
MODEL, OMNIGEN2 = MICRO["bagel"], MICRO["omnigen2"]
STUDY = {
    "name": "micro",
    "models": ["micro"],
    "arms": ["base", "sft", "segmentation", "depth", "edge", "reconstruction", "inpainting"],
    "seeds": [0],
    "recipe": {"steps": 6, "batch": 6, "ratio": [2, 1], "optimizer": {"lr": 1.0e-3, "warmup": 2}, "save_every": 2},
    "datasets": {
        "pretrain": {"source": "toyworld", "split": "pretrain", "scenes": 24},
        "scenes": {"source": "toyworld", "split": "proxy", "scenes": 24, "per_shard": 12},
        "questions": {"source": "toyworld", "split": "vqa", "scenes": 24},
        "test": {"source": "toyworld", "split": "test", "scenes": 24},
    },
    "data": {"proxy": "scenes", "vqa": "questions"},
    "benchmarks": ["toyworld-qa", "toyworld-gen"],
}
# Of the study whose every result is made for the tests that look at results.
MADE_ARMS = ["base", "sft", "edge"]
GENERATION = {
    "name": "toyworld-gen",
    "task": "toyworld-gen",
    "version": 1,
    "dataset": "test",
    "samples": 6,
    "sampling": {"num_steps": 3, "cfg_text_scale": 3.0, "cfg_interval": [0.0, 1.0]},
}


def sides(longest: int, shortest: int | None = None, stride: int = 8) -> dict:
    """How BAGEL scales an image."""
    return {"max_image_size": longest, "min_image_size": shortest or longest, "image_stride": stride}


def write_study(root: Path, **changes) -> Path:
    """Write the study with top-level fields changed, the models and its benchmarks; returns the study file."""
    for folder in ("models", "benchmarks"):
        (root / "config" / folder).mkdir(parents=True, exist_ok=True)
    for model in MICRO.values():
        (root / f"config/models/{model['name']}.yaml").write_text(yaml.safe_dump(model))
    (root / "config/benchmarks/toyworld-gen.yaml").write_text(yaml.safe_dump(GENERATION))
    ours = Path(__file__).parents[1] / "config/benchmarks/toyworld-qa.yaml"
    shutil.copyfile(ours, root / "config/benchmarks/toyworld-qa.yaml")
    (root / "config/micro.yaml").write_text(yaml.safe_dump({**STUDY, **changes}))
    return root / "config/micro.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole workflows first: they take longest, and no worker shall be left alone with one at the end."""
    items.sort(key=lambda item: "tests/workflow/" not in item.nodeid)


def sgt(*words: object) -> None:
    """Run a command that must succeed."""
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder with the study, its datasets, targets and base weights; tests work in copies of it."""
    root = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_study(root)
        for name, spec in STUDY["datasets"].items():
            out = f"results/shards/{name}"
            per_shard = spec.get("per_shard", 1000)
            words = ["--split", spec["split"], "--scenes", spec["scenes"], "--per-shard", per_shard, "--workers", 1]
            sgt("toyworld", out, *words)
        for proxy in STUDY["arms"][2:]:
            for shard in ("shard-00000", "shard-00001"):
                out = f"results/targets/scenes/{proxy}/{shard}.tar"
                sgt("render", proxy, f"results/shards/scenes/{shard}.tar", out)
        sgt("pretrain", "config/micro.yaml", "--model", "micro", "--out", "results/base/micro", "--threads", 1)
        shutil.copytree("results/base/micro/final", "base/micro")
    return root


@pytest.fixture(scope="session")
def prepared_for(prepared, tmp_path_factory) -> Callable[[str], Path]:
    """The same, as a function of the family whose micro model the study has; each is prepared once."""

    @cache
    def prepare(family: str) -> Path:
        if family == MODEL["family"]:
            return prepared
        name = MICRO[family]["name"]
        root = tmp_path_factory.mktemp(f"prepared-{family}") / "study"
        shutil.copytree(prepared, root)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            write_study(root, models=[name])
            sgt("pretrain", "config/micro.yaml", "--model", name, "--out", f"results/base/{name}", "--threads", 1)
            shutil.copytree(f"results/base/{name}/final", f"base/{name}")
        return root

    return prepare


@pytest.fixture
def study_of(prepared_for, tmp_path, monkeypatch) -> Callable[[str], Path]:
    """A function of a family: copies its prepared study, which becomes the working directory; returns its file."""

    def copy(family: str) -> Path:
        root = tmp_path / "study"
        shutil.copytree(prepared_for(family), root)
        monkeypatch.chdir(root)
        return Path("config/micro.yaml")

    return copy


@pytest.fixture
def study(study_of) -> Path:
    """A copy of the prepared study with the micro BAGEL, which is the working directory: its file."""
    return study_of("bagel")


@pytest.fixture
def study_omnigen2(study_of) -> Path:
    """The same with the micro OmniGen2."""
    return study_of("omnigen2")


@pytest.fixture(scope="session")
def made(prepared, tmp_path_factory):
    """Every result of a small study, made by hand, step by step."""
    root = tmp_path_factory.mktemp("made") / "study"
    shutil.copytree(prepared, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        study = load_study(write_study(Path(), arms=MADE_ARMS, benchmarks=["toyworld-qa"]))
        for run in study.runs:
            words = [study.path, "--model", run.model, "--arm", run.arm, "--seed", run.seed]
            sgt("train", *words)
            sgt("predict", *words, "--benchmark", "toyworld-qa")
            sgt("score", *words, "--benchmark", "toyworld-qa")
            if run.proxy:
                sgt("treatment", *words)
        sheet = Path("results/figures/proxies.png")
        options = json.dumps({"edge": {"task": "edge"}})
        words = ["results/shards/scenes/shard-00000.tar", sheet, "--record", sheet.with_suffix(".json")]
        sgt("preview", *words, "--options", options)
        for page in ("tables", "figures", "evidence", "report"):
            sgt(page, study.path)
    return root


@pytest.fixture
def results(made, tmp_path, monkeypatch):
    """A copy of them, which is the working directory."""
    shutil.copytree(made, tmp_path / "study")
    monkeypatch.chdir(tmp_path / "study")
    return Path("results")

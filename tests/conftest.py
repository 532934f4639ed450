"""A study so small that everything in it runs in seconds: real formats, real code, a model that knows nothing."""

import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

from sgt.commands.main import main

# The same examples at every run, on every machine and at any load; nothing is kept between runs.
settings.register_profile("reproducible", derandomize=True, deadline=None, database=None, max_examples=200)
settings.load_profile("reproducible")


def sides(longest: int, shortest: int | None = None, stride: int = 8) -> dict:
    """How BAGEL scales an image."""
    return {"max_image_size": longest, "min_image_size": shortest or longest, "image_stride": stride}


MODEL = {
    "name": "micro",
    "family": "bagel",
    "checkpoint": "base/micro",
    "input_image": sides(48),
    "target_image": sides(48),
    "device": "cpu",
    "architecture": {
        "llm": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
        },
        "vit": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "image_size": 48,
            "patch_size": 8,
        },
        "vae": {"ch": 8, "ch_mult": [1, 2, 2], "num_res_blocks": 1, "z_channels": 4, "norm_groups": 4},
        "max_latent_size": 6,
    },
    "pretrain": {
        "dataset": "pretrain",
        "vae_steps": 4,
        "vae_batch": 8,
        "steps": 6,
        "vqa_batch": 4,
        "image_batch": 4,
        "optimizer": {"lr": 2.0e-3, "warmup": 2},
        "save_every": 3,
    },
}
OMNIGEN2 = {
    **MODEL,
    "name": "micro-omnigen2",
    "family": "omnigen2",
    "checkpoint": "base/micro-omnigen2",
    "input_image": {"max_pixels": 2304, "min_pixels": 2304, "image_stride": 8},
    "target_image": {"max_pixels": 2304, "max_side_length": 48, "image_stride": 8},
    "architecture": {
        "transformer": {
            "in_channels": 4,
            "hidden_size": 32,
            "num_layers": 2,
            "num_refiner_layers": 1,
            "num_attention_heads": 4,
            "num_kv_heads": 2,
            "multiple_of": 32,
            "axes_dim_rope": [4, 2, 2],
            "axes_lens": [512, 6, 6],
            "text_feat_dim": 32,
        },
        "mllm": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]},
            "tie_word_embeddings": False,
            "vision_config": {
                "depth": 1,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_heads": 4,
                "out_hidden_size": 32,
                "patch_size": 4,
                "window_size": 16,
                "fullatt_block_indexes": [0],
            },
        },
        "vae": MODEL["architecture"]["vae"],
    },
}
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
GENERATION = {
    "name": "toyworld-gen",
    "task": "toyworld-gen",
    "version": 1,
    "dataset": "test",
    "samples": 6,
    "sampling": {"num_steps": 3, "cfg_text_scale": 3.0, "cfg_interval": [0.0, 1.0]},
}


def write_study(root: Path, **changes) -> Path:
    """Write the study with top-level fields changed, the models and its benchmarks; returns the study file."""
    for folder in ("models", "benchmarks"):
        (root / "config" / folder).mkdir(parents=True, exist_ok=True)
    for model in (MODEL, OMNIGEN2):
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


@pytest.fixture
def study(prepared, tmp_path, monkeypatch):
    """A copy of the prepared study, which is the working directory; its file is ``config/micro.yaml``."""
    root = tmp_path / "study"
    shutil.copytree(prepared, root)
    monkeypatch.chdir(root)
    return Path("config/micro.yaml")


@pytest.fixture(scope="session")
def prepared_omnigen2(prepared, tmp_path_factory):
    """The same for the micro OmniGen2."""
    root = tmp_path_factory.mktemp("prepared-omnigen2") / "study"
    shutil.copytree(prepared, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        name = OMNIGEN2["name"]
        write_study(root, models=[name])
        sgt("pretrain", "config/micro.yaml", "--model", name, "--out", f"results/base/{name}", "--threads", 1)
        shutil.copytree(f"results/base/{name}/final", f"base/{name}")
    return root


@pytest.fixture
def study_omnigen2(prepared_omnigen2, tmp_path, monkeypatch):
    """A copy of that study, which is the working directory; its file is ``config/micro.yaml``."""
    root = tmp_path / "study"
    shutil.copytree(prepared_omnigen2, root)
    monkeypatch.chdir(root)
    return Path("config/micro.yaml")

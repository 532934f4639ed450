"""Loss curves of the tiny models of ``config/tiny.yaml``: the first steps of one arm, from the weights in ``store/``.

``tests/training/golden.json`` holds them as they are; ``make golden`` writes it anew.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import yaml

from sgt.commands.main import main

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_suffix(".json")
MODELS = ("bagel-tiny", "omnigen2-tiny")
ARM = "segmentation"
SCENES, STEPS, BATCH = 16, 5, 5
NUMBERS = ("ce", "mse", "grad_norm")


def write_study() -> None:
    """Write ``study.yaml`` into ``config`` of the working directory: the default study with fewer scenes and steps."""
    shutil.copytree(ROOT / "config", "config")
    shutil.copytree(ROOT / ".dvc", ".dvc", ignore=lambda *_: {"cache", "tmp", "config.local"})
    shutil.copy(ROOT / "data.dvc", ".")
    Path("store").symlink_to(ROOT / "store")
    study = yaml.safe_load(Path("config/tiny.yaml").read_text())
    recipe = {**study["recipe"], "steps": STEPS, "batch": BATCH, "optimizer": {"lr": 1.0e-3, "warmup": 1}}
    del recipe["validate_every"], study["data"]["validation"]
    datasets = study["datasets"] | {
        name: {**study["datasets"][name], "scenes": SCENES} for name in ("scenes", "questions")
    }
    study |= {"results": "results", "arms": ["sft", ARM], "recipe": recipe, "datasets": datasets}
    Path("config/study.yaml").write_text(yaml.safe_dump(study))


def sgt(*words: object) -> None:
    """Run a command that must succeed."""
    assert main([str(word) for word in words]) == 0


def prepare() -> None:
    """Make the study's base weights, datasets and targets in the working directory."""
    write_study()
    for model in MODELS:
        sgt("base", f"data/base/{model}")
    for name, split in (("scenes", "proxy"), ("questions", "vqa")):
        sgt("toyworld", f"results/shards/{name}", "--split", split, "--scenes", SCENES, "--workers", 1)
    shard = "shard-00000.tar"
    sgt("render", ARM, f"results/shards/scenes/{shard}", f"results/targets/scenes/{ARM}/{shard}")


def curve(model: str) -> dict[str, list[float]]:
    """Train one model in the working directory; its losses and gradient norms, step by step."""
    sgt("train", "config/study.yaml", "--model", model, "--arm", ARM, "--seed", 0)
    lines = Path(f"results/runs/{model}/{ARM}/seed0/metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    return {name: [step[name] for step in steps] for name in NUMBERS}


def renew() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare()
        curves = {model: curve(model) for model in MODELS}
    FILE.write_text(json.dumps(curves, indent=2) + "\n")


if __name__ == "__main__":
    renew()

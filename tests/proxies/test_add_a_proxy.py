"""A new proxy is one file in ``sgt/proxies/tasks`` and one line of a study: docs/templates/proxy.py is such a file."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from sgt.data.images import decode_target, image_of
from sgt.data.shards import read_shard
from sgt.proxies import PROXIES
from tests.conftest import write_study

ROOT = Path(__file__).parents[2]
ARMS = ["base", "sft", "contrast"]


@pytest.fixture(scope="module")
def checkout(prepared, tmp_path_factory):
    """A copy of the package with the template as its only change, beside a study that lists it as an arm."""
    folder = tmp_path_factory.mktemp("checkout") / "sgt"
    shutil.copytree(prepared, folder)
    for part in ("sgt", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "docs/templates/proxy.py", folder / "sgt/proxies/tasks/contrast.py")
    write_study(folder, arms=ARMS, recipe={"steps": 1, "batch": 3, "ratio": [2, 1], "optimizer": {"lr": 1.0e-3}})
    return folder


def python(folder: Path, *words: str) -> str:
    """Run Python with the copied package; returns what it prints."""
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sgt(folder: Path, *commands: str) -> str:
    """Run commands of the copied package, one after another in one process; returns what they print."""
    script = "import sys; from sgt.commands.main import main; sys.exit(any(main(it.split()) for it in sys.argv[1:]))"
    return python(folder, "-c", script, *commands)


def test_it_is_no_part_of_the_package_before_it_is_copied():
    assert "contrast" not in PROXIES


def test_its_options_are_in_the_schema(checkout):
    schema = json.loads(sgt(checkout, "schema"))
    (options,) = [each for name, each in schema["$defs"].items() if "tasks__contrast" in name]
    assert options["properties"]["cutoff"]["default"] == 1.0


def test_its_targets_are_rendered_shown_and_trained_on(checkout):
    sources = [f"results/shards/scenes/shard-0000{number}.tar" for number in (0, 1)]
    targets = [f"results/targets/scenes/contrast/shard-0000{number}.tar" for number in (0, 1)]
    options = '{"contrast":{"task":"contrast"},"strong":{"task":"contrast","cutoff":20}}'
    printed = sgt(
        checkout,
        "check config/micro.yaml",
        *(f"render contrast {source} {target}" for source, target in zip(sources, targets, strict=True)),
        f"preview {sources[0]} sheet.png --options {options} --count 2 --side 48",
        "screen config/micro.yaml scenes --workers 1",
        "train config/micro.yaml --model micro --arm contrast --seed 0",
    )
    assert "run micro/contrast/seed0: 1 step" in printed
    for sample, rendered in zip(read_shard(checkout / sources[1]), read_shard(checkout / targets[1]), strict=True):
        expected = ImageOps.autocontrast(image_of(sample), 1.0)
        assert rendered.key == sample.key
        assert (np.asarray(decode_target(rendered.get("png"), "target")) == np.asarray(expected)).all()
    assert Image.open(checkout / "sheet.png").width == 6 + 3 * 54
    record = json.loads((checkout / "results/runs/micro/contrast/seed0/run.json").read_text())
    assert record["steps"] == 1 and record["identity"]["proxy"]["task"] == "contrast"


def test_the_tests_of_every_proxy_run_it(checkout):
    # In the usual place for its files, this session would first remove what earlier ones left there.
    kept_apart = ["-p", "no:cacheprovider", "--basetemp", "tests-of-the-copy"]
    words = ["-m", "pytest", "-v", *kept_apart, "tests/proxies/test_every_proxy.py", "-k", "contrast or prompt"]
    passed = [line.split()[0] for line in python(checkout, *words).splitlines() if "PASSED" in line]
    assert sum("contrast]" in name for name in passed) >= 4

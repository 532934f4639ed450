"""The command that measures a GPU, tried on the CPU with the tiny models."""

import json
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from packaging.requirements import Requirement

from perf.gpu.command import COMPLETE, run_limited, run_step
from perf.gpu.numerics import relative
from perf.gpu.official import additive_masks, official_losses
from perf.gpu.report import Outcome, write_report
from perf.gpu.rows import Row, RowFile
from perf.gpu.setting import Setting
from perf.gpu.steps import STEPS
from perf.gpu.training import estimated, most_layers, prepare, with_layers
from sgt.config.recipe import Optimizer
from sgt.models.estimate import USABLE
from sgt.models.registry import sizes_of
from sgt.models.sizes import Tokens

# They guard no number of a study, and each step loads models.
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SETTING = Setting(torch.device("cpu"), tiny=True)
# What a bare machine has, and what these need.
GIVEN = ("torch", "transformers", "safetensors", "tokenizers", "pillow", "numpy", "scipy", "pydantic", "pyyaml")


def rows_of(name):
    step = STEPS[name]
    return list(getattr(import_module(step.module), step.function)(SETTING))


@pytest.mark.parametrize("name", ["train-short", pytest.param("train-lora", marks=pytest.mark.slow), "train-omnigen2"])
def test_training_is_measured_after_a_first_step(name):
    first, *timed = rows_of(name)
    assert list(first.figures) == ["seconds"] and timed[-1].figures["steps"] == SETTING.steps
    for figure in ("tokens", "tokens_per_s", "tflop_per_s", "estimated_gb"):
        assert timed[-1].figures[figure] > 0


def test_the_numerics_agree():
    rows = rows_of("numerics")
    assert len(rows) == 7 and all(row.figures["agrees"] == "yes" for row in rows), rows


def test_a_difference_or_a_nan_is_an_error():
    exact = torch.ones(4, dtype=torch.float64)
    assert relative(exact * 1.5, exact) == pytest.approx(0.5) and relative(exact * torch.nan, exact) == float("inf")


def test_the_official_way_has_the_same_losses_and_gradients():
    recipe = SETTING.recipe(precision="fp32", optimizer=Optimizer())
    training = prepare(SETTING, SETTING.bagel, recipe, SETTING.short_pack)
    network, batch = training.model.network, training.batch
    latents, parameters = training.model._latents(batch), training.parameters
    ours = network(batch, latents, 1.0)
    theirs = official_losses(network, batch, latents, 1.0, additive_masks(batch, network.dtype))
    assert len(ours.ce) > 0 and len(ours.mse) > 0
    torch.testing.assert_close(theirs.ce, ours.ce, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(theirs.mse, ours.mse, rtol=1e-4, atol=1e-5)
    slopes = [torch.autograd.grad(found.ce.mean() + found.mse.mean(), parameters) for found in (ours, theirs)]
    for own, other in zip(*slopes, strict=True):
        torch.testing.assert_close(other, own, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_the_official_way_is_timed_beside_ours():
    *both, ratio = rows_of("official")
    assert len(both) == 2 and ratio.figures["official_over_sgt"] > 0


@pytest.mark.slow
def test_a_profile_has_all_time_and_three_losses():
    shares, _, *losses = rows_of("profile")
    assert sum(shares.figures.values()) == pytest.approx(1)
    assert {"matrix products", "attention", "update"} <= shares.figures.keys()
    assert len(losses) == 3 and losses[0].figures["seconds"] >= losses[-1].figures["seconds"]


@pytest.mark.parametrize("name", ["inference", "loader"])
def test_rates_are_measured(name):
    rows = rows_of(name)
    assert rows and all(value > 0 for row in rows for value in row.figures.values())


def test_a_gpu_that_is_too_small_gets_as_many_layers_as_fit(monkeypatch):
    spec, recipe, tokens = SETTING.bagel, SETTING.recipe(), Tokens(200, 50, 50, 20, 9000, 900)
    bytes_of = [estimated(spec, sizes_of(with_layers(spec, n)), recipe, tokens).total for n in (1, 2, 3, 4)]
    assert bytes_of == sorted(bytes_of)
    for memory, layers in (
        (bytes_of[2] / USABLE + 1, 3),
        (bytes_of[3] / USABLE + 1, 4),
        (bytes_of[1] / USABLE - 1, 1),
        (0, 1),
    ):
        about = SimpleNamespace(total_memory=memory)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, about=about: about)
        assert most_layers(Setting(torch.device("cuda"), tiny=True), spec, recipe, tokens) == layers


def test_a_step_is_stopped_at_its_limit_with_its_children():
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(1000)'])"
    assert run_limited([sys.executable, "-c", program], 1) == "stopped after 1 s"
    assert run_limited([sys.executable, "-c", "raise SystemExit('no memory')"], 60) == "failed: no memory"
    assert run_limited([sys.executable, "-c", ""], 60) == COMPLETE
    assert run_step("loader", [], 0).ended.startswith("not started")


def test_a_line_that_was_cut_off_is_left_out_and_the_last_of_a_kind_is_reported(tmp_path):
    rows = RowFile(tmp_path / "rows.jsonl")
    for tokens in (1.0, 2.0):
        rows.add(Row("train-short", "all | weights", {"tokens_per_s": tokens, "forward_s": 0.5, "mfu": 0.375}))
    with rows.path.open("a") as file:
        file.write('{"step": "train-lo')
    write_report(tmp_path, {"gpu": ""}, [Outcome("train-short", 3.0, "stopped after 3 s")], rows.read())
    found = json.loads((tmp_path / "results.json").read_text())
    assert [row["figures"]["tokens_per_s"] for row in found["rows"]] == [2.0]
    assert found["steps"][0]["ended"] == "stopped after 3 s"
    report = (tmp_path / "results.md").read_text()
    assert "37.5%" in report and "all \\| weights" in report and "stopped after 3 s" in report


def needed(names):
    """The distributions of some names and everything they need."""
    found, left = {}, list(names)
    while left:
        name = left.pop()
        if name not in found:
            found[name] = metadata.distribution(name)
            requirements = map(Requirement, found[name].requires or [])
            left += [each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found.values()


@pytest.mark.slow
def test_it_runs_where_there_is_nothing_but_what_it_says(tmp_path):
    """With a Python outside this environment, which finds the files of those packages alone."""
    site = tmp_path / "site"
    site.mkdir()
    for distribution in needed(GIVEN):
        for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            link = site / top
            if not link.exists():
                link.symlink_to(Path(distribution.locate_file(top)).resolve())
    bare = {"PYTHONPATH": f"{site}:{ROOT}", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    modules = sorted({step.module for step in STEPS.values()})
    words = ["--tiny", "--device", "cpu", "--steps", "loader", "--out", str(tmp_path / "out")]
    program = f"""import {", ".join(modules)}
try:
    import pycocotools
except ImportError:
    print("bare", flush=True)
from dataclasses import replace
from perf.gpu import main
from perf.gpu.steps import STEPS
# Other work on the machine must not stop it.
STEPS["loader"] = replace(STEPS["loader"], seconds=500)
main({words})"""
    # -s: without the packages of a user's home.
    python = [sys._base_executable, "-s", "-c", program]
    done = subprocess.run(python, env=bare, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and done.stdout.startswith("bare\n"), done.stdout + done.stderr
    report = json.loads((tmp_path / "out/results.json").read_text())
    assert [step["ended"] for step in report["steps"]] == [COMPLETE] and report["rows"]

"""The second family in two processes (gloo) and one: losses to 1e-5, and each resumes from the other's checkpoints."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.conftest import OMNIGEN2, write_study
from tests.training.conftest import Micro
from tests.training.test_processes import RECIPE, close, resume_with_other_processes, tensors_close

NAME = OMNIGEN2["name"]


def prepared(arm: str = "segmentation", **recipe: object) -> Micro:
    write_study(Path(), models=[NAME], recipe={**RECIPE, **recipe})
    return Micro(arm, NAME)


def alone(run: Micro) -> list[tuple]:
    """The losses with one process; the run's folder is then moved away."""
    status, output = run.run_with()
    assert status == 0, output
    losses = run.losses()
    run.folder.rename("alone")
    return losses


def weights_close(one: Path, other: Path) -> None:
    for file in ("transformer/diffusion_pytorch_model.safetensors", "mllm/model.safetensors"):
        tensors_close(*(load_file(folder / "final" / file) for folder in (one, other)))


@pytest.mark.parametrize(
    ("arm", "recipe"),
    [
        pytest.param("segmentation", {}, marks=pytest.mark.slow),
        # One process has a single sample: nothing to answer, or nothing to make.
        ("segmentation", {"batch": 3, "activation_checkpointing": True, "ema": 0.5}),
        pytest.param("segmentation", {"trains": ["vision"]}, marks=pytest.mark.slow),
        pytest.param("sft", {}, marks=pytest.mark.slow),
        # At first nothing to answer, then nothing to make.
        pytest.param("segmentation", {"order": "sequential"}, marks=pytest.mark.slow),
        # One process has no sample at all.
        pytest.param("sft", {"batch": 2, "ratio": [1, 1]}, marks=pytest.mark.slow),
    ],
)
def test_two_processes_give_the_losses_of_one(arm, recipe, study_omnigen2):
    run = prepared(arm, **recipe)
    losses = alone(run)
    status, output = run.run_with(processes=2)
    assert status == 0, output
    close(run.losses(), losses)
    weights_close(run.folder, Path("alone"))
    assert json.loads((run.folder / "run.json").read_text())["processes"] == 2


@pytest.mark.parametrize(("first", "then"), [pytest.param(1, 2, marks=pytest.mark.slow), (2, 1)])
def test_a_checkpoint_is_resumed_by_another_number_of_processes(first, then, study_omnigen2):
    run = prepared()
    losses = alone(run)
    resume_with_other_processes(run, first, then)
    close(run.losses(), losses)
    weights_close(run.folder, Path("alone"))

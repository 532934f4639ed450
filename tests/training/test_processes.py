"""Two processes (gloo) and one: the same samples, losses to 1e-5, and each resumes from the other's checkpoints."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import STUDY, sgt, write_study
from tests.training.conftest import Micro
from tests.training.events import Event

STEPS = 6
# Without an epsilon, Adam would step by the sign of gradients that are zero up to rounding.
RECIPE = {**STUDY["recipe"], "optimizer": {"lr": 1.0e-3, "warmup": 2, "eps": 1.0e-7}}


@pytest.fixture
def alone(run):
    """The losses with one process; the run's folder is then moved away."""
    write_study(Path(), recipe=RECIPE)
    assert run.run_with()[0] == 0
    losses = run.losses()
    run.folder.rename("alone")
    return losses


def close(got: list[tuple], want: list[tuple]) -> None:
    assert [line[0] for line in got] == [line[0] for line in want] == list(range(STEPS))
    for one, other in zip(got, want, strict=True):
        assert one[1:] == pytest.approx(other[1:], rel=1e-5)


def weights_close(one: Path, other: Path) -> None:
    ours, theirs = load_file(one / "final/ema.safetensors"), load_file(other / "final/ema.safetensors")
    tensors_close(ours, theirs)


def tensors_close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    # Saved in bf16, so a difference may be rounded up.
    assert all(torch.allclose(ours[name].float(), theirs[name].float(), rtol=1e-2, atol=2e-4) for name in ours)


def resume_with_other_processes(run: Micro, first: int, then: int) -> None:
    """Kill the run in ``first`` processes as they save step 6; resume it in ``then`` processes, from step 4."""
    status, output = run.run_with(Event("sgt.training.checkpoints.Checkpoints.save", call=3), processes=first)
    assert status != 0 and run.checkpoints() == ["step-0000002", "step-0000004"], output
    status, output = run.run_with(processes=then)
    assert status == 0, output
    assert "resuming from" in output and "step-0000004" in output


def test_two_processes_give_the_losses_of_one(run, alone):
    """With the launcher that users have; other tests start the processes themselves."""
    status, output = run.finish(processes=2)
    assert status == 0, output
    close(run.losses(), alone)
    weights_close(run.folder, Path("alone"))
    record = json.loads((run.folder / "run.json").read_text())
    assert record["processes"] == 2
    assert record["command"].startswith("sgt launch --nodes 1 --processes 2 train ")


@pytest.mark.parametrize(("first", "then"), [pytest.param(1, 2, marks=pytest.mark.slow), (2, 1)])
def test_a_checkpoint_is_resumed_by_another_number_of_processes(first, then, run, alone):
    resume_with_other_processes(run, first, then)
    close(run.losses(), alone)
    weights_close(run.folder, Path("alone"))


def test_a_process_without_samples_takes_part(study):
    """With sampling weights, the control has a step's samples without those of the proxy: one in a batch of two."""
    recipe = {name: value for name, value in RECIPE.items() if name != "ratio"}
    write_study(Path(), recipe={**recipe, "batch": 2, "sampling_weights": [1, 5], "max_tokens_per_pack": 500})
    run = Micro("sft")
    assert run.run_with()[0] == 0
    losses = run.losses()
    run.folder.rename("alone")
    status, output = run.run_with(processes=2)
    assert status == 0, output
    close(run.losses(), losses)
    weights_close(run.folder, Path("alone"))


@pytest.mark.slow
def test_averages_adapters_and_packs_work_in_two_processes(run):
    lora = {"rank": 4, "alpha": 8.0, "parts": ["understanding", "generation"]}
    write_study(
        Path(),
        recipe={**RECIPE, "lora": lora, "ema": 0.5, "max_tokens_per_pack": 500, "activation_checkpointing": True},
    )
    assert run.run_with()[0] == 0
    losses = run.losses()
    run.folder.rename("alone")
    status, output = run.run_with(processes=2)
    assert status == 0, output
    close(run.losses(), losses)
    weights_close(run.folder, Path("alone"))


@pytest.mark.slow
def test_bf16_arithmetic_in_two_processes_is_nearly_that_of_one(run):
    """Several processes gather all weights in bf16, also those of norms, which one process keeps in fp32."""
    write_study(Path(), recipe={**RECIPE, "precision": "bf16-autocast"})
    assert run.run_with()[0] == 0
    losses = run.losses()
    run.folder.rename("alone")
    status, output = run.run_with(processes=2)
    assert status == 0, output
    for one, other in zip(run.losses(), losses, strict=True):
        assert one[1:3] == pytest.approx(other[1:3], rel=2e-3)


@pytest.mark.slow
def test_processes_wait_for_slow_data_while_saving_and_validating(run):
    """The threads for data, for validation and for training each communicate with their own kind, in any order."""
    sgt("toyworld", "results/shards/validation", "--split", "validation", "--scenes", 16, "--workers", 1)
    held_out = {"validation": {"source": "toyworld", "split": "validation", "scenes": 16}}
    write_study(
        Path(),
        recipe={**RECIPE, "save_every": 1, "validate_every": 1, "validate_samples": 8},
        datasets={**STUDY["datasets"], **held_out},
        data={**STUDY["data"], "validation": "validation"},
    )
    assert run.run_with()[0] == 0
    alone = metrics(run)
    run.folder.rename("alone")
    slow = Event("sgt.training.batch_loader.BatchLoader.load", "sleep", call=0, rank=0, seconds=0.1)
    status, output = run.run_with(slow, processes=2)
    assert status == 0, output
    for line, other in zip(metrics(run), alone, strict=True):
        assert line["tokens"] == other["tokens"]
        for name in ("ce", "mse", "validation_vqa", "validation_proxy"):
            assert line[name] == pytest.approx(other[name], rel=1e-4)
        assert line["validation_use"] == pytest.approx(other["validation_use"], abs=1e-5)


def metrics(run: Micro) -> list[dict]:
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]

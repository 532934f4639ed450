"""Stochastic rounding: right on average, never farther than the next number, and AdamW in all else."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from sgt.config.recipe import Optimizer, Recipe
from sgt.training import rounding
from sgt.training.optimizer import make_adamw
from sgt.training.rounding import RoundingAdamW, rounded
from tests.conftest import STUDY, sgt, write_study

STOCHASTIC = {"lr": 1e-5, "rounding": "stochastic"}


def test_rounding_is_to_a_neighbour_and_right_on_average():
    torch.manual_seed(0)
    for value in (1.001, -1.001, 3.14159, -1e-7, 0.0, 1.0, -65280.5):
        x = torch.full((200_000,), value)
        got = rounded(x)
        assert got.dtype == torch.bfloat16
        near = torch.tensor(value).bfloat16().float()
        spacing = 2.0 ** (torch.tensor(abs(value)).clamp_min(1e-30).log2().floor() - 7)
        assert (got.float() - x).abs().max() <= spacing
        assert got.unique().numel() == (1 if near == value else 2)
        assert abs(got.double().mean().item() - value) <= 0.01 * spacing


def test_a_step_is_that_of_adamw():
    """In fp32, to rounding error; also over several chunks."""
    torch.manual_seed(0)
    start = torch.randn(7, 5)
    recipe = Optimizer(lr=1e-2, weight_decay=0.1)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    values = {"lr": recipe.lr, "betas": recipe.betas, "eps": recipe.eps, "weight_decay": recipe.weight_decay}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "CHUNK", 8)
        mine, other = RoundingAdamW([ours], **values), make_adamw([theirs], recipe)
        for _ in range(4):
            ours.grad = torch.randn(7, 5)
            theirs.grad = ours.grad.clone()
            mine.step()
            other.step()
    torch.testing.assert_close(ours, theirs)
    assert mine.state[ours].keys() == other.state[theirs].keys() == {"step", "exp_avg", "exp_avg_sq"}


@pytest.mark.parametrize("kind", ["stochastic", "nearest"])
def test_small_updates_arrive_only_if_rounded_by_chance(kind):
    """400 steps of 1e-5 against a constant gradient: weights of 1 lie 1/128 or 1/256 apart."""
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.ones(4096, dtype=torch.bfloat16))
    optimizer = make_adamw([parameter], Optimizer(lr=1e-5, rounding=kind))
    for _ in range(400):
        parameter.grad = torch.full_like(parameter, 0.5)
        optimizer.step()
    moved = 1 - parameter.double().mean().item()
    assert moved == (pytest.approx(4e-3, rel=0.1) if kind == "stochastic" else 0)
    assert {value.dtype for name, value in optimizer.state[parameter].items() if name != "step"} == {torch.bfloat16}


def test_rounding_is_of_bf16_weights():
    with pytest.raises(ValueError, match="precision is fp32"):
        Recipe(steps=1, batch=3, optimizer=STOCHASTIC)


def test_a_recipe_trains_with_it(study):
    write_study(Path(), recipe={**STUDY["recipe"], "precision": "bf16", "optimizer": {"lr": 1e-3, **STOCHASTIC}})
    sgt("train", study, "--model", "micro", "--arm", "sft", "--seed", "0")
    lines = Path("results/runs/micro/sft/seed0/metrics.jsonl").read_text().splitlines()
    assert len(lines) == 6 and all(json.loads(line)["loss"] > 0 for line in lines)

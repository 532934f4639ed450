"""When the trainer calls its callbacks."""

from pathlib import Path

import pytest
import torch

from sgt.config.recipe import Optimizer
from sgt.models.registry import load_model
from sgt.models.unified import UnifiedModel
from sgt.study.load import load_study
from sgt.training.batch_loader import BatchLoader
from sgt.training.callbacks.callback import Callback
from sgt.training.sources import training_data
from sgt.training.trainer import Trainer, TrainerConfig

IN_A_STEP = ["pre_load_batch", "pre_step", "post_train_batch", "log_metrics", "post_step"]
HOOKS = ["pre_train", "dry_run", *IN_A_STEP, "close"]


class Calls(Callback):
    """Notes every call of a hook, with the steps done by then."""

    def __init__(self, failing: str = "") -> None:
        self.calls: list[tuple[str, int]] = []
        for hook in HOOKS:
            setattr(self, hook, self._noting(hook, hook == failing))

    def _noting(self, hook: str, fails: bool):
        def note(*arguments: object) -> None:
            if hook == "post_train_batch":
                self.trainer.metrics["added"] = float(self.trainer.step)
            if hook == "log_metrics":
                step, metrics = arguments
                assert (step, metrics["added"]) == (self.trainer.step - 1, self.trainer.step)
            self.calls.append((hook, self.trainer.step))
            if fails:
                raise ValueError(hook)

        return note


class Resumed(Callback):
    """A run that goes on after its first step."""

    def pre_train(self) -> None:
        self.trainer.step = 1


def fit(study: Path, *callbacks: Callback, steps: int = 3, **changes) -> UnifiedModel:
    loaded = load_study(study)
    data = training_data(loaded, loaded.run("micro", "sft", 0), loaded.recipe("micro"))
    model = load_model(loaded.models["micro"], Path("base/micro"))
    loss = {"ce_weight": 1.0, "mse_weight": 1.0, "timestep_shift": 1.0}
    config = TrainerConfig("run", steps, Optimizer(), **loss, ema=0.0, seed=0, **changes)
    Trainer(model, BatchLoader(model, data.mixture, data.sources, 0), config, Path("work"), None, callbacks).fit()
    return model


def test_hooks_are_called_in_order_at_every_step_that_is_left(study):
    calls = Calls()
    fit(study, Resumed(), calls)
    steps = [(hook, step + (hook in IN_A_STEP[2:])) for step in (1, 2) for hook in IN_A_STEP]
    steps.insert(2, ("dry_run", 1))
    assert calls.calls == [("pre_train", 1), *steps, ("close", 3)]


def test_callbacks_are_closed_after_an_error_if_they_were_started(study):
    first, failing, never = Calls(), Calls("pre_train"), Calls()
    with pytest.raises(ValueError, match="pre_train"):
        fit(study, first, failing, never)
    assert [hook for hook, _ in first.calls] == ["pre_train", "close"]
    assert [hook for hook, _ in failing.calls] == ["pre_train"] and not never.calls
    first, failing = Calls(), Calls("post_step")
    with pytest.raises(ValueError, match="post_step"):
        fit(study, first, failing)
    assert first.calls[-1] == failing.calls[-1] == ("close", 1)


def test_a_part_has_a_learning_rate_of_its_own(study):
    weights = load_model(load_study(study).models["micro"], Path("base/micro")).network.state_dict()
    before = {name: value.clone() for name, value in weights.items()}
    model = fit(study, steps=1)
    alike, scaled = (
        each.network.state_dict() for each in (model, fit(study, steps=1, lr_scale={"understanding": 0.25}))
    )
    moved = 0
    for name, start in before.items():
        if model.part(name) == "understanding":
            assert torch.allclose(scaled[name] - start, 0.25 * (alike[name] - start), rtol=0, atol=1e-6)
            moved += not torch.equal(alike[name], start)
        else:
            assert torch.equal(scaled[name], alike[name])
    assert moved

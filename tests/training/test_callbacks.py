"""Metrics, validation and recorders of a run, and that they do not change its result."""

import json
import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors.torch import load_file

from sgt.commands.main import main
from sgt.config.logging import Logging
from sgt.data.mixture import Mixed, Source
from sgt.errors import SgtError
from sgt.evaluation.check_treatment import flow_errors, held_out_items
from sgt.models.bagel.model import Bagel
from sgt.models.registry import load_model
from sgt.study.load import load_study
from sgt.training.batch_loader import example_seed
from sgt.training.callbacks.callback import Callback
from sgt.training.callbacks.recorders import recorders
from sgt.training.image_use import use_of
from sgt.training.sources import validation_sources
from tests.conftest import STUDY, sgt, write_study
from tests.training.conftest import BEFORE_ITS_END
from tests.training.events import Event

RECORDERS, TRAINER = "sgt.training.callbacks.recorders", "sgt.training.trainer"
HELD_OUT = {"validation": {"source": "toyworld", "split": "validation", "scenes": 16}}


def lines(run) -> list[dict]:
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def held_out(study):
    """The study with a validation dataset."""
    sgt("toyworld", "results/shards/validation", "--split", "validation", "--scenes", 16, "--workers", 1)
    recipe = {**STUDY["recipe"], "validate_every": 4, "validate_samples": 8}
    datasets = {**STUDY["datasets"], **HELD_OUT}
    write_study(Path(), recipe=recipe, datasets=datasets, data={**STUDY["data"], "validation": "validation"})


def test_every_step_has_its_metrics(run):
    write_study(Path(), recipe={**STUDY["recipe"], "max_tokens_per_pack": 500})
    sgt(*run.words)
    for step, line in enumerate(lines(run)):
        assert line["step"] == step
        assert all(math.isfinite(value) and value >= 0 for value in line.values())
        assert line["tokens_per_second"] == pytest.approx(line["tokens"] / line["seconds"])
        assert 0.3 < line["filled"] <= 1 and line["peak_memory_mb"] > 50
        assert 1e5 < line["flops_per_second"] / line["tokens_per_second"] < 1e6
        assert line["data_seconds"] <= line["seconds"]


def test_validation_is_the_same_every_time_and_leaves_training_alone(run, request):
    sgt(*run.words)
    without = run.result()
    run.folder.rename("without")
    request.getfixturevalue("held_out")
    sgt(*run.words)
    assert run.result()[1] == without[1]
    validated = {line["step"]: line for line in lines(run) if "validation_vqa" in line}
    assert list(validated) == [3, 5]
    assert validated[3]["validation_proxy"] != validated[5]["validation_proxy"]
    # After a kill before the last save and a restart, the last validation gives the same losses.
    shutil.rmtree(run.folder)
    run.killed(Event("sgt.training.checkpoints.Checkpoints.save", call=3))
    sgt(*run.words)
    again = lines(run)[5]
    kinds = [f"validation_{kind}" for kind in ("vqa", "proxy", "use")]
    assert [again[kind] for kind in kinds] == [validated[5][kind] for kind in kinds]


def test_two_processes_validate_as_one_does(run, held_out):
    assert run.run_with()[0] == 0
    one = lines(run)[5]
    run.folder.rename("alone")
    status, output = run.run_with(processes=2)
    assert status == 0, output
    other = lines(run)[5]
    for name in ("validation_vqa", "validation_proxy"):
        assert other[name] == pytest.approx(one[name], rel=1e-4)
    assert other["validation_use"] == pytest.approx(one["validation_use"], abs=1e-5)


@pytest.mark.parametrize(
    ("samples", "batch"), [(100, 6), pytest.param(100, 60, marks=pytest.mark.slow), (5, 6), (1, 60)]
)
def test_validation_is_over_what_there_is(samples, batch, run, held_out, caplog):
    """More samples than the dataset has, a batch larger than it, and a last part of a batch."""
    study = yaml.safe_load(Path("config/micro.yaml").read_text())
    study["recipe"] |= {"steps": 1, "batch": batch, "validate_every": 1, "validate_samples": samples}
    study["data"]["held_out_samples"] = max(samples, 2)
    Path("config/micro.yaml").write_text(yaml.safe_dump(study))
    run.killed(BEFORE_ITS_END)
    weights = saved_weights(run)
    sgt(*run.words)
    found = {name: value for name, value in lines(run)[0].items() if name.startswith("validation_")}
    # Another image is needed for the use of an image.
    used = found.pop("validation_use", None)
    assert found.keys() == {"validation_vqa", "validation_proxy"} and (used is None) == (samples == 1)
    messages = [record.message for record in caplog.records if "samples that there are" in record.message]
    want = [f"{name} is over the 16 samples that there are, not {samples}" for name in found] if samples > 16 else []
    assert sorted(messages) == sorted(want)
    # The trained model's losses over these samples, computed here one sample at a time.
    loaded = load_study("config/micro.yaml")
    model = load_model(loaded.models["micro"], run.folder / "final")
    model.network.load_state_dict(weights, strict=False)
    sources = validation_sources(loaded, loaded.run("micro", "segmentation", 0), loaded.recipe("micro"))
    for name, source in sources.items():
        count = min(samples, 16)
        draws = Mixed([Source(name, count, 1)], 0)
        sums, tokens = 0.0, 0.0
        for step in range(count):
            (draw,) = draws.step(step)
            batch = model.batch([source.make(draw)], [example_seed(0, draw)])
            sums += sum(value.item() for value in vars(model.loss(batch, 1.0)).values())
            tokens += batch.ce_tokens + batch.mse_tokens
        assert found[f"validation_{name}"] == pytest.approx(sums / tokens, rel=1e-4)
    if used is not None:
        # As the check of a finished run computes it.
        items = held_out_items(loaded, loaded.proxy("segmentation"), model)
        assert used == pytest.approx(use_of(*flow_errors(model, items)), abs=1e-5) and len(items) == min(samples, 16)


def saved_weights(run) -> dict[str, torch.Tensor]:
    """Those of the last checkpoint, in full precision."""
    return load_file(run.work / "step-0000001" / "weights-00000-of-00001.safetensors")


@pytest.mark.slow
def test_two_processes_validate_one_sample(run, held_out):
    study = yaml.safe_load(Path("config/micro.yaml").read_text())
    study["recipe"] |= {"steps": 1, "validate_every": 1, "validate_samples": 1}
    Path("config/micro.yaml").write_text(yaml.safe_dump(study))
    assert run.run_with()[0] == 0
    one = lines(run)[0]
    run.folder.rename("alone")
    status, output = run.run_with(processes=2)
    assert status == 0, output
    for name in ("validation_vqa", "validation_proxy"):
        assert lines(run)[0][name] == pytest.approx(one[name], rel=1e-4)


def test_a_loss_that_is_not_finite_stops_with_the_samples_of_the_step(study, monkeypatch, capsys):
    honest = Bagel.loss

    def spoiled(self, batch, shift):
        sums = honest(self, batch, shift)
        return type(sums)(sums.ce * torch.nan, sums.mse)

    monkeypatch.setattr(Bagel, "loss", spoiled)
    assert main(["train", str(study), "--model", "micro", "--arm", "sft", "--seed", "0"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert "loss nan" in line and "at step 0" in line
    assert line.count("results/shards/questions/shard-00000.tar: vqa-") == 2


def test_validation_that_does_not_fit_in_memory_fails_before_the_first_step(run, held_out, monkeypatch, capsys):
    loss = Bagel.loss

    def loss_without_room(self, batch, shift):
        if not self.network.training:
            raise MemoryError("no room for a validation batch")
        return loss(self, batch, shift)

    monkeypatch.setattr(Bagel, "loss", loss_without_room)
    assert main(run.words) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert "out of memory (no room for a validation batch)" in line
    assert not run.checkpoints() and not (run.work / "metrics.jsonl").read_text()


def test_tensorboard_gets_the_numbers_and_changes_none(run):
    sgt(*run.words)
    without = run.result()
    run.folder.rename("without")
    study = yaml.safe_load(Path("config/micro.yaml").read_text())
    Path("config/micro.yaml").write_text(yaml.safe_dump({**study, "logging": {"tensorboard": True}}))
    sgt(*run.words)
    assert run.result() == without
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.work / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("ce")] == pytest.approx([line["ce"] for line in lines(run)])


def recorded(callbacks: list[Callback], metrics: dict[str, float]) -> None:
    """Let recorders log one step, without a trainer."""
    for callback in callbacks:
        callback.trainer = SimpleNamespace(step=0)
        callback.pre_train()
    for callback in callbacks:
        callback.log_metrics(0, metrics)
    for callback in callbacks:
        callback.close()


def test_weights_and_biases_gets_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for fingerprint in ("f" * 64, "e" * 64):
        recorded(recorders(Logging(wandb="sgt"), tmp_path, "micro/sft/seed0", fingerprint), {"loss": 2.5})
        # A run of the same id in another study is another one: W&B would drop its steps.
        (log,) = tmp_path.glob(f"wandb/offline-run-*/run-micro-sft-seed0-{fingerprint[:12]}.wandb")
        assert b"loss" in log.read_bytes()
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 0, "loss": 2.5}


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_library_that_is_not_installed_is_one_line(name, tmp_path, monkeypatch):
    for module in ("tensorboard", "torch.utils.tensorboard", "wandb"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    config = Logging(**{name: True if name == "tensorboard" else "sgt"})
    with pytest.raises(SgtError, match=f"logging.{name}: is not installed; run `pip install {name}`"):
        recorded(recorders(config, tmp_path, "run", "f" * 64), {})


def test_dashboards_that_cannot_start_are_switched_off_and_end_no_run(run, study, tmp_path, monkeypatch):
    """TensorBoard's folder is a file, and W&B has no API key and no terminal to prompt for one."""
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    write_study(Path(), logging={"tensorboard": True, "wandb": "sgt"})
    run.work.mkdir(parents=True)
    (run.work / "tensorboard").write_text("")
    status, output = run.run_with()
    assert status == 0, output
    assert len(re.findall(r"TensorBoard is switched off \(.*\); training goes on without it", output)) == 1
    assert len(re.findall(r"Weights & Biases is switched off \(.*\); training goes on without it", output)) == 1
    assert "Traceback" not in output
    assert [line["step"] for line in lines(run)] == list(range(6))


@pytest.mark.parametrize("method", ["log_metrics", "close"])
def test_a_dashboard_that_fails_later_is_switched_off_and_ends_no_run(method, run, study):
    write_study(Path(), logging={"tensorboard": True})
    status, output = run.run_with(Event(f"{RECORDERS}.TensorBoard.{method}", "raise", call=0))
    assert status == 0, output
    assert output.count("TensorBoard is switched off (OSError: the dashboard is gone); training goes on") == 1
    assert "Traceback" not in output
    assert [line["step"] for line in lines(run)] == list(range(6))


def test_weights_and_biases_whose_process_dies_ends_no_run(run, study, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    write_study(Path(), logging={"wandb": "sgt"})
    status, output = run.run_with(Event(f"{RECORDERS}.WeightsAndBiases.log_metrics", "kill children", call=3))
    assert status == 0, output
    assert output.count("Weights & Biases is switched off (") == 1 and "Traceback" not in output
    assert [line["step"] for line in lines(run)] == list(range(6))


@pytest.mark.parametrize(
    "end",
    [
        Event(f"{TRAINER}.Trainer._train_batch", "SIGTERM", call=3),
        Event(f"{TRAINER}._full_norm", "raise"),
    ],
)
def test_recorders_are_closed_however_a_run_ends(end, run, study):
    """TensorBoard writes from a thread of its own, once in two minutes and when it is closed."""
    write_study(Path(), logging={"tensorboard": True})
    status, output = run.run_with(end, Event(f"{RECORDERS}.TensorBoard.close", "print", moment="after"))
    assert status != 0, output
    assert output.count(f"now: {RECORDERS}.TensorBoard.close") == 1

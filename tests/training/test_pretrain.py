"""Pretrained base models: an earlier result is reused only if nothing that decides it has changed."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from tokenizers import Tokenizer

from sgt.atomic import sha256
from sgt.commands.main import main
from sgt.data.shards import read_shard
from sgt.models.registry import vae_sha256
from sgt.study.load import load_study
from sgt.training import pretrain
from sgt.training.curve import write_curve
from sgt.training.examples import SHARPEN_PROMPT
from sgt.training.pretrain import pretrain_identity
from tests.conftest import STUDY, sgt, sides, write_study

OUT = Path("results/base/micro")


def make(out: Path = OUT, seed: int = 0) -> dict[str, str]:
    """Make the base model; hashes of its files."""
    sgt("pretrain", "config/micro.yaml", "--model", "micro", "--out", out, "--seed", seed, "--threads", 1)
    return {path.name: sha256(path) for path in sorted((out / "final").iterdir())}


def change(name: str = "micro", **changes: object) -> None:
    """Change fields of a model's file; those of ``pretrain`` and ``architecture`` one by one."""
    path = Path(f"config/models/{name}.yaml")
    spec = yaml.safe_load(path.read_text())
    for field, value in changes.items():
        spec[field] = {**spec[field], **value} if isinstance(spec.get(field), dict) else value
    path.write_text(yaml.safe_dump(spec))


def identity(seed: int = 0) -> dict:
    study = load_study("config/micro.yaml")
    return pretrain_identity(study, study.models["micro"], seed)


def test_a_finished_base_model_is_left_as_it_is(study, monkeypatch):
    made = make()

    def never(*args: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(pretrain, "train_vae", never)
    monkeypatch.setattr(pretrain, "Trainer", never)
    # Resources, paths and recorders do not change the result.
    change(train={"mem_mb": 9000, "runtime": 7}, predict={"threads": 2}, checkpoint="elsewhere", device="auto")
    change(pretrain={"save_every": 2, "health_every": 1, "accept": {"min_rank": 3.0}})
    shutil.move("results/base", "moved")
    assert make(Path("moved/micro")) == made


VAE = {"ch": 4, "ch_mult": [1, 2, 2], "num_res_blocks": 1, "z_channels": 4, "norm_groups": 4}


@pytest.mark.parametrize(
    "changes",
    [
        {"pretrain": {"vae_steps": 5}},
        {"pretrain": {"optimizer": {"lr": 1.0e-3, "warmup": 2}}},
        {"arms": ["sft", "depth"]},
        pytest.param({"pretrain": {"vae_lr": 1.0e-3}}, marks=pytest.mark.slow),
        pytest.param({"architecture": {"vae": VAE}}, marks=pytest.mark.slow),
        pytest.param({"pretrain": {"sharpen_batch": 2, "timestep_shift": 3.0}}, marks=pytest.mark.slow),
        pytest.param({"input_image": sides(24)}, marks=pytest.mark.slow),
        pytest.param({"seed": 1}, marks=pytest.mark.slow),
    ],
)
def test_after_a_change_everything_that_depends_on_it_is_made_again(changes, study):
    """The same files as in an empty folder; the prepared folder has those from before the change."""
    before = {path.name: sha256(path) for path in (OUT / "final").iterdir()}
    seed, arms = changes.pop("seed", 0), changes.pop("arms", None)
    if arms:
        write_study(Path(), arms=arms)
    change(**changes)
    fresh = make(Path("fresh"), seed)
    assert make(seed=seed) == fresh != before
    assert json.loads((OUT / "run.json").read_text())["identity"] == identity(seed)


def test_a_change_that_the_vae_does_not_depend_on_keeps_it(study, monkeypatch):
    vae = (OUT / "work/vae.safetensors").stat()
    change(pretrain={"steps": 7})
    make()
    assert (OUT / "work/vae.safetensors").stat().st_ino == vae.st_ino


def test_checkpoints_of_another_seed_are_not_resumed(study):
    """With checkpoints of one seed in the folder, another seed starts from the beginning."""
    fresh = make(Path("fresh"), seed=1)
    (OUT / "run.json").unlink()
    shutil.rmtree(OUT / "work/step-0000006")
    assert make(seed=1) == fresh


def test_measuring_the_vision_tower_changes_no_weight(study, monkeypatch):
    before = {path.name: sha256(path) for path in (OUT / "final").iterdir()}
    change(pretrain={"health_every": 2})
    measured, without = Path("measured"), Path("without")
    assert make(measured) == before
    steps = metrics(measured / "metrics.jsonl")
    assert [line["step"] for line in steps if "tower_rank" in line] == [1, 3, 5]
    assert steps[1]["tower_rank"] != steps[5]["tower_rank"]
    tower = json.loads((measured / "run.json").read_text())["tower"]
    last = {"rank": "tower_rank", **{name: f"tower_{name}_0" for name in ("dead", "entropy", "growth")}}
    for name, metric in last.items():
        value = tower[name] if name == "rank" else tower[name][0]
        assert value == pytest.approx(steps[5][metric], abs=1e-4)
    (point,) = metrics(measured / "curve.jsonl")
    assert point["step"] == 6 and point["tower_rank"] == tower["rank"]
    monkeypatch.setattr(pretrain.TowerMonitor, "post_train_batch", lambda self, batch: None)
    assert make(without) == before
    assert not any("tower_rank" in line for line in metrics(without / "metrics.jsonl"))


def test_a_run_that_did_not_measure_the_tower_is_resumed(study):
    """As by an earlier version: from its last checkpoint, to the same weights."""
    before = {path.name: sha256(path) for path in (OUT / "final").iterdir()}
    (OUT / "run.json").unlink()
    shutil.rmtree(OUT / "work/step-0000006")
    path = OUT / "work/metrics.jsonl"
    old = [{name: value for name, value in line.items() if not name.startswith("tower_")} for line in metrics(path)]
    path.write_text("".join(json.dumps(line) + "\n" for line in old[:4]))
    change(pretrain={"health_every": 1})
    assert make() == before
    assert [line["step"] for line in metrics(OUT / "metrics.jsonl") if "tower_rank" in line] == [3, 4, 5]


def metrics(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_curve_sums_up_a_hundred_steps_in_a_point(tmp_path):
    names = ("loss", "ce", "mse", "grad_norm", "lr", "seconds")
    lines = [{"step": step, **dict.fromkeys(names, float(step)), "tokens": 5} for step in range(250)]
    lines[149]["tower_rank"] = 61.23456
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_curve(tmp_path / "metrics.jsonl", tmp_path / "curve.jsonl")
    first, second, third = metrics(tmp_path / "curve.jsonl")
    assert [first["step"], second["step"], third["step"]] == [100, 200, 250]
    assert [first["loss"], second["mse"], third["lr"]] == [49.5, 149.5, 224.5]
    assert second["tower_rank"] == 61.2346 and "tower_rank" not in first and "tokens" not in first


def test_another_dataset_decides_too(study):
    before = identity()
    words = ["--split", "pretrain", "--scenes", 24, "--workers", 1, "--seed", 5]
    sgt("toyworld", "results/shards/pretrain", *words)
    assert {stage for stage in before if before[stage] != identity()[stage]} == {"vae", "start", "training"}


def with_edits() -> None:
    """The study's pretraining dataset with edits."""
    write_study(Path(), datasets={**STUDY["datasets"], "pretrain": {**STUDY["datasets"]["pretrain"], "edits": True}})
    words = ["--split", "pretrain", "--scenes", 24, "--workers", 1, "--edits"]
    sgt("toyworld", "results/shards/pretrain", *words)


@pytest.mark.parametrize("changes", [{"edit_batch": 3}, {"sharpen_batch": 2}, {"timestep_shift": 3.0}])
def test_what_is_drawn_and_when_decides_the_training_alone(changes, study):
    with_edits()
    before = identity()
    change(pretrain=changes)
    assert {stage for stage in before if before[stage] != identity()[stage]} == {"training"}


def test_a_base_model_learns_from_edits_and_super_resolution(study):
    with_edits()
    change(pretrain={"edit_batch": 2, "sharpen_batch": 2})
    make()
    losses = [json.loads(line) for line in (OUT / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 6 and all(line["ce"] > 0 and line["mse"] > 0 for line in losses)
    # Its tokenizer has the words of instructions.
    tokenizer = Tokenizer.from_file(str(OUT / "final/tokenizer.json"))
    samples = list(read_shard("results/shards/pretrain/shard-00000.tar"))
    words = {word for sample in samples for word in sample.json()["edit"]["instruction"].split()[1:]}
    words |= set(SHARPEN_PROMPT.split()[1:])
    assert all(len(tokenizer.encode(f" {word}").ids) == 1 for word in words)


def test_edits_need_a_dataset_that_has_them(study, capsys):
    change(pretrain={"edit_batch": 2})
    assert main(["check", "config/micro.yaml"]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "micro.yaml: pretrain.edit_batch: 'pretrain' has no edits; set edits: true in the dataset" in line


def test_a_base_model_that_is_damaged_is_made_again(study):
    made = make()
    (OUT / "final/ae.safetensors").write_bytes(b"")
    assert make() == made


def test_a_reused_vae_counts_by_its_content(study, capsys):
    write_study(Path(), models=["micro", "micro-omnigen2"])
    change("micro-omnigen2", pretrain={"vae_of": "micro"})
    path = Path("config/models/micro-omnigen2.yaml")
    spec = yaml.safe_load(path.read_text())
    del spec["pretrain"]["vae_steps"]
    path.write_text(yaml.safe_dump(spec))
    loaded = load_study("config/micro.yaml")

    def reusing() -> dict:
        return pretrain_identity(loaded, loaded.models["micro-omnigen2"], 0)

    before = reusing()
    assert before["vae"] == {"taken_sha256": vae_sha256(loaded.models["micro"], Path("base/micro"))}
    # The same VAE at another place is the same; another VAE is not.
    shutil.copytree("base/micro", "elsewhere")
    change("micro", checkpoint="elsewhere")
    assert reusing() == before
    change("micro", checkpoint="base/micro", pretrain={"vae_steps": 5})
    make()
    shutil.copyfile(OUT / "final/ae.safetensors", "base/micro/ae.safetensors")
    assert reusing() != before
    shutil.rmtree("base/micro")
    assert main(["pretrain", "config/micro.yaml", "--model", "micro-omnigen2", "--out", "results/base/two"]) == 1
    assert "base/micro" in capsys.readouterr().err.splitlines()[-1]

"""What training and the commands need of a family, tried with the micro model of each."""

import io
import json
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgt.commands.main import main
from sgt.data.shards import read_shard
from sgt.models import flow
from sgt.models.lora import LoRALinear
from sgt.models.registry import load_model, weight_hashes, weights_sha256
from sgt.models.rules import family_names, rules_of
from sgt.study.identity import base_content
from sgt.study.load import load_study
from sgt.training.batch_loader import BatchLoader
from sgt.training.checkpoints import Checkpoints
from sgt.training.sources import training_data
from tests.conftest import MICRO, STUDY, sgt, write_study

PARTS = ("understanding", "generation", "vision", "vocabulary")


class Family:
    """A family's micro model in a study of its own, which is the working directory."""

    def __init__(self, name: str) -> None:
        self.model = MICRO[name]["name"]
        self.base = Path(MICRO[name]["checkpoint"])
        self.files = rules_of(name).weights

    def words(self, arm: str) -> list[str]:
        return ["config/micro.yaml", "--model", self.model, "--arm", arm, "--seed", "0"]

    def folder(self, arm: str) -> Path:
        return Path("results/runs") / self.model / arm / "seed0"

    def train(self, arm: str, **recipe: object) -> None:
        """Train an arm anew, by a recipe that is changed in some fields."""
        shutil.rmtree(self.folder(arm), ignore_errors=True)
        write_study(Path(), models=[self.model], recipe={**STUDY["recipe"], **recipe})
        sgt("train", *self.words(arm))

    def finished(self, arm: str) -> tuple:
        lines = [json.loads(line) for line in (self.folder(arm) / "metrics.jsonl").read_text().splitlines()]
        losses = [(line["step"], line["ce"], line["mse"], line["grad_norm"]) for line in lines]
        return [(self.folder(arm) / "final" / file).read_bytes() for file in self.files], losses

    def changed_parts(self, arm: str) -> set[str]:
        """The parts of the model with a parameter that training an arm has changed."""
        spec = load_study("config/micro.yaml").models[self.model]
        models = [load_model(spec, path) for path in (self.base, self.folder(arm) / "final")]
        assert not any(isinstance(layer, LoRALinear) for layer in models[1].network.modules())
        before, after = (model.network.state_dict() for model in models)
        assert before.keys() == after.keys()
        return {models[0].part(name) for name in before if not torch.equal(before[name], after[name])}


class Stopped(BaseException):
    """Ends a command in the middle, as a signal would."""


def stopping_at(call: int, method: Callable) -> Callable:
    """The method, whose call of that number, from 1, stops the command instead."""
    calls = count(1)

    def run(*args: object, **kwargs: object) -> object:
        if next(calls) == call:
            raise Stopped
        return method(*args, **kwargs)

    return run


@pytest.fixture(params=family_names())
def family(request, study_of) -> Family:
    study_of(request.param)
    return Family(request.param)


def test_trained_arms_answer_and_draw_and_resume_bit_by_bit(family, monkeypatch):
    qa, gen = "toyworld-qa", "toyworld-gen"
    checkpoints = set()
    for arm, benchmarks in (("base", [qa]), ("sft", [qa]), ("segmentation", [qa, gen])):
        sgt("train", *family.words(arm))
        for benchmark in benchmarks:
            sgt("predict", *family.words(arm), "--benchmark", benchmark)
            sgt("score", *family.words(arm), "--benchmark", benchmark)
            score = json.loads(Path(f"results/scores/{family.model}/{arm}/seed0/{benchmark}.json").read_text())
            checkpoints.add((arm, score["hashes"]["checkpoint"]))
    spec = load_study("config/micro.yaml").models[family.model]
    assert len(checkpoints) == 3 and ("base", base_content(spec)) in checkpoints
    record = json.loads((family.folder("segmentation") / "run.json").read_text())
    assert record["checkpoint_sha256"] == weights_sha256(weight_hashes(spec, family.folder("segmentation") / "final"))
    assert record["identity"]["base"] == base_content(spec)

    sgt("treatment", *family.words("segmentation"))
    treatment = json.loads(Path(f"results/scores/{family.model}/segmentation/seed0/treatment.json").read_text())
    assert abs(treatment["use"]["value"]) < 0.1
    made = Path(f"results/predictions/{family.model}/segmentation/seed0/targets/images.tar")
    names = {extension for sample in read_shard(made) for extension in sample.files}
    assert names == {"png", "target.png", "input.png"}

    for arm in ("sft", "segmentation"):
        whole = family.finished(arm)
        assert all(mse > 0 for _, _, mse, _ in whole[1]) == (arm == "segmentation")
        shutil.rmtree(family.folder(arm))
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(Checkpoints, "save", stopping_at(3, Checkpoints.save))
            main(["train", *family.words(arm)])
        sgt("train", *family.words(arm))
        assert family.finished(arm) == whole


def test_parts_are_frozen_and_recomputed_activations_give_the_same_weights(family):
    family.train("segmentation")
    kept = family.finished("segmentation")
    assert family.changed_parts("segmentation") == set(PARTS)
    family.train("segmentation", activation_checkpointing=True)
    assert family.finished("segmentation") == kept
    for parts in (["understanding"], ["generation", "vision"], ["vocabulary"]):
        family.train("segmentation", trains=parts, steps=2)
        assert family.changed_parts("segmentation") == set(parts)
    lora = {"rank": 4, "alpha": 8.0, "parts": ["understanding"]}
    family.train("segmentation", lora=lora, steps=2, optimizer={"lr": 0.02})
    assert family.changed_parts("segmentation") == {"understanding"}


def test_the_velocity_target_is_that_of_the_rendered_target(family, monkeypatch):
    study = load_study("config/micro.yaml")
    model = load_model(study.models[family.model], family.base)
    data = training_data(study, study.run(family.model, "segmentation", 0), study.recipe(family.model))
    shards = ("shard-00000", "shard-00001")
    targets = [s for shard in shards for s in read_shard(f"results/targets/scenes/segmentation/{shard}.tar")]
    shown, latents, learned = [], [], []
    encode, velocity = model.vae.encode, flow.velocity

    def watched(images: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        found = encode(images, noise)
        shown.extend(images)
        latents.extend(found)
        return found

    monkeypatch.setattr(model.vae, "encode", watched)
    monkeypatch.setattr(flow, "velocity", lambda data, noise: learned.append(data) or velocity(data, noise))
    (batch,) = BatchLoader(model, data.mixture, data.sources, 0).load(0).micro_batches
    model.loss(batch, 1.0)
    drawn = [draw.index for draw in data.mixture.step(0) if draw.source == "proxy"]
    assert len(drawn) == len(shown) == 4
    for index, pixels in zip(drawn, shown, strict=True):
        picture = np.asarray(Image.open(io.BytesIO(targets[index].get("png"))).convert("RGB"))
        torch.testing.assert_close(pixels, torch.tensor(picture, dtype=torch.float32).permute(2, 0, 1) / 127.5 - 1)
    # Whatever the order in which a family cuts latents into tokens.
    whole = [torch.cat([values.flatten() for values in some]).sort().values for some in (latents, learned)]
    assert torch.equal(*whole)

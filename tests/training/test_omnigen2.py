"""The second family with the same commands: training, bit-identical resuming, prediction, frozen parts."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sgt.commands.main import main
from sgt.config.recipe import Recipe
from sgt.data.shards import read_shard
from sgt.models import flow
from sgt.models.examples import TargetImage, Text
from sgt.models.lora import LoRALinear
from sgt.models.registry import load_model, weight_hashes, weights_sha256
from sgt.study.identity import base_content
from sgt.study.load import load_study
from sgt.training.batch_loader import BatchLoader
from sgt.training.distributed import DistributedContext
from sgt.training.sources import training_data
from sgt.training.train import trainer_config
from sgt.training.trainable import make_trainable
from tests.conftest import STUDY, sgt, write_study
from tests.training.conftest import BEFORE_ITS_END, Micro
from tests.training.events import Event

ROOT = Path(__file__).parents[2]
NAME = "micro-omnigen2"
BASE = Path("base") / NAME
FILES = ("transformer/diffusion_pytorch_model.safetensors", "mllm/model.safetensors")


def words(arm: str) -> list[str]:
    return ["config/micro.yaml", "--model", NAME, "--arm", arm, "--seed", "0"]


def folder(arm: str) -> Path:
    return Path(f"results/runs/{NAME}/{arm}/seed0")


def losses(arm: str) -> list[tuple]:
    lines = [json.loads(line) for line in (folder(arm) / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["ce"], line["mse"], line["grad_norm"]) for line in lines]


def finished(arm: str) -> tuple:
    return [(folder(arm) / "final" / file).read_bytes() for file in FILES], losses(arm)


def changed(arm: str) -> set[str]:
    """Parameters, by name in the network, that training an arm has changed."""
    spec = load_study("config/micro.yaml").models[NAME]
    before, after = (load_model(spec, path).network.state_dict() for path in (BASE, folder(arm) / "final"))
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_trained_arms_answer_and_draw_and_resume_bit_by_bit(study_omnigen2):
    for arm in ("base", "sft", "segmentation"):
        sgt("train", *words(arm))
        for benchmark in ("toyworld-qa", "toyworld-gen"):
            sgt("predict", *words(arm), "--benchmark", benchmark)
            sgt("score", *words(arm), "--benchmark", benchmark)
    scores = {
        (arm, benchmark): json.loads(Path(f"results/scores/{NAME}/{arm}/seed0/{benchmark}.json").read_text())
        for arm in ("base", "sft", "segmentation")
        for benchmark in ("toyworld-qa", "toyworld-gen")
    }
    spec = load_study(study_omnigen2).models[NAME]
    assert scores["base", "toyworld-qa"]["hashes"]["checkpoint"] == base_content(spec)
    assert len({score["hashes"]["checkpoint"] for score in scores.values()}) == 3
    record = json.loads((folder("segmentation") / "run.json").read_text())
    assert record["checkpoint_sha256"] == weights_sha256(weight_hashes(spec, folder("segmentation") / "final"))
    assert record["identity"]["base"] == base_content(spec)

    sgt("treatment", *words("segmentation"))
    treatment = json.loads(Path(f"results/scores/{NAME}/segmentation/seed0/treatment.json").read_text())
    assert treatment["items"] == 24 and abs(treatment["use"]["value"]) < 0.1
    made = Path(f"results/predictions/{NAME}/segmentation/seed0/targets/images.tar")
    assert {extension for sample in read_shard(made) for extension in sample.files} == {
        "png",
        "target.png",
        "input.png",
    }

    for arm in ("sft", "segmentation"):
        whole = finished(arm)
        assert all(mse > 0 for _, _, mse, _ in losses(arm)) == (arm == "segmentation")
        shutil.rmtree(folder(arm))
        Micro(arm, NAME).killed(Event("sgt.training.checkpoints.Checkpoints.save", call=3))
        sgt("train", *words(arm))
        assert finished(arm) == whole


def test_the_velocity_target_is_that_of_the_rendered_target(study_omnigen2, monkeypatch):
    study = load_study(study_omnigen2)
    run, recipe = study.run(NAME, "segmentation", 0), study.recipe(NAME)
    model = load_model(study.models[NAME], BASE)
    data = training_data(study, run, recipe)
    shards = ("shard-00000", "shard-00001")
    targets = [s for shard in shards for s in read_shard(f"results/targets/scenes/segmentation/{shard}.tar")]
    seen, velocity = [], flow.velocity
    monkeypatch.setattr(flow, "velocity", lambda data, noise: seen.append(data) or velocity(data, noise))
    (batch,) = BatchLoader(model, data.mixture, data.sources, 0).load(0).micro_batches
    model.loss(batch, 1.0)
    drawn = [draw.index for draw in data.mixture.step(0) if draw.source == "proxy"]
    assert len(drawn) == len(seen) == 4
    for index, data, draw in zip(drawn, seen, batch.target_draws, strict=True):
        picture = np.asarray(Image.open(io.BytesIO(targets[index].get("png"))).convert("RGB"))
        pixels = torch.tensor(picture, dtype=torch.float32).permute(2, 0, 1) / 127.5 - 1
        torch.testing.assert_close(data, model.vae.encode(pixels[None], draw[None])[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("parts", "prefixes"),
    [
        (["understanding"], ("mllm.model.language_model.layers", "mllm.model.language_model.norm")),
        (["generation", "vision"], ("transformer.", "mllm.model.visual.")),
        (["vision"], ("mllm.model.visual.",)),
        (["vocabulary"], ("mllm.model.language_model.embed_tokens", "mllm.lm_head")),
    ],
)
def test_only_the_parts_that_are_named_change(parts, prefixes, study_omnigen2):
    write_study(Path(), models=[NAME], recipe={**STUDY["recipe"], "trains": parts})
    sgt("train", *words("segmentation"))
    names = changed("segmentation")
    assert all(name.startswith(prefixes) for name in names)
    assert all(any(name.startswith(prefix) for name in names) for prefix in prefixes)


def test_what_references_alone_would_use_has_no_decay_and_no_optimizer_state(study_omnigen2):
    optimizer = {**STUDY["recipe"]["optimizer"], "weight_decay": 0.5}
    write_study(Path(), models=[NAME], recipe={**STUDY["recipe"], "optimizer": optimizer})
    Micro("segmentation", NAME).killed(BEFORE_ITS_END)
    state = load_file(folder("segmentation") / "work/step-0000006/optimizer-00000-of-00001.safetensors")
    sgt("train", *words("segmentation"))
    unused = ("transformer.ref_image", "transformer.image_index_embedding")
    names = changed("segmentation")
    assert any(name.startswith("transformer.layers") for name in names)
    assert not any(name.startswith(unused) for name in names)
    assert state and not any(name.partition(".")[2].startswith(unused) for name in state)


def test_the_flow_loss_reaches_the_language_model_and_its_vision_tower(study_omnigen2):
    study = load_study(study_omnigen2)
    model = load_model(study.models[NAME], BASE)
    with torch.no_grad():
        model.network.transformer.norm_out.linear_2.weight.normal_(std=0.3)
    data = training_data(study, study.run(NAME, "segmentation", 0), study.recipe(NAME))
    (batch,) = BatchLoader(model, data.mixture, data.sources, 0).load(0).micro_batches
    model.loss(batch, 1.0).mse.backward()
    reached = {name for name, p in model.network.named_parameters() if p.grad is not None and p.grad.any()}
    assert "mllm.model.visual.patch_embed.proj.weight" in reached
    assert "mllm.model.language_model.layers.0.self_attn.q_proj.weight" in reached
    assert "mllm.lm_head.weight" not in reached


def test_recomputed_activations_give_the_same_weights(study_omnigen2):
    sgt("train", *words("segmentation"))
    kept = finished("segmentation")
    shutil.rmtree(folder("segmentation"))
    write_study(Path(), models=[NAME], recipe={**STUDY["recipe"], "activation_checkpointing": True})
    sgt("train", *words("segmentation"))
    assert finished("segmentation") == kept


def test_adapters_change_the_layers_they_are_on_and_nothing_else(study_omnigen2):
    lora = {"rank": 4, "alpha": 8.0, "parts": ["understanding"]}
    write_study(Path(), models=[NAME], recipe={**STUDY["recipe"], "lora": lora, "optimizer": {"lr": 0.02}})
    sgt("train", *words("segmentation"))
    names = changed("segmentation")
    assert names and all(name.startswith("mllm.model.language_model.layers.") for name in names)
    assert all(name.endswith(".weight") for name in names)
    model = load_model(load_study(study_omnigen2).models[NAME], folder("segmentation") / "final")
    assert not any(isinstance(part, LoRALinear) for part in model.network.modules())


def test_the_fault_of_the_official_loss_balance_is_an_option_that_is_off(study_omnigen2):
    study = load_study(study_omnigen2)
    recipe, run = study.recipe(NAME), study.run(NAME, "segmentation", 0)
    assert trainer_config(recipe, run, 1).mse_weight == recipe.mse_weight == 1.0
    faulty = recipe.model_copy(update={"official_accumulation": 30, "mse_weight": 0.5})
    config = trainer_config(faulty, run, 1)
    assert (config.mse_weight, config.ce_weight) == (15.0, recipe.ce_weight)


def test_times_are_stratified_among_the_images_of_a_batch(study_omnigen2):
    model = load_model(load_study(study_omnigen2).models[NAME], BASE)
    make_trainable(model, Recipe(steps=1, batch=3, time_sampling="stratified_uniform"), 0)
    image = Image.new("RGB", (48, 48))
    times = model.batch([[Text("a"), TargetImage(image)]] * 8, list(range(8))).times
    assert sorted((times * 8).int().tolist()) == list(range(8))


def test_stratified_times_of_a_step_do_not_depend_on_packs_or_processes(study_omnigen2):
    """The official trainer's times, ``(rank + world·i + U) / (n·world)``, in whichever pack or process an image is."""
    study = load_study(study_omnigen2)
    recipe = study.recipe(NAME).model_copy(update={"time_sampling": "stratified_uniform"})
    model = load_model(study.models[NAME], BASE)
    make_trainable(model, recipe, 0)
    data = training_data(study, study.run(NAME, "segmentation", 0), recipe)

    def times(capacity: int | None, context: DistributedContext) -> list[float]:
        batches = BatchLoader(model, data.mixture, data.sources, 0, capacity, context).load(1).micro_batches
        return sorted(time for batch in batches for time in batch.times.tolist())

    draws = data.mixture.step(1)
    longest = max(model.tokens(data.sources[draw.source].make(draw)) for draw in draws)
    whole = times(None, DistributedContext())
    images = sum(draw.source == "proxy" for draw in draws)
    assert [int(time * images) for time in whole] == list(range(images)) and images == 4
    assert times(longest, DistributedContext()) == whole
    dealt = [times(None, SimulatedProcess(rank, 3)) for rank in range(3)]
    assert sorted(time for part in dealt for time in part) == whole
    places = [place for place, draw in enumerate(draws) if draw.source == "proxy"]
    for rank, part in enumerate(dealt):
        own = [order for order, place in enumerate(places) if place % 3 == rank]
        assert [int(time * images) for time in part] == own


class SimulatedProcess(DistributedContext):
    """A process of several, without the others: collectives return its own values."""

    def for_thread(self) -> DistributedContext:
        return self

    def all_reduce_max(self, value: int) -> int:
        return value

    def all_reduce_sum(self, values: list[float]) -> list[float]:
        return values


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        (
            {"timestep_shift": "dynamic_v1"},
            "timestep_shift: 'dynamic_v1' is OmniGen2's, not BAGEL's (model micro)",
        ),
        ({"time_sampling": "stratified_uniform"}, "recipe.time_sampling: 'stratified_uniform' is OmniGen2's"),
    ],
)
def test_what_only_one_family_has_is_refused_for_the_other(changes, output, tmp_path, capsys):
    path = write_study(tmp_path, models=[NAME], recipe={**STUDY["recipe"], **changes})
    load_study(path)
    write_study(tmp_path, models=["micro", NAME], recipe={**STUDY["recipe"], **changes})
    assert main(["check", str(path)]) == 1
    assert output in capsys.readouterr().err

"""What a recipe trains and what it leaves alone, to the bit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sgt.config.recipe import Recipe
from sgt.models.lora import LoRALinear
from sgt.models.registry import load_model
from sgt.study.load import load_study
from sgt.training.trainable import make_trainable
from tests.conftest import STUDY, sgt, write_study
from tests.training.conftest import BEFORE_ITS_END, Micro

FINAL = Path("results/runs/micro/segmentation/seed0/final/ema.safetensors")
WORDS = ["config/micro.yaml", "--model", "micro", "--arm", "segmentation", "--seed", "0"]


def load():
    return load_model(load_study("config/micro.yaml").models["micro"], Path("base/micro"))


def trained(**recipe) -> set[str]:
    """Train with a changed recipe; returns the names of the tensors that are not what they were."""
    write_study(Path(), recipe={**STUDY["recipe"], **recipe})
    sgt("train", *WORDS)
    before, after = load_file("base/micro/ema.safetensors"), load_file(FINAL)
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_every_parameter_has_a_part_as_the_official_groups_have_it(study):
    model = load()
    parts = {name: model.part(name) for name, _ in model.network.named_parameters()}
    assert parts["language_model.model.layers.0.self_attn.q_proj.weight"] == "understanding"
    assert parts["language_model.model.layers.0.mlp_moe_gen.up_proj.weight"] == "generation"
    assert parts["time_embedder.mlp.0.weight"] == parts["llm2vae.bias"] == "generation"
    assert parts["vit_model.vision_model.post_layernorm.bias"] == parts["connector.fc1.weight"] == "vision"
    assert parts["language_model.lm_head.weight"] == "vocabulary"


@pytest.mark.parametrize(
    # The control would have nothing to train if it were the generation part alone.
    "parts",
    [["understanding"], ["generation", "vision"], ["vision"], ["vocabulary"]],
    ids=" and ".join,
)
def test_only_the_parts_that_are_named_change(parts, study):
    assert {load().part(name) for name in trained(trains=parts)} == set(parts)


def test_a_frozen_parameter_has_neither_gradient_nor_optimizer_state(study):
    write_study(Path(), recipe={**STUDY["recipe"], "trains": ["vision"]})
    run = Micro("segmentation")
    run.killed(BEFORE_ITS_END)
    names = load_file(run.work / "step-0000006/optimizer-00000-of-00001.safetensors")
    assert names and all("vit_model" in name or "connector" in name for name in names)


def test_adapters_change_the_layers_they_are_on_and_nothing_else(study):
    changed = trained(lora={"rank": 4, "alpha": 8.0, "parts": ["understanding"]}, optimizer={"lr": 0.02})
    parts = {load().part(name) for name in changed}
    assert parts == {"understanding"}
    assert all(name.endswith(".weight") and "norm" not in name for name in changed)
    model = load()
    assert sum(isinstance(part, LoRALinear) for part in model.network.modules()) == 0


def test_an_untrained_adapter_changes_nothing_and_a_merged_one_computes_the_same(study):
    torch.manual_seed(0)
    model = load()
    recipe = Recipe(steps=1, batch=3, lora={"rank": 4, "alpha": 8.0, "parts": ["understanding", "generation"]})
    reference = {name: value.clone() for name, value in model.network.state_dict().items()}
    make_trainable(model, recipe, 0)
    trainable = [name for name, p in model.network.named_parameters() if p.requires_grad]
    assert trainable and all("lora_" in name for name in trainable)
    layer = model.network.language_model.model.layers[0].mlp.up_proj
    x = torch.randn(5, layer.in_features)
    torch.testing.assert_close(layer(x), x @ reference["language_model.model.layers.0.mlp.up_proj.weight"].T)
    torch.nn.init.normal_(layer.lora_up)
    torch.testing.assert_close(
        layer(x), x @ layer.merged(layer.weight, layer.lora_down, layer.lora_up).T, rtol=1e-4, atol=1e-4
    )


def test_recomputed_activations_give_the_same_weights(study):
    trained()
    kept = FINAL.read_bytes()
    Path("results/runs/micro/segmentation/seed0/run.json").unlink()
    trained(activation_checkpointing=True)
    assert FINAL.read_bytes() == kept


def test_a_part_that_is_frozen_has_no_learning_rate():
    with pytest.raises(ValueError, match="lr_scale: vision is frozen"):
        Recipe(steps=1, batch=3, trains=["understanding"], lr_scale={"vision": 0.5})


def test_lora_and_trained_parts_contradict_each_other(study):
    with pytest.raises(ValueError, match="trains and lora contradict each other"):
        Recipe(steps=1, batch=3, trains=["vision"], lora={"rank": 1, "alpha": 1.0, "parts": ["generation"]})

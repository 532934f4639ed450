"""Estimates against what is really allocated, kept and multiplied."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sgt.config.datasets import Toyworld
from sgt.config.recipe import Recipe
from sgt.data.dataset import open_dataset
from sgt.data.mixture import Draw
from sgt.models import estimate
from sgt.models.attention import dense_layout
from sgt.models.bagel.checkpoint import empty_networks
from sgt.models.bagel.config import LLMConfig, ViTConfig, config_of
from sgt.models.bagel.layers import MoTDecoderLayer, ViTLayer, rotary
from sgt.models.bagel.sizes import bagel_sizes
from sgt.models.examples import InputImage, QAPair, TargetImage, Text
from sgt.models.registry import load_model
from sgt.models.registry import sizes_of as sizes_of_spec
from sgt.models.sizes import Stack, Tokens, forward_flops
from sgt.proxies.render import target_of
from sgt.study.load import load_model_spec, load_study
from sgt.training.examples import proxy_example, vqa_example
from sgt.training.optimizer import WeightAverage, make_adamw
from sgt.training.trainable import make_trainable
from tests.conftest import MODEL, OMNIGEN2, write_study
from tests.models.bagel.test_precision import picture

ROOT = Path(__file__).parents[2]
LORA = {"rank": 4, "alpha": 8.0, "parts": ["understanding", "generation"]}
EXAMPLES = [
    [InputImage(picture(0)), Text("paint it"), TargetImage(picture(1))],
    [InputImage(picture(2)), QAPair("how many", "two")],
]


def sizes_of(model):
    """Of a loaded micro model, with the vocabulary that its tokenizer has."""
    rows = model.network.config.llm.vocab_size
    return bagel_sizes({**MODEL["architecture"], "llm": {**MODEL["architecture"]["llm"], "vocab_size": rows}})


def size(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"precision": "bf16", "ema": 0.99},
        {"precision": "bf16-autocast", "trains": ["generation", "vision"], "ema": 0.9},
        {"precision": "bf16", "lora": LORA},
        {"lora": {**LORA, "parts": ["generation"]}, "ema": 0.9},
    ],
    ids=str,
)
def test_state_is_estimated_to_the_byte(changes, study):
    recipe = Recipe(steps=1, batch=3, **changes)
    model = load_model(load_study(study).models["micro"], Path("base/micro"), recipe.precision)
    sizes = sizes_of(model)
    make_trainable(model, recipe, 0)
    parameters = {name: p for name, p in model.network.named_parameters() if p.requires_grad}
    optimizer = make_adamw(parameters.values(), recipe.optimizer)
    average = WeightAverage(recipe.ema, parameters) if recipe.ema else None
    terms = model.loss(model.batch(EXAMPLES, range(len(EXAMPLES))), 1.0)
    (terms.ce + terms.mse).backward()
    optimizer.step()
    memory = estimate.memory(sizes, recipe, Tokens(1, 1, 1, 1, 1, 1), 48 * 48)
    assert memory.weights == size([*model.network.parameters(), *model.vae.parameters()])
    assert memory.gradients == size(p.grad for p in parameters.values())
    moments = [v for state in optimizer.state.values() for name, v in state.items() if name != "step"]
    assert memory.optimizer == size(moments)
    assert memory.average == (size(average.weights.values()) if average else 0)
    assert estimate.progress_bytes(sizes, recipe) == size(parameters.values()) + memory.optimizer + memory.average
    final = sum(path.stat().st_size for path in Path("base/micro").glob("*.safetensors"))
    assert estimate.checkpoint_bytes(sizes) == pytest.approx(final, rel=0.2)


def kept_bytes(layer, run) -> int:
    """Bytes that a layer saves for its backward pass, its own weights and their copies apart."""
    weights = {tuple(p.shape) for p in layer.parameters()} | {tuple(p.shape[::-1]) for p in layer.parameters()}
    found = {}

    def keep(tensor):
        if tuple(tensor.shape) not in weights:
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(found.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16-autocast", "bf16"])
def test_activations_kept_by_a_layer_are_estimated_to_a_tenth(precision):
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    stored, computed = dtype.itemsize, 4 if precision == "fp32" else 2
    count = 250
    llm, vit = LLMConfig(100, 128, 384, 1, 4, 2), ViTConfig(128, 384, 1, 4)
    layout = dense_layout(torch.arange(count), [count // 2] * 2, [count // 2] * 2, ["causal"] * 2)
    x = torch.randn(count, 128, dtype=dtype, requires_grad=True)
    decoder, encoder = MoTDecoderLayer(llm).to(dtype), ViTLayer(vit).to(dtype)
    rotation = rotary(torch.arange(count), 32, 1e6)
    runs = [
        (decoder, Stack(1, 128, 128, 64, 384, 3), lambda: decoder(x.split([50, 200]), rotation, layout, None)),
        (encoder, Stack(1, 128, 128, 128, 384, 2), lambda: encoder(x, layout)),
    ]
    for layer, stack, run in runs:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-autocast"):
            kept = kept_bytes(layer, run)
        assert estimate.kept_per_token(stack, stored, computed) * count == pytest.approx(kept, rel=0.1)


def test_operations_are_those_that_torch_counts(study):
    model = load_model(load_study(study).models["micro"], Path("base/micro"))
    batch = model.batch(EXAMPLES, range(len(EXAMPLES)))
    seen, made = len(batch.packed_vit_tokens), len(batch.packed_vae_token_indexes)
    tokens = Tokens(
        text=len(batch.packed_text_ids),
        input_image=seen,
        target_image=made,
        supervised=len(batch.ce_loss_indexes),
        pairs=0,
        vision_pairs=0,
    )
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.network(batch, torch.zeros(1, 4, 12, 12), 1.0)
    # Torch does not count attention on the CPU.
    sizes = sizes_of(model)
    assert forward_flops(sizes, tokens) == pytest.approx(counter.get_total_flops(), rel=0.05)
    met = replace(tokens, pairs=7, vision_pairs=5)
    # A pair takes a product of queries and keys and one of weights and values: 4 · 32 numbers in each of the layers.
    assert forward_flops(sizes, met) - forward_flops(sizes, tokens) == 4 * 32 * (2 * 7 + 1 * 5)


@pytest.mark.parametrize("name", ["micro", OMNIGEN2["name"]])
def test_what_a_sample_takes_to_train_is_estimated_to_a_tenth(name, study_omnigen2):
    loaded = load_study(write_study(Path(), models=[name]))
    spec, recipe = loaded.models[name], Recipe(steps=1, batch=3)
    model, sizes = load_model(spec, Path(spec.checkpoint)), sizes_of_spec(spec)
    scenes, proxy = open_dataset(loaded.dataset_dir("questions")), loaded.proxy("depth")
    count, text = range(len(scenes)), loaded.study.datasets["questions"].text
    made = [target_of(proxy, scenes[index]) for index in count]
    drawn = [proxy_example(proxy, scenes[index], made[index], Draw("p", index, index), 0, 0.0) for index in count]
    asked = [vqa_example(scenes[index]) for index in count]
    for examples, samples in ((drawn, (1, 0)), (asked, (0, 1))):
        with FlopCounterMode(display=False) as counter:
            # One at a time, so that none is padded.
            for example in examples:
                terms = model.loss(model.batch([example], [0]), 1.0)
                (terms.ce + terms.mse).backward()
        # Torch does not count attention on the CPU.
        tokens = replace(estimate.step_tokens(spec, sizes, samples, text), pairs=0, vision_pairs=0)
        counted = counter.get_total_flops() / len(scenes)
        assert estimate.step_flops(sizes, recipe, tokens) == pytest.approx(counted, rel=0.1)


def test_as_many_questions_as_take_a_proxy_arms_operations_to_half_a_question():
    text = Toyworld.text
    for name in ("bagel-tiny", "omnigen2-tiny", "bagel-7b", "omnigen2"):
        spec = load_model_spec(name, ROOT / "config/models")
        sizes = sizes_of_spec(spec)
        for recipe in (Recipe(steps=1, batch=15), Recipe(steps=1, batch=48, sampling_weights=(1, 5))):
            proxies, questions = estimate.step_samples(recipe)
            found = estimate.equal_questions(spec, sizes, recipe, text)
            arm, alone, one = (
                estimate.step_flops(sizes, recipe, estimate.step_tokens(spec, sizes, samples, text))
                for samples in ((proxies, questions), (0, found), (0, 1))
            )
            assert found > questions and abs(arm - alone) <= 0.51 * one


def test_7b_on_one_gpu_of_141_gb_and_adapters_on_one_of_80():
    spec = load_model_spec("bagel-7b", ROOT / "config/models")
    sizes = bagel_sizes({})
    whole, _ = empty_networks(config_of({}))
    assert sizes.total == sum(p.numel() for p in whole.parameters()) == 14_607_260_128
    assert sizes.autoencoder == 83_819_683

    def memory(devices: int = 1, **recipe) -> estimate.Memory:
        recipe = Recipe(steps=1, batch=3, activation_checkpointing=True, **recipe)
        tokens = estimate.share(estimate.step_tokens(spec, sizes, estimate.step_samples(recipe)), devices)
        return estimate.memory(sizes, recipe, tokens, 1024**2, devices)

    assert memory(precision="bf16").fits(141) and not memory(precision="bf16").fits(80)
    assert memory(precision="bf16", lora=LORA).fits(80)
    assert not memory(precision="bf16-autocast").fits(141)
    assert memory(8, precision="bf16-autocast", ema=0.9999).fits(80)


def test_a_pack_is_a_part_of_a_devices_share():
    tokens = Tokens(text=10, input_image=30, target_image=60, supervised=4, pairs=1000, vision_pairs=900)
    assert (
        estimate.pack(tokens, Recipe(steps=1, batch=3))
        == estimate.pack(tokens, Recipe(steps=1, batch=3, max_tokens_per_pack=200))
        == tokens
    )
    assert estimate.pack(tokens, Recipe(steps=1, batch=3, max_tokens_per_pack=50)) == Tokens(5, 15, 30, 2, 500, 450)

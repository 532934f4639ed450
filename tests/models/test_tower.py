"""The health of a vision tower: a tower that is broken on purpose is reported with the right number."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sgt.data.dataset import open_dataset
from sgt.data.images import image_of
from sgt.models.registry import load_model
from sgt.models.tower import attention_entropy, effective_rank, measure_tower
from sgt.study.load import load_model_spec


@pytest.fixture(params=["micro", "micro-omnigen2"])
def model(request):
    """A micro model of each family after a few steps of pretraining, in the working directory of its study."""
    request.getfixturevalue("study_omnigen2" if "omnigen2" in request.param else "study")
    spec = load_model_spec(request.param)
    loaded = load_model(spec, Path(spec.checkpoint))
    loaded.network.eval()
    return loaded


def measure(model):
    dataset = open_dataset(Path("results/shards/test"))
    return measure_tower(model.tower, [image_of(dataset[place]) for place in range(12)])


def part(model, of_bagel: str, of_omnigen2: str) -> nn.Module:
    """A submodule of the first layer, or of the whole tower if its name begins with a dot."""
    is_bagel = hasattr(model.network, "vit_model")
    tower = model.network.vit_model.vision_model if is_bagel else model.network.mllm.model.visual
    first = "encoder.layers.0" if is_bagel else "blocks.0"
    name = of_bagel if is_bagel else of_omnigen2
    return tower.get_submodule(name[1:] if name.startswith(".") else f"{first}.{name}")


def most(model) -> float:
    """Entropy of attention that is spread evenly over the patches of an image: 6 × 6 of BAGEL, 12 × 12 of OmniGen2."""
    return math.log(36 if hasattr(model.network, "vit_model") else 144)


def query_of(model) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of the first layer's queries, to be changed in place."""
    joint = part(model, "self_attn.q_proj", "attn.qkv")
    width = joint.in_features
    return joint.weight.data[:width], joint.bias.data[:width]


def test_a_fresh_tower_is_healthy_and_measuring_it_changes_nothing(model):
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    health = measure(model)
    layers = len(model.tower.layers)
    assert health.width == 32 and 12 < health.rank < 32 and health.images == 12
    assert health.dead == [0.0] * layers and len(health.entropy) == len(health.growth) == layers
    assert health.uniform_entropy == pytest.approx([most(model)] * layers)
    assert all(0.9 * most(model) < entropy <= most(model) for entropy in health.entropy)
    assert all(0.9 < growth < 1.3 for growth in health.growth)
    assert measure(model) == health
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    assert not any(module._forward_hooks for module in model.network.modules())
    assert not any({"attend", "observe"} & set(vars(module)) for module in model.network.modules())


def test_units_that_no_token_activates_are_dead(model):
    gate = part(model, "mlp.fc1", "mlp.gate_proj")
    gate.bias.data[: gate.out_features // 4] = -1000.0
    health = measure(model)
    assert health.dead == [0.25] + [0.0] * (len(health.dead) - 1)


def test_an_output_of_one_direction_has_rank_one(model):
    with torch.no_grad():
        if hasattr(model.network, "vit_model"):
            part(model, ".post_layernorm", "").weight[1:] = 0
        else:
            # Its patches have one direction, and no layer adds to them.
            weight = part(model, "", ".patch_embed.proj").weight
            rows = weight.flatten(1)
            weight.copy_(torch.outer(rows[:, 0], rows[0]).view_as(weight))
            for name, parameter in model.network.mllm.model.visual.blocks.named_parameters():
                if "attn.proj" in name or "down_proj" in name:
                    parameter.zero_()
    assert measure(model).rank == pytest.approx(1, abs=0.02)


def test_a_first_layer_that_swamps_the_residual_stream_shows_by_how_much(model):
    down, entered = part(model, "mlp.fc2", "mlp.down_proj"), []
    model.tower.layers[0].block.register_forward_pre_hook(lambda block, given: entered.append(given[0]))
    down.bias.data += 50.0
    health = measure(model)
    stream = torch.cat(entered).square().mean().sqrt().item()
    assert health.growth[0] == pytest.approx(50 / stream, rel=0.05) and health.growth[0] > 10


def test_attention_entropy_is_highest_where_all_tokens_count_alike(model):
    weight, bias = query_of(model)
    weight.zero_()
    bias.zero_()
    assert measure(model).entropy[0] == pytest.approx(most(model), abs=1e-6)


def test_attention_entropy_is_near_zero_where_one_token_counts(model):
    weight, bias = query_of(model)
    weight *= 1e5
    bias *= 1e5
    assert measure(model).entropy[0] < 0.1


def test_the_effective_rank_of_known_features():
    basis = torch.linalg.qr(torch.randn(64, 8, generator=torch.Generator().manual_seed(0)).double())[0]
    centred = torch.linalg.qr(basis - basis.mean(0))[0]
    assert effective_rank(centred) == pytest.approx(8)
    # An offset that all tokens share is no direction in which they differ.
    assert effective_rank(centred + 100) == pytest.approx(8)
    # Singular values 3 and 1: the entropy of (0.75, 0.25).
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(centred[:, :2] * torch.tensor([3.0, 1.0])) == pytest.approx(math.exp(entropy))
    assert effective_rank(torch.ones(5, 3)) == 1.0


def test_attention_entropy_of_known_scores():
    query = torch.ones(1, 1, 4)
    # Scores of 0 and ln 3, after the division by the root of 4.
    key = torch.stack([torch.zeros(4), torch.full((4,), math.log(3) / 2)])[None]
    expected = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert attention_entropy(query, key).item() == pytest.approx(expected, rel=1e-6)


def unscaled(model) -> tuple[int, int]:
    """The (width, height) of an image that the model takes as it is; of OmniGen2 a wide one."""
    transform = model.vqa_transform if hasattr(model.network, "vit_model") else model.vit_transform
    return next(size for size in ((72, 32), (48, 48)) if transform.size(*size) == size)


def test_captured_states_are_at_their_places_in_the_image(model):
    """Where no layer mixes patches, a patch that differs changes the state at its own place, in every image."""
    is_bagel = hasattr(model.network, "vit_model")
    with torch.no_grad():
        for layer in model.tower.layers:
            mixes = layer.block.get_submodule("self_attn.out_proj" if is_bagel else "attn.proj")
            mixes.weight.zero_()
            mixes.bias.zero_()
    width, height = unscaled(model)
    patch = 8 if is_bagel else 4
    rows, columns = height // patch, width // patch
    plain = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    images, places = [], [(0, 1), (rows - 1, 2), (2, columns - 1)]
    for row, column in places:
        pixels = plain.copy()
        pixels[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch] ^= 255
        images.append(Image.fromarray(pixels))
    before, *after = model.tower.capture([Image.fromarray(plain), *images])
    merge = rows // len(before.connected)
    assert merge == (1 if is_bagel else 2) and len(before.layers) == len(model.tower.layers)
    for (row, column), each in zip(places, after, strict=True):
        for old, new in zip([*before.layers, before.connected], [*each.layers, each.connected], strict=True):
            changed = (old - new).abs().amax(-1) > 1e-3
            scale = rows // len(old)
            assert changed.nonzero().tolist() == [[row // scale, column // scale]]


def test_captured_states_are_those_of_the_pass_that_answers(model):
    dataset = open_dataset(Path("results/shards/test"))
    images = [image_of(dataset[place]) for place in range(3)]
    together = model.tower.capture(images)
    last = []
    handle = model.tower.layers[-1].block.register_forward_hook(lambda block, given, output: last.append(output))
    with torch.no_grad():
        model.tower.encode(images[1])
    handle.remove()
    # The same numbers in the tower's own order.
    assert torch.allclose(together[1].layers[-1].flatten(0, 1).sum(0), last[0].float().sum(0), atol=1e-3)
    (alone,) = model.tower.capture(images[1:2])
    for one, other in zip([*alone.layers, alone.connected], [*together[1].layers, together[1].connected], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert not any(module._forward_hooks for module in model.network.modules())

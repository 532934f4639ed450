"""The released form of attention is what the released code computes, worked out here from an uncaptured pass.

From ``sgt.md`` 6: queries are a layer's output states times its query weights, without bias, norms and rotation; keys
are those in the cache; softmax over all of them, without a causal mask; the mean over heads.
"""

import pytest
import torch
from torch import Tensor

from sgt.models.bagel.model import Bagel
from sgt.models.capture import NoisyTarget
from sgt.models.interface import Request
from sgt.models.vision_reads import VISION
from tests.models.conftest import OF_OFFICIAL_CODE
from tests.models.test_capture import model as sharpened  # noqa: F401 - a fixture
from tests.models.test_capture import picture


def mean_weights(states: Tensor, weight: Tensor, keys: Tensor) -> Tensor:
    """(queries, keys), the mean over heads: states (queries, width), keys of one row (heads, keys, D)."""
    head_dim = keys.shape[2]
    queries = (states @ weight.T).unflatten(-1, (-1, head_dim)).transpose(0, 1)
    keys = keys.repeat_interleave(len(queries) // len(keys), dim=0)
    return (queries @ keys.transpose(1, 2) / head_dim**0.5).softmax(-1).mean(0)


@OF_OFFICIAL_CODE
@torch.no_grad()
def test_questions_attend_as_in_the_released_code(sharpened):  # noqa: F811
    request = Request((picture(0), "how many cubes are there"))
    if isinstance(sharpened, Bagel):
        context = sharpened._read([request])
        layers = sharpened.network.language_model.model.layers
        keys = [cache.keys[0] for cache in context.caches]
        kinds = context.kinds[0]
    else:
        context, first = sharpened._read([request])
        context.read([[first]])
        layers = sharpened.network.mllm.model.language_model.layers
        keys = [entry[0][0] for entry in context.cache]
        kinds = context.kinds[0]
    of_image = (kinds == VISION).nonzero()[:, 0]
    # The image with the markers at both sides of it.
    first, last = int(of_image.min()) - 1, int(of_image.max()) + 1
    (found,) = sharpened.capture([request], None, ["tail", "image", "frame"], released=True)
    for index, layer in enumerate(layers):
        weights = mean_weights(found.states[index]["tail"], layer.self_attn.q_proj.weight, keys[index])
        assert weights.shape[0] == 2
        want = weights[:, first : last + 1].sum(1).mean()
        released, own = found.released[index], found.attention[index]
        torch.testing.assert_close(released[0, 1] + released[0, 2], want, rtol=0, atol=1e-5)
        # It is not the model's own attention.
        assert abs(float(own[0, 1] + own[0, 2]) - float(want)) > 1e-3


@pytest.mark.parametrize("model", ["bagel"], indirect=True)
@torch.no_grad()
def test_latents_attend_as_in_the_released_code(sharpened):  # noqa: F811
    request, target = Request(("a ball left of a cube",)), NoisyTarget([picture(10)], 0.6, [0])
    context = sharpened._read([request])
    (found,) = sharpened.capture([request], None, ["target", "text"], target=target, released=True)
    for index, layer in enumerate(sharpened.network.language_model.model.layers):
        weight = layer.self_attn.q_proj_moe_gen.weight
        weights = mean_weights(found.states[index]["target"], weight, context.caches[index].keys[0])
        # Between the markers of the prompt.
        want = weights[:, 1:-1].sum(1).mean()
        torch.testing.assert_close(found.released[index][0, 1], want, rtol=0, atol=1e-5)

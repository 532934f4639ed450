"""Sampling against a plain sampler: every context read anew from its first token at every step, and no cache."""

import itertools

import pytest
import torch

from perf import bagel_reference as reference
from sgt.models.bagel.context import Context
from sgt.models.bagel.items import TextIds
from sgt.models.bagel.sampling import sample_latents
from sgt.models.interface import Sampling
from tests.models.bagel.oracle import CONFIG, SPECIAL, network

SHAPE, PROMPT = (2, 3), [5, 9, 200, 31]


def images(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A latent and the pixels of an image to edit."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 4, 6, generator=generator), torch.rand(3, 28, 42, generator=generator) * 2 - 1


def velocity(weights, x: torch.Tensor, t: float, edited, prompt: list[int] | None) -> torch.Tensor:
    """What the model says after an image to edit (or none) and a prompt (or none)."""
    sample, position, split = reference.Sample(), 0, 0
    if edited is not None:
        clean = reference.cut(edited[0], 2)
        tokens = reference.latent_tokens(weights, CONFIG, clean, torch.tensor(0.0), 2, 3)
        reference.put_image(sample, weights, SPECIAL, tokens, 0, 0, "full", generation=True)
        tokens = reference.vit_tokens(weights, CONFIG, edited[1])
        reference.put_image(sample, weights, SPECIAL, tokens, 1, 1, "full")
        position, split = 2, 2
    if prompt is not None:
        position = reference.put_text(sample, weights, SPECIAL, TextIds(prompt), position, split)
    tokens = reference.latent_tokens(weights, CONFIG, x, torch.tensor(t), *SHAPE)
    reference.put_image(sample, weights, SPECIAL, tokens, position, split + 1, "noise", generation=True)
    hidden = reference.decoder(weights, CONFIG, [sample])[0, -1 - len(x) : -1]
    return hidden @ weights["llm2vae.weight"].T + weights["llm2vae.bias"]


def guided(v, v_text, v_image, settings: Sampling) -> torch.Tensor:
    """One image's guidance, case by case as ``bagel.md`` 6 lists them."""
    a, b = settings.cfg_text_scale, settings.cfg_image_scale
    if a <= 1:
        return v

    def scaled(g, dim):
        ratio = v.norm(dim=dim, keepdim=True) / (g.norm(dim=dim, keepdim=True) + 1e-8)
        return g * ratio.clamp(min=settings.renorm_min, max=1.0)

    g = v_text + a * (v - v_text)
    if settings.renorm == "text_channel":
        g = scaled(g, -1)
        return v_image + b * (g - v_image) if b > 1 else g
    g = v_image + b * (g - v_image) if b > 1 else g
    return scaled(g, None if settings.renorm == "global" else -1)


def plain_sampler(weights, noise: torch.Tensor, edited, settings: Sampling) -> torch.Tensor:
    low, high = settings.cfg_interval
    times = [
        settings.shift * u / (1 + (settings.shift - 1) * u)
        for u in ((settings.num_steps - i) / settings.num_steps for i in range(settings.num_steps + 1))
    ]
    x = noise
    for t, after in itertools.pairwise(times):
        v = velocity(weights, x, t, edited, PROMPT)
        if low < t <= high:
            v_text = velocity(weights, x, t, edited, None)
            v = guided(v, v_text, velocity(weights, x, t, None, PROMPT), settings)
        x = x - v * (t - after)
    return x


CASES = [
    Sampling(num_steps, shift, text, image, interval, renorm, minimum)
    for (num_steps, shift), (text, image), interval, (renorm, minimum) in [
        *itertools.product(
            [(4, 3.0)], [(4.0, 2.0)], [(0.4, 1.0), (0.0, 1.0), (0.6, 0.95)],
            [("global", 0.0), ("channel", 0.0), ("text_channel", 0.0)],
        ),
        ((3, 1.0), (3.0, 1.0), (0.0, 1.0), ("global", 0.0)),
        ((3, 1.0), (3.0, 1.0), (0.0, 1.0), ("text_channel", 0.3)),
        ((3, 1.0), (1.0, 2.0), (0.0, 1.0), ("channel", 0.0)),
        ((3, 3.0), (4.0, 1.5), (0.0, 1.0), ("global", 1.0)),
    ]
]  # fmt: skip


@pytest.mark.parametrize("settings", CASES, ids=str)
@torch.no_grad()
def test_sampling_with_every_guidance(settings):
    """Two images in one batch: ``global`` norms are of each alone."""
    model, noise = network(), torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(1))
    edited = [images(0), images(1)]
    full, image_free = Context(model, SPECIAL, 2), Context(model, SPECIAL, 2)
    full.add_latents([latent for latent, _ in edited])
    full.add_vit([pixels for _, pixels in edited])
    text_free = full.select([0, 1])
    for context in (full, image_free):
        context.add_text([PROMPT, PROMPT])
    made = sample_latents(full, text_free, image_free, noise.flatten(0, 1), SHAPE, settings).split(6)
    weights = model.state_dict()
    for row in range(2):
        want = plain_sampler(weights, noise[row], edited[row], settings)
        torch.testing.assert_close(made[row], want, rtol=1e-4, atol=1e-4)
        unguided = plain_sampler(weights, noise[row], edited[row], Sampling(settings.num_steps, settings.shift, 1.0))
        assert (settings.cfg_text_scale > 1) == bool((want - unguided).abs().max() > 1e-3)

"""Cases beyond the oracle's own, against the plain reference; the reference itself against the oracle."""

from dataclasses import dataclass

import pytest
import torch

from perf import bagel_reference
from sgt.models import flow
from sgt.models.bagel.items import Item, PackedBatch, TextIds, VaeImage, VitImage
from sgt.models.bagel.packing import Packer
from tests.models.bagel.oracle import CONFIG, SPECIAL, agree, cases, expected, network, pack, samples, vae


@dataclass
class Drawn:
    """Samples with every random draw of their losses."""

    samples: list[list[Item]]
    dropped: list[list[bool]]
    normals: list[float]
    noises: list[torch.Tensor]
    vae_noises: list[torch.Tensor]


def draw(seed: int, sizes: tuple[tuple[int, int], ...] = ((64, 48), (32, 64))) -> Drawn:
    """A text-to-image, an edit, a VQA and a proxy sample; each condition is dropped with a probability of a half."""
    generator = torch.Generator().manual_seed(seed)

    def ids(count: int) -> list[int]:
        return torch.randint(0, 250, (count,), generator=generator).tolist()

    def pixels(height: int, width: int) -> torch.Tensor:
        return torch.rand(3, height, width, generator=generator) * 2 - 1

    one, two = sizes
    plans = [
        [TextIds(ids(5)), VaeImage(pixels(*one))],
        [VaeImage(pixels(*two), loss=False), VitImage(pixels(28, 42)), TextIds(ids(6)), VaeImage(pixels(*two))],
        [
            VitImage(pixels(42, 28)),
            TextIds(ids(4)),
            TextIds(ids(7), loss=True),
            TextIds(ids(3)),
            TextIds(ids(2), loss=True),
        ],
        [VitImage(pixels(28, 28)), TextIds(ids(3)), VaeImage(pixels(*one))],
    ]
    droppable = [[True, False], [True, True, True, False], [False] * 5, [True, True, False]]
    coins = iter(torch.rand(20, generator=generator).tolist())
    dropped = [[may and next(coins) < 0.5 for may in row] for row in droppable]
    kept = [
        item for row, gone in zip(plans, dropped, strict=True) for item, drop in zip(row, gone, strict=True) if not drop
    ]
    images = [item for item in kept if isinstance(item, VaeImage)]
    shapes = [item.pixels.shape[1:] for item in images]
    return Drawn(
        plans,
        dropped,
        torch.randn(sum(item.loss for item in images), generator=generator).tolist(),
        [torch.randn(h * w // 256, 16, generator=generator) for h, w in shapes],
        [torch.randn(4, h // 8, w // 8, generator=generator) for h, w in shapes],
    )


def packed(case: Drawn) -> PackedBatch:
    packer = Packer(CONFIG, SPECIAL)
    for items, dropped in zip(case.samples, case.dropped, strict=True):
        packer.add(items, dropped)
    vae_shape, _ = packer.noise_shapes()
    vae_noise = torch.zeros(vae_shape)
    for padded, noise in zip(vae_noise, case.vae_noises, strict=True):
        padded[:, : noise.shape[1], : noise.shape[2]] = noise
    return packer.batch(case.normals, vae_noise, torch.cat(case.noises))


def by_reference(case: Drawn, latents: torch.Tensor, weights: dict, shift: float):
    cropped = [latent[:, : n.shape[1], : n.shape[2]] for latent, n in zip(latents, case.vae_noises, strict=True)]
    return bagel_reference.losses(
        weights, CONFIG, SPECIAL, case.samples, case.dropped, cropped, case.noises, case.normals, shift
    )


@pytest.mark.parametrize(("name", "case", "noises"), [("train_shift1", "pack", "train"), ("sgt_a", "sgt_a", "sgt_a")])
def test_the_reference_gives_the_official_numbers(name, case, noises):
    batch = pack(case, f"{noises}.vae_sample_noise", f"{noises}.flow_noise")
    weights = {key: value.requires_grad_() for key, value in network().state_dict().items()}
    latents = vae().encode(batch.padded_images, batch.vae_sample_noise)
    shapes = batch.patchified_vae_latent_shapes
    ce, weight, mse = bagel_reference.losses(
        weights,
        CONFIG,
        SPECIAL,
        samples(case),
        cases()[case]["dropped"],
        [latent[:, : 2 * h, : 2 * w] for latent, (h, w) in zip(latents, shapes, strict=True)],
        batch.flow_noise.split([h * w for h, w in shapes]),
        cases()[case]["flow_normals"],
        1.0,
    )
    agree(ce, expected()[f"{name}.ce_per_token"], "ce")
    agree(mse, expected()[f"{name}.mse_per_token"], "mse")
    want = cases()[name]["expected"]
    assert ((ce * weight).sum() / weight.sum()).item() == pytest.approx(want["ce_reweighted_square"], rel=1e-5)
    (cases()[name]["ce_weight"] * ce.mean() + mse.mean()).backward()
    for key, norm in want["grad_norms"].items():
        if norm is not None:
            assert weights[key].grad.norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-6), key


@pytest.mark.parametrize("shift", [1.0, 3.0, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_losses_and_gradients_with_dropped_conditions_and_any_shift(seed, shift):
    case, model = draw(seed), network()
    batch = packed(case)
    latents = vae().encode(batch.padded_images, batch.vae_sample_noise)
    weights = {key: value.detach().clone().requires_grad_() for key, value in model.state_dict().items()}
    ce, weight, mse = by_reference(case, latents, weights, shift)
    losses = model(batch, latents, shift)
    agree(losses.ce, ce, "ce")
    agree(losses.mse, mse, "mse")
    agree(batch.ce_loss_weights, weight, "weights")
    (1.5 * ce.mean() + mse.mean()).backward()
    (1.5 * losses.ce.mean() + losses.mse.mean()).backward()
    for key, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, weights[key].grad, rtol=1e-3, atol=1e-5, msg=key)


def test_each_condition_is_dropped_in_some_case_and_kept_in_another():
    """The cases above would mean little if their coins all fell one way."""
    rows = [[drop for sample in draw(seed).dropped for drop in sample] for seed in range(5)]
    droppable = {0, 2, 3, 4, 11, 12}
    for place, column in enumerate(zip(*rows, strict=True)):
        assert set(column) == ({True, False} if place in droppable else {False}), place


def test_a_dropped_text_leaves_no_trace_and_a_dropped_image_one_position():
    vit, cond, target = (
        VitImage(torch.zeros(3, 28, 28)),
        VaeImage(torch.zeros(3, 32, 32), False),
        VaeImage(torch.zeros(3, 32, 32)),
    )
    text = TextIds([1, 2, 3])

    def positions(items, dropped) -> list[int]:
        packer = Packer(CONFIG, SPECIAL)
        packer.add(items, dropped)
        vae_shape, flow_shape = packer.noise_shapes()
        return packer.batch([0.0], torch.zeros(vae_shape), torch.zeros(flow_shape)).packed_position_ids.tolist()

    keep = [False, False, False, False]
    edit = [cond, vit, text, target]
    assert positions(edit, keep) == [0] * 6 + [1] * 6 + [2, 3, 4, 5, 6] + [7] * 6
    assert positions(edit, [True, False, False, False]) == [1] * 6 + [2, 3, 4, 5, 6] + [7] * 6
    assert positions(edit, [False, True, False, False]) == [0] * 6 + [2, 3, 4, 5, 6] + [7] * 6
    assert positions(edit, [False, False, True, False]) == [0] * 6 + [1] * 6 + [2] * 6
    assert positions(edit, [True, True, True, False]) == [2] * 6
    assert positions([text, target], [True, False]) == [0] * 6


def test_shifted_times_by_hand():
    """σ(0) = 1/2; shift 3 moves it to 3/2 / 2 = 3/4, shift 1 leaves it, and −∞ stays clean."""
    normals = torch.tensor([0.0, float("-inf"), 20.0])
    torch.testing.assert_close(flow.timestep(normals, 3.0), torch.tensor([0.75, 0.0, 1.0]))
    torch.testing.assert_close(flow.timestep(normals, 1.0), torch.tensor([0.5, 0.0, 1.0]))

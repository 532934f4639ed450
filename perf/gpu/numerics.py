"""Whether the device computes what the CPU does: attention against fp64, the official outputs, the cross-entropy."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from perf.block_mask import PROXY, QUESTIONS
from perf.gpu.rows import Row
from perf.gpu.setting import Setting
from sgt.models import cross_entropy
from sgt.models.attention import attend, dense_layout, split_mask
from sgt.models.flex import flex_layout

STEP = "numerics"
# Relative errors of outputs and gradients that rounding explains: fp32 products may run in tf32.
BOUND = {torch.float32: 1e-3, torch.bfloat16: 1e-2}
# Absolute, of losses per token beside the official ones in fp32.
OFFICIAL_BOUND = 1e-3


def numerics(setting: Setting) -> Iterator[Row]:
    """Every comparison, the official cases first, since nothing is compiled for them but their attention."""
    yield from official_cases(setting)
    yield from attention(setting)
    yield losses(setting)


def attention(setting: Setting) -> Iterator[Row]:
    """Attention of a pack, FlexAttention and dense, forward and backward, against dense attention in fp64."""
    if setting.tiny:
        splits, shape = [(20, "full"), (7, "causal"), (40, "noise")], ((6, 2), 16)
        packed = [67, 67], *map(list, zip(*(splits * 2), strict=True))
    else:
        shape = (28, 4), 128
        samples = [PROXY, QUESTIONS[1:], PROXY]
        packed = (
            [sum(count for count, _ in sample) for sample in samples],
            *map(list, zip(*(split for sample in samples for split in sample), strict=True)),
        )
    (heads, key_heads), width = shape
    draw = torch.Generator().manual_seed(0)
    tokens = sum(packed[0])
    given = [torch.randn(tokens, count, width, generator=draw) for count in (heads, key_heads, key_heads)]
    slope = torch.randn(tokens, heads * width, generator=draw)
    order = torch.randperm(tokens, generator=draw).to(setting.device)
    exact = run(lambda q, k, v: reference(q, k, v, order, *packed), given, slope, torch.float64, setting.device)
    # FlexAttention has no backward pass on the CPU.
    forms = {"FlexAttention": (flex_layout, setting.device.type != "cpu"), "dense": (dense_layout, True)}
    for dtype in (torch.bfloat16, torch.float32):
        for name, (form, backward) in forms.items():
            layout, what = form(order, *packed), f"{name}, {dtype}, {tokens} tokens"
            try:
                found = run(
                    lambda q, k, v, layout=layout: attend(q, k, v, layout),
                    given,
                    slope if backward else None,
                    dtype,
                    setting.device,
                )
            except Exception as error:  # of a kernel that the device cannot run; the other comparisons go on
                yield Row(STEP, what, {"error": str(error)[:300], "agrees": "NO"})
                continue
            errors = dict(zip(("output", "of_query", "of_key", "of_value"), map(relative, found, exact), strict=False))
            verdict = "yes" if max(errors.values()) < BOUND[dtype] else "NO"
            yield Row(STEP, what, {**errors, "bound": BOUND[dtype], "agrees": verdict})


def run(
    function: Callable[..., Tensor],
    given: Sequence[Tensor],
    slope: Tensor | None,
    dtype: torch.dtype,
    device: torch.device,
) -> list[Tensor]:
    """Output of a function of some tensors, and its gradients for a gradient of the output unless it is None."""
    inputs = [x.to(device, dtype).requires_grad_(slope is not None) for x in given]
    out = function(*inputs)
    return [out.detach(), *(torch.autograd.grad(out, inputs, slope.to(device, dtype)) if slope is not None else ())]


def reference(
    q: Tensor, k: Tensor, v: Tensor, order: Tensor, sample_lens: list[int], split_lens: list[int], modes: list[str]
) -> Tensor:
    """Attention written out, sample by sample, of tokens whose places in the pack are ``order``."""
    groups, place = q.shape[1] // k.shape[1], torch.argsort(order)
    q, k, v = q[place], k[place].repeat_interleave(groups, 1), v[place].repeat_interleave(groups, 1)
    mask = split_mask(sample_lens, split_lens, modes).to(q.device)
    ends = torch.tensor([0, *sample_lens]).cumsum(0).tolist()
    mixed = []
    for row, (start, end) in enumerate(pairwise(ends)):
        scores = torch.einsum("qhd,khd->hqk", q[start:end], k[start:end]) / q.shape[2] ** 0.5
        allowed = mask[row, : end - start, : end - start]
        shares = scores.masked_fill(~allowed, float("-inf")).softmax(-1)
        mixed.append(torch.einsum("hqk,khd->qhd", shares, v[start:end]))
    return torch.cat(mixed).flatten(1)[order]


def relative(found: Tensor, exact: Tensor) -> float:
    """‖found − exact‖ / ‖exact‖, infinite if anything is not a number."""
    error = ((found.double() - exact).norm() / exact.norm()).item()
    return error if error == error else float("inf")


def official_cases(setting: Setting) -> Iterator[Row]:
    """The losses per token that the official code computed for a tiny BAGEL, here on the device in fp32."""
    from tests.models.bagel import oracle

    network = oracle.network().to(setting.device)
    for case, noise, flow, prefix in (
        ("pack", "train.vae_sample_noise", "train.flow_noise", "train_shift1."),
        ("sgt_a", "sgt_a.vae_sample_noise", "sgt_a.flow_noise", "sgt_a."),
    ):
        batch = oracle.pack(case, noise, flow)
        latents = oracle.vae().encode(batch.padded_images, batch.vae_sample_noise).to(setting.device)
        with torch.no_grad():
            found = network(batch.to(setting.device), latents, 1.0)
        errors = {
            name: (getattr(found, name).cpu() - oracle.expected()[f"{prefix}{name}_per_token"]).abs().max().item()
            for name in ("ce", "mse")
        }
        verdict = "yes" if max(errors.values()) < OFFICIAL_BOUND else "NO"
        yield Row(STEP, f"official case {case}, fp32", {**errors, "bound": OFFICIAL_BOUND, "agrees": verdict})


def losses(setting: Setting) -> Row:
    """The cross-entropy in parts of the vocabulary against fp64, in bf16."""
    tokens, words, width = (40, 300, 32) if setting.tiny else (2048, 152064, 1024)
    draw = torch.Generator(setting.device).manual_seed(0)
    hidden = torch.randn(tokens, width, generator=draw, device=setting.device).bfloat16()
    head = nn.Linear(width, words, bias=False, device=setting.device, dtype=torch.bfloat16)
    labels = torch.randint(words, (tokens,), generator=draw, device=setting.device)
    at_once = min(cross_entropy.LOGITS_AT_ONCE // tokens, words // 3)
    found = cross_entropy.ChunkedCrossEntropy.apply(hidden, head.weight, labels, at_once)
    logits = torch.cat([hidden.double() @ part.double().T for part in head.weight.detach().split(16384)], dim=1)
    error = relative(found.detach(), nn.functional.cross_entropy(logits, labels, reduction="none"))
    verdict = "yes" if error < BOUND[torch.bfloat16] else "NO"
    return Row(STEP, f"cross-entropy in parts, bf16, {tokens} tokens", {"values": error, "agrees": verdict})

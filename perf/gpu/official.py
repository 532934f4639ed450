"""The training step as the official BAGEL code writes it, on our weights: for the ratio between both.

One packed sequence in the order of its samples. Every linear layer and norm gathers the tokens of either expert and
scatters its results into a tensor of zeros; keys and values are repeated for each head of a group; attention is
``scaled_dot_product_attention`` per sample with a mask of numbers, in the memory-efficient kernel, which is what the
official training runs by default; all logits of the supervised tokens are computed at once. The optimizer, the VAE and
the vision encoder are ours, so the ratio is that of the decoder and its losses alone.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from perf.gpu.rows import Row
from perf.gpu.setting import Setting
from perf.gpu.training import figures, prepare, timed_steps
from sgt.models import flow
from sgt.models.attention import split_mask
from sgt.models.bagel.items import PackedBatch
from sgt.models.bagel.layers import MoTAttention, MoTDecoderLayer, rotary, rotate
from sgt.models.bagel.network import BagelNetwork, Losses
from sgt.models.layers import rerun

STEP = "official"
Experts = tuple[Tensor, Tensor]


def official(setting: Setting) -> Iterator[Row]:
    """Our step and the official way's, one after the other on the same weights and pack, and their ratio."""
    training = prepare(setting, setting.bagel, setting.recipe(), setting.short_pack)
    network = training.model.network
    # Once: the mask depends on the pack alone, and the official loader makes it before the step.
    masks = additive_masks(training.batch, network.dtype)

    def theirs() -> Tensor:
        losses = official_losses(network, training.batch, training.model._latents(training.batch), 1.0, masks)
        return training.mean(losses.ce.sum(), losses.mse.mean(1).sum())

    seconds = []
    for what, loss in (("BAGEL the official way, short pack", theirs), ("BAGEL, the same pack", training.loss)):
        steps = list(timed_steps(setting, loss, training.update))[1:]
        seconds.append(median(map(sum, steps)))
        yield Row(STEP, what, figures(setting, training, steps))
        if setting.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
    yield Row(STEP, "ratio", {"official_over_sgt": seconds[0] / seconds[1]})


def additive_masks(batch: PackedBatch, dtype: torch.dtype) -> list[Tensor]:
    """Per sample, (1, 1, tokens, tokens): 0 where a query attends to a key, else −∞."""
    allowed = split_mask(batch.sample_lens, batch.split_lens, batch.attn_modes)
    cut = [mask[:length, :length] for mask, length in zip(allowed, batch.sample_lens, strict=True)]
    device = batch.packed_text_ids.device
    return [
        torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, float("-inf"))[None, None].to(device) for mask in cut
    ]


def official_losses(
    network: BagelNetwork, batch: PackedBatch, latents: Tensor, shift: float, masks: list[Tensor]
) -> Losses:
    """The losses of :meth:`BagelNetwork.forward`."""
    t = flow.timestep(batch.packed_timesteps, shift)
    clean, noise = network._latent_tokens(batch, latents), batch.flow_noise
    x = network.embed_text(batch.packed_text_ids).new_zeros(batch.tokens, network.config.llm.hidden_size)
    x[batch.packed_text_indexes] = network.embed_text(batch.packed_text_ids)
    x[batch.packed_vit_token_indexes] = network.embed_patches(
        batch.packed_vit_tokens, batch.packed_vit_position_ids, batch.vit_token_seqlens
    )
    x[batch.packed_vae_token_indexes] = network.embed_latents(
        flow.interpolate(clean, noise, t[:, None]), t, batch.packed_latent_position_ids
    )
    decoder = network.language_model.model
    experts = torch.cat([batch.packed_text_indexes, batch.packed_vit_token_indexes]), batch.packed_vae_token_indexes
    rotation = rotary(batch.packed_position_ids, decoder.config.head_dim, decoder.config.rope_theta)
    for layer in decoder.layers:
        given = layer, x, experts, rotation, masks, batch.sample_lens
        x = rerun(decoder_layer, *given) if decoder.activation_checkpointing else decoder_layer(*given)
    x = by_expert(x, experts, decoder.norm, decoder.norm_moe_gen)
    logits = network.language_model.lm_head(x[batch.ce_loss_indexes])
    predicted = network.llm2vae(x[batch.mse_loss_indexes])
    place = torch.searchsorted(batch.packed_vae_token_indexes, batch.mse_loss_indexes)
    mse = (predicted - flow.velocity(clean, noise)[place]).float().square()
    return Losses(F.cross_entropy(logits.float(), batch.packed_label_ids, reduction="none"), mse)


def by_expert(x: Tensor, experts: Experts, *modules: Callable[[Tensor], Tensor]) -> Tensor:
    """Each token of (N, …) through its expert's module, scattered into zeros."""
    out = None
    for index, module in zip(experts, modules, strict=True):
        part = module(x[index])
        out = part.new_zeros(len(x), *part.shape[1:]) if out is None else out
        out[index] = part
    return out


def decoder_layer(
    layer: MoTDecoderLayer, x: Tensor, experts: Experts, rotation: tuple, masks: list[Tensor], lengths: list[int]
) -> Tensor:
    """(N, width) → the same shape."""
    y = by_expert(x, experts, layer.input_layernorm, layer.input_layernorm_moe_gen)
    x = x + attention(layer.self_attn, y, experts, rotation, masks, lengths)
    y = by_expert(
        x,
        experts,
        lambda z: layer.mlp(layer.post_attention_layernorm(z)),
        lambda z: layer.mlp_moe_gen(layer.post_attention_layernorm_moe_gen(z)),
    )
    return x + y


def attention(
    layer: MoTAttention, x: Tensor, experts: Experts, rotation: tuple, masks: list[Tensor], lengths: list[int]
) -> Tensor:
    """(N, width) → the same shape."""

    def heads(name: str) -> Tensor:
        projections = (getattr(layer, f"{name}_proj{expert}") for expert in ("", "_moe_gen"))
        found = by_expert(x, experts, *projections).unflatten(-1, (-1, layer.head_dim))
        if name == "v":
            return found
        norms = (getattr(layer, f"{name}_norm{expert}") for expert in ("", "_moe_gen"))
        return rotate(by_expert(found, experts, *norms), rotation)

    q, k, v = heads("q"), heads("k"), heads("v")
    groups = q.shape[1] // k.shape[1]
    k, v = (y[:, :, None].repeat(1, 1, groups, 1).flatten(1, 2) for y in (k, v))
    mixed = []
    with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION) if x.is_cuda else nullcontext():
        for *sample, mask in zip(*(y.transpose(0, 1).split(lengths, dim=1) for y in (q, k, v)), masks, strict=True):
            mixed.append(F.scaled_dot_product_attention(*(y[None] for y in sample), attn_mask=mask)[0])
    flat = torch.cat(mixed, dim=1).transpose(0, 1).flatten(1)
    return by_expert(flat, experts, layer.o_proj, layer.o_proj_moe_gen)

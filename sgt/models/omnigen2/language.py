"""Qwen2.5-VL of ``transformers``: running it, and the two layouts of its parameter names."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sgt.models.cross_entropy import cross_entropy
from sgt.models.omnigen2.rows import IGNORED, Rows

# transformers takes longer to import than all the rest together, and a process of another family does without it.
if TYPE_CHECKING:
    from transformers import Cache, DynamicCache, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

MODULES = {"visual.": "model.visual.", "model.": "model.language_model."}


def current_name(name: str) -> str:
    """A parameter's name in transformers 5.x, from that or the 4.x name."""
    if name.startswith(tuple(MODULES.values())):
        return name
    for old, new in MODULES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def official_name(name: str) -> str:
    """The name in transformers 4.x, which released files have, from the 5.x name."""
    for old, new in MODULES.items():
        if name.startswith(new):
            return old + name.removeprefix(new)
    return name


def empty_language_model(config: "Qwen2_5_VLConfig") -> "Qwen2_5_VLForConditionalGeneration":
    """The model without weights; tied weights are one parameter."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.language_model.embed_tokens.weight
    return model


def complete(model: "Qwen2_5_VLForConditionalGeneration", device: torch.device | str) -> None:
    """Compute what files do not hold, once the parameters are loaded: rotary frequencies and tied weights."""
    language, visual = model.model.language_model, model.model.visual
    language.rotary_emb = type(language.rotary_emb)(language.config).to(device)
    visual.rotary_pos_emb = type(visual.rotary_pos_emb)(visual.config).to(device)
    if model.config.tie_word_embeddings:
        model.lm_head.weight = language.embed_tokens.weight


def encode_images(model: "Qwen2_5_VLForConditionalGeneration", pixels: Tensor, grids: Tensor) -> Tensor:
    """(tokens, width): the vision tower's features of images, one after another; no image attends to another."""
    visual = model.model.visual
    return visual(pixels.to(visual.dtype), grid_thw=grids).pooler_output


def embed(model: "Qwen2_5_VLForConditionalGeneration", rows: Rows, image_features: Tensor | None = None) -> Tensor:
    """(B, L, width): embedded tokens, with those of images in their places.

    Args:
        model: the language model.
        rows: chats.
        image_features: of their images, from :func:`encode_images`; computed here if it is None. Rows beyond those of
            the images have no effect, and a gradient of zero.
    """
    embedded = model.model.language_model.embed_tokens(rows.ids)
    if image_features is None:
        if not len(rows.grids):
            return embedded
        image_features = encode_images(model, rows.pixels, rows.grids)
    places = (rows.ids == model.config.image_token_id)[..., None]
    return embedded.masked_scatter(places, image_features.to(embedded.dtype))


def run(
    model: "Qwen2_5_VLForConditionalGeneration",
    embedded: Tensor,
    positions: Tensor,
    mask: Tensor,
    cache: "Cache | None" = None,
    kinds: Tensor | None = None,
) -> Tensor:
    """Final hidden states, after the last norm.

    Args:
        model: the language model.
        embedded: (B, L, width).
        positions: int64 (3, B, L).
        mask: bool (B, L, K): which keys, those of the cache first, each token may attend.
        cache: of the tokens before; it grows by these.
        kinds: uint8 (B, K), what each key is, for attention that depends on it; see :mod:`sgt.models.vision_reads`.
    """
    masks = {"full_attention": mask[:, None]}
    read = model.model.language_model(
        inputs_embeds=embedded,
        position_ids=positions,
        attention_mask=masks,
        cache=cache,
        use_cache=cache is not None,
        kinds=kinds,
    )
    return read.last_hidden_state


def hidden_states(
    model: "Qwen2_5_VLForConditionalGeneration", rows: Rows, image_features: Tensor | None = None
) -> Tensor:
    """(B, L, width): final hidden states of every token; those of padding are not meaningful.

    Args:
        model, rows, image_features: see :func:`embed`.
    """
    return run(model, embed(model, rows, image_features), rows.positions, rows.mask)


def text_errors(model: "Qwen2_5_VLForConditionalGeneration", hidden: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every supervised token, predicted from the state before it, nats: (supervised tokens,)."""
    targets = labels[:, 1:]
    supervised = targets != IGNORED
    return cross_entropy(hidden[:, :-1][supervised], model.lm_head, targets[supervised])


def empty_cache() -> "DynamicCache":
    """The keys and values of no token yet."""
    from transformers import DynamicCache

    return DynamicCache()


def select_cache(cache: "DynamicCache", rows: Tensor) -> "DynamicCache":
    """A new cache of these rows, which may repeat."""
    chosen = empty_cache()
    for index, (keys, values, _) in enumerate(cache):
        chosen.update(keys[rows], values[rows], index)
    return chosen

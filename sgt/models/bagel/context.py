"""A batch of key-value caches that texts and images are appended to (``bagel.md`` 6)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sgt.models.attention import KVCache, grid, make_layout
from sgt.models.bagel.items import SpecialTokens
from sgt.models.bagel.network import BagelNetwork
from sgt.models.bagel.packing import check_positions, patch_ids
from sgt.models.transforms import patches
from sgt.models.vision_reads import ANSWER, EMPTY, TEXT, VISION


class Context:
    """B rows of cached tokens. Rows may differ in length.

    Attributes:
        kinds: uint8 (B, C), what each place of the cache holds; see :mod:`sgt.models.vision_reads`.
        position: int64 (B,), the rotary position of the next token of each row.
    """

    def __init__(self, network: BagelNetwork, special: SpecialTokens, rows: int) -> None:
        self.network, self.special = network, special
        self.device = network.device
        self.caches = [KVCache() for _ in network.language_model.model.layers]
        self.kinds = torch.zeros(rows, 0, dtype=torch.uint8, device=self.device)
        self.position = torch.zeros(rows, dtype=torch.int64, device=self.device)

    @property
    def valid(self) -> Tensor:
        """Bool (B, C): which places of the cache are filled."""
        return self.kinds > EMPTY

    @property
    def rows(self) -> int:
        """B."""
        return len(self.position)

    @property
    def limit(self) -> int:
        """Rotary positions the model was made for."""
        return self.network.config.llm.max_position_embeddings

    def select(self, rows: Sequence[int]) -> "Context":
        """A new context of these rows, which may repeat: questions that share an image's prefix."""
        chosen = Context(self.network, self.special, 0)
        index = torch.tensor(rows, device=self.device)
        chosen.kinds, chosen.position = self.kinds[index], self.position[index]
        for new, old in zip(chosen.caches, self.caches, strict=True):
            if old.keys is not None and old.values is not None:
                new.keys, new.values = old.keys[index], old.values[index]
        return chosen

    @staticmethod
    def stack(contexts: Sequence["Context"]) -> "Context":
        """The rows of several contexts as one batch, shorter caches padded."""
        first = contexts[0]
        stacked = Context(first.network, first.special, 0)
        width = max(c.kinds.shape[1] for c in contexts)
        stacked.kinds = torch.cat([_widen(c.kinds[:, None, :, None], width)[:, 0, :, 0] for c in contexts])
        stacked.position = torch.cat([c.position for c in contexts])
        for layer, cache in enumerate(stacked.caches):
            parts = [c.caches[layer] for c in contexts]
            shape = next((p.keys for p in parts if p.keys is not None), None)
            if shape is not None:
                empty = [shape.new_zeros(c.rows, shape.shape[1], 0, shape.shape[3]) for c in contexts]
                keys = [p.keys if p.keys is not None else e for p, e in zip(parts, empty, strict=True)]
                values = [p.values if p.values is not None else e for p, e in zip(parts, empty, strict=True)]
                cache.keys = torch.cat([_widen(k, width) for k in keys])
                cache.values = torch.cat([_widen(v, width) for v in values])
        return stacked

    def add_text(self, ids: Sequence[Sequence[int]]) -> None:
        """Append one text per row: token ids without markers, which are put around them."""
        self.add_texts([[row] for row in ids])

    def add_texts(self, texts: Sequence[Sequence[Sequence[int]]]) -> None:
        """Append any number of texts per row, each token ids without markers, which are put around them."""
        bos, eos = self.special.bos, self.special.eos
        if any(texts):
            self._append([[token for text in row for token in (bos, *text, eos)] for row in texts])

    def read(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Append token ids of an answer, one sequence per row; returns (tokens, vocabulary) logits, row by row."""
        return self.network.logits(self._append(ids, ANSWER))

    def _append(self, ids: Sequence[Sequence[int]], kind: int = TEXT) -> Tensor:
        """Append these ids; returns their hidden states (tokens, width), row by row."""
        lengths = [len(row) for row in ids]
        row, column = grid(lengths)
        flat = torch.tensor([token for row_ids in ids for token in row_ids], device=self.device)
        kinds = torch.full((len(flat),), kind, dtype=torch.uint8)
        und, _ = self._run(self.network.embed_text(flat), None, row, column, kinds, lengths, "causal")
        self.position = self.position + torch.tensor(lengths, device=self.device)
        return und

    def add_vit(self, images: Sequence[Tensor]) -> None:
        """Append one image (3, H, W) per row, encoded by the semantic encoder."""
        size, side = self.network.config.vit.patch_size, self.network.config.vit_max_num_patch_per_side
        grids = [(i.shape[1] // size, i.shape[2] // size) for i in images]
        ids = torch.cat([patch_ids(h, w, side, "ViT image") for h, w in grids]).to(self.device)
        counts = [h * w for h, w in grids]
        pixels = torch.cat([patches(i, size) for i in images]).to(self.device)
        markers, row, column, kinds, lengths = self._framed(counts)
        und = torch.cat([markers, self.network.embed_patches(pixels, ids, counts)])
        self._run(und, None, row, column, kinds, lengths, "full")
        self.position = self.position + 1

    def add_latents(self, latents: Sequence[Tensor]) -> None:
        """Append one clean scaled latent (z, H, W) per row: an image to edit."""
        tokens, ids, counts = self._latent_tokens(latents)
        self._latents(tokens, torch.zeros(len(tokens), device=self.device), ids, counts, keep=True)
        self.position = self.position + 1

    def velocity(self, tokens: Tensor, t: float, shapes: Sequence[tuple[int, int]]) -> Tensor:
        """Velocity of noisy latents in this context, which does not cache them.

        Args:
            tokens: (latent tokens of all rows, numbers per token).
            t: time of all of them.
            shapes: (h, w) in tokens, per row.

        Returns:
            The same shape as ``tokens``.
        """
        side = self.network.config.max_latent_size
        ids = torch.cat([patch_ids(h, w, side, "generated image") for h, w in shapes]).to(self.device)
        times = torch.full((len(tokens),), t, device=self.device)
        hidden = self._latents(tokens, times, ids, [h * w for h, w in shapes], keep=False)
        return self.network.llm2vae(hidden).float()

    def _latent_tokens(self, latents: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[int]]:
        p, side = self.network.config.latent_patch_size, self.network.config.max_latent_size
        tokens = torch.cat([self.network.patchify(latent) for latent in latents])
        grids = [(latent.shape[1] // p, latent.shape[2] // p) for latent in latents]
        ids = torch.cat([patch_ids(h, w, side, "VAE image") for h, w in grids]).to(self.device)
        return tokens, ids, [h * w for h, w in grids]

    def _latents(self, tokens: Tensor, t: Tensor, ids: Tensor, counts: list[int], keep: bool) -> Tensor:
        markers, row, column, kinds, lengths = self._framed(counts)
        gen = self.network.embed_latents(tokens, t, ids)
        return self._run(markers, gen, row, column, kinds, lengths, "full", keep)[1]

    def _framed(self, counts: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor, list[int]]:
        """Markers around ``counts`` image tokens per row; where markers, then image tokens, stand; and their kinds."""
        rows = torch.arange(len(counts))
        inside = torch.tensor(counts)
        row, column = grid(counts)
        marker_ids = torch.tensor([self.special.start_of_image, self.special.end_of_image], device=self.device)
        markers = self.network.embed_text(marker_ids.repeat(len(counts)))
        marker_columns = torch.stack([torch.zeros_like(inside), inside + 1], dim=1).flatten()
        kinds = torch.tensor([TEXT] * 2 * len(counts) + [VISION] * len(row), dtype=torch.uint8)
        row, column = torch.cat([rows.repeat_interleave(2), row]), torch.cat([marker_columns, column + 1])
        return markers, row, column, kinds, [count + 2 for count in counts]

    def _run(
        self,
        und: Tensor,
        gen: Tensor | None,
        row: Tensor,
        column: Tensor,
        kinds: Tensor,
        lengths: list[int],
        mode: str,
        keep: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Run one block per row (und tokens first, then gen); cache it if ``keep``."""
        steps = torch.tensor(lengths if mode == "causal" else [1] * len(lengths), device=self.device)
        check_positions(int((self.position + steps).max()), self.network.config.llm)
        gen = und.new_zeros(0, und.shape[1]) if gen is None else gen
        width = max(lengths)
        row, column = row.to(self.device), column.to(self.device)
        own = torch.zeros(len(lengths), width, dtype=torch.uint8, device=self.device)
        own[row, column] = kinds.to(self.device)
        kinds = torch.cat([self.kinds, own], dim=1)
        valid = kinds > EMPTY
        mask = None
        if mode == "causal" or not valid.all():
            mask = valid[:, None, :].repeat(1, width, 1)
            if mode == "causal":
                mask[:, :, -width:] &= torch.ones(width, width, dtype=torch.bool, device=self.device).tril()
            mask = mask[:, None]
        layout = make_layout(row, column, lengths, mask, kinds)
        offset = column if mode == "causal" else torch.zeros_like(column)
        for cache in self.caches:
            cache.frozen = not keep
        hidden = self.network.language_model.model((und, gen), self.position[row] + offset, layout, self.caches)
        if keep:
            self.kinds = kinds
        return hidden


def _widen(cache: Tensor, width: int) -> Tensor:
    """(B, H, C, D) → (B, H, width, D), padded with zeros."""
    return torch.nn.functional.pad(cache, (0, 0, 0, width - cache.shape[2]))

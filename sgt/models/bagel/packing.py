"""Samples → one packed sequence (``bagel.md`` 4)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sgt.errors import SgtError
from sgt.models.bagel.config import BagelConfig, LLMConfig
from sgt.models.bagel.items import Aside, Item, PackedBatch, SpecialTokens, TextIds, VaeImage, VitImage
from sgt.models.transforms import patches


def patch_ids(height: int, width: int, side: int, where: str) -> Tensor:
    """Position ids ``row · side + column`` of a (height, width) grid, int64.

    Raises:
        SgtError: the grid is larger than the position table.
    """
    if height > side or width > side:
        raise SgtError(where, f"{height}x{width} tokens exceed the {side}x{side} position table", "use a smaller image")
    return (torch.arange(height)[:, None] * side + torch.arange(width)).flatten()


def check_positions(count: int, config: LLMConfig) -> None:
    """See that ``count`` rotary positions are not more than the model was made for.

    Raises:
        SgtError: they are.
    """
    if count > config.max_position_embeddings:
        problem = f"{count} positions exceed the context of {config.max_position_embeddings}"
        raise SgtError("prompt", problem, "use a shorter text or fewer images")


class Packer:
    """Collects samples into a :class:`PackedBatch`.

    Args:
        config: sizes of the model.
        special: marker ids.

    Attributes:
        length: tokens so far.
    """

    def __init__(self, config: BagelConfig, special: SpecialTokens) -> None:
        self.config, self.special = config, special
        self.length = 0
        self._sample_lens: list[int] = []
        self._split_lens: list[int] = []
        self._modes: list[str] = []
        self._positions: list[int] = []
        self._text_ids: list[int] = []
        self._text_at: list[int] = []
        self._labels: list[int] = []
        self._ce_at: list[int] = []
        self._ce_weights: list[float] = []
        self._vit: list[Tensor] = []
        self._vit_ids: list[Tensor] = []
        self._vit_at: list[Tensor] = []
        self._images: list[Tensor] = []
        self._shapes: list[tuple[int, int]] = []
        self._latent_ids: list[Tensor] = []
        self._latent_at: list[Tensor] = []
        self._targets: list[bool] = []

    def add(self, items: Sequence[Item], dropped: Sequence[bool] | None = None) -> None:
        """Append one sample.

        Args:
            items: in order.
            dropped: per item, whether condition dropout removed it: a text then leaves no trace, an image still
                advances the position by one.

        Raises:
            SgtError: the sample has more positions than the language model, or dropout left nothing of it.
        """
        start, position = self.length, 0
        for item, drop in zip(items, dropped or [False] * len(items), strict=True):
            match item:
                case TextIds():
                    position = position if drop else self._add_texts([item], position, "causal")
                case Aside():
                    if not drop:
                        self._add_texts(item.texts, position, "aside")
                case VitImage():
                    position = position + 1 if drop else self._add_vit(item, position)
                case VaeImage():
                    position = position + 1 if drop else self._add_vae(item, position)
        check_positions(max(self._positions[start:], default=-1) + 1, self.config.llm)
        if self.length == start:
            raise SgtError("packing", "a sample is empty after condition dropout", "keep one item without dropout")
        self._sample_lens.append(self.length - start)

    def _split(self, length: int, mode: str) -> None:
        self._split_lens.append(length)
        self._modes.append(mode)
        self.length += length

    def _add_texts(self, texts: Sequence[TextIds], position: int, mode: str) -> int:
        """One split of texts; returns the position after it."""
        at = self.length
        for text in texts:
            tokens = [self.special.bos, *text.ids, self.special.eos]
            count = len(tokens)
            self._text_ids += tokens
            self._text_at += range(at, at + count)
            self._positions += range(position, position + count)
            if text.loss:
                self._ce_at += range(at, at + count - 1)
                self._labels += tokens[1:]
                self._ce_weights += [(count - 1) ** -0.5] * (count - 1)
            at, position = at + count, position + count
        self._split(at - self.length, mode)
        return position

    def _add_markers(self, inside: int, position: int) -> Tensor:
        """The two markers of an image; returns where the ``inside`` tokens between them stand."""
        at = self.length
        self._text_ids += [self.special.start_of_image, self.special.end_of_image]
        self._text_at += [at, at + inside + 1]
        self._positions += [position] * (inside + 2)
        return torch.arange(at + 1, at + 1 + inside)

    def _add_vit(self, item: VitImage, position: int) -> int:
        size = self.config.vit.patch_size
        tokens = patches(item.pixels, size)
        height, width = item.pixels.shape[1] // size, item.pixels.shape[2] // size
        self._vit.append(tokens)
        self._vit_ids.append(patch_ids(height, width, self.config.vit_max_num_patch_per_side, "ViT image"))
        self._vit_at.append(self._add_markers(len(tokens), position))
        self._split(len(tokens) + 2, "full")
        return position + 1

    def _add_vae(self, item: VaeImage, position: int) -> int:
        stride = self.config.latent_stride
        height, width = item.pixels.shape[1] // stride, item.pixels.shape[2] // stride
        self._images.append(item.pixels)
        self._shapes.append((height, width))
        self._latent_ids.append(patch_ids(height, width, self.config.max_latent_size, "VAE image"))
        self._latent_at.append(self._add_markers(height * width, position))
        self._targets.append(item.loss)
        self._split(height * width + 2, "noise" if item.loss else "full")
        return position if item.loss else position + 1

    def batch(self, flow_normals: Sequence[float], vae_sample_noise: Tensor, flow_noise: Tensor) -> PackedBatch:
        """The packed batch, with its random draws.

        Args:
            flow_normals: one standard normal per target image, in order.
            vae_sample_noise, flow_noise: see :class:`PackedBatch`; :meth:`noise_shapes` gives their shapes.
        """
        normals = iter(flow_normals)
        u = [next(normals) if target else float("-inf") for target in self._targets]
        counts = torch.tensor([h * w for h, w in self._shapes], dtype=torch.int64)
        supervised = [at for at, target in zip(self._latent_at, self._targets, strict=True) if target]
        width = self.config.vit.num_channels * self.config.vit.patch_size**2
        return PackedBatch(
            sample_lens=self._sample_lens,
            split_lens=self._split_lens,
            attn_modes=self._modes,
            packed_text_ids=torch.tensor(self._text_ids),
            packed_text_indexes=torch.tensor(self._text_at),
            packed_position_ids=torch.tensor(self._positions),
            padded_images=self._padded_images(),
            patchified_vae_latent_shapes=self._shapes,
            packed_latent_position_ids=_join(self._latent_ids),
            packed_vae_token_indexes=_join(self._latent_at),
            packed_timesteps=torch.repeat_interleave(torch.tensor(u, dtype=torch.float32), counts),
            packed_vit_tokens=torch.cat(self._vit) if self._vit else torch.zeros(0, width),
            packed_vit_position_ids=_join(self._vit_ids),
            packed_vit_token_indexes=_join(self._vit_at),
            vit_token_seqlens=[len(tokens) for tokens in self._vit],
            packed_label_ids=torch.tensor(self._labels, dtype=torch.int64),
            ce_loss_indexes=torch.tensor(self._ce_at, dtype=torch.int64),
            ce_loss_weights=torch.tensor(self._ce_weights, dtype=torch.float32),
            mse_loss_indexes=_join(supervised),
            vae_sample_noise=vae_sample_noise,
            flow_noise=flow_noise,
        )

    def noise_shapes(self) -> tuple[tuple[int, ...], tuple[int, int]]:
        """Shapes of ``vae_sample_noise`` and ``flow_noise``."""
        factor = self.config.vae.downsample
        height, width = self._padded_size()
        images = (len(self._images), self.config.vae.z_channels, height // factor, width // factor)
        return images, (sum(h * w for h, w in self._shapes), self.config.latent_dim)

    def _padded_size(self) -> tuple[int, int]:
        return max((i.shape[1] for i in self._images), default=0), max((i.shape[2] for i in self._images), default=0)

    def _padded_images(self) -> Tensor:
        return pad_stack(self._images) if self._images else torch.zeros(0, 3, 0, 0)


def pad_stack(images: Sequence[Tensor]) -> Tensor:
    """Images (C, H, W) → one (images, C, highest, widest), padded right and below with zeros."""
    height, width = (max(image.shape[side] for image in images) for side in (1, 2))
    return torch.stack([F.pad(i, (0, width - i.shape[2], 0, height - i.shape[1])) for i in images])


def _join(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64)

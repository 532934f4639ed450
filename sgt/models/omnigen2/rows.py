"""Chats as rows of a batch of the language model: tokens, positions, labels and masks (``omnigen2.md`` 7)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgt.errors import SgtError
from sgt.models.attention import split_mask
from sgt.models.omnigen2.prompts import SpecialTokens
from sgt.models.tensors import moved

IGNORED = -100


@dataclass(frozen=True)
class ImagePatches:
    """An image as the vision tower's input.

    Attributes:
        pixels: fp32 (patches, numbers per patch).
        grid: (1, rows, columns) in patches.
        tokens: (rows, columns) in tokens of the language model.
    """

    pixels: Tensor
    grid: tuple[int, int, int]
    tokens: tuple[int, int]


@dataclass(frozen=True)
class Rows:
    """B chats, padded on the right to L tokens.

    Attributes:
        ids: int64 (B, L).
        positions: int64 (3, B, L): time, row and column of each token.
        labels: int64 (B, L): the token itself where it is supervised, −100 elsewhere.
        weights: fp32 (B, L), 1/√(tokens of that answer) of supervised tokens; ones where every token counts alike.
        mask: bool (B, L, L), true where a query may attend a key.
        lengths: tokens per row.
        pixels: fp32 (patches, numbers per patch) of all images.
        grids: int64 (images, 3).
    """

    ids: Tensor
    positions: Tensor
    labels: Tensor
    weights: Tensor
    mask: Tensor
    lengths: list[int]
    pixels: Tensor
    grids: Tensor

    @property
    def filled(self) -> Tensor:
        """Bool (B, L): which places hold a token."""
        lengths = torch.tensor(self.lengths, device=self.ids.device)
        return torch.arange(self.ids.shape[1], device=self.ids.device) < lengths[:, None]

    @property
    def supervised(self) -> Tensor:
        """Bool (B, L): which tokens are supervised."""
        return self.labels != IGNORED

    @property
    def loss_weights(self) -> Tensor:
        """fp32 (supervised tokens,), in the order of :func:`sgt.models.omnigen2.language.text_errors`."""
        return self.weights[self.supervised]

    def to(self, device: torch.device | str) -> "Rows":
        """The rows with every tensor on ``device``."""
        return moved(self, device)


class Chat:
    """One chat, built part by part.

    Args:
        special: what stands for images and padding.
        limit: positions the language model has.
    """

    def __init__(self, special: SpecialTokens, limit: int) -> None:
        self.special, self.limit = special, limit
        self.ids: list[int] = []
        self.labels: list[int] = []
        self.weights: list[float] = []
        self.positions: list[Tensor] = []
        self.images: list[ImagePatches] = []
        self.splits: list[tuple[int, str]] = []
        self.position = 0

    def add(self, ids: Sequence[int], images: Sequence[ImagePatches] = (), supervised: bool = False) -> None:
        """Append tokens.

        Args:
            ids: one image token per image, which becomes as many as the image has.
            images: in order.
            supervised: with a cross-entropy loss.

        Raises:
            SgtError: the chat becomes longer than the language model's context.
        """
        before, given = len(self.ids), iter(images)
        for token in ids:
            if token == self.special.image:
                self._add_image(next(given))
                continue
            self.ids.append(token)
            self.labels.append(token if supervised else IGNORED)
            self.weights.append(len(ids) ** -0.5 if supervised else 0.0)
            self.positions.append(torch.full((3, 1), self.position))
            self.position += 1
        self.splits.append((len(self.ids) - before, "causal"))
        if self.position > self.limit:
            problem = f"{self.position} positions exceed the context of {self.limit}"
            raise SgtError("prompt", problem, "use a shorter text or fewer images")

    def add_aside(self, question: Sequence[int], answer: Sequence[int]) -> None:
        """Append a question and its supervised answer, which nothing that follows attends to; positions skip it."""
        at, splits = self.position, len(self.splits)
        self.add(question)
        self.add(answer, supervised=True)
        self.position = at
        self.splits[splits:] = [(len(question) + len(answer), "aside")]

    def _add_image(self, image: ImagePatches) -> None:
        height, width = image.tokens
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        where = torch.stack([torch.zeros_like(rows), rows, columns]).flatten(1)
        self.positions.append(where + self.position)
        self.ids += [self.special.image] * height * width
        self.labels += [IGNORED] * height * width
        self.weights += [0.0] * height * width
        self.images.append(image)
        self.position += max(height, width)


def collate(chats: Sequence[Chat]) -> Rows:
    """Chats as one batch."""
    lengths = [len(chat.ids) for chat in chats]
    width = max(lengths)
    ids = torch.full((len(chats), width), chats[0].special.pad)
    labels = torch.full((len(chats), width), IGNORED)
    weights = torch.zeros(len(chats), width)
    positions = torch.zeros(3, len(chats), width, dtype=torch.int64)
    for row, chat in enumerate(chats):
        ids[row, : lengths[row]] = torch.tensor(chat.ids)
        labels[row, : lengths[row]] = torch.tensor(chat.labels)
        weights[row, : lengths[row]] = torch.tensor(chat.weights)
        positions[:, row, : lengths[row]] = torch.cat(chat.positions, dim=1)
    splits = [split for chat in chats for split in chat.splits]
    mask = split_mask(lengths, [length for length, _ in splits], [mode for _, mode in splits])
    images = [image for chat in chats for image in chat.images]
    pixels = torch.cat([image.pixels for image in images]) if images else torch.zeros(0, 0)
    grids = torch.tensor([image.grid for image in images], dtype=torch.int64).view(-1, 3)
    return Rows(ids, positions, labels, weights, mask, lengths, pixels, grids)

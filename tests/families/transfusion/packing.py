"""Samples → one packed sequence of text tokens, patches of input images, and noisy latents of target images."""

from collections.abc import Sequence

import torch
from sgt.models.transfusion.rules import TransfusionConfig
from torch import Tensor

from sgt.errors import SgtError
from sgt.models.attention import Layout, grid, make_layout, split_mask
from sgt.models.transforms import patches

SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")


class Pack:
    """``names`` has the span of each token, per sample; ``at`` where tokens of each kind stand in the sequence."""

    def __init__(self, config: TransfusionConfig, markers: Sequence[int]) -> None:
        self.config = config
        self.bos, self.eos, *self.image_markers = markers
        self.names: list[list[str]] = []
        self.at: dict[str, list[int]] = {"text": [], "image": [], "target": [], "label": []}
        self.places: dict[str, list[int]] = {"image": [], "target": []}
        self.ids: list[int] = []
        self.labels: list[int] = []
        self.weights: list[float] = []
        self.pixels: list[Tensor] = []
        self.positions: list[int] = []
        self._splits: list[tuple[int, str]] = []
        self._position = 0

    @property
    def lengths(self) -> list[int]:
        """Tokens per sample."""
        return [len(names) for names in self.names]

    def sample(self) -> None:
        """Begin the next one."""
        self.names.append([])
        self._position = 0

    def tokens(self, ids: Sequence[int], names: Sequence[str], mode: str = "causal") -> None:
        self.ids += ids
        self.at["text"] += range(len(self.positions), len(self.positions) + len(ids))
        self._split(names, mode)

    def words(self, ids: Sequence[int], names: Sequence[str] | None = None, supervised: bool = False) -> None:
        framed = self._framed(ids, len(self.positions), supervised)
        self.tokens(framed, ["template", *(names or ["text"] * len(ids)), "template"])

    def answered(self, question: Sequence[int], answer: Sequence[int]) -> None:
        """A question and its answer, which nothing after them attends to: both are one ``aside``."""
        framed = self._framed(question, 0, False)
        framed += self._framed(answer, len(self.positions) + len(framed), True)
        before = self._position
        self.tokens(framed, ["text"] * len(framed), "aside")
        self._position = before

    def image(self, kind: str, size: tuple[int, int], pixels: Tensor | None = None, name: str = "image") -> None:
        """An image of (height, width) pixels, of kind ``image`` or ``target``; without pixels it is only counted."""
        stride = self.config.patch if kind == "image" else self.config.latent_stride
        rows, columns = size[0] // stride, size[1] // stride
        if max(rows, columns) > self.config.grid:
            problem = f"{rows}x{columns} tokens exceed the model's {self.config.grid}x{self.config.grid}"
            raise SgtError(f"{kind} image", problem, "use a smaller image")
        if pixels is not None:
            self.pixels.append(patches(pixels, stride))
        start, count = len(self.positions), rows * columns
        self.ids += self.image_markers
        self.at["text"] += [start, start + count + 1]
        self.at[kind] += range(start + 1, start + 1 + count)
        self.places[kind] += [row * self.config.grid + column for row in range(rows) for column in range(columns)]
        self._split(["template", *[name] * count, "template"], "noise" if kind == "target" else "full")

    def check(self) -> None:
        """See that each sample fits the model."""
        if (count := max(self.positions, default=0) + 1) > self.config.positions:
            problem = f"{count} positions exceed the context of {self.config.positions}"
            raise SgtError("prompt", problem, "use a shorter text or fewer images")

    def layout(self, device: torch.device) -> Layout:
        row, column = (index.to(device) for index in grid(self.lengths))
        lengths, modes = zip(*self._splits, strict=True)
        mask = split_mask(self.lengths, list(lengths), list(modes))[:, None]
        return make_layout(row, column, self.lengths, mask.to(device))

    def _framed(self, ids: Sequence[int], at: int, supervised: bool) -> list[int]:
        if supervised:
            self.at["label"] += range(at, at + len(ids) + 1)
            self.labels += [*ids, self.eos]
            self.weights += [(len(ids) + 1) ** -0.5] * (len(ids) + 1)
        return [self.bos, *ids, self.eos]

    def _split(self, names: Sequence[str], mode: str) -> None:
        self.names[-1] += names
        self.positions += range(self._position, self._position + len(names))
        self._position += len(names)
        self._splits.append((len(names), mode))

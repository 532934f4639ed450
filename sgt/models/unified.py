"""A unified multimodal model: it is trained, answers about images, and makes images."""

from abc import abstractmethod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from sgt.models.capture import Capturer
from sgt.models.examples import InputImage, TargetImage, Text
from sgt.models.interface import Answerer, Generator, Request
from sgt.models.trainable import Trainable


class UnifiedModel(Trainable, Answerer, Generator, Capturer):
    """Base class of the model families."""

    def request_tokens(self, request: Request, size: tuple[int, int] | None = None) -> int:
        """See :meth:`Inference.request_tokens`."""
        example: list = [Text(request.system)] if request.system else []
        for part in request.content:
            example.append(Text(part) if isinstance(part, str) else InputImage(part, vqa=size is None))
        if size is not None:
            # Only the size of an image decides its tokens.
            example.append(TargetImage(SimpleNamespace(size=size[::-1])))
        return self.tokens(example)

    @classmethod
    @abstractmethod
    def from_checkpoint(
        cls,
        folder: Path,
        images: Any,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        overlay: Path | None = None,
    ) -> "UnifiedModel":
        """Load from a folder in the family's official layout.

        Args:
            folder: the checkpoint.
            images: how images are scaled: what the family's rules read of a model's file.
            dtype: of the network's weights; the VAE stays in fp32.
            device: of everything.
            overlay: folder with weights alone, which replace the checkpoint's of the same names.

        Raises:
            SgtError: a file or tensor is missing, unexpected or misshapen.
        """

    @classmethod
    @abstractmethod
    def without_weights(cls, folder: Path, images: Any) -> "UnifiedModel":
        """A checkpoint's model without its weights, for :meth:`check` and :meth:`tokens`.

        Raises:
            SgtError: a file is missing or damaged.
        """

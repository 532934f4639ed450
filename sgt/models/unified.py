"""A unified multimodal model: it is trained, answers about images, and makes images."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, Generic

import torch

from sgt.models.capture import Capturer
from sgt.models.examples import ImageOutline, InputImage, TargetImage, Text
from sgt.models.interface import Answerer, Generator, Request
from sgt.models.trainable import BatchT, Trainable
from sgt.models.vae import VAE


class UnifiedModel(Trainable[BatchT], Answerer, Generator, Capturer, Generic[BatchT]):
    """Base class of the model families.

    Attributes:
        vae: encodes and decodes target images; fp32, and never trained with the network.
    """

    vae: VAE

    def request_tokens(self, request: Request, size: tuple[int, int] | None = None) -> int:
        """See :meth:`Inference.request_tokens`."""
        example: list[InputImage | Text | TargetImage] = [Text(request.system)] if request.system else []
        for part in request.content:
            example.append(Text(part) if isinstance(part, str) else InputImage(part, vqa=size is None))
        if size is not None:
            # Only the size of an image decides its tokens.
            height, width = size
            example.append(TargetImage(ImageOutline((width, height))))
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

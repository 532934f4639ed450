"""A unified multimodal model: one that can be trained, answers about images, and makes images."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch

from sgt.models.interface import Answerer, Generator
from sgt.models.trainable import Trainable


class UnifiedModel(Trainable, Answerer, Generator):
    """Base class of the model families."""

    @classmethod
    @abstractmethod
    def from_checkpoint(
        cls,
        folder: Path,
        vit_image: Sequence[int],
        vae_image: Sequence[int],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        overlay: Path | None = None,
    ) -> "UnifiedModel":
        """Load from a folder in the family's official layout.

        Args:
            folder: the checkpoint.
            vit_image, vae_image: three numbers about its input and its generated images; see
                :class:`sgt.config.models.Model`.
            dtype: of the network's weights; the VAE stays in fp32.
            device: of everything.
            overlay: folder with weights alone, which replace the checkpoint's of the same names.

        Raises:
            SgtError: a file or tensor is missing, unexpected or misshapen.
        """

    @classmethod
    @abstractmethod
    def without_weights(cls, folder: Path, vit_image: Sequence[int], vae_image: Sequence[int]) -> "UnifiedModel":
        """A checkpoint's model without its weights, for :meth:`check` and :meth:`tokens`.

        Raises:
            SgtError: a file is missing or damaged.
        """

"""What a BAGEL consists of."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from sgt.models.bagel.checkpoint import special_tokens
from sgt.models.bagel.network import BagelNetwork
from sgt.models.interface import LoadedModel
from sgt.models.tokenizer import without_special
from sgt.models.transforms import transform_of
from sgt.models.vae import VAE


class BagelBase(LoadedModel):
    """Network, VAE, tokenizer and image transforms.

    Attributes:
        special, plain_tokenizer: the ids of the markers; the tokenizer without them.
        folder: of the checkpoint.
        vit_transform: of input images, for the semantic encoder.
        vqa_transform: of input images of questions; ``vit_transform`` unless it is set.
        vae_transform: of target images.
    """

    network: BagelNetwork

    def __init__(
        self,
        network: BagelNetwork,
        vae: VAE,
        tokenizer: Tokenizer,
        folder: Path,
        vit_image: Sequence[int],
        vae_image: Sequence[int],
    ) -> None:
        self.network, self.vae, self.tokenizer, self.folder = network, vae, tokenizer, folder
        self.special, self.plain_tokenizer = special_tokens(tokenizer), without_special(tokenizer)
        self.vit_transform, self.vae_transform = transform_of(vit_image), transform_of(vae_image)
        self.vqa_transform = self.vit_transform

    def ids(self, text: str) -> list[int]:
        """Token ids of a text; a marker in it is characters like any other."""
        return self.plain_tokenizer.encode(text, add_special_tokens=False).ids

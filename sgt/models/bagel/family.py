"""BAGEL as a family of models."""

from sgt.models.bagel.base import transform_of
from sgt.models.bagel.checkpoint import SPECIAL, empty_tensors, stored_vae
from sgt.models.bagel.create import create_checkpoint
from sgt.models.bagel.model import Bagel
from sgt.models.bagel.sizes import bagel_sizes
from sgt.models.family import Family

FAMILY = Family(
    model=Bagel,
    target_transform=lambda images: transform_of(images.target_image),
    special_tokens=SPECIAL,
    prompt_texts=(),
    tensors=empty_tensors,
    stored_vae=stored_vae,
    create=create_checkpoint,
    sizes=bagel_sizes,
)

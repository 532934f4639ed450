"""OmniGen2 as a family of models."""

from sgt.models.family import Family
from sgt.models.omnigen2.base import target_transform
from sgt.models.omnigen2.checkpoint import empty_tensors, stored_vae
from sgt.models.omnigen2.create import create_checkpoint
from sgt.models.omnigen2.model import OmniGen2
from sgt.models.omnigen2.prompts import PROMPT_TEXTS, SPECIAL
from sgt.models.omnigen2.sizes import omnigen2_sizes

FAMILY = Family(
    model=OmniGen2,
    target_transform=target_transform,
    special_tokens=SPECIAL,
    prompt_texts=PROMPT_TEXTS,
    tensors=empty_tensors,
    stored_vae=stored_vae,
    create=create_checkpoint,
    sizes=omnigen2_sizes,
)

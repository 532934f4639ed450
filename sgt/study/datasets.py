"""Datasets of a study and the parts they play."""

from typing import Annotated, Literal

from pydantic import Field

from sgt.study.fields import Count, Name, Strict


class Toyworld(Strict):
    """Built-in scenes (``sgt toyworld``). Scenes of different splits never share a seed."""

    source: Literal["toyworld"]
    split: Literal["pretrain", "proxy", "vqa", "validation", "test"]
    scenes: Count
    per_shard: Count = 1000
    size: Annotated[int, Field(ge=16, le=1024)] = Field(48, description="image side, pixels")
    seed: int = Field(0, ge=0)

    @property
    def shards(self) -> int:
        """How many shards the scenes fill."""
        return -(-self.scenes // self.per_shard)


class Data(Strict):
    """Which dataset plays which part."""

    proxy: Name = Field(description="dataset whose images and annotations become proxy targets")
    vqa: Name = Field(description="dataset of questions that every trained arm sees")
    validation: Name | None = Field(
        None, description="held-out dataset of images with annotations and questions, for validation losses"
    )

"""Datasets of a study and the parts they play."""

from typing import Annotated, Literal

from pydantic import Field

from sgt.study.fields import Count, Name, Probability, Strict


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

    @property
    def told(self) -> str:
        """How much it is."""
        return f"{self.scenes} scenes"


class Download(Strict):
    """A dataset made from, or read in, the folder that ``sgt fetch`` fills."""

    download: Name = Field(description="entry of config/data/downloads.yaml")


class SamSgt(Download):
    """SAM-SGT: tars of SA-1B images with their annotations, read where they lie."""

    source: Literal["sam-sgt"]
    download: Name = "sam-sgt"
    tars: Count = Field(description="how many of sam_selection-000NN.tar, from the first; each is one shard")

    @property
    def shards(self) -> int:
        """One per tar."""
        return self.tars

    @property
    def told(self) -> str:
        """How much it is."""
        return f"{self.tars} tars of images"


class Coco(Download):
    """COCO 2017: images with instances, and on demand the panoptic and stuff maps.

    Subsets are drawn once per seed, and smaller ones are the beginning of larger ones.
    """

    source: Literal["coco"]
    download: Name = "coco-2017"
    split: Literal["train", "val"] = "train"
    images: Count = Field(description="how many, of those that have annotations")
    per_shard: Count = 1000
    seed: int = Field(0, ge=0)
    maps: list[Literal["panoptic", "stuff"]] = Field([], description="maps to keep beside each image")

    @property
    def shards(self) -> int:
        """How many shards the images fill."""
        return -(-self.images // self.per_shard)

    @property
    def told(self) -> str:
        """How much it is."""
        return f"{self.images} images"


class LlavaOneVision(Download):
    """Questions of LLaVA-OneVision-Data; ``mixture`` names how many of which (``sgt.data.sources.llava_mixtures``)."""

    source: Literal["llava-onevision"]
    download: Name = "llava-onevision"
    mixture: Literal["paper", "script"] = "paper"
    samples: Count = Field(501_000, description="in all, in the mixture's proportions")
    per_shard: Count = 1000
    seed: int = Field(42, ge=0)

    @property
    def shards(self) -> int:
        """How many shards the samples fill."""
        return -(-self.samples // self.per_shard)

    @property
    def told(self) -> str:
        """How much it is."""
        return f"{self.samples} conversations"


Dataset = Annotated[Toyworld | SamSgt | Coco | LlavaOneVision, Field(discriminator="source")]


class Data(Strict):
    """Which dataset plays which part."""

    proxy: Name = Field(description="dataset whose images and annotations become proxy targets")
    vqa: Name = Field(description="dataset of questions that every trained arm sees")
    validation: Name | None = Field(
        None, description="held-out dataset of images with annotations and questions, for validation losses"
    )
    max_bad: Probability = Field(
        0.0, description="share of a shard's samples that may be refused, counted and reported"
    )

"""The kinds of dataset that a study may have."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from sgt.config.fields import Count, Folder, Name, Seed
from sgt.config.samples import Samples, SamplesInShards, TypicalText

DOWNLOAD = "entry of config/data/downloads.yaml"


class Toyworld(SamplesInShards):
    """Built-in scenes (``sgt toyworld``). Scenes of different splits never share a seed."""

    texts = frozenset({"questions", "captions"})
    # Measured on 60 scenes, the request for a caption included.
    text = TypicalText(turns=20, tokens=210, answers=49, independent=True)
    source: Literal["toyworld"]
    split: Literal["pretrain", "proxy", "vqa", "validation", "test"] = Field(description="which scenes")
    scenes: Count = Field(description="how many")
    per_shard: Count = Field(1000, description="scenes per shard")
    size: Annotated[int, Field(ge=16, le=1024)] = Field(48, description="image side, pixels")
    seed: Seed = Field(0, description="of the scenes")
    edits: bool = Field(False, description="whether each scene also has an edited version, for pretraining")

    @property
    def files(self) -> frozenset[str]:
        """Annotations and depth, and with edits the edited image."""
        return frozenset({"json", "depth.png", *(["edit.jpg"] if self.edits else [])})

    @property
    def drawn_from(self) -> frozenset[str]:
        """The scenes of a split and a seed, in their order."""
        return frozenset({f"toyworld's split {self.split} with seed {self.seed}"})

    @property
    def count(self) -> int:
        """As many as scenes."""
        return self.scenes

    @property
    def sample_pixels(self) -> int:
        """Of a square image."""
        return self.size**2

    @property
    def sample_bytes(self) -> int:
        """Mostly the record; image and depth take a quarter of a byte per pixel, an edited image as much again."""
        return (15_000 if self.edits else 12_000) + self.sample_pixels // (2 if self.edits else 4)

    def shards_of(self, limit: int | None) -> int:
        """Every shard but the last is full, so that there need not be more than the samples fill."""
        return self.shards if limit is None else min(self.shards, -(-limit // self.per_shard))

    @property
    def summary(self) -> str:
        """Its size, for messages."""
        return f"{self.scenes} scenes"


class Download(Samples):
    """A dataset made from, or read in, the folder that ``sgt fetch`` fills."""

    download: Name = Field(description=DOWNLOAD)

    @property
    def drawn_from(self) -> frozenset[str]:
        """The download."""
        return frozenset({self.download})


# Images of COCO 2017, by split.
COCO_IMAGES = {"train": 118_287, "val": 5_000}


class SamSgt(Download):
    """SAM-SGT: tars of SA-1B images with their annotations, read where they lie."""

    counted = False
    sample_bytes: ClassVar[int] = 0
    sample_pixels: ClassVar[int] = 1500 * 2250
    source: Literal["sam-sgt"]
    download: Name = Field("sam-sgt", description=DOWNLOAD)
    tars: Count = Field(description="how many of sam_selection-000NN.tar, from the first; each is one shard")

    @property
    def count(self) -> int:
        """About 190,000 images lie in 27 tars."""
        return 7_000 * self.tars

    @property
    def shards(self) -> int:
        """One per tar."""
        return self.tars

    @property
    def summary(self) -> str:
        """Its size, for messages."""
        return f"{self.tars} tars of images"


class Coco(Download, SamplesInShards):
    """COCO 2017: images with instances, and on demand the panoptic and stuff maps.

    Subsets are drawn once per seed, and smaller ones are the beginning of larger ones.
    """

    classes = True
    sample_bytes: ClassVar[int] = 180_000
    sample_pixels: ClassVar[int] = 640 * 480
    source: Literal["coco"]
    download: Name = Field("coco-2017", description=DOWNLOAD)
    split: Literal["train", "val"] = Field("train", description="of COCO")
    images: Count = Field(description="how many, of those that have annotations")
    per_shard: Count = Field(1000, description="images per shard")
    seed: Seed = Field(0, description="of the draw of images")
    maps: list[Literal["panoptic", "stuff"]] = Field([], description="maps to keep beside each image")

    @model_validator(mode="after")
    def _released(self) -> "Coco":
        if self.images > COCO_IMAGES[self.split]:
            raise ValueError(f"images: {self.split}2017 has {COCO_IMAGES[self.split]}, not {self.images}: lower it")
        return self

    @property
    def files(self) -> frozenset[str]:
        """Annotations and the maps that are kept."""
        return frozenset({"json", *(f"{name}.png" for name in self.maps)})

    @property
    def drawn_from(self) -> frozenset[str]:
        """A split of COCO."""
        return frozenset({f"{self.split}2017 of {self.download}"})

    @property
    def count(self) -> int:
        """As many as images."""
        return self.images

    @property
    def summary(self) -> str:
        """Its size, for messages."""
        return f"{self.images} images"


class LlavaOneVision(Download, SamplesInShards):
    """Questions of LLaVA-OneVision-Data; ``mixture`` names how many of which (``sgt.data.sources.llava_mixtures``)."""

    texts = frozenset({"conversations"})
    sorted_by = "subset"
    sample_bytes: ClassVar[int] = 150_000
    sample_pixels: ClassVar[int] = 640 * 480
    source: Literal["llava-onevision"]
    download: Name = Field("llava-onevision", description=DOWNLOAD)
    mixture: Literal["paper", "script"] = Field(
        "paper", description="subsets and their proportions, as the paper or as SGT's script has them"
    )
    samples: Count = Field(501_000, description="in all, in the mixture's proportions")
    per_shard: Count = Field(1000, description="samples per shard")
    seed: Seed = Field(42, description="of the draw of samples")

    @property
    def files(self) -> frozenset[str]:
        """None: their records hold conversations, not annotations."""
        return frozenset()

    @property
    def count(self) -> int:
        """As many as are drawn."""
        return self.samples

    @property
    def summary(self) -> str:
        """Its size, for messages."""
        return f"{self.samples} conversations"


class ImageFolder(Download, SamplesInShards):
    """Images of one thing each, in a folder per class, as ImageNet has them (``n03452741/n03452741_10048.JPEG``)."""

    classes = True
    sample_bytes: ClassVar[int] = 110_000
    sample_pixels: ClassVar[int] = 500 * 375
    source: Literal["image-folder"]
    folders: Annotated[dict[str, str], Field(min_length=1)] = Field(
        description="name of a class by its folder in the download: `n03452741: grand piano`"
    )
    per_class: Count = Field(description="images of each class")
    per_shard: Count = Field(1000, description="images per shard")
    seed: Seed = Field(0, description="of the draw of images")

    @model_validator(mode="after")
    def _named_once(self) -> "ImageFolder":
        if len(set(self.folders.values())) < len(self.folders):
            raise ValueError("folders: two have the same class: name each differently")
        return self

    @property
    def drawn_from(self) -> frozenset[str]:
        """The folders of its classes."""
        return frozenset(f"{self.download}/{folder}" for folder in self.folders)

    @property
    def count(self) -> int:
        """As many of each class."""
        return self.per_class * len(self.folders)

    @property
    def summary(self) -> str:
        """Its size, for messages."""
        return f"{self.count} images of {len(self.folders)} classes"


class Images(SamplesInShards):
    """Pictures of your own: those in a folder and the folders in it, without annotations.

    Subsets are drawn once per seed, and smaller ones are the beginning of larger ones, also where pictures are added.
    """

    # Of photographs from a phone.
    sample_bytes: ClassVar[int] = 3_000_000
    sample_pixels: ClassVar[int] = 4000 * 3000
    source: Literal["images"]
    folder: Folder = Field(description="that is searched, with the folders in it")
    images: Count = Field(description="how many of the pictures there")
    per_shard: Count = Field(1000, description="pictures per shard")
    seed: Seed = Field(0, description="of the draw of pictures")
    licence: str = Field("not stated", description="of the pictures, for the cards of models that are trained on them")

    @property
    def files(self) -> frozenset[str]:
        """None besides the picture."""
        return frozenset()

    @property
    def drawn_from(self) -> frozenset[str]:
        """The folder."""
        return frozenset({self.folder})

    @property
    def count(self) -> int:
        """As many as pictures."""
        return self.images

    @property
    def summary(self) -> str:
        """Its size, for messages."""
        return f"{self.images} pictures"


# What `sgt shards` makes: from a download, or from a folder of pictures.
ShardedDataset = SamSgt | Coco | LlavaOneVision | ImageFolder | Images
Dataset = Annotated[Toyworld | ShardedDataset, Field(discriminator="source")]

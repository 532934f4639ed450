"""What each dataset of a study is used for, and how much of it."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from sgt.config.fields import Count, Name, Strict


class Subset(Strict):
    """A dataset, or its first samples, so that smaller subsets are the beginning of larger ones."""

    dataset: Name = Field(description="one of the study's datasets")
    limit: Count | None = Field(
        None,
        description="how many samples, from the first, counted before those that no model can take are left out; "
        "all if left out",
    )


def _named(value: object) -> object:
    """A dataset's name alone stands for all its samples."""
    return {"dataset": value} if isinstance(value, str) else value


# What a study may write: a name, or a name with a limit.
DatasetOrSubset = Annotated[Subset, BeforeValidator(_named, json_schema_input_type=Name | Subset)]


class Data(Strict):
    """Which dataset is used for what: its name, or `{dataset: NAME, limit: N}` for its first samples."""

    proxy: DatasetOrSubset | None = Field(
        None, description="dataset whose images and annotations become proxy targets; needed by proxy arms"
    )
    vqa: DatasetOrSubset | None = Field(None, description="dataset of questions that every trained arm sees, and needs")
    validation: DatasetOrSubset | None = Field(
        None,
        description="held-out dataset of images with annotations and questions, for validation losses; it must not be "
        "drawn from the images that arms are trained on",
    )
    held_out: Name | None = Field(
        None,
        description="held-out dataset of images that proxy arms are checked on: whether they learned their proxy; it "
        "must not be drawn from the images that proxies are rendered from. By default validation, or else the first "
        "benchmark's that has what every proxy needs",
    )
    held_out_samples: int = Field(
        48, ge=2, description="samples of it that proxy arms are checked on, from the first; all if there are fewer"
    )
    max_bad: float = Field(
        0.0, ge=0, lt=1, description="share of a shard's samples that may be refused, counted and reported"
    )

"""What a study can choose about the models that segment images without annotations."""

from typing import Annotated, Literal

from pydantic import Field

from sgt.config.fields import Count, Folder, Probability, Strict


class Sam2Options(Strict):
    """Masks of everything in an image, by SAM 2 from a grid of points; they overlap, and have no classes."""

    kind: Literal["sam2"]
    model: Folder = Field(description="folder of the fetched model, at its size")
    points_per_side: Annotated[int, Field(ge=1, le=128)] = Field(32, description="of the grid; each has three masks")
    points_per_batch: Count = Field(64, description="points decoded together")
    predicted_iou: Probability = Field(0.8, description="which the model must expect of a mask")
    stability: Probability = Field(
        0.95, description="IoU of a mask at a higher with the same at a lower threshold that it must have"
    )
    duplicates: Probability = Field(
        0.7, description="IoU above which only the mask of higher predicted IoU is kept of two"
    )


class Mask2FormerOptions(Strict):
    """Segments of things and stuff that do not overlap, by Mask2Former trained on panoptic maps."""

    kind: Literal["mask2former"]
    model: Folder = Field(description="folder of the fetched model, at its size")
    score: Probability = Field(0.8, description="probability of its class that a segment must have")
    visible: Probability = Field(0.8, description="share of its mask that a segment must own against others")
    things: Annotated[int, Field(ge=0)] = Field(
        80, description="classes, from the first, of things; the others are stuff, one segment each; of COCO: 80"
    )


AnnotatorOptions = Annotated[Sam2Options | Mask2FormerOptions, Field(discriminator="kind")]
# The kind of label that each makes, as `granularity` of a segmentation.
GRANULARITY = {"sam2": "instance", "mask2former": "panoptic"}

"""Features of images and of their objects: what the layers of a model compute, averaged over places in the image."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from sgt.analysis.annotated import AnnotatedImage, annotated_image
from sgt.data.dataset import ShardDataset
from sgt.errors import SgtError
from sgt.models.interface import Request
from sgt.models.unified import UnifiedModel
from sgt.progress import Progress

log = logging.getLogger("sgt")
# The layers' states of images of so many tokens are held at once: 3 GB of a 7B model.
TOKENS_AT_ONCE = 4096
VISION, CONNECTOR, DECODER, CONDITIONING = "vision", "connector", "decoder", "conditioning"


@dataclass(frozen=True)
class Features:
    """Features of some images and their objects, by layer.

    Attributes:
        images: name of a layer → fp32 (images, channels): the mean over the image. Layers are ``vision.0``, …,
            ``connector``, ``decoder.0``, …, in the order in which a model computes them. Where the decoder's last
            states condition a diffusion transformer, ``conditioning.0``, … are these as it reads them.
        objects: name of a layer → fp32 (objects, channels): the mean over an object's mask.
        keys: of the images.
        image_of: int (objects,): index of each object's image.
        labels: of each object, see :class:`sgt.analysis.annotated.AnnotatedObject`.
        left_out: keys of the samples that are malformed, or that the model cannot take.
    """

    images: dict[str, np.ndarray]
    objects: dict[str, np.ndarray]
    keys: list[str]
    image_of: np.ndarray
    labels: list[dict[str, str | float]]
    left_out: list[str]


def pooled_features(model: UnifiedModel, dataset: ShardDataset, every: int = 1) -> Features:
    """Features of every image that has an object, and of its objects.

    Args:
        model: in evaluation mode.
        dataset: of images with annotations.
        every: take the last layer of the vision encoder and of the decoder, and every so many-th before it.

    Raises:
        SgtError: the model has no vision encoder of its own, or no image can be used.
    """
    images, objects = defaultdict[str, list](list), defaultdict[str, list](list)
    keys, image_of, left_out = list[str](), list[int](), list[str]()
    labels: list[dict[str, str | float]] = []
    for some in _batches(model, dataset, left_out):
        for annotated, layers in zip(some, _states(model, [each.image for each in some], every), strict=True):
            masks = [each.mask for each in annotated.objects]
            shares = {grid: shares_of_places(masks, grid) for grid in {states.shape[:2] for states in layers.values()}}
            for name, states in layers.items():
                flat = states.flatten(0, 1).numpy()
                images[name].append(flat.mean(0, keepdims=True))
                objects[name].append(shares[states.shape[:2]] @ flat)
            image_of += [len(keys)] * len(masks)
            keys.append(annotated.key)
            labels += [each.labels for each in annotated.objects]
    if not keys:
        raise SgtError("dataset", "no image with an object that the model can take", "name another in the study")
    # Layer by layer, so that features are in memory once: those of a 7B model take half a megabyte per object.
    joined = [{name: np.concatenate(each.pop(name)) for name in list(each)} for each in (images, objects)]
    return Features(joined[0], joined[1], keys, np.array(image_of), labels, left_out)


def shares_of_places(masks: Sequence[np.ndarray], grid: Sequence[int]) -> np.ndarray:
    """How a mask is spread over a grid: fp32 (masks, places), row by row; each mask's shares add up to one.

    Args:
        masks: bool (height, width) each, none empty.
        grid: (height, width) of the places, which cover the image.
    """
    height, width = grid
    covered = [
        np.asarray(Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX)).ravel()
        for mask in masks
    ]
    shares = np.array(covered, np.float32).reshape(len(masks), height * width)
    return shares / shares.sum(1, keepdims=True)


def _batches(model: UnifiedModel, dataset: ShardDataset, left_out: list[str]) -> Iterator[list[AnnotatedImage]]:
    """Images with objects, as many at once as have so many tokens; keys of samples that cannot be used are added."""
    progress = Progress("images", len(dataset))
    some, tokens = list[AnnotatedImage](), 0
    for index in range(len(dataset)):
        try:
            annotated = annotated_image(dataset[index])
            more = model.request_tokens(Request((annotated.image,)))
        except SgtError as error:
            log.warning("left out: %s", error)
            left_out.append(dataset.key(index))
            continue
        finally:
            progress.add()
        if not annotated.objects:
            continue
        if some and tokens + more > TOKENS_AT_ONCE:
            yield some
            some, tokens = [], 0
        some, tokens = [*some, annotated], tokens + more
    if some:
        yield some


def _states(model: UnifiedModel, images: Sequence[Image.Image], every: int) -> Iterator[Mapping[str, Tensor]]:
    """Of each image, the states (height, width, channels) of its tokens after each layer, by the layer's name."""
    if model.tower is None:
        raise SgtError("model", "has no vision encoder of its own, whose layers could be probed", "leave it out")
    captured = model.capture([Request((image,)) for image in images], None, ["image"])
    conditioning = model.capture_conditioning(images)
    for encoded, read, steps in zip(model.tower.capture(images), captured, conditioning, strict=True):
        grid = encoded.connected.shape[:2]
        decoder = [read.states[layer]["image"].unflatten(0, grid) for layer in sorted(read.states)]
        vision, spaced = _every(VISION, encoded.layers, every), _every(DECODER, decoder, every)
        conditions = _every(CONDITIONING, [step.unflatten(0, grid) for step in steps], every)
        yield {**vision, CONNECTOR: encoded.connected, **spaced, **conditions}


def _every(group: str, layers: Sequence[Tensor], every: int) -> dict[str, Tensor]:
    """The last of some layers and every so many-th before it, by name."""
    return {f"{group}.{index}": layers[index] for index in range((len(layers) - 1) % every, len(layers), every)}

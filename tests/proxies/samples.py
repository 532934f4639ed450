"""Samples for tests of proxies."""

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as coco
from skimage import segmentation as superpixels

from sgt.data.images import encode_jpeg, encode_png
from sgt.data.shards import Sample


def rle(mask: np.ndarray) -> dict:
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()}


def annotated(labels: np.ndarray) -> list[dict]:
    masks = {int(label): rle(labels == label) for label in np.unique(labels[labels > 0])}
    return [
        {"id": label, "category_id": label, "segmentation": mask, "bbox": coco.toBbox(mask).tolist()}
        for label, mask in masks.items()
    ]


def sample_of(pixels: np.ndarray, annotations: list | None = None, depth: np.ndarray | None = None) -> Sample:
    files = {"jpg": encode_jpeg(pixels)}
    if annotations is not None:
        files["json"] = json.dumps({"annotations": annotations}).encode()
    if depth is not None:
        files["depth.png"] = encode_png(depth)
    return Sample(Path("shard.tar"), "key", files)


def complete_sample(pixels: np.ndarray) -> Sample:
    """A sample with all members that a dataset can have: annotations, depth, a panoptic and a stuff map."""
    labels = superpixels.slic(pixels, n_segments=40, start_label=1)
    segments = np.stack([labels, labels * 0, labels * 0], axis=-1).astype(np.uint8)
    maps = {"panoptic.png": encode_png(segments), "stuff.png": encode_png(labels.astype(np.uint8))}
    sample = sample_of(pixels, annotated(labels), 2000 + 50 * pixels[:, :, 0].astype(np.uint16))
    return Sample(sample.shard, sample.key, {**sample.files, **maps})

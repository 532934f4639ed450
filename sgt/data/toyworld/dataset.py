"""Scenes as shards.

A sample is ``KEY.jpg``; ``KEY.depth.png``, 16-bit, depth along the optical axis in thousandths of a scene unit (0 would
mean unknown; no pixel of a scene is); ``KEY.edit.jpg``, the image after an edit, if the dataset has edits; and
``KEY.json``: ``image`` and ``annotations`` in the SA-1B layout, ``scene``
(the things), ``caption``, ``questions``, ``edit`` (its ``instruction``), and ``conversations`` in the LLaVA layout.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pycocotools import mask as rle

from sgt import __version__
from sgt.config.datasets import Toyworld
from sgt.data.identity import dataset_identity
from sgt.data.images import encode_jpeg, encode_png
from sgt.data.manifest import write_manifest
from sgt.data.shards import ShardWriter
from sgt.data.toyworld import GENERATOR_VERSION
from sgt.data.toyworld.captions import caption
from sgt.data.toyworld.edits import draw_edit
from sgt.data.toyworld.questions import Question, draw_questions
from sgt.data.toyworld.raytrace import render_colour
from sgt.data.toyworld.sampling import sample_visible, scene_rng
from sgt.data.toyworld.view import Seen, observe
from sgt.data.toyworld.vocabulary import CAPTION_REQUEST

DEPTH_SCALE = 1000
_MAX_THINGS = 10


def write_shard(path: Path | str, spec: Toyworld, shard_index: int) -> int:
    """Write one shard of a dataset; its bytes depend on ``spec`` and ``shard_index`` alone.

    Args:
        path: the tar to write.
        spec: the dataset.
        shard_index: from 0 to ``spec.shards - 1``.

    Returns:
        The number of scenes in it.
    """
    first = shard_index * spec.per_shard
    with ShardWriter(path) as writer:
        for index in range(first, min(first + spec.per_shard, spec.scenes)):
            writer.add(*make_sample(spec, index))
    return writer.count


def write_toyworld_manifest(folder: Path | str, spec: Toyworld, counts: dict[str, int]) -> None:
    """Write the manifest of a dataset whose shards are complete; ``counts`` is the number of scenes by file name."""
    write_manifest(
        folder,
        counts,
        source="toyworld",
        revision=f"sgt {__version__}, generator {GENERATOR_VERSION}",
        licence="Apache-2.0",
        split=spec.split,
        seed=spec.seed,
        size=spec.size,
        depth_scale=DEPTH_SCALE,
        identity=dataset_identity(spec),
    )


def make_sample(spec: Toyworld, index: int) -> tuple[str, dict[str, bytes]]:
    """Key and files (extension → bytes) of one scene."""
    key = f"{spec.split}-{index:06d}"
    scene, hits = sample_visible(spec.seed, spec.split, index, spec.size)
    view = observe(scene, hits.labels)
    rng = scene_rng(spec.seed, spec.split, index, stream=1)
    text, questions = caption(view), draw_questions(view, rng)
    record = {
        "image": {"image_id": index, "width": spec.size, "height": spec.size, "file_name": f"{key}.jpg"},
        "annotations": annotations(hits.labels, view, index),
        "scene": {"objects": [_describe(seen, spec.size) for seen in view]},
        "caption": text,
        "questions": _questions(key, questions),
        "conversations": _conversations(text, questions),
    }
    files = {}
    if spec.edits:
        edit = draw_edit(scene, spec.size, scene_rng(spec.seed, spec.split, index, stream=2))
        record["edit"] = {"kind": edit.kind, "instruction": edit.instruction}
        files["edit.jpg"] = encode_jpeg(render_colour(edit.scene, spec.size))
    depth = np.rint(hits.depth * DEPTH_SCALE).astype(np.uint16)
    return key, {
        "jpg": encode_jpeg(render_colour(scene, spec.size)),
        "depth.png": encode_png(depth),
        **files,
        "json": json.dumps(record, separators=(",", ":")).encode(),
    }


def annotations(labels: np.ndarray, view: Sequence[Seen], image_id: int) -> list[dict]:
    """One SA-1B annotation per thing, in the scene's order, with ``category`` (its shape), ``colour`` and ``size``.

    Args:
        labels: uint8 (height, width), k where the k-th thing is visible, from 1.
        view: the things.
        image_id: of the image; annotation ids are unique in the dataset.
    """
    masks = np.asfortranarray(labels[:, :, None] == np.arange(1, len(view) + 1, dtype=np.uint8), dtype=np.uint8)
    encoded = rle.encode(masks)
    boxes = rle.toBbox(encoded)
    return [
        {
            "id": image_id * _MAX_THINGS + number,
            "segmentation": {"size": list(labels.shape), "counts": code["counts"].decode("ascii")},
            "bbox": box.tolist(),
            "area": seen.pixels,
            "category": seen.thing.shape,
            "colour": seen.thing.colour,
            "size": seen.thing.size,
        }
        for number, (code, box, seen) in enumerate(zip(encoded, boxes, view, strict=True))
    ]


def _describe(seen: Seen, size: int) -> dict:
    """A thing for ``scene.objects``; the centroid in pixels, where the first pixel's centre is (0.5, 0.5)."""
    return {
        "shape": seen.thing.shape,
        "colour": seen.thing.colour,
        "size": seen.thing.size,
        "column": seen.column,
        "row": seen.row,
        "depth": round(seen.depth, 4),
        "centroid": [round(seen.u * size, 3), round(seen.v * size, 3)],
        "position": [round(axis, 4) for axis in seen.centre],
    }


def _questions(key: str, questions: Sequence[Question]) -> list[dict]:
    identifiers = {question.question: f"{key}-q{number:02d}" for number, question in enumerate(questions)}
    return [
        {
            "id": identifiers[question.question],
            "kind": question.kind,
            "question": question.question,
            "answer": question.answer,
            "options": list(question.options),
            **({"twin": identifiers[question.twin]} if question.twin else {}),
        }
        for question in questions
    ]


def _conversations(text: str, questions: Sequence[Question]) -> list[dict]:
    """Turns in the LLaVA layout; the caption is last, because turns after it could be answered without the image."""
    turns = [*((question.question, question.answer) for question in questions), (CAPTION_REQUEST, text)]
    turns[0] = (f"<image>\n{turns[0][0]}", turns[0][1])
    return [
        {"from": speaker, "value": value}
        for turn in turns
        for speaker, value in zip(("human", "gpt"), turn, strict=True)
    ]

"""The loader: how many tokens per second one process reads, decodes, resizes and packs from shards."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from perf.gpu.rows import Row
from perf.gpu.setting import Setting
from perf.random_models import ANSWER, INSTRUCTION, QUESTION, TURNS, random_model
from sgt.data.dataset import ShardDataset
from sgt.data.images import decode_image, encode_jpeg, image_of
from sgt.data.mixture import Draw, Mixed, Source
from sgt.data.shards import ShardWriter
from sgt.models.examples import Example, InputImage, TargetImage, Text
from sgt.models.rules import rules_of
from sgt.training.batch_loader import BatchLoader, ExampleSource
from sgt.training.examples import vqa_source

STEP = "loader"


def loading(setting: Setting) -> Iterator[Row]:
    """Steps of two proxy samples and one of questions, as a run's loader thread makes them."""
    samples, steps = (4, 2) if setting.tiny else (24, 12)
    spec = setting.bagel
    sides = rules_of(spec.family).largest_sides(spec)
    model = random_model(spec, torch.bfloat16, torch.device("meta"))
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), samples, sides.target, sides.vqa_input)
        pictures, questions = (ShardDataset([Path(folder) / f"{name}.tar"]) for name in ("pictures", "questions"))

        def proxy(draw: Draw) -> Example:
            sample = pictures[draw.index]
            target = decode_image(sample.get("target.jpg"), sample.key)
            return [InputImage(image_of(sample)), Text(INSTRUCTION), TargetImage(target)]

        sources = {
            "pictures": ExampleSource(proxy, lambda draw: pictures.name(draw.index), len(pictures), True),
            "questions": vqa_source(questions),
        }
        mixture = Mixed([Source("pictures", len(pictures), 2), Source("questions", len(questions), 1)], 0)
        loader = BatchLoader(model, mixture, sources, 0)
        tokens, began = 0, time.perf_counter()
        for step in range(steps):
            tokens += loader.load(step).tokens
            seconds = time.perf_counter() - began
            yield Row(
                STEP,
                f"packs of a proxy at {sides.target} pixels and questions at {sides.vqa_input}",
                {"tokens_per_s": tokens / seconds, "seconds_per_step": seconds / (step + 1), "steps": step + 1},
            )


def write_shards(folder: Path, samples: int, target: int, questioned: int) -> None:
    """A shard of images with targets, and one of images with questions; JPEGs, random but smooth."""
    rng = np.random.default_rng(0)

    def jpeg(side: int) -> bytes:
        small = Image.fromarray(rng.integers(0, 256, (max(4, side // 16),) * 2 + (3,), np.uint8))
        return encode_jpeg(np.asarray(small.resize((side, side), Image.Resampling.BICUBIC)))

    record = json.dumps({"questions": [{"question": QUESTION, "answer": ANSWER}] * TURNS}).encode()
    with ShardWriter(folder / "pictures.tar") as pictures, ShardWriter(folder / "questions.tar") as questions:
        for number in range(samples):
            pictures.add(f"key-{number}", {"jpg": jpeg(target), "target.jpg": jpeg(target)})
            questions.add(f"key-{number}", {"jpg": jpeg(questioned), "json": record})

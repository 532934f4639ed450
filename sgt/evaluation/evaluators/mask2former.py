"""A Mask2Former trained on COCO's 80 classes of objects, prepared and read as GenEval's detector is.

What differs from GenEval's own stack (mmdet 2.x): the weights, which are of the same architecture and about the same
AP; and the image, which OpenCV scales in fixed-point arithmetic there, so that a value may differ by 1 of 255 here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import Mask2FormerForUniversalSegmentation

from sgt.errors import SgtError
from sgt.evaluation.evaluators.instances import Detection, instances
from sgt.models.batching import BatchSizes
from sgt.pretrained import load_pretrained

SHORT_SIDE, LONG_SIDE, DIVISOR = 800, 1333, 32
# RGB, of values from 0 to 255.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# Pixels of a token, in the sense of BatchSizes: six images of 800 × 800 at once on the CPU.
TOKEN = 64


class Mask2Former:
    """Finds objects in images, on the GPU if there is one.

    Args:
        folder: of the fetched model.
        names: of the classes, in COCO's order, each with every spelling that the model's labels may have.

    Raises:
        SgtError: the folder has no such model, or one whose labels are not the classes in this order.
    """

    def __init__(self, folder: Path | str, names: Mapping[str, Sequence[str]]) -> None:
        self.folder = Path(folder)
        self.names = list(names)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = load_pretrained(Mask2FormerForUniversalSegmentation, self.folder, self._device)
        self._batches = BatchSizes(self._device)
        _check_labels(self.folder / "config.json", self._model.config.id2label, names)

    def detect(self, images: Sequence[Image.Image], above: float) -> list[list[Detection]]:
        """The objects of each RGB image that score more than ``above``, best first."""
        found: dict[int, list[Detection]] = {}
        # Images of one size are batched, so that no image's input depends on another's.
        for size in sorted({image.size for image in images}):
            places = [place for place, image in enumerate(images) if image.size == size]
            height, width = scaled_size(size[1], size[0])
            tokens = [_padded(height) * _padded(width) // TOKEN] * len(places)
            batch = [images[place] for place in places]
            results = self._batches.run("detect", lambda some: self._detect(some, above), batch, tokens)
            found |= zip(places, results, strict=True)
        return [found[place] for place in range(len(images))]

    @torch.inference_mode()
    def _detect(self, images: Sequence[Image.Image], above: float) -> list[list[Detection]]:
        pixels = torch.stack([prepared(image) for image in images])
        output = self._model(pixel_values=pixels.to(self._device))
        padded = pixels.shape[-2], pixels.shape[-1]
        original = images[0].height, images[0].width
        resized = scaled_size(*original)
        pairs = zip(output.class_queries_logits, output.masks_queries_logits, strict=True)
        return [instances(classes, masks, self.names, padded, resized, original, above) for classes, masks in pairs]


def scaled_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of an image whose short side becomes 800 pixels, unless its long side would exceed 1333."""
    factor = min(LONG_SIDE / max(height, width), SHORT_SIDE / min(height, width))
    return int(height * factor + 0.5), int(width * factor + 0.5)


def prepared(image: Image.Image) -> Tensor:
    """An RGB image as the network's input, fp32 (3, h, w): scaled, normalised, zeros below and on the right."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float()
    height, width = scaled_size(*pixels.shape[1:])
    # Bilinear without antialiasing, as OpenCV, and to whole values.
    pixels = F.interpolate(pixels[None], (height, width), mode="bilinear", align_corners=False)[0].round()
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return F.pad((pixels - mean) / std, (0, _padded(width) - width, 0, _padded(height) - height))


def _padded(side: int) -> int:
    return -(-side // DIVISOR) * DIVISOR


def _check_labels(where: Path, labels: Mapping[int, str], names: Mapping[str, Sequence[str]]) -> None:
    remedy = "use weights of COCO's 80 classes of objects, or correct id2label"
    if len(labels) != len(names):
        raise SgtError(f"{where}: id2label", f"{len(labels)} labels, {len(names)} classes are scored", remedy)
    for index, (name, spellings) in enumerate(names.items()):
        label = str(labels.get(index))
        if _plain(label) not in map(_plain, (name, *spellings)):
            raise SgtError(f"{where}: id2label.{index}", f"{label!r} is not the class {name!r}", remedy)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))

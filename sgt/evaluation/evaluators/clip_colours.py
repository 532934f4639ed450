"""CLIP as a classifier of objects' colours, as GenEval uses it.

GenEval's own stack runs the same weights through open_clip, on a GPU partly in half precision; here all is fp32.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from sgt.errors import SgtError
from sgt.evaluation.evaluators.instances import Detection
from sgt.evaluation.geneval_rules import COLOURS
from sgt.models.batching import BatchSizes
from sgt.pretrained import load_pretrained

# What surrounds an object: #999.
BACKGROUND = (0x99, 0x99, 0x99)
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class ColourClassifier:
    """Names the colours of detected objects, on the GPU if there is one.

    Args:
        folder: of the fetched model.

    Raises:
        SgtError: the folder has no such model or no tokenizer.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = load_pretrained(CLIPModel, self.folder, self._device)
        # Without its files transformers makes a tokenizer of three tokens.
        if not any((self.folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            raise SgtError(self.folder, "no tokenizer of a CLIPModel", "fetch it (sgt fetch)")
        self._tokenizer = CLIPTokenizer.from_pretrained(self.folder, local_files_only=True)
        self._batches = BatchSizes(self._device)
        self._classifiers: dict[str, Tensor] = {}
        vision = self._model.config.vision_config
        self._side, self._tokens = vision.image_size, (vision.image_size // vision.patch_size) ** 2 + 1

    def colours(self, objects: Sequence[tuple[Image.Image, Detection]]) -> list[str]:
        """The colour of each object, given with the RGB image that it was detected in."""
        tokens = [self._tokens] * len(objects)
        return self._batches.run("colours", self._colours, objects, tokens)

    @torch.inference_mode()
    def _colours(self, objects: Sequence[tuple[Image.Image, Detection]]) -> list[str]:
        crops = torch.stack([prepared(cut_out(image, each), self._side) for image, each in objects])
        features = self._model.get_image_features(pixel_values=crops.to(self._device)).pooler_output
        classifiers = torch.stack([self._classifier(each.name) for _, each in objects])
        similar = torch.einsum("nf,ncf->nc", F.normalize(features, dim=-1), classifiers)
        return [COLOURS[best] for best in similar.argmax(dim=1).tolist()]

    def _classifier(self, name: str) -> Tensor:
        """One embedding per colour (colours, features): of each prompt normalised, averaged, normalised."""
        if name not in self._classifiers:
            texts = [text for colour in COLOURS for text in prompts(colour, name)]
            limit = self._model.config.text_config.max_position_embeddings
            given = self._tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
            features = self._model.get_text_features(**given.to(self._device)).pooler_output
            of_colour = F.normalize(features, dim=-1).reshape(len(COLOURS), -1, features.shape[-1])
            self._classifiers[name] = F.normalize(of_colour.mean(dim=1), dim=-1)
        return self._classifiers[name]


def prompts(colour: str, name: str) -> list[str]:
    """The texts that stand for an object of a class in a colour."""
    return [f"a photo of a {colour} {name}", f"a photo of a {colour}-colored {name}", f"a photo of a {colour} object"]


def cut_out(image: Image.Image, detection: Detection) -> Image.Image:
    """The object in its box, with grey in the place of everything else."""
    blank = Image.new("RGB", image.size, BACKGROUND)
    return Image.composite(image, blank, Image.fromarray(detection.mask)).crop(detection.box)


def prepared(image: Image.Image, side: int) -> Tensor:
    """CLIP's input, fp32 (3, side, side): bicubic to the short side, the middle square, normalised."""
    width, height = image.size
    short = min(width, height)
    width, height = (side if each == short else int(side * each / short) for each in (width, height))
    left, top = round((width - side) / 2), round((height - side) / 2)
    square = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + side, top + side))
    pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (pixels - mean) / std

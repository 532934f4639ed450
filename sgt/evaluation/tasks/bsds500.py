"""BSDS500 (Arbeláez et al. 2011): boundaries that a model draws of 200 photographs, against those of several people.

Read from the archive of the Berkeley group. The drawn picture's brightness is the strength of a boundary.
"""

import base64
import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from sgt.config.benchmarks import FetchedImageBenchmark
from sgt.config.fields import Name
from sgt.data.images import decode_image, encode_png
from sgt.errors import SgtError
from sgt.evaluation.evaluators.boundaries import TOLERANCE, best_threshold, boundary_counts, f1, f1_at
from sgt.evaluation.metrics import Metric
from sgt.evaluation.statistics import linearised
from sgt.evaluation.task import Parsed, Row, Task
from sgt.proxies import PROXIES

ARCHIVE = "BSR_bsds500.tgz"
IMAGES = 200
REMEDY = "fetch it again, or leave the benchmark out"
_MEMBER = re.compile(r"(?:.*/)?(images|groundTruth)/test/(\w+)\.(?:jpg|mat)")
ODS, OIS = "ODS", "OIS"
_BEST = ("drawn", "right", "found")


@dataclass(frozen=True)
class Photograph:
    """A test image.

    Attributes:
        name: its number at Berkeley.
        image: JPEG.
        boundaries: of each person, a MATLAB file.
    """

    name: str
    image: bytes
    boundaries: bytes


class BSDS500(Task[Image.Image]):
    """F1 of boundaries at the best threshold of all images (ODS), and at the best of each (OIS)."""

    class Options(FetchedImageBenchmark):
        """How images are sampled."""

        published_rows = IMAGES

        task: Literal["bsds500"]
        protocol: Literal["official"] = "official"
        download: Name = "bsds500"
        # Each drawing is as large as its photograph, whose longer side this is.
        side: Literal[481] = 481

    name = "bsds500"
    redistributable = False

    def open(self, folders: Sequence[Path]) -> Sequence[Photograph]:
        """The test images, by name.

        Raises:
            SgtError: the archive is missing or damaged, or an image lacks its boundaries.
        """
        path = folders[0] / ARCHIVE
        files: dict[str, dict[str, bytes]] = {"images": {}, "groundTruth": {}}
        try:
            with tarfile.open(path, "r:gz") as archive:
                for member in archive:
                    name = _MEMBER.fullmatch(member.name)
                    content = archive.extractfile(member) if name and member.isfile() else None
                    if name and content:
                        files[name[1]][name[2]] = content.read()
        except (OSError, EOFError, tarfile.TarError) as error:
            raise SgtError(path, f"cannot be read: {error}", REMEDY) from None
        images, boundaries = files["images"], files["groundTruth"]
        if not images:
            raise SgtError(path, "has no images/test/*.jpg", REMEDY)
        if alone := sorted(images.keys() ^ boundaries.keys()):
            raise SgtError(path, f"{alone[0]} has an image or boundaries alone", REMEDY)
        return [Photograph(name, images[name], boundaries[name]) for name in sorted(images)]

    def rows(self, samples: Iterable[Photograph]) -> Iterator[Row]:
        """A row per photograph."""
        for each in samples:
            image = decode_image(each.image, f"{ARCHIVE}: {each.name}.jpg")
            people = _boundaries(each.boundaries, f"{ARCHIVE}: {each.name}.mat", image.size)
            yield Row(
                id=each.name,
                question=PROXIES["edge"].prompts[0],
                kind="image",
                images=[image],
                groups={"image": each.name},
                extra={"people": [base64.b64encode(encode_png(Image.fromarray(mask))).decode() for mask in people]},
                size=image.size,
            )

    def parse(self, row: Row, reply: Image.Image, protocol: str) -> Parsed:
        """The strength of boundaries, as grey."""
        return Parsed(reply.convert("L"), "direct")

    def score(self, row: Row, parsed: Parsed) -> dict[str, float]:
        """Counts at each threshold, and at the one that is best for this image."""
        people = [
            np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))).astype(bool) for each in row.extra["people"]
        ]
        drawn = parsed.value.resize(people[0].shape[::-1], Image.Resampling.BILINEAR)
        counts = boundary_counts(np.asarray(drawn, np.float64) / 255, people)
        best = best_threshold(counts)
        return counts | {f"{name} at its best": counts[f"{name} {best}"] for name in _BEST}

    def joint_columns(self, rows: Sequence[Row], items: Mapping[str, Sequence[Any]]) -> Mapping[str, list]:
        """Values of each image whose mean is F1 at the best threshold of all images, and at the best of each."""
        counts = {name: items[name] for name in items if name == "true" or name.startswith(_BEST)}
        best = best_threshold({name: float(sum(values)) for name, values in counts.items()})
        names = ["true", *(f"{name} {best}" for name in _BEST)]
        at_best = ["true", *(f"{name} at its best" for name in _BEST)]
        return {
            ODS: [*linearised({name: counts[name] for name in names}, lambda sums: f1_at(sums, best))],
            OIS: [*linearised({name: counts[name] for name in at_best}, _f1_at_its_best)],
        }

    def metrics(self, rows: Sequence[Row]) -> list[Metric]:
        """Of single images the value may be outside of what F1 can be, since it is worked out for all together."""
        return [
            Metric(
                f"boundaries/{name}",
                f"{name} F1",
                name,
                cluster="image",
                unit="F1",
                range=(None, None),
                headline=name == ODS,
            )
            for name in (ODS, OIS)
        ]

    @property
    def evaluator(self) -> dict[str, Any]:
        """How boundaries are matched."""
        return {"name": "boundaries", "tolerance": TOLERANCE}


def _f1_at_its_best(sums: Mapping[str, float]) -> float:
    drawn, right, found = (sums[f"{name} at its best"] for name in _BEST)
    return f1(drawn, right, sums["true"], found)


def _boundaries(content: bytes, where: str, size: tuple[int, int]) -> list[np.ndarray]:
    """Each person's boundaries, bool (H, W).

    Raises:
        SgtError: the file is damaged, or has boundaries of another size.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        people = loadmat(io.BytesIO(content))["groundTruth"].ravel()
        masks = [np.asarray(each["Boundaries"][0, 0]).astype(bool) for each in people]
    except (MatReadError, ValueError, KeyError, IndexError, TypeError) as error:
        raise SgtError(where, f"not the boundaries of BSDS500 ({error!r})", REMEDY) from None
    if not masks or any(mask.shape[::-1] != size for mask in masks):
        raise SgtError(where, f"boundaries are not as large as the image, {size[0]}x{size[1]}", REMEDY)
    return masks

"""Counts of the targets that were rendered, and of the samples that were refused."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from sgt.data.names import escaped
from sgt.data.shards import Sample
from sgt.errors import SgtError

log = logging.getLogger("sgt")
# Keys of refused samples in an error message.
_MAX_KEYS = 5


@dataclass
class TargetsReport:
    """Counts for the report of rendered targets.

    Attributes:
        seen: samples in the source.
        masks: of each rendered sample with annotations, how many of them are in the target.
        left_out: annotations that are not in the targets because of their area, by kind.
        covered: of each target, the share of pixels that are not black; for masks, the share that objects cover.
        refused: key and error of each sample that cannot be rendered.
    """

    seen: int = 0
    masks: list[int] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    covered: list[float] = field(default_factory=list)
    refused: list[tuple[str, SgtError]] = field(default_factory=list)

    def refuse(self, sample: Sample, error: SgtError) -> None:
        """Count a sample that cannot be rendered."""
        log.warning("refused %s", error)
        self.refused.append((sample.key, error))

    def add(self, sample: Sample, target: Image.Image, left_out: Counter[str]) -> None:
        """Count a rendered target."""
        self.left_out += left_out
        pixels = np.asarray(target)
        self.covered.append(float((pixels.any(axis=2) if pixels.ndim == 3 else pixels > 0).mean()))
        if (annotations := _annotations(sample)) is not None:
            self.masks.append(len(annotations) - left_out.total())

    def check_refused(self, max_bad: float) -> None:
        """Raise an error if a larger share than ``max_bad`` of the samples was refused.

        Raises:
            SgtError: it was; the line names the first samples.
        """
        if len(self.refused) <= max_bad * self.seen:
            return
        first = self.refused[0][1]
        more = ", …" if len(self.refused) > _MAX_KEYS else ""
        keys = ", ".join(key for key, _ in self.refused[:_MAX_KEYS]) + more
        problem = f"{first.problem} ({len(self.refused)} of {self.seen} samples refused: {keys})"
        raise SgtError(first.where, problem, "replace or remove them, or allow more (--max-bad, data.max_bad)")

    def log_left_out(self, source: object) -> None:
        """Warn of annotations that are not in the targets."""
        if self.left_out:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.left_out.items()))
            log.warning("%s: annotations are left out: %s", source, kinds)

    def fields(self) -> dict:
        """The counts, as a report in JSON has them."""
        return {
            "images": len(self.covered),
            "masks_per_image": _mean(self.masks),
            "images_without_masks": self.masks.count(0),
            "left_out": dict(sorted(self.left_out.items())),
            "covered": _mean(self.covered),
            "refused": [{"key": key, "reason": escaped(str(error))} for key, error in self.refused],
        }


def _annotations(sample: Sample) -> list | None:
    """A sample's annotations; None if it has no list of them. A damaged record is no error here, since the proxy may
    not need it."""
    try:
        listed = sample.json().get("annotations") if "json" in sample.files else None
    except SgtError:
        return None
    return listed if isinstance(listed, list) else None


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 6) if values else None

"""How much what a model draws depends on the image that it is shown: its ``use`` of the image.

``use`` is 1 − (flow error with the right image) / (flow error with another), for the same target, prompt and noise.
It is measured near noise: at later times the noisy target shows what to draw, whatever the image. A model that draws
the same for every image has 0; the more the image decides, the closer to 1.
"""

from collections.abc import Sequence

from sgt.data.mixture import Draw
from sgt.models.examples import Example, InputImage
from sgt.models.trainable import Trainable
from sgt.training.batch_loader import example_seed

# Of the flow; 1 is noise.
TIME = 0.82
SEED = 0


def held_out_draw(place: int) -> Draw:
    """The draw that decides prompt, conditioning and noise of a held-out sample: the same for every run and step."""
    return Draw("proxy", place, place)


def noise_seed(place: int) -> int:
    """Seed of the noise of a held-out sample's target."""
    return example_seed(SEED, held_out_draw(place))


def swapped(example: Example, other: Example) -> Example:
    """An example that shows the input image of another one."""
    (shown,) = (part for part in other if isinstance(part, InputImage))
    return [shown if isinstance(part, InputImage) else part for part in example]


def paired_errors(
    model: Trainable, examples: Sequence[Example], others: Sequence[Example], seeds: Sequence[int], at_once: int
) -> tuple[list[float], list[float]]:
    """Flow error of each example, and with another image in its place, with the same noise.

    Args:
        model: in evaluation mode.
        examples, others: as many of each; see :func:`swapped`.
        seeds: one per example, of its noise.
        at_once: how many are computed together.
    """

    def errors(some: Sequence[Example]) -> list[float]:
        found = list[float]()
        for start in range(0, len(some), at_once):
            part = slice(start, start + at_once)
            found += model.velocity_errors(some[part], seeds[part], TIME).tolist()
        return found

    return errors(examples), errors(others)


def use_of(right: Sequence[float], wrong: Sequence[float]) -> float:
    """``use`` from the flow errors of the same targets with the right images and with other ones."""
    return 1 - sum(right) / sum(wrong)

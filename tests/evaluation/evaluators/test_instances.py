"""Objects from a detector's logits, against the same rules written out pixel by pixel."""

import math

import numpy as np
import pytest
import torch

from sgt.evaluation.evaluators.instances import box_of, instances

CLASSES = ["apple", "clock", "cup"]
PADDED, RESIZED, ORIGINAL = (16, 24), (14, 20), (9, 13)


def scaled(plane: list[list[float]], height: int, width: int) -> list[list[float]]:
    """Bilinear, by the centres of pixels, edges repeated."""
    rows, columns = len(plane), len(plane[0])

    def at(place: int, size: int, of: int) -> tuple[int, int, float]:
        source = max((place + 0.5) * of / size - 0.5, 0.0)
        low = min(int(source), of - 1)
        return low, min(low + 1, of - 1), source - low

    found = []
    for y in range(height):
        top, bottom, down = at(y, height, rows)
        line = []
        for x in range(width):
            left, right, along = at(x, width, columns)
            upper = plane[top][left] * (1 - along) + plane[top][right] * along
            lower = plane[bottom][left] * (1 - along) + plane[bottom][right] * along
            line.append(upper * (1 - down) + lower * down)
        found.append(line)
    return found


def plain(class_logits: np.ndarray, mask_logits: np.ndarray, above: float) -> list[tuple[str, float, tuple, int]]:
    """Name, score, box and number of pixels of each object."""
    pairs = []
    for query, logits in enumerate(class_logits.tolist()):
        total = sum(map(math.exp, logits))
        pairs += [(math.exp(logits[label]) / total, query, label) for label in range(len(CLASSES))]
    found = []
    for probability, query, label in sorted(pairs, reverse=True)[:100]:
        plane = scaled(mask_logits[query].tolist(), *PADDED)
        plane = scaled([line[: RESIZED[1]] for line in plane[: RESIZED[0]]], *ORIGINAL)
        inside = [(x, y, value) for y, line in enumerate(plane) for x, value in enumerate(line) if value > 0]
        if not inside:
            continue
        score = probability * sum(1 / (1 + math.exp(-value)) for _, _, value in inside) / len(inside)
        columns, rows = [x for x, _, _ in inside], [y for _, y, _ in inside]
        box = min(columns), min(rows), max(columns) + 1, max(rows) + 1
        if score > above:
            found.append((CLASSES[label], score, box, len(inside)))
    return sorted(found, key=lambda each: -each[1])


@pytest.mark.parametrize(("seed", "above"), [(0, 0.0), (1, 0.0), (2, 0.3), (3, 0.5)])
def test_objects_are_those_of_the_rules_written_out(seed, above):
    draw = np.random.default_rng(seed)
    # More pairs than are kept; one query whose mask is empty.
    class_logits = draw.normal(0, 3, (40, len(CLASSES) + 1)).astype(np.float32)
    mask_logits = draw.normal(0, 2, (40, 5, 7)).astype(np.float32)
    mask_logits[7] = -1
    given = torch.from_numpy(class_logits), torch.from_numpy(mask_logits)
    found = instances(*given, CLASSES, PADDED, RESIZED, ORIGINAL, above)
    expected = plain(class_logits, mask_logits, above)
    assert len(expected) > 10 and [each.name for each in found] == [name for name, *_ in expected]
    for each, (_, score, box, pixels) in zip(found, expected, strict=True):
        assert each.score == pytest.approx(score, rel=1e-5) and each.box == box
        assert each.mask.shape == ORIGINAL and each.mask.sum() == pixels
        assert each.score > above


def test_of_all_pairs_of_query_and_class_a_hundred_are_kept():
    logits = torch.zeros(60, 4)
    masks = torch.ones(60, 2, 2)
    assert len(instances(logits, masks, CLASSES, (4, 4), (4, 4), (4, 4))) == 100


def test_a_box_ends_behind_the_last_pixel():
    mask = np.zeros((5, 7), bool)
    mask[1, 2] = mask[3, 5] = True
    assert box_of(mask) == (2, 1, 6, 4)

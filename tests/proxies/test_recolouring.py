"""Made label maps in the colours of their targets: whatever colours a model chose for the instances."""

import numpy as np
import pytest
from PIL import Image

from sgt.proxies import PROXIES, make_proxy
from sgt.proxies.base import Proxy
from sgt.proxies.recolouring import permuted_colours

COLOURS = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)], np.uint8)
LABELS = np.array([[0, 1, 1, 0], [0, 1, 1, 2], [3, 3, 0, 2]])


def drawn(labels: np.ndarray) -> Image.Image:
    return Image.fromarray(COLOURS[labels])


@pytest.mark.parametrize("others", [(0, 1, 2, 3, 4), (0, 2, 3, 1, 4), (0, 4, 1, 2, 3)])
def test_any_permutation_of_the_colours_becomes_the_target(others):
    made = drawn(np.array(others)[LABELS])
    assert (np.asarray(permuted_colours(made, drawn(LABELS), COLOURS)) == COLOURS[LABELS]).all()


def test_colours_that_are_not_exact_stay_so_and_the_background_stays():
    made = np.asarray(drawn(np.array((0, 2, 1, 3, 4))[LABELS])).astype(int)
    made = np.abs(made - 20).astype(np.uint8)
    shown = np.asarray(permuted_colours(Image.fromarray(made), drawn(LABELS), COLOURS)).astype(int)
    assert (np.abs(shown - COLOURS[LABELS]) == 20).all()
    # Of what is only background nothing fits, and a target of another size is scaled.
    blank, small = Image.new("RGB", (8, 6)), drawn(LABELS)
    assert np.asarray(permuted_colours(blank, small, COLOURS)).max() == 0
    # What overlaps with no instance keeps its colour.
    assert permuted_colours(drawn(LABELS), Image.new("RGB", (4, 3)), COLOURS) == drawn(LABELS)


def test_only_colours_without_a_meaning_are_permuted():
    palette = np.array(PROXIES["segmentation"].palette, np.uint8)
    target, made = (Image.fromarray(palette[labels]) for labels in (LABELS, np.array((0, 3, 2, 1))[LABELS]))
    assert PROXIES["segmentation"].displayed(made, target) == target
    semantic = make_proxy(PROXIES["segmentation"].Options(task="segmentation", granularity="semantic"))
    assert semantic.displayed(made, target) == made
    assert all(type(proxy).displayed is Proxy.displayed for name, proxy in PROXIES.items() if name != "segmentation")

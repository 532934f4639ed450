"""Every figure as PNG, SVG and PDF: the same files from the same numbers, and arms that can be told apart in grey."""

import re
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from sgt.reporting.contents import FIGURE_FORMATS, figure_files
from sgt.reporting.samples import Sheet
from sgt.reporting.style import LOOKS, OTHER_LOOKS, label_ends, looks_of, save
from tests.conftest import sgt


def test_every_figure_is_vector_and_pixels_and_made_again_to_the_byte(study_with, vector_figures):
    study = study_with(dict.fromkeys(["sft", "segmentation"], 0.7), 1)
    sgt("figures", study.path)
    folder = Path("results/figures")
    first = {name: (folder / name).read_bytes() for name in figure_files(study)}
    assert {Path(name).suffix for name in first} == set(FIGURE_FORMATS)
    sgt("figures", study.path)
    assert [name for name, content in first.items() if (folder / name).read_bytes() != content] == []
    for name, content in first.items():
        assert content.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[Path(name).suffix])
        assert not re.search(rb"CreationDate|dc:date", content), name
    # TrueType, as journals require.
    assert b"/Subtype /TrueType" in first["gains.pdf"] or b"/CIDFontType2" in first["gains.pdf"]


def test_arms_differ_in_marker_and_line_and_known_ones_keep_their_look():
    assert len({look.marker for look in LOOKS.values()}) == len({look.line for look in LOOKS.values()}) == len(LOOKS)
    assert len({(look.colour, look.marker) for look in OTHER_LOOKS}) == len(OTHER_LOOKS)
    arms = ["base", "segmentation", "mine", "segmentation-1-1"]
    looks = looks_of(arms)
    assert looks["segmentation"] == LOOKS["segmentation"] and looks["mine"] == OTHER_LOOKS[0]
    assert len({look.marker + look.colour for look in looks.values()}) == len(arms)


# Viénot, Brettel and Mollon (1999): what someone without red- or green-sensitive cones sees, in linear RGB.
PROTANOPE = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
DEUTERANOPE = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])


@pytest.mark.parametrize("seen", [np.eye(3), PROTANOPE, DEUTERANOPE], ids=["all", "protanope", "deuteranope"])
def test_colours_of_proxies_differ_for_colour_blind_readers(seen):
    colours = {
        arm: np.clip(seen @ np.array(to_rgb(look.colour)) ** 2.2, 0, 1) ** (1 / 2.2) for arm, look in LOOKS.items()
    }
    near = {pair: np.linalg.norm(colours[pair[0]] - colours[pair[1]]) for pair in combinations(colours, 2)}
    assert min(near.values()) > 0.12, min(near, key=near.get)


def test_names_at_the_ends_of_lines_do_not_cover_each_other():
    figure, axis = plt.subplots()
    axis.set(xlim=(0, 1), ylim=(0, 1))
    label_ends(axis, [(1.0, 0.5, "a", "k"), (1.0, 0.5, "b", "k"), (1.0, 0.505, "c", "k"), (1.0, 0.9, "d", "k")])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axis.texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert abs(boxes[3].y0 + boxes[3].height / 2 - axis.transData.transform((0, 0.9))[1]) < 4
    plt.close(figure)


def test_a_sheet_keeps_the_pixels_of_its_images_in_vector_files(tmp_path):
    image = Image.effect_noise((12, 9), 80).convert("RGB")
    sheet = Sheet([[{"input": image, "edge\nmade": image}] * 2, [{"input": image}] * 2])
    save(sheet.figure(), tmp_path, "sheet", pixels=False)
    assert not (tmp_path / "sheet.png").exists()
    text = (tmp_path / "sheet.svg").read_text()
    assert text.count("<image ") == 6 and "edge" in text
    # Four rows of images that are 96 pixels wide, and their titles.
    assert sheet.image().height > 4 * 72

"""BSDS500: its archive, the matching of boundaries, and F1 at the best threshold of all images and of each."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.optimize import linear_sum_assignment

from sgt.errors import SgtError
from sgt.evaluation.evaluators.boundaries import TOLERANCE, boundary_counts, matched
from sgt.evaluation.score import score_predictions
from sgt.evaluation.tasks.bsds500 import ARCHIVE
from tests.evaluation.tasks.published import record_fetched, rows_of, task

SHAPE = (120, 160)


def line(row: int) -> np.ndarray:
    """A person's boundaries: one line through the image, 160 pixels long."""
    mask = np.zeros(SHAPE, bool)
    mask[row] = True
    return mask


PEOPLE = {"1001": [line(20), line(60)], "1002": [line(30)], "1003": [line(40), line(41), line(100)]}


def write(folder: Path, people: dict[str, list[np.ndarray]] = PEOPLE, left_out: str = "") -> None:
    """The archive as it is published, with a file for each image, and others that are not read."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / ARCHIVE, "w:gz") as archive:
        for name, masks in people.items():
            truth = np.empty((1, len(masks)), object)
            for place, mask in enumerate(masks):
                truth[0, place] = {"Segmentation": np.ones(SHAPE, np.uint16), "Boundaries": mask.astype(np.uint8)}
            matlab, image = io.BytesIO(), io.BytesIO()
            savemat(matlab, {"groundTruth": truth})
            Image.new("RGB", SHAPE[::-1], (int(name) % 256, 9, 9)).save(image, "JPEG")
            files = {
                f"images/test/{name}.jpg": image,
                f"groundTruth/test/{name}.mat": matlab,
                f"images/train/9{name}.jpg": image,
            }
            for path, content in files.items():
                if path != left_out:
                    member = tarfile.TarInfo(f"BSR/BSDS500/data/{path}")
                    member.size = content.tell()
                    content.seek(0)
                    archive.addfile(member, content)
    record_fetched(folder)


@pytest.fixture
def rows(tmp_path):
    write(tmp_path)
    return rows_of(task("bsds500", "official"), tmp_path)


def picture(*lines: tuple[int, int]) -> Image.Image:
    """Lines at rows, each of a grey."""
    pixels = np.zeros(SHAPE, np.uint8)
    for row, grey in lines:
        pixels[row] = grey
    return Image.fromarray(pixels)


def test_rows_have_the_photograph_and_every_persons_boundaries(rows):
    assert [row.id for row in rows] == ["1001", "1002", "1003"]
    assert [len(row.extra["people"]) for row in rows] == [2, 1, 3]
    assert rows[0].size == (160, 120) and rows[0].images[0].size == (160, 120)


def test_matching_has_as_many_pairs_as_can_be():
    draw = np.random.default_rng(0)
    for _ in range(5):
        drawn, true = (draw.random((90, 120)) < 0.01 for _ in range(2))
        apart = np.linalg.norm(np.argwhere(drawn)[:, None] - np.argwhere(true)[None], axis=2)
        near = apart <= TOLERANCE * 150
        chosen = near[linear_sum_assignment(near, maximize=True)].sum()
        assert len(matched(drawn, true)) == chosen > 0
    assert len(matched(line(3), np.zeros(SHAPE, bool))) == 0


def test_a_pixel_has_one_partner_and_none_that_is_too_far():
    # The tolerance is 1.5 pixels: one row away is near, two rows are not.
    assert len(matched(line(20), line(21))) == 160 and len(matched(line(20), line(22))) == 0
    assert len(matched(line(20) | line(21), line(20))) == 160


def test_counts_at_thresholds():
    strength = np.zeros(SHAPE)
    strength[20], strength[80] = 0.9, 0.3
    counts = boundary_counts(strength, [line(20), line(60)], thresholds=3)
    assert counts["true"] == 320
    assert [counts[f"drawn {number}"] for number in (1, 2, 3)] == [320, 160, 160]
    assert [counts[f"right {number}"] for number in (1, 2, 3)] == [160, 160, 160]
    assert [counts[f"found {number}"] for number in (1, 2, 3)] == [160, 160, 160]


def test_ods_has_one_threshold_for_all_images_and_ois_one_for_each(rows):
    # Alone, the second image is best where the first is empty, and the reverse.
    drawn = [picture((20, 200), (90, 60)), picture((30, 60)), picture()]
    found = score_predictions(task("bsds500", "official"), zip(rows, drawn, strict=True)).metrics
    # 960 true pixels. Below 60/255: 480 drawn, 320 right and found. Above: 160 drawn, right and found.
    assert found["boundaries/ODS"]["value"] == pytest.approx(2 * (320 / 480) * (320 / 960) / (320 / 480 + 320 / 960))
    # The first above, the second below: 320 drawn, right and found.
    assert found["boundaries/OIS"]["value"] == pytest.approx(2 * 1 * (320 / 960) / (1 + 320 / 960))
    assert found["boundaries/ODS"]["about"]["headline"]


def test_nothing_drawn_is_zero(rows):
    found = score_predictions(task("bsds500", "official"), [(row, picture()) for row in rows]).metrics
    assert [metric["value"] for metric in found.values()] == [0, 0]


def test_what_is_wrong_with_an_archive_is_one_line(tmp_path):
    boundaries = task("bsds500", "official")
    with pytest.raises(SgtError, match=f"{ARCHIVE}: cannot be read"):
        boundaries.open([tmp_path])
    (tmp_path / ARCHIVE).write_bytes(b"<html>log in</html>")
    with pytest.raises(SgtError, match=f"{ARCHIVE}: cannot be read"):
        boundaries.open([tmp_path])
    write(tmp_path, left_out="groundTruth/test/1002.mat")
    with pytest.raises(SgtError, match="1002 has an image or boundaries alone"):
        boundaries.open([tmp_path])
    write(tmp_path, {"1001": [np.zeros((5, 5), bool)]})
    with pytest.raises(SgtError, match="boundaries are not as large as the image, 160x120"):
        rows_of(boundaries, tmp_path)

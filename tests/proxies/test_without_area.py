"""Annotations without area are no masks: they are left out and counted, and the image keeps its other masks."""

import json

import numpy as np
import pytest
from PIL import Image

from sgt.commands.main import main
from sgt.data.images import decode_target, encode_png
from sgt.data.shards import ShardWriter, read_shard

WIDTH, HEIGHT = 20, 12
GOOD = [[2, 2, 12, 2, 12, 9, 2, 9]]
BOX = [2, 2, 10, 7]


def rle(*counts: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> dict:
    return {"size": list(size), "counts": list(counts)}


WITHOUT_AREA = [
    ([], "no polygon"),
    (None, "no polygon"),
    ([[]], "polygon without area"),
    ([[3, 3]], "polygon without area"),
    ([[3, 3, 9, 9]], "polygon without area"),
    ([[3, 3, 9, 9], [1, 1]], "polygon without area"),
    ([[3, 3, 9, 9, 6, 6]], "polygon without area"),
    ([[1.1, 1.3, 9.4, 7.9, 5.25, 4.6]], "polygon without area"),
    ([[4, 4, 4, 4, 4, 4]], "polygon without area"),
    ([[1.2, 1.2, 1.4, 1.2, 1.4, 1.4]], "polygon without area"),
    (rle(WIDTH * HEIGHT), "RLE without area"),
    (rle(WIDTH * HEIGHT, 0), "RLE without area"),
    (rle(100, 0, WIDTH * HEIGHT - 100), "RLE without area"),
    ({"size": [HEIGHT, WIDTH], "counts": "`7"}, "RLE without area"),
]
HOSTILE = [
    rle(10, 20),
    rle(0, WIDTH * HEIGHT, size=(WIDTH, HEIGHT)),
    [[0, 0, 5, 0, 5, 1e9]],
    [[3, 3, float("nan"), 9]],
    [*GOOD, [3, 3, 1e9, 9]],
    [[0, 0, 5, 0, 5, 5, 1]],
    "mask",
    {},
]


def annotation(number: int, segmentation: object, box: list | None = None, **more: object) -> dict:
    return {"id": number, "category_id": 1 + number % 3, "segmentation": segmentation, "bbox": box or BOX, **more}


@pytest.fixture
def rendered(tmp_path):
    """Render samples with these annotations; returns the status, targets by key, and the report."""

    def render(samples: dict[str, list[dict]], proxy: str = "segmentation", **options: object):
        source, out = tmp_path / "source.tar", tmp_path / "out.tar"
        picture = encode_png(np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
        with ShardWriter(source) as shard:
            for key, found in samples.items():
                shard.add(key, {"jpg": picture, "json": json.dumps({"annotations": found}).encode()})
        status = main(["render", proxy, str(source), str(out), "--options", json.dumps(options), "--max-bad", "0.9"])
        targets = {
            each.key: np.asarray(decode_target(next(iter(each.files.values())), "t")) for each in read_shard(out)
        }
        return status, targets, json.loads(out.with_suffix(".json").read_text())

    return render


@pytest.mark.parametrize(("segmentation", "kind"), WITHOUT_AREA)
@pytest.mark.parametrize("granularity", ["instance", "semantic"])
def test_the_image_and_its_other_masks_stay(granularity, segmentation, kind, rendered):
    good = [annotation(3, GOOD), annotation(8, rle(200, 30, 10))]
    samples = {"whole": good, "odd": [good[0], annotation(5, segmentation), good[1]]}
    status, targets, report = rendered(samples, granularity=granularity)
    assert status == 0 and report["refused"] == []
    assert (targets["odd"] == targets["whole"]).all() and targets["odd"].any()
    assert report["left_out"] == {kind: 1}
    assert (report["masks_per_image"], report["images_without_masks"]) == (2, 0)


def test_a_part_without_area_leaves_its_mask(rendered):
    samples = {"whole": [annotation(3, GOOD)], "odd": [annotation(3, [*GOOD, [1, 1, 5, 5]])]}
    _, targets, report = rendered(samples)
    assert (targets["odd"] == targets["whole"]).all() and report["left_out"] == {}


def test_an_image_that_keeps_no_mask_is_background(rendered):
    samples = {"none": [], "empty": [annotation(1, [])], "whole": [annotation(1, GOOD)]}
    status, targets, report = rendered(samples)
    assert status == 0 and list(targets) == list(samples)
    assert not targets["none"].any() and not targets["empty"].any() and targets["whole"].any()
    assert (report["images"], report["images_without_masks"], report["left_out"]) == (3, 2, {"no polygon": 1})


@pytest.mark.parametrize("proxy", ["segmentation", "detection"])
def test_annotations_below_the_smallest_are_counted_as_left_out(proxy, rendered):
    kind = {"segmentation": "mask", "detection": "box"}[proxy]
    small = annotation(2, rle(0, 3, WIDTH * HEIGHT - 3), [0, 0, 1, 3])
    samples = {"both": [annotation(1, GOOD), small], "small": [small, annotation(3, [], [5, 5, 0, 4])]}
    _, targets, report = rendered(samples, proxy, smallest=0.1)
    assert report["left_out"] == {
        f"{kind} below smallest": 2,
        {"segmentation": "no polygon", "detection": "box without area"}[proxy]: 1,
    }
    assert (report["masks_per_image"], report["images_without_masks"]) == (0.5, 1)
    assert proxy == "detection" or (targets["both"].any() and not targets["small"].any())


@pytest.mark.parametrize("segmentation", HOSTILE)
def test_hostile_and_contradictory_masks_are_refused_with_their_image(segmentation, rendered):
    _, targets, report = rendered(
        {"good": [annotation(1, GOOD)], "bad": [annotation(2, GOOD), annotation(4, segmentation)]}
    )
    assert list(targets) == ["good"]
    (refused,) = report["refused"]
    assert refused["key"] == "bad" and "bad.json: annotation 4: " in refused["reason"]


@pytest.mark.parametrize("box", [[5, 5, 0, 4], [5, 5, 4, 0], [5, 5, 0, 0], [WIDTH, 5, 4, 4], [5, HEIGHT, 4, 4]])
def test_boxes_without_area_are_left_out(box, rendered):
    good = [annotation(3, [], [1, 1, 6, 6]), annotation(8, [], [9, 3, 8, 8])]
    samples = {"whole": good, "odd": [good[0], annotation(5, GOOD, box), good[1]], "none": [annotation(1, GOOD, box)]}
    status, targets, report = rendered(samples, "detection")
    assert status == 0 and report["refused"] == [] and report["left_out"] == {"box without area": 2}
    assert (targets["odd"] == targets["whole"]).all() and len(np.unique(targets["odd"])) > 1
    assert (targets["none"] == 90).all()


@pytest.mark.parametrize("box", [[5, 5, float("nan"), 4], [-50, 5, 4, 4], [5, 5, -4, 4], [5, 5, 1e9, 4], [1, 2, 3]])
def test_hostile_boxes_are_refused_with_their_image(box, rendered):
    _, targets, report = rendered({"good": [annotation(1, GOOD)], "bad": [annotation(2, GOOD, box)]}, "detection")
    assert list(targets) == ["good"] and [each["key"] for each in report["refused"]] == ["bad"]


def test_a_proxy_that_reads_no_record_does_not_mind_it(tmp_path):
    source, out = tmp_path / "source.tar", tmp_path / "out.tar"
    picture = encode_png(Image.new("RGB", (8, 8)))
    with ShardWriter(source) as shard:
        for key, record in (("a", b"not json"), ("b", b'{"annotations": null}'), ("c", b"[]")):
            shard.add(key, {"webp": picture, "json": record})
    assert main(["render", "edge", str(source), str(out)]) == 0
    assert json.loads(out.with_suffix(".json").read_text())["images"] == 3


def test_too_many_refusals_name_the_first_keys(tmp_path, capsys):
    source = tmp_path / "source.tar"
    with ShardWriter(source) as shard:
        for number in range(12):
            shard.add(f"bad-{number}", {"jpg": b"not a picture"})
    assert main(["render", "edge", str(source), str(tmp_path / "out.tar")]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert "12 of 12 samples refused: bad-0, bad-1, bad-2, bad-3, bad-4, …" in line

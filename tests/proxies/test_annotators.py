"""Annotators of pictures without annotations: what is made of a model's output, and models in the released layout."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import DepthProForDepthEstimation, Sam2Model
from transformers.models.mask2former.image_processing_pil_mask2former import Mask2FormerImageProcessorPil

from sgt.commands.main import main
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.proxies import make_proxy, proxy_options
from sgt.proxies.annotators.depth_pro import DepthPro
from sgt.proxies.annotators.loading import normalised, preprocessor_settings
from sgt.proxies.annotators.mask2former import Mask2FormerSegments
from sgt.proxies.annotators.options import Mask2FormerOptions, Sam2Options
from sgt.proxies.annotators.post_processing import panoptic, stability, without_duplicates
from sgt.proxies.annotators.sam2 import Sam2Masks
from sgt.proxies.masks import area, runs_of
from tests.proxies import annotators

NOTHING = Sample(Path("none"), "none", {})


def rectangle(top: int, left: int, bottom: int, right: int) -> torch.Tensor:
    mask = torch.zeros(16, 24, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def logits(mask: torch.Tensor, certain: float = 9.0) -> torch.Tensor:
    return torch.where(mask, certain, -certain)


def picture() -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(coarse).resize((70, 50), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Callable[[str], Path]:
    """A function of a model's name: its folder, which is written once."""
    root = tmp_path_factory.mktemp("annotators")

    def folder(name: str) -> Path:
        if not (root / name).exists():
            getattr(annotators, f"write_{name}")(root / name)
        return root / name

    return folder


def test_a_mask_that_its_threshold_decides_is_not_stable():
    whole = rectangle(2, 2, 12, 12)
    halo = rectangle(2, 2, 12, 17) & ~whole
    decided, undecided = logits(whole), torch.where(halo, 0.5, logits(whole))
    never = torch.full((16, 24), -9.0)
    assert stability(torch.stack([decided, undecided, never])).tolist() == pytest.approx([1, 100 / 150, 0])


def test_of_duplicates_the_better_mask_stays_and_boxes_do_not_matter():
    whole, almost = rectangle(0, 0, 10, 10), rectangle(0, 0, 10, 9)
    frame = rectangle(0, 0, 16, 24) & ~rectangle(1, 1, 15, 23)
    inner = rectangle(1, 1, 15, 23)
    masks, scores = torch.stack([almost, whole, frame, inner]), torch.tensor([0.8, 0.9, 0.85, 0.7])
    # The boxes of the last two all but agree, the masks share nothing.
    assert without_duplicates(masks, scores, 0.7) == [1, 2, 3]
    assert without_duplicates(masks, scores, 0.95) == [1, 2, 0, 3]
    assert without_duplicates(torch.stack([whole, whole]), torch.tensor([0.5, 0.5]), 0.7) == [0]
    assert without_duplicates(masks[:0], scores[:0], 0.7) == []


def test_panoptic_segments_share_no_pixel_and_stuff_is_one():
    masks = [
        rectangle(0, 0, 16, 12),  # stuff: left
        rectangle(0, 12, 16, 24),  # stuff of the same class: right
        rectangle(2, 2, 6, 6),  # a thing before it
        rectangle(2, 2, 6, 5),  # most of that thing again, less certain
        rectangle(8, 8, 12, 12),  # no object
        rectangle(8, 14, 12, 18),  # a thing, but not certain
        rectangle(9, 20, 12, 23),  # a second thing of the first one's class
    ]
    wanted = [(2, 5.0), (2, 5.0), (0, 8.0), (1, 6.0), (3, 9.0), (1, 0.5), (0, 8.0)]
    classes = torch.zeros(len(masks), 4)
    for query, (label, certain) in enumerate(wanted):
        classes[query, label] = certain
    found = panoptic(classes, torch.stack([logits(mask) for mask in masks]), 0.8, 0.8, things=2)
    thing, second = masks[2], masks[6]
    assert torch.equal(torch.stack(found), torch.stack([~(thing | second), thing, second]))
    assert panoptic(classes[4:6], torch.stack([logits(mask) for mask in masks[4:6]]), 0.8, 0.8, things=2) == []


def test_run_lengths_are_those_of_coco():
    for mask in (rectangle(2, 3, 5, 9), rectangle(0, 0, 4, 24), ~rectangle(0, 0, 16, 24), rectangle(0, 0, 16, 24)):
        runs = runs_of(mask.numpy())
        flat = np.repeat(np.arange(len(runs)) % 2, runs)
        assert np.array_equal(flat.reshape(24, 16).T, mask.numpy()) and area(runs) == mask.sum()


def test_images_are_scaled_as_the_processor_scales_them(models):
    folder = models("mask2former")
    processor = Mask2FormerImageProcessorPil.from_pretrained(folder)
    wanted = processor(picture(), return_tensors="pt")["pixel_values"][0]
    settings = preprocessor_settings(folder)
    size = Mask2FormerSegments(Mask2FormerOptions(kind="mask2former", model=str(folder)))._size(picture().size)
    ours = normalised(picture(), size, settings)
    assert ours.shape == wanted.shape and torch.allclose(ours, wanted, atol=0.02)
    nested = json.dumps({"image_processor": settings})
    (folder / "processor_config.json").write_text(nested)
    (folder / "preprocessor_config.json").rename(folder / "moved.json")
    assert preprocessor_settings(folder) == settings
    (folder / "moved.json").rename(folder / "preprocessor_config.json")


def test_sam2_masks_are_those_of_its_grid_in_batches_of_any_size(models):
    folder = models("sam2")

    def masks(**chosen) -> list[np.ndarray]:
        options = {"points_per_side": 3, "predicted_iou": 0.0, "stability": 0.5, "duplicates": 1.0, **chosen}
        return Sam2Masks(Sam2Options(kind="sam2", model=str(folder), **options)).masks(picture())

    every = masks()
    assert every and all(runs.sum() == 70 * 50 for runs in every)
    assert [area(runs) for runs in masks(points_per_batch=2)] == [area(runs) for runs in every]
    assert len(masks(duplicates=0.5)) < len(every)
    assert masks(predicted_iou=1.0) == []
    # The first mask again, by transformers alone.
    model = Sam2Model.from_pretrained(folder).eval()
    pixels = normalised(picture(), (64, 64), preprocessor_settings(folder))[None]
    grid = (torch.stack(torch.meshgrid(*[torch.arange(3.0)] * 2, indexing="xy"), -1).reshape(-1, 2) + 0.5) * 64 / 3
    with torch.inference_mode():
        out = model(pixel_values=pixels, input_points=grid[None, :, None])
    low, iou = out.pred_masks[0].flatten(0, 1), out.iou_scores[0].flatten()
    best = low[iou.masked_fill(stability(low) <= 0.5, -1).argmax()]
    whole = F.interpolate(best[None, None], (50, 70), mode="bilinear", align_corners=False)[0, 0] > 0
    assert np.array_equal(every[0], runs_of(whole.numpy()))


def test_depth_pro_is_the_model_resized_to_the_image(models):
    folder = models("depth_pro")
    upright = picture().transpose(Image.Transpose.ROTATE_90)
    estimates = DepthPro(folder).estimate([picture(), upright])
    assert [each.shape for each in estimates] == [(50, 70), (70, 50)]
    pixels = F.interpolate(
        torch.from_numpy(np.asarray(picture()).copy()).permute(2, 0, 1)[None] / 127.5 - 1, (64, 64), mode="bilinear"
    )
    with torch.inference_mode():
        inverse = DepthProForDepthEstimation.from_pretrained(folder).eval()(pixel_values=pixels).predicted_depth
    whole = F.interpolate(inverse[None], (50, 70), mode="bilinear", align_corners=False)[0, 0]
    assert np.allclose(estimates[0], whole.clamp(min=0), rtol=1e-3, atol=1e-3 * float(whole.max()))
    target = make_proxy(proxy_options({"task": "depth", "estimator": "depth-pro", "model": str(folder)})).render(
        picture(), NOTHING
    )
    assert target.size == (70, 50) and len(set(np.asarray(target).ravel())) > 8


def test_pictures_are_segmented_without_annotations(models, tmp_path):
    picture().save(tmp_path / "photo.png")
    sam2 = {"kind": "sam2", "model": str(models("sam2")), "points_per_side": 3, "predicted_iou": 0.0, "stability": 0.5}
    mask2former = {
        "kind": "mask2former",
        "model": str(models("mask2former")),
        "score": 0.0,
        "visible": 0.0,
        "things": 3,
    }
    for name, options in (
        ("instance", {"annotator": sam2}),
        ("panoptic", {"annotator": mask2former, "granularity": "panoptic", "palette": "tab20", "colours": 8}),
    ):
        out = tmp_path / name
        words = ["render", "segmentation", tmp_path / "photo.png", out, "--options", json.dumps(options)]
        assert main([str(word) for word in words]) == 0
        with Image.open(out / "photo.png") as target:
            assert target.mode == "P" and target.size == (70, 50) and np.asarray(target).max() > 0


def test_the_identity_has_the_content_of_the_model_not_its_folder(models, tmp_path):
    plain = make_proxy(proxy_options({"task": "segmentation"}))
    assert "annotator" not in plain.identity and "annotator" not in plain.options.model_dump()
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "fetched.json").write_text(json.dumps({"files": {"model.safetensors": {"sha256": "0" * 64}}}))
    annotated = make_proxy(proxy_options({"task": "segmentation", "annotator": {"kind": "sam2", "model": str(folder)}}))
    assert annotated.downloads == (str(folder),) and annotated.needs == ()
    assert len(annotated.identity["annotator"]["model"]) == 64


def test_options_and_folders_that_do_not_fit_are_refused(models, tmp_path):
    for options, said in (
        ({"granularity": "panoptic", "annotator": {"kind": "sam2", "model": "x"}}, "set granularity to instance"),
        ({"annotator": {"kind": "mask2former", "model": "x"}}, "set granularity to panoptic"),
        ({"annotator": {"kind": "sam3", "model": "x"}}, "sam2"),
    ):
        with pytest.raises(ValueError, match=said):
            proxy_options({"task": "segmentation", **options})
    for folder, said in ((tmp_path, "no SAM 2 model"), (models("mask2former"), "weights are missing")):
        with pytest.raises(SgtError, match=said):
            Sam2Masks(Sam2Options(kind="sam2", model=str(folder)))

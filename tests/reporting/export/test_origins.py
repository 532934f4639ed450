"""Licences of what a run was made from, as the paper's study states them."""

from pathlib import Path

import pytest

from sgt.reporting.export.card import card_data, licences_text, limits, snippet
from sgt.reporting.export.origins import origins_of
from sgt.study.load import load_study
from sgt.study.runs import Run

ROOT = Path(__file__).parents[3]


@pytest.fixture
def study(monkeypatch):
    monkeypatch.chdir(ROOT)
    return load_study("config/paper.yaml")


def test_everything_that_a_run_was_made_from_is_listed_with_its_licence(study):
    origins = origins_of(study, Run("bagel-7b", "depth-2k", 0))
    listed = {(origin.use, origin.name): origin for origin in origins}
    assert listed["base weights", "bagel-7b"].licence == "Apache-2.0"
    assert listed["trained on", "llava-onevision"].licence == "Apache-2.0 by its card; each subset has its own"
    assert listed["trained on", "coco-2017"].about == "images and targets: 2000 images"
    assert listed["targets rendered with", "depth-anything-v2-large"].licence == "CC-BY-NC-4.0"
    assert listed["measured on", "toyworld"].licence == "Apache-2.0"
    coco = {origin.about for origin in origins if (origin.use, origin.name) == ("measured on", "coco-2017")}
    assert coco == {"held-out images: 100 images", "coco-panoptic: 100 images", "vsr"}
    assert ("trained on", "sam-sgt") not in listed


def test_weights_of_unclear_licences_have_none_of_their_own(study):
    run = Run("bagel-7b", "depth-2k", 0)
    origins = origins_of(study, run)
    data = card_data(study, run, origins, [], None).to_dict()
    assert data["license"] == "other" and data["license_link"] == "LICENSE.md"
    assert data["base_model"] == ["ByteDance-Seed/BAGEL-7B-MoT"] and data["base_model_relation"] == "finetune"
    # COCO is not on the hub, and the benchmark's scenes were not trained on.
    assert data["datasets"] == ["lmms-lab/LLaVA-OneVision-Data"]
    assert {"depth-2k", "depth", "mid-level-proxy", "exploratory"} <= set(data["tags"])
    text = licences_text(origins)
    assert "[llava-onevision](https://huggingface.co/datasets/lmms-lab/LLaVA-OneVision-Data)" in text
    assert "| CC-BY-NC-4.0 |" in text
    assert any("not all permissive" in line for line in limits(study, run, origins))


def test_the_snippet_has_the_sizes_and_the_sampling_of_the_model(study):
    text = snippet(study, Run("bagel-7b", "inpainting", 1))
    assert "size=(1024, 1024)" in text and "Sampling(num_steps=24, shift=1.0, cfg_text_scale=1.0" in text
    assert any("from degraded images" in line for line in limits(study, Run("omnigen2", "inpainting", 1), []))
    compile(text, "snippet", "exec")

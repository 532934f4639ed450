"""What the page of `sgt app` shows, without the page: it needs no gradio."""

import base64
import gc
import io
import re
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import sgt
from sgt.analysis.attention import ANSWER_TO_VISION, MODEL, while_answering
from sgt.app import fragments, uploads
from sgt.app.compare import Answered, Comparison
from sgt.app.one_model import OneModel
from sgt.app.uploads import read_upload
from sgt.data.dataset import open_dataset
from sgt.data.images import encode_png, image_of
from sgt.models.requests import Reply
from sgt.proxies import PROXIES
from tests.conftest import MADE_ARMS, write_study

QUESTION, OPTIONS = "how many cubes are there ?", ["one", "two"]
ROOM = 1e9


@pytest.fixture
def here(made, monkeypatch):
    """The study with all results, as the working directory; it is not to be changed."""
    monkeypatch.chdir(made)


@pytest.fixture
def comparison(here):
    return Comparison(sgt.load_study("config/micro.yaml"), ROOM)


def test_every_arm_answers_as_its_run_does(comparison):
    picture = image_of(comparison.scene(1))
    found = list(comparison.answers(picture, "micro", 0, QUESTION, OPTIONS))
    assert [each.arm for each in found] == ["base", "sft", "edge"]
    for each in found:
        run = sgt.load_run("results", f"micro/{each.arm}/seed0")
        assert each.reply == run.answer(QUESTION, picture, max_new_tokens=64)
        assert list(each.options) == run.rate(QUESTION, OPTIONS, picture)
        # The study has no analysis of attention.
        assert not each.attention and not each.error


def test_attention_is_that_of_the_analysis(attending):
    comparison = Comparison(sgt.load_study(attending), ROOM)
    scene = comparison.scene(0)
    question = scene.json()["questions"][0]["question"]
    base, *_ = comparison.answers(image_of(scene), "micro", 0, question, [])
    expected = while_answering(sgt.load_model("micro").model, open_dataset(Path("results/shards/test")).first(1))
    shares = [shares.sum() for shares in base.attention]
    assert shares == pytest.approx(expected[MODEL][ANSWER_TO_VISION][0], abs=1e-5)
    assert all(shares.ndim == 2 and shares.size > 1 for shares in base.attention)


def test_attention_is_shown_as_light_on_the_picture():
    picture = Image.new("RGB", (30, 20), "red")
    few, many = np.array([[0.1, 0.0, 0.0], [0.0, 0.2, 0.0]]), np.array([[0.0, 0.0, 0.4], [0.0, 0.0, 0.0]])
    found = [
        Answered("base", Reply("yes", 1, "stop"), attention=[few, few]),
        Answered("sft", error="gone"),
        Answered("edge", Reply("no", 1, "stop"), attention=[few, many]),
    ]
    shown = fragments.answers(found, [], picture)
    captions = re.findall("<figcaption>(.*?)</figcaption>", shown)
    assert captions == ["base: 30.0%", "edge: 35.0%", *["base: 30.0%", "edge: 30.0%"], *["base: 30.0%", "edge: 40.0%"]]
    assert shown.count("background") == 0 and shown.count("--picture: url(data:image/png;base64,") == 1
    overlays = [Image.open(io.BytesIO(base64.b64decode(each))) for each in re.findall('img src=".*?,(.*?)"', shown)]
    dark = [np.asarray(overlay)[..., 1] / 255 for overlay in overlays]
    # In the second layer, the brightest is edge's .4; the mean of both layers has its brightest, .2, in both arms.
    for mean, shares in zip(dark[:2], (few, (few + many) / 2), strict=True):
        np.testing.assert_allclose(mean, 0.9 * (1 - shares / 0.2), atol=1 / 255)
    for of_layer, shares in zip(dark[4:], (few, many), strict=True):
        np.testing.assert_allclose(of_layer, 0.9 * (1 - shares / 0.4), atol=1 / 255)
    assert all((np.asarray(overlay)[..., 0] == 0).all() for overlay in overlays)


def test_a_drawing_stands_beside_the_true_target(comparison):
    scene = comparison.scene(2)
    picture = image_of(scene)
    (drawn,) = comparison.drawings(picture, "micro", 0, scene)
    assert drawn.arm == "edge" and drawn.given is None
    assert drawn.made is not None and drawn.target is not None
    target = PROXIES["edge"].render(picture, scene).convert("RGB")
    assert (np.asarray(drawn.target) == np.asarray(target.resize(drawn.made.size, Image.Resampling.NEAREST))).all()
    made = sgt.load_run("results", "micro/edge/seed0").draw_target(picture)
    assert (np.asarray(drawn.made) == np.asarray(made)).all()
    # Edges need no annotations, so an upload has a true target, too.
    (uploaded,) = comparison.drawings(picture, "micro", 0, None)
    assert (np.asarray(uploaded.target) == np.asarray(drawn.target)).all()


def test_a_transplant_draws_nothing(results):
    eyes = {"into": "sft", "parts_from": "edge", "parts": ["vision"]}
    path = write_study(Path(), arms=MADE_ARMS, benchmarks=["toyworld-qa"], transplants={"eyes": eyes})
    comparison = Comparison(sgt.load_study(path), ROOM)
    assert comparison.results.transplants == ["micro/eyes/seed0"]
    assert [run.arm for run in comparison.runs("micro", 0)] == ["base", "sft", "edge", "eyes"]
    scene = comparison.scene(0)
    assert [drawn.arm for drawn in comparison.drawings(image_of(scene), "micro", 0, scene)] == ["edge"]


def test_released_weights_are_not_called_base(results):
    path = Path("config/models/micro.yaml")
    released = {"base": "other", "arm": "segmentation"}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "released": released}))
    comparison = Comparison(sgt.load_study("config/micro.yaml"), ROOM)
    found = comparison.answers(image_of(comparison.scene(0)), "micro", 0, QUESTION, [])
    assert [each.arm for each in found] == ["released", "sft", "edge"]


def test_changes_are_counted_by_kind(comparison):
    edge, sft = (comparison.results.items(f"micro/{arm}/seed0", "toyworld-qa") for arm in ("edge", "sft"))
    for (_, kind), counts in comparison.changes.counts.items():
        of_kind = edge["kind"] == kind
        better, worse = (edge["accuracy"] > sft["accuracy"])[of_kind], (edge["accuracy"] < sft["accuracy"])[of_kind]
        assert counts["micro", "edge"] == (better.sum(), worse.sum())
    shown = fragments.changed(comparison.changes, "micro")
    assert f"<td>{next(iter(comparison.changes.totals.values()))}</td>" in shown


def test_an_arm_whose_checkpoint_is_gone_is_one_line_beside_the_others(results):
    for file in (results / "runs/micro/edge/seed0/final").glob("*.safetensors"):
        file.unlink()
    comparison = Comparison(sgt.load_study("config/micro.yaml"), ROOM)
    picture = image_of(comparison.scene(0))
    *others, edge = comparison.answers(picture, "micro", 0, QUESTION, [])
    assert all(each.reply for each in others) and "no weights of micro there" in edge.error
    (drawn,) = comparison.drawings(picture, "micro", 0, None)
    assert drawn.made is None and "no weights of micro there" in drawn.error
    assert fragments.answers([*others, edge], [], picture).count("sgt-error") == 1


def test_one_model_is_in_memory_at_a_time_and_none_above_the_limit(here):
    study = sgt.load_study("results")
    models = OneModel(study, ROOM)
    with models.run("micro/sft/seed0") as first:
        seen = weakref.ref(first.model.network)
    with models.run("micro/sft/seed0") as again:
        assert again is first
    del first, again
    with models.run("micro/edge/seed0"):
        gc.collect()
        assert seen() is None
    with (
        pytest.raises(sgt.SgtError, match=r"micro/base/seed0: its weights take .*, above the limit of 1 kB; raise"),
        OneModel(study, 1000).run("micro/base/seed0"),
    ):
        pass


def test_a_model_that_could_not_be_loaded_leaves_room_for_the_next(results):
    models = OneModel(sgt.load_study("results"), ROOM)
    (results / "runs/micro/edge/seed0/final/ema.safetensors").write_bytes(b"damaged")
    with pytest.raises(sgt.SgtError), models.run("micro/edge/seed0"):
        pass
    with models.run("micro/sft/seed0") as run:
        assert run.answer(QUESTION, max_new_tokens=2)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("large.png", lambda: encode_png(Image.new("1", (10_000, 10_000))), "100 megapixels, at most 40 are taken"),
        ("text.jpg", lambda: b"not a picture", "corrupt or not an image"),
        ("empty.png", lambda: b"", "corrupt or not an image"),
        ("half.png", lambda: encode_png(Image.new("RGB", (64, 64), "red"))[:90], "corrupt or not an image"),
    ],
)
def test_an_upload_that_is_refused_is_one_line_and_is_not_kept(name, content, problem, tmp_path):
    path = tmp_path / name
    path.write_bytes(content())
    with pytest.raises(sgt.SgtError, match=problem) as error:
        read_upload(path)
    assert "\n" not in str(error.value) and str(error.value).startswith("upload: ")
    assert not path.exists()


def test_an_upload_of_too_many_bytes_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_BYTES", 2**20)
    path = tmp_path / "many.png"
    path.write_bytes(bytes(2 * 2**20))
    with pytest.raises(sgt.SgtError, match="2 MB, at most 1 are taken"):
        read_upload(path)
    assert not path.exists()


def test_an_upload_is_read_and_not_kept(tmp_path):
    picture = Image.new("RGB", (20, 10), "red")
    picture.save(tmp_path / "red.png")
    read = read_upload(tmp_path / "red.png")
    assert (np.asarray(read) == np.asarray(picture)).all() and not list(tmp_path.iterdir())


def test_texts_of_models_and_errors_cannot_become_part_of_the_page():
    hostile = "<script>alert(1)</script>"
    picture = Image.new("RGB", (4, 4))
    seen = Answered(hostile, Reply(hostile, 1, "stop"), attention=[np.ones((1, 2))])
    shown = fragments.answers([Answered(hostile, error=hostile), seen], [hostile], picture)
    shown += fragments.pictures([(hostile, [(hostile, picture)], hostile)])
    assert "<script" not in shown and shown.count("&lt;script&gt;") >= 12


def test_a_study_whose_pictures_are_gone_still_takes_uploads(results):
    shutil.rmtree(results / "shards/test")
    comparison = Comparison(sgt.load_study("config/micro.yaml"), ROOM)
    assert comparison.scenes is None
    with pytest.raises(sgt.SgtError, match="no picture 0; upload a picture"):
        comparison.scene(0)

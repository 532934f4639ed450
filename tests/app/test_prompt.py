"""`sgt ask`, `draw`, `ls` and `info`, and the Python API: what they give, and one line for what they cannot."""

import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import sgt
from sgt.commands.main import main
from sgt.data.dataset import open_dataset
from sgt.data.images import decode_image, encode_png, image_of
from sgt.data.mixture import generator
from sgt.data.shards import read_shard
from sgt.models.registry import load_model as load_weights
from sgt.models.requests import Decoding, Request
from sgt.study.load import load_study
from sgt.training.image_use import SEED, held_out_draw
from tests.conftest import OMNIGEN2
from tests.conftest import sgt as run_command

EDGE, BASE = "micro/edge/seed0", "micro/base/seed0"
QUESTION = "how many cubes are there ?"


@pytest.fixture(scope="module")
def study_folder(made, tmp_path_factory):
    """A copy of the study with all results, its scenes, and a scene as `scene.png`."""
    root = tmp_path_factory.mktemp("prompt") / "study"
    shutil.copytree(made, root)
    (root / "scene.png").write_bytes(encode_png(image_of(open_dataset(root / "results/shards/test")[0])))
    return root


@pytest.fixture
def here(study_folder, monkeypatch):
    """That copy, as the working directory; it is not to be changed."""
    monkeypatch.chdir(study_folder)
    return study_folder


@pytest.fixture
def fails(capsys):
    """A command that must fail, with one line on stderr, which is returned."""

    def fail(*words: object) -> str:
        capsys.readouterr()
        assert main([str(word) for word in words]) == 1
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if " $ sgt " not in line]
        assert not out and len(lines) == 1, (out, err)
        return lines[0]

    return fail


def edge_model():
    study = load_study("config/micro.yaml")
    return load_weights(study.models["micro"], Path("results/runs") / EDGE / "final")


def test_ask_prints_the_reply_of_the_run_and_how_likely_options_are(here, capsys):
    scene, model = Image.open("scene.png"), edge_model()
    request = Request([scene, QUESTION])
    (reply,) = model.answer([request], Decoding(5))
    ((one, two),) = model.loglikelihood([request], [["1", "2"]])
    capsys.readouterr()
    run_command("ask", EDGE, "scene.png", QUESTION, "--options", "1", "2", "--max-new-tokens", 5)
    *said, header, first, second = capsys.readouterr().out.splitlines()
    assert "\n".join(said) == reply.text and header.split() == ["option", "log-probability", "share"]
    for line, option, expected in ((first, "1", one), (second, "2", two)):
        name, logprob, _ = line.split()
        assert name == option
        assert float(logprob) == pytest.approx(expected.logprob + expected.end_logprob, abs=2e-3)


def test_shares_of_options_add_up_to_one_and_follow_their_log_probabilities(here):
    rated = sgt.load_run("results", EDGE).rate(QUESTION, ["1", "2", "a cube"], "scene.png")
    assert [each.option for each in rated] == ["1", "2", "a cube"]
    assert sum(each.share for each in rated) == pytest.approx(1)
    ratio = np.exp(rated[0].logprob - rated[1].logprob)
    assert rated[0].share / rated[1].share == pytest.approx(ratio, rel=1e-6)


def test_a_run_draws_its_target_as_the_check_of_its_treatment_did(here):
    """Of the first held-out scene, whose draw has number 0: the same picture, prompt, noise and sampler."""
    checked = next(read_shard(Path("results/predictions") / EDGE / "targets/images.tar"))
    run = sgt.load_run("config/micro.yaml", EDGE)
    given = checked.get("input.png")
    rng = generator(SEED, "proxy edge", held_out_draw(0).number)
    prompt = run.proxy.prompts[rng.integers(len(run.proxy.prompts))]
    expected = np.asarray(decode_image(checked.get("png"), "drawn"), int)
    assert np.abs(np.asarray(run.draw(prompt, given), int) - expected).max() <= 1
    run_command("draw", EDGE, "--image", "scene.png", "--steps", 2, "-o", "target.png")
    sampling = replace(run.default_sampling(True), num_steps=2)
    for drawn in (
        run.draw_target("scene.png", sampling=sampling),
        run.draw(run.proxy.prompts[0], "scene.png", sampling=sampling),
    ):
        assert np.abs(np.asarray(Image.open("target.png"), int) - np.asarray(drawn, int)).max() <= 1


def test_draw_makes_an_image_of_a_prompt_with_the_sampler_that_was_chosen(here):
    words = ["draw", "micro", "a red cube", "--steps", 2, "--guidance", 1, "-o", "drawn.png"]
    run_command(*words, "--seed", 1)
    one = np.asarray(Image.open("drawn.png"), int)
    run_command(*words, "--seed", 1)
    assert (np.asarray(Image.open("drawn.png"), int) == one).all()
    run_command(*words, "--seed", 2)
    assert (np.asarray(Image.open("drawn.png"), int) != one).any()
    run_command(*words[:-2], "--size", "32x64", "-o", "drawn.png")
    assert Image.open("drawn.png").size == (24, 48)


def test_a_picture_may_be_a_path_bytes_or_an_image_and_is_turned_upright(here):
    model = sgt.load_model("micro")
    path = Path("scene.png")
    given = [path, str(path), path.read_bytes(), Image.open(path), Image.open(path).convert("RGBA")]
    replies = {model.answer(QUESTION, picture, max_new_tokens=5) for picture in given}
    assert len(replies) == 1
    turned, buffer = Image.open(path).rotate(90, expand=True), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(buffer, "PNG", exif=exif)
    assert model.rate(QUESTION, ["1"], buffer.getvalue()) == model.rate(QUESTION, ["1"], path)
    assert model.rate(QUESTION, ["1"], Image.open(buffer)) == model.rate(QUESTION, ["1"], path)


def test_a_released_folder_answers_as_its_run(here):
    run_command("export", "config/micro.yaml", "--model", "micro", "--arm", "sft", "--seed", 0, "--out", "release")
    released = sgt.load_model("release").answer(QUESTION, "scene.png", max_new_tokens=5)
    assert released == sgt.load_run("results", "micro/sft/seed0").answer(QUESTION, "scene.png", max_new_tokens=5)
    by_folder = sgt.load_model(Path("results/runs/micro/sft/seed0"))
    assert released == by_folder.answer(QUESTION, "scene.png", max_new_tokens=5)
    shutil.rmtree("release")


def test_what_cannot_be_asked_or_drawn_is_one_line(here, fails, tmp_path):
    Path(tmp_path / "text.jpg").write_text("not a picture")
    assert "micro/egde/seed0: no study in config/ has such a run; perhaps micro/edge/seed0" in fails(
        "ask", "micro/egde/seed0", "scene.png", QUESTION
    )
    assert "mirco: no such model" in fails("ask", "mirco", "scene.png", QUESTION)
    assert "perhaps micro" in fails("ask", "mirco", "scene.png", QUESTION)
    assert "perhaps micro/edge/seed0" in fails("ask", "micro/edge", "scene.png", QUESTION)
    assert "no run micro/edge/seed1; perhaps micro/edge/seed0" in fails(
        "info", "micro/edge/seed1", "--study", "config/micro.yaml"
    )
    assert "text.jpg: corrupt or not an image" in fails("ask", EDGE, tmp_path / "text.jpg", QUESTION)
    assert "nothing.jpg: no such picture" in fails("ask", EDGE, "nothing.jpg", QUESTION)
    assert "config: a folder, not a picture" in fails("ask", EDGE, "config", QUESTION)
    assert "--max-new-tokens: must be at least 1" in fails("ask", EDGE, "scene.png", QUESTION, "--max-new-tokens", 0)
    assert "options: an empty text" in fails_after_reply(EDGE)
    assert "was not trained on a proxy" in fails("draw", BASE, "--image", "scene.png", "-o", "x.png")
    assert "is no run of a proxy arm; give a prompt" in fails("draw", "micro", "--image", "scene.png", "-o", "x.png")
    assert "prompt: missing" in fails("draw", EDGE, "-o", "x.png")
    assert "x.jpg: images are written as PNG" in fails("draw", EDGE, "a cube", "-o", "x.jpg")
    assert not Path("x.png").exists()


def fails_after_reply(name: str) -> str:
    with pytest.raises(sgt.SgtError) as error:
        sgt.load_run("results", name).rate(QUESTION, ["1", ""], "scene.png")
    return str(error.value)


def test_missing_weights_name_the_command_that_fetches_them(study, fails):
    """A download, weights that `data.dvc` names, and a run that is not finished."""
    shutil.rmtree("base/micro")
    assert "base/micro: no weights of micro there; run `sgt base base/micro`" in fails(
        "draw", "micro", "q", "-o", "x.png"
    )
    Path("config/data").mkdir()
    table = {"seven": {"host": "hub", "kind": "model", "repository": "a/b", "licence": "none"}}
    Path("config/data/downloads.yaml").write_text(yaml.safe_dump(table))
    spec = yaml.safe_load(Path("config/models/micro.yaml").read_text())
    Path("config/models/seven.yaml").write_text(
        yaml.safe_dump({**spec, "name": "seven", "checkpoint": "downloads/seven"})
    )
    with pytest.raises(sgt.SgtError, match="no weights of seven there; run `sgt fetch seven`"):
        sgt.load_model("seven")
    with pytest.raises(sgt.SgtError, match="the run is not finished; run `sgt train config/micro"):
        sgt.load_run("config/micro.yaml", EDGE)


@pytest.mark.parametrize(("name", "base"), [("sgt-bagel", "bagel-7b"), ("sgt-gen2", "omnigen2")])
def test_released_weights_are_opened_over_those_of_their_base(name, base, tmp_path, monkeypatch, capsys):
    shutil.copytree(Path(__file__).parents[2] / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sgt.SgtError, match=f"downloads/{base}: no weights of {name} there; run `sgt fetch {base}`"):
        sgt.load_model(name)
    Path(f"downloads/{base}").mkdir(parents=True)
    Path(f"downloads/{base}/ema.safetensors").touch()
    with pytest.raises(sgt.SgtError, match=f"downloads/{name}: no weights of {name} there; run `sgt fetch {name}`"):
        sgt.load_model(name)
    run_command("info", name)
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert lines["what"] == f"released weights, which their authors post-trained from {base} on segmentation"
    assert lines[f"downloads/{name},"] == f"not there: run `sgt fetch {name}`, licence Apache-2.0"


def test_ls_lists_everything_with_its_state(here, capsys):
    capsys.readouterr()
    run_command("ls")
    out = capsys.readouterr().out
    lines = [line.split(None, 2) for line in out.splitlines()]
    for run in ("base", "sft", "edge"):
        assert [f"micro/{run}/seed0", "config/micro.yaml", "current"] in lines
    assert ["micro", "bagel", "weights in base/micro"] in lines
    missing = f"no weights in {OMNIGEN2['checkpoint']}: run `sgt base {OMNIGEN2['checkpoint']}`"
    assert [OMNIGEN2["name"], "omnigen2", missing] in lines
    assert ["toyworld-qa", "config/micro.yaml", "benchmark toyworld-qa: 3 of 3 scores current"] in lines
    assert "config/micro.yaml: 2 of 2 shards of targets current" in out
    assert ["scenes", "config/micro.yaml", "current: 24 scenes"] in lines
    run_command("ls", "runs")
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_ls_and_info_tell_what_is_outdated_unfinished_or_not_made(results, capsys):
    path = Path("config/micro.yaml")
    study = yaml.safe_load(path.read_text())
    study["recipe"]["optimizer"]["lr"] = 2e-3
    path.write_text(yaml.safe_dump({**study, "arms": [*study["arms"], "depth", "inpainting"]}))
    (results / "runs/micro/depth/seed0/work").mkdir(parents=True)
    Path("config/broken.yaml").write_text(yaml.safe_dump({**study, "models": ["none"]}))
    capsys.readouterr()
    run_command("ls", "runs")
    out, err = capsys.readouterr()
    states = {line.split()[0]: line.split(None, 2)[2] for line in out.splitlines()}
    assert states[BASE] == "current" and states["micro/depth/seed0"] == "unfinished"
    assert states[EDGE].startswith("outdated: ") and "lr" in states[EDGE]
    assert states["micro/inpainting/seed0"] == "not made"
    assert "sgt ls: left out config/models/none.yaml: no such file" in err
    Path("config/broken.yaml").unlink()
    run_command("info", EDGE)
    out = capsys.readouterr().out
    assert "outdated" in out and "run `sgt train config/micro.yaml --model micro --arm edge --seed 0`" in out


def test_info_has_recipe_losses_scores_and_evidence_on_one_screen(here, capsys):
    capsys.readouterr()
    run_command("info", EDGE)
    out = capsys.readouterr().out
    record = json.loads((Path("results/runs") / EDGE / "run.json").read_text())
    score = json.loads((Path("results/scores") / EDGE / "toyworld-qa.json").read_text())
    assert record["checkpoint_sha256"][:16] in out and "6 steps of 6 samples" in out
    assert "2 of the proxy : 1 of questions" in out and "losses" in out and "use of the image" in out
    perception = score["metrics"]["accuracy/perception"]
    assert f"toyworld-qa perception {perception['value']:.3f} [{perception['low']:.3f}" in out
    assert "cells of the tables are from this run" in out and "sgt trace config/micro.yaml" in out
    assert len(out.splitlines()) <= 24
    run_command("info", BASE)
    assert "not post-trained" in capsys.readouterr().out


def test_study_results_are_pandas_tables(here):
    study = sgt.load_study("results")
    main_table = study.table("main")
    assert set(main_table["arm"]) == {"base", "sft", "edge"} and {"value", "gain"} <= set(main_table)
    assert study.states()["state"].eq("current").all() and list(study.states()["run"]) == study.runs
    items = study.items(EDGE, "toyworld-qa")
    accuracy = main_table.query("arm == 'edge' and metric == 'accuracy/perception'")["value"].item()
    reasoning = {"arithmetic", "parity"}
    assert items[~items["kind"].isin(reasoning)]["accuracy"].mean() == pytest.approx(accuracy, abs=1e-6)
    losses = sgt.load_run(study, EDGE).losses()
    assert list(losses["step"]) == list(range(6)) and losses["loss"].notna().all()
    with pytest.raises(sgt.SgtError, match="no such table; use one of all, "):
        study.table("mian")


def test_an_outdated_table_is_read_only_where_that_is_accepted(results):
    path = Path("config/micro.yaml")
    study = yaml.safe_load(path.read_text())
    study["recipe"]["optimizer"]["lr"] = 2e-3
    path.write_text(yaml.safe_dump(study))
    with pytest.raises(sgt.SgtError, match="not of the study as it is"):
        sgt.load_study(path).table("main")
    assert len(sgt.load_study(path).table("main", outdated=True)) > 0


def test_a_limit_of_a_command_leaves_the_predictions_of_all_samples_alone(results, capsys):
    words = ["config/micro.yaml", "--model", "micro", "--arm", "edge", "--seed", 0, "--benchmark", "toyworld-qa"]
    predictions, scores = results / "predictions" / EDGE, results / "scores" / EDGE
    whole = {path: path.read_bytes() for path in (*predictions.rglob("*.json*"), *scores.rglob("*.json"))}
    assert main([str(word) for word in ["score", *words, "--limit", 3]]) == 1
    assert "--benchmark toyworld-qa --limit 3`" in capsys.readouterr().err
    run_command("predict", *words, "--limit", 3)
    run_command("score", *words, "--limit", 3)
    assert {path: path.read_bytes() for path in whole} == whole
    limited = [json.loads(line) for line in (predictions / "toyworld-qa.limit-3/predictions.jsonl").open()]
    every = [json.loads(line) for line in (predictions / "toyworld-qa/predictions.jsonl").open()]
    assert 0 < len(limited) < len(every)
    assert [each["row"] for each in limited] == [each["row"] for each in every[: len(limited)]]
    score = json.loads((scores / "toyworld-qa.limit-3.json").read_text())
    assert score["counts"]["scored"] == len(limited)
    # Under the name of the whole, they are refused.
    shutil.rmtree(predictions / "toyworld-qa")
    shutil.copytree(predictions / "toyworld-qa.limit-3", predictions / "toyworld-qa")
    assert main([str(word) for word in ["score", *words]]) == 1
    assert "not of the study as it is: options.samples" in capsys.readouterr().err


def test_importing_sgt_imports_neither_torch_nor_pandas():
    code = (
        "import sgt, sys; print(sgt.__all__ == sorted(sgt.__all__), {'torch', 'pandas', 'numpy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True set()\n"


def test_every_public_name_is_there_and_documented():
    for name in sgt.__all__:
        assert getattr(sgt, name).__doc__, name
    assert set(sgt.__all__) <= set(dir(sgt))
    with pytest.raises(AttributeError, match="no attribute 'load'"):
        sgt.load  # noqa: B018


def test_a_target_is_rendered_from_a_picture_alone_or_refused(here):
    scene = Image.open("scene.png")
    targets = {sample.key: sample for sample in read_shard("results/targets/scenes/edge/shard-00000.tar")}
    source = next(read_shard("results/shards/scenes/shard-00000.tar"))
    made = sgt.render_target("edge", source.image)
    assert (np.asarray(made) == np.asarray(decode_image(targets[source.key].get("png"), "target"))).all()
    assert (np.asarray(sgt.render_target("reconstruction", scene)) == np.asarray(scene)).all()
    assert (np.asarray(sgt.render_target("edge", scene, smoothing=3.0)) != np.asarray(made)).any()
    with pytest.raises(sgt.SgtError, match=r"segmentation: its target is made from annotations \(.json\)"):
        sgt.render_target("segmentation", scene)
    with pytest.raises(sgt.SgtError, match="depth: its target is made from annotations"):
        sgt.render_target("depth", scene)
    with pytest.raises(sgt.SgtError, match="egde: unknown proxy"):
        sgt.render_target("egde", scene)


def test_samples_of_a_study_are_pictures_with_their_records(here):
    study = sgt.load_study("results")
    picture, record = study.sample("test", 0)
    assert (np.asarray(picture) == np.asarray(Image.open("scene.png"))).all() and record["questions"]
    with pytest.raises(sgt.SgtError, match="dataset test: no sample 24; use 0 to 23"):
        study.sample("test", 24)
    with pytest.raises(sgt.SgtError, match="no dataset 'tset'"):
        study.sample("tset")

"""Post-training from end to end: what is learned from, in which order, and what bad input ends in."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sgt.atomic import sha256
from sgt.commands.main import main
from sgt.data.images import decode_image, encode_png
from sgt.data.manifest import read_manifest, write_manifest
from sgt.data.shards import Sample, ShardWriter, read_shard
from sgt.models import flow
from sgt.models.bagel.base import transform_of
from sgt.models.bagel.rules import SideBounds
from sgt.models.registry import load_model
from sgt.models.transforms import ImageTransform
from sgt.proxies import PROXIES
from sgt.study.load import load_study
from sgt.training.batch_loader import BatchLoader
from sgt.training.sources import training_data
from tests.conftest import STUDY, sgt, sides, write_study
from tests.models.calls import whole_answer_logprobs

ARMS = STUDY["arms"][2:]
RESIZED = {"segmentation": Image.Resampling.NEAREST}


def in_space(model, picture: Image.Image, name: str) -> torch.Tensor:
    """What the VAE should be given of a target: worked out here, not by the code under test."""
    width, height = transform_of(SideBounds(**sides(48))).size(*picture.size)
    picture = picture.resize((width, height), RESIZED.get(name, Image.Resampling.BICUBIC)).convert("RGB")
    return torch.tensor(np.asarray(picture), dtype=torch.float32).permute(2, 0, 1) / 127.5 - 1


def check_velocities(arm: str, monkeypatch) -> int:
    """Run two training steps of an arm; check each target velocity against the rendered target; returns how many."""
    study = load_study("config/micro.yaml")
    run, recipe = study.run("micro", arm, 0), study.recipe("micro")
    model = load_model(study.models["micro"], Path("base/micro"))
    data = training_data(study, run, recipe)
    loader = BatchLoader(model, data.mixture, data.sources, run.seed)
    rendered = {
        sample.key: Image.open(io.BytesIO(next(iter(sample.files.values()))))
        for shard in ("shard-00000", "shard-00001")
        for sample in read_shard(f"results/targets/scenes/{arm}/{shard}.tar")
    }
    keys = [s.key for shard in ("shard-00000", "shard-00001") for s in read_shard(f"results/shards/scenes/{shard}.tar")]
    seen = []
    velocity = flow.velocity
    monkeypatch.setattr(flow, "velocity", lambda data, noise: seen.append((data, noise)) or velocity(data, noise))
    for step in range(2):
        (batch,) = loader.load(step).micro_batches
        model.loss(batch, 1.0)
        clean, noise = seen[-1]
        drawn = [keys[draw.index] for draw in data.mixture.step(step) if draw.source == "proxy"]
        pictures = torch.stack([in_space(model, rendered[key], arm) for key in drawn])
        latents = model.vae.encode(pictures, batch.vae_sample_noise)
        tokens = torch.cat([model.network.patchify(latent) for latent in latents])
        torch.testing.assert_close(velocity(clean, noise), noise - tokens, rtol=1e-5, atol=1e-5)
        assert len(tokens) == len(batch.mse_loss_indexes)
    return len(drawn)


@pytest.mark.parametrize("arm", ARMS)
def test_the_velocity_target_is_that_of_the_rendered_target(arm, study, monkeypatch):
    assert check_velocities(arm, monkeypatch) == 4


@pytest.mark.parametrize("arm", ["segmentation", "depth", "edge"])
def test_that_check_fails_when_the_input_image_takes_the_targets_place(arm, study, monkeypatch):
    monkeypatch.setattr(
        "sgt.training.sources.read_target",
        lambda rendered: decode_image(scene_of(rendered).get("jpg"), "scene"),
    )
    with pytest.raises(AssertionError, match="not close"):
        check_velocities(arm, monkeypatch)


def scene_of(rendered: Sample) -> Sample:
    shard = Path("results/shards/scenes") / rendered.shard.name
    return next(sample for sample in read_shard(shard) if sample.key == rendered.key)


def test_only_inpainting_is_shown_something_else_than_the_image(study):
    loaded = load_study(study)
    shown = {}
    for arm in ARMS:
        data = training_data(loaded, loaded.run("micro", arm, 0), loaded.recipe("micro"))
        draws = [draw for draw in data.mixture.step(0) if draw.source == "proxy"]
        shown[arm] = [data.sources["proxy"].make(draw)[0].image.tobytes() for draw in draws]
    assert all(shown[arm] == shown["segmentation"] for arm in ARMS if arm != "inpainting")
    assert all(a != b for a, b in zip(shown["inpainting"], shown["segmentation"], strict=True))


def test_every_arm_sees_the_same_questions_in_the_same_order_at_an_exact_ratio(study):
    loaded = load_study(study)
    orders = {}
    for arm in STUDY["arms"][1:]:
        data = training_data(loaded, loaded.run("micro", arm, 0), loaded.recipe("micro"))
        steps = [data.mixture.step(step) for step in range(30)]
        kinds = [[draw.source for draw in step] for step in steps]
        assert kinds == [["vqa"] * 2 if arm == "sft" else ["proxy", "proxy", "vqa"] * 2] * 30
        orders[arm] = [draw.index for step in steps for draw in step if draw.source == "vqa"]
        proxies = [draw.index for step in steps for draw in step if draw.source == "proxy"]
        assert all(set(proxies[i : i + 24]) == set(range(24)) for i in range(0, len(proxies), 24))
    assert len(set(map(tuple, orders.values()))) == 1
    assert len(set(orders["sft"][:24])) == 24


def test_a_run_ends_in_a_checkpoint_that_answers_and_draws_the_same_when_read_again(study):
    sgt("train", study, "--model", "micro", "--arm", "depth", "--seed", 0)
    folder = Path("results/runs/micro/depth/seed0")
    record = json.loads((folder / "run.json").read_text())
    assert (record["id"], record["steps"]) == ("micro/depth/seed0", 6)
    assert record["command"] == f"sgt train {study} --model micro --arm depth --seed 0"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(6))
    assert all(line["ce"] > 0 and line["mse"] > 0 for line in lines)

    spec = load_study(study).models["micro"]
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8))
    outputs = []
    for saved in (folder / "final", Path("again"), Path("base/micro")):
        if saved.name == "again":
            saved.mkdir()
            load_model(spec, folder / "final").save_checkpoint(saved)
        model = load_model(spec, saved)
        outputs.append(whole_answer_logprobs(model, image, "how many cubes are there", ["one", "two"]))
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        ({"arms": ["sft", "edges"]}, "arms: unknown proxy 'edges': use one of base, sft, sft-compute"),
        ({"arms": ["base", "edge"]}, "arms: all others are compared with 'sft': add it"),
        (
            {"recipe": {**STUDY["recipe"], "ratio": [0, 1]}},
            "recipe.ratio.0: Input should be greater than or equal to 1",
        ),
        ({"recipe": {**STUDY["recipe"], "batch": 7}}, "batch 7 is not a multiple of 2+1"),
        ({"sedes": [1]}, "sedes: unknown key; remove it"),
        ({"seeds": "one"}, "seeds: Input should be a valid array, got 'one'"),
        ({"models": ["bagel-8b"]}, "bagel-8b.yaml: no such file"),
    ],
)
def test_a_study_that_cannot_be_is_one_line(changes, output, tmp_path, capsys):
    path = write_study(tmp_path, **changes)
    assert main(["train", str(path), "--model", "micro", "--arm", "sft", "--seed", "0"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert output in line and str(tmp_path) in line


def fails(capsys, arm: str, *output: str) -> None:
    assert main(["train", "config/micro.yaml", "--model", "micro", "--arm", arm, "--seed", "0"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert all(word in line for word in output), line
    assert not Path(f"results/runs/micro/{arm}/seed0/run.json").exists()


@pytest.mark.parametrize(("processes", "each"), [(None, 5), (2, 2), (8, 1)])
def test_the_threads_of_a_node_are_divided_among_its_processes(processes, each, study, monkeypatch):
    spec = Path("config/models/micro.yaml")
    spec.write_text(spec.read_text() + "train: {threads: 5}\n")
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if processes:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    used = list[int]()
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    sgt("train", "config/micro.yaml", "--model", "micro", "--arm", "base", "--seed", 0)
    assert used == [each]


def test_damaged_data_ends_in_one_line_that_names_it(study, capsys):
    questions = Path("results/shards/questions/shard-00000.tar")
    whole = questions.read_bytes()
    questions.write_bytes(whole[: len(whole) // 2])
    fails(capsys, "sft", f"{questions}: changed since it was made")
    questions.unlink()
    fails(capsys, "sft", str(questions), "sgt toyworld")


def test_a_corrupt_picture_is_named_when_training_meets_it(study, capsys):
    path = Path("results/shards/questions/shard-00000.tar")
    samples = list(read_shard(path))
    with ShardWriter(path) as shard:
        for sample in samples:
            shard.add(sample.key, {**sample.files, "jpg": sample.get("jpg")[:200]})
    fails(capsys, "sft", f"{path}: changed since it was made")
    about = {key: value for key, value in read_manifest(path.parent).items() if key not in ("count", "shards")}
    write_manifest(path.parent, {path.name: len(samples)}, **about)
    fails(capsys, "sft", f"{path}: {samples[0].key[:4]}", ".jpg", "corrupt")


def test_targets_must_be_those_of_the_scenes(study, capsys):
    path = Path("results/targets/scenes/edge/shard-00001.tar")
    samples = list(read_shard(path))
    with ShardWriter(path) as shard:
        for sample in samples[1:]:
            shard.add(sample.key, sample.files)
    fails(capsys, "edge", f"{path}: changed since it was made")
    report = path.with_suffix(".json")
    report.write_text(json.dumps({**json.loads(report.read_text()), "sha256": sha256(path)}))
    fails(capsys, "edge", "targets/scenes/edge", "the targets are not those of the source")
    path.unlink()
    fails(capsys, "edge", str(path), "sgt render")


def test_palette_targets_keep_their_colours_when_the_model_wants_another_size():
    labels = np.zeros((48, 48), np.uint8)
    labels[10:30, 10:30], labels[30:40, 5:45] = 1, 2
    target = Image.fromarray(labels)
    target.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    resized = ImageTransform(32, 32, 8).resize(Image.open(io.BytesIO(encode_png(target))))
    assert set(resized.get_flattened_data()) == {(0, 0, 0), (255, 0, 0), (0, 0, 255)}
    assert PROXIES["segmentation"].label_like

"""Samples that a model cannot take are found before training, and left out for all models and arms."""

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from sgt.commands.main import main
from sgt.config.data import Subset
from sgt.data.dataset import open_dataset
from sgt.data.images import encode_png
from sgt.data.manifest import read_manifest, write_manifest
from sgt.data.shards import ShardWriter
from sgt.errors import SgtError
from sgt.models.examples import ImageOutline, InputImage, QAPair, TargetImage, Text
from sgt.models.registry import load_model, model_without_weights
from sgt.study.load import load_study
from sgt.training import screening
from sgt.training.screening import screened_dataset
from sgt.training.sources import training_data
from tests.conftest import OMNIGEN2, sgt

QUESTIONS = Path("results/shards/questions")
ALL_QUESTIONS = Subset(dataset="questions")


def picture(width: int = 40, height: int = 30) -> bytes:
    return encode_png(Image.new("RGB", (width, height), (90, 120, 30)))


def talk(answer: object = "red", asked: object = "<image>\nwhat?") -> bytes:
    turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]
    return json.dumps({"conversations": turns}).encode()


GOOD = {"jpg": picture(), "json": talk()}
# Faulty samples, and the reason that is recorded.
BAD = {
    "too long": ({**GOOD, "json": talk("red " * 600)}, "exceed the context of 512"),
    "undecodable": ({**GOOD, "jpg": picture()[:-40]}, "corrupt or not an image"),
    "no picture": ({"json": talk()}, "1 times <image> for no image"),
    "two pictures": ({**GOOD, "webp": picture()}, "2 images"),
    "no record": ({"jpg": picture()}, "no .json member"),
    "no JSON": ({**GOOD, "json": b"{"}, "not valid JSON"),
    "no object": ({**GOOD, "json": b"[]"}, "not a JSON object"),
    "no turns": ({**GOOD, "json": b"{}"}, "no questions"),
    "no text": ({**GOOD, "json": talk(7)}, "has no text"),
    "half a character": ({**GOOD, "json": talk("a\ud800b")}, "half a character"),
    "questions of no list": ({**GOOD, "json": b'{"questions": 3}'}, "no list of questions"),
    "question of no text": (
        {**GOOD, "json": b'{"questions": [{"question": "a", "answer": null}]}'},
        "answer is NoneType",
    ),
    "question of half a character": (
        {**GOOD, "json": b'{"questions": [{"question": "\\udcff", "answer": "a"}]}'},
        "half a character",
    ),
    "caption of no text": ({**GOOD, "json": b'{"questions": [], "caption": 3}'}, "caption is int"),
    "nothing asked": ({**GOOD, "json": b'{"questions": []}'}, "no questions"),
}


def write(samples: dict[str, dict[str, bytes]], folder: Path = QUESTIONS, shards: int = 1) -> None:
    """A dataset of these samples, dealt to shards in order."""
    names = list(samples)
    counts, identity = {}, read_manifest(folder)["identity"]
    for number in range(shards):
        path = folder / f"shard-{number:05d}.tar"
        own = names[number * len(names) // shards : (number + 1) * len(names) // shards]
        with ShardWriter(path) as shard:
            for name in own:
                shard.add(name, samples[name])
        counts[path.name] = len(own)
    write_manifest(folder, counts, identity=identity)


def change(study: Path, **changes: dict) -> None:
    content = yaml.safe_load(study.read_text())
    for section, fields in changes.items():
        content[section] = {**content[section], **fields} if isinstance(fields, dict) else fields
    study.write_text(yaml.safe_dump(content))


def refused(folder: Path = QUESTIONS) -> dict[str, dict]:
    content = json.loads((folder / "screened.json").read_text())
    return {one["key"]: one for one in content["refused"]}


def fails(capsys, words: list, *output: str) -> None:
    assert main([str(word) for word in words]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert all(word in line for word in output), line


def train(model: str = "micro", arm: str = "sft") -> list:
    return ["train", "config/micro.yaml", "--model", model, "--arm", arm, "--seed", 0]


def test_each_bad_sample_is_found_by_key_and_with_its_reason(study):
    write({"good": GOOD, **{f"bad-{number}": files for number, (files, _) in enumerate(BAD.values())}, "last": GOOD})
    change(study, data={"max_bad": 0.95})
    sgt("screen", study, "questions")
    found = refused()
    assert list(found) == [f"bad-{number}" for number in range(len(BAD))]
    for number, (_, output) in enumerate(BAD.values()):
        about = found[f"bad-{number}"]
        assert output in about["reason"] and about["reason"].startswith(f"bad-{number}"), about
        assert (about["shard"], about["uses"], about["models"]) == ("shard-00000.tar", ["vqa"], ["micro"])
    kept = screened_dataset(load_study(study), ALL_QUESTIONS)
    assert kept.keys == ["good", "last"]


def test_a_run_learns_from_what_is_left_and_takes_a_step_only_if_that_is_allowed(study, capsys):
    write({f"q-{number:02d}": {**GOOD, "json": talk("red " * 600)} if number == 17 else GOOD for number in range(24)})
    where = str(QUESTIONS / "shard-00000.tar")
    fails(capsys, train(), f"{where}: q-17: ", "exceed the context", "1 of 24 samples refused: q-17", "data.max_bad")
    assert not Path("results/runs/micro/sft/seed0/work/metrics.jsonl").exists()
    change(study, data={"max_bad": 0.05}, recipe={"steps": 24})
    sgt(*train())
    losses = Path("results/runs/micro/sft/seed0/metrics.jsonl").read_text().splitlines()
    assert len(losses) == 24


def test_a_pack_is_the_limit_too(study, capsys):
    write({f"q-{number}": GOOD if number else {**GOOD, "json": talk("red " * 100)} for number in range(8)})
    sgt("screen", study, "questions")
    change(study, recipe={"max_tokens_per_pack": 90})
    fails(capsys, ["screen", study, "questions"], "q-0: ", "tokens, a pack holds 90", "1 of 8 samples refused: q-0")
    fails(capsys, train(), "q-0: ", "tokens, a pack holds 90")


def test_what_one_model_cannot_take_is_left_out_for_every_model_and_arm(study_omnigen2):
    name = OMNIGEN2["name"]
    narrow = {**GOOD, "jpg": picture(1093, 5)}
    write({f"q-{number}": narrow if number == 3 else GOOD for number in range(8)})
    change(study_omnigen2, data={"max_bad": 0.2}, models=["micro", name])
    study = load_study(study_omnigen2)
    assert [key for key in open_dataset(QUESTIONS).keys if key != "q-3"] == screened_dataset(study, ALL_QUESTIONS).keys
    assert refused()["q-3"]["models"] == [name] and "1093x5 is too narrow" in refused()["q-3"]["reason"]
    drawn = set()
    for model in ("micro", name):
        for arm in ("sft", "edge"):
            run = study.run(model, arm, 0)
            data = training_data(study, run, study.recipe(model, arm))
            draws = [draw for step in range(20) for draw in data.mixture.step(step) if draw.source == "vqa"]
            drawn.add(tuple(data.sources["vqa"].key(draw) for draw in draws[:40]))
    (keys,) = drawn
    assert len(set(keys)) == 7 and not any(key.endswith("q-3") for key in keys)


def test_a_narrow_image_of_a_proxy_is_left_out_with_its_target(study_omnigen2):
    folder = Path("results/shards/scenes")
    shards, identity = {}, read_manifest(folder)["identity"]
    for path in sorted(folder.glob("*.tar")):
        dataset = [open_dataset(folder)[place] for place in range(24)]
        own = [sample for sample in dataset if sample.shard.name == path.name]
        with ShardWriter(path) as shard:
            for place, sample in enumerate(own):
                shard.add(sample.key, {**sample.files, **({"jpg": picture(1093, 5)} if place == 4 else {})})
        shards[path.name] = len(own)
    write_manifest(folder, shards, identity=identity)
    # The targets are of these shards.
    for path in sorted(folder.glob("*.tar")):
        sgt("render", "edge", path, f"results/targets/scenes/edge/{path.name}")
    change(study_omnigen2, data={"max_bad": 0.1})
    study = load_study(study_omnigen2)
    run = study.run(OMNIGEN2["name"], "edge", 0)
    data = training_data(study, run, study.recipe(run.model, run.arm))
    narrow = refused(folder)
    assert len(narrow) == 2 and all(one["uses"] == ["proxy"] for one in narrow.values())
    keys = set()
    for draw in (draw for step in range(20) for draw in data.mixture.step(step) if draw.source == "proxy"):
        seen, made = (part.image for part in data.sources["proxy"].make(draw) if not isinstance(part, Text))
        keys.add(data.sources["proxy"].key(draw).rsplit(": ")[-1])
        assert seen.size == made.size == (48, 48)
    assert len(keys) == 22 and keys.isdisjoint(narrow)
    sgt(*train(run.model, run.arm))


def test_items_of_a_benchmark_are_never_left_out(study_omnigen2, capsys):
    folder, name = Path("results/shards/test"), OMNIGEN2["name"]
    dataset = open_dataset(folder)
    samples = {dataset[place].key: dict(dataset[place].files) for place in range(len(dataset))}
    key = list(samples)[9]
    samples[key]["jpg"] = picture(1093, 5)
    write(samples, folder)
    change(study_omnigen2, data={"max_bad": 0.5})
    sgt(*train(name, "base"))
    run = [name, "--arm", "base", "--seed", 0]
    predict = ["predict", study_omnigen2, "--model", *run, "--benchmark"]
    fails(capsys, [*predict, "toyworld-qa"], f"{key}: 1093x5 is too narrow", "1 of 24 items of benchmark toyworld-qa")
    fails(capsys, ["screen", study_omnigen2, "test"], f"{key}: 1093x5 is too narrow")
    assert not Path(f"results/predictions/{name}").exists()
    # Of the prompts only the first six are asked for, and the picture is not shown.
    sgt(*predict, "toyworld-gen")


def test_a_verdict_is_made_once_and_anew_for_other_data_or_limits(study, capsys):
    change(study, data={"max_bad": 0.5})
    write({f"q-{number}": GOOD for number in range(8)})
    sgt("screen", study, "questions")
    first = (QUESTIONS / "screened.json").stat().st_mtime_ns
    sgt("screen", study, "questions")
    sgt(*train())
    assert (QUESTIONS / "screened.json").stat().st_mtime_ns == first
    for content in (b"{", b'{"judged_for": 3, "refused": []}', b"[]"):
        (QUESTIONS / "screened.json").write_bytes(content)
        sgt("screen", study, "questions")
        assert refused() == {}
    write({f"q-{number}": GOOD if number else {**GOOD, "jpg": b"x"} for number in range(8)})
    assert screened_dataset(load_study(study), ALL_QUESTIONS).keys == [f"q-{number}" for number in range(1, 8)]
    assert list(refused()) == ["q-0"]


def test_processes_change_nothing(study, monkeypatch):
    change(study, data={"max_bad": 0.9})
    files = [each for bad, _ in BAD.values() for each in (GOOD, bad)]
    write({f"q-{number:02d}": each for number, each in enumerate(files)}, shards=3)
    sgt("screen", study, "questions", "--workers", 1)
    alone = (QUESTIONS / "screened.json").read_bytes()
    (QUESTIONS / "screened.json").unlink()
    monkeypatch.setattr(screening, "_PER_PROCESS", 1)
    sgt("screen", study, "questions", "--workers", 2)
    assert (QUESTIONS / "screened.json").read_bytes() == alone


def test_nothing_left_and_a_missing_base_end_in_one_line(study, capsys):
    write({"a": {"jpg": b"", "json": talk()}})
    change(study, data={"max_bad": 0.99})
    fails(capsys, train(), "1 of 1 samples refused: a")
    fails(capsys, ["screen", study, "nothing"], "no dataset 'nothing'", "questions")
    Path("base/micro/tokenizer.json").unlink()
    write({"a": GOOD})
    fails(capsys, ["screen", study, "questions"], "tokenizer.json", "the base of micro")


@pytest.mark.parametrize("name", ["micro", OMNIGEN2["name"]])
def test_the_checker_accepts_what_a_batch_accepts(name, study_omnigen2):
    change(study_omnigen2, models=[name])
    spec = load_study(study_omnigen2).models[name]
    model, checker = load_model(spec, Path(spec.checkpoint)), model_without_weights(spec)
    accepted, rejections = 0, 0
    for size in ((48, 48), (40, 30), (1, 1), (7, 300), (300, 7), (5, 1093), (1093, 5)):
        for words in (1, 30, 480, 600):
            text = "red " * words
            for parts in (
                [(InputImage, True), Text("what?"), Text(text, supervised=True)],
                [Text(text), (InputImage, True), Text("what?"), Text("red", supervised=True)],
                [(InputImage, True), *[QAPair("what?", "red " * min(words, 200))] * 4],
                [(InputImage, False), Text(text), (TargetImage,)],
                [Text(text), (TargetImage,)],
                [Text("hello"), Text(text, supervised=True)],
            ):

                def example(image, parts=parts):
                    return [part[0](image, *part[1:]) if isinstance(part, tuple) else part for part in parts]

                whole = example(Image.new("RGB", size))
                try:
                    batch = model.batch([whole], [0])
                    model.loss(batch, 1.0)
                except SgtError as error:
                    rejections += 1
                    with pytest.raises(SgtError) as found:
                        checker.check(example(ImageOutline(size)))
                    assert found.value.problem == error.problem
                else:
                    accepted += 1
                    assert checker.check(example(ImageOutline(size))) == model.tokens(whole)
    assert accepted > 40 and rejections > 20

"""A task is one file: found, checked, predicted, scored and put into tables without anything else that names it."""

import csv
import json
import re
import shutil
import sys
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from sgt.commands.main import main
from sgt.config.benchmarks import OPTIONS
from sgt.config.models import Model
from sgt.data.fetch import FETCHED
from sgt.errors import SgtError
from sgt.evaluation import tasks
from sgt.evaluation.metrics import Items, Metric, items_of, shared_items, summary
from sgt.evaluation.predict import replier
from sgt.evaluation.predictions import read_predictions, write_predictions
from sgt.evaluation.score import score_predictions
from sgt.evaluation.task import Row
from sgt.evaluation.tasks.toyworld_gen import ToyworldGen
from sgt.evaluation.tasks.toyworld_qa import ToyworldQA
from sgt.models.requests import Likelihood, RatedReply, Reply
from sgt.study.identity import score_identity
from sgt.study.load import load_study
from tests.conftest import MODEL, sgt, write_study

DOCUMENT = Path(__file__).parents[2] / "docs/add-a-benchmark.md"
RUN = ["config/micro.yaml", "--model", "micro", "--arm", "base", "--seed", "0"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """A second folder of tasks, for the time of a test."""
    path = tmp_path / "tasks"
    path.mkdir()
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(path)])
    before = {id(known): (known, dict(known)) for known in (tasks.TASKS, OPTIONS)}
    yield path
    for known, content in before.values():
        known.clear()
        known.update(content)
    for file in path.glob("*.py"):
        sys.modules.pop(f"{tasks.__name__}.{file.stem}", None)


def documented(language: str) -> str:
    """The template's block in this language."""
    blocks = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.S)
    return next(block for block in blocks if "toyworld-mcq" in block)


def evaluated(benchmark: dict) -> tuple[dict, list[dict]]:
    """The score file and the table of a benchmark of the base run."""
    Path(f"config/benchmarks/{benchmark['name']}.yaml").write_text(yaml.safe_dump(benchmark))
    write_study(Path(), arms=["base"], benchmarks=[benchmark["name"]])
    sgt("train", *RUN)
    for command in ("predict", "score"):
        sgt(command, *RUN, "--benchmark", benchmark["name"])
    for command in ("tables", "figures"):
        sgt(command, RUN[0])
    score = json.loads(Path(f"results/scores/micro/base/seed0/{benchmark['name']}.json").read_text())
    return score, list(csv.DictReader(Path("results/tables/all.csv").read_text().splitlines()))


def test_the_documented_task_is_one_file_and_one_line_of_a_study(study, folder, capsys):
    (folder / "toyworld_mcq.py").write_text(documented("python"))
    tasks.find_tasks()
    benchmark = yaml.safe_load(documented("yaml"))
    score, table = evaluated(benchmark)
    assert [row["metric"] for row in table] == ["circular", "accuracy"]
    circular, accuracy = score["metrics"].values()
    items = score["items"]
    assert accuracy["n"] == len(items["id"]) == score["counts"]["predicted"] > 2 * circular["n"]
    assert circular["n"] == len(set(items["circular"]))
    # All rotations right by luck is rarer than one.
    assert 0 < circular["chance"] < accuracy["chance"] < 1
    assert sum(score["statuses"].values()) == len(items["id"])
    assert "circular accuracy" in Path("results/tables/main.md").read_text().splitlines()[0]
    # Its options are checked before anything runs.
    Path("config/benchmarks/toyworld-mcq.yaml").write_text(yaml.safe_dump({**benchmark, "protocol": "paper"}))
    assert main(["check", RUN[0]]) == 1
    assert "toyworld-mcq.yaml: protocol: Input should be 'letter' or 'strict'" in capsys.readouterr().err


def test_a_task_of_likelihoods_in_pairs_where_lower_is_better(study, folder):
    shutil.copy(Path(__file__).with_name("likelihood_task.py"), folder / "rated.py")
    tasks.find_tasks()
    score, table = evaluated({"name": "r", "task": "rated", "version": 1, "dataset": "test", "samples": 7})
    assert (score["metrics"]["pairs"]["n"], score["metrics"]["nats"]["n"]) == (7, 14)
    right = np.reshape(score["items"]["right"], (7, 2))
    assert score["metrics"]["pairs"]["value"] == right.all(axis=1).mean()
    assert score["metrics"]["nats"]["value"] == pytest.approx(np.mean(score["items"]["nats"]))
    low, value, high = (score["metrics"]["nats"][key] for key in ("low", "value", "high"))
    assert 0 < low < value < high < 50
    assert [float(row["value"]) for row in table] == pytest.approx(
        [metric["value"] for metric in score["metrics"].values()], abs=1e-6
    )


def test_an_evaluator_is_fetched_and_its_content_decides_scores(study, folder, capsys):
    shutil.copy(Path(__file__).with_name("likelihood_task.py"), folder / "rated.py")
    tasks.find_tasks()
    about = {"name": "r", "task": "rated", "version": 1, "dataset": "test", "evaluator": "downloads/detector"}
    Path("config/benchmarks/r.yaml").write_text(yaml.safe_dump(about))
    write_study(Path(), arms=["base"], benchmarks=["r"])
    assert main(["check", RUN[0]]) == 1
    assert "config/benchmarks/r.yaml: downloads/detector is not fetched" in capsys.readouterr().err
    identities = []
    for sha256 in ("a" * 64, "b" * 64):
        for place in ("downloads/detector", "downloads/other"):
            Path(place).mkdir(parents=True, exist_ok=True)
            (Path(place) / FETCHED).write_text(json.dumps({"files": {"model.safetensors": {"sha256": sha256}}}))
            Path("config/benchmarks/r.yaml").write_text(yaml.safe_dump({**about, "evaluator": place}))
            loaded = load_study(RUN[0])
            assert loaded.fetched_models == {Path(place): "config/benchmarks/r.yaml"}
            benchmark = loaded.benchmarks["r"]
            assert place not in json.dumps(benchmark.prediction_options)
            identities.append(score_identity(benchmark, {"predictions_sha256": "p", "identity": {}}))
    assert identities[0] == identities[1] != identities[2] == identities[3]


def test_a_group_is_right_only_if_all_its_rows_are():
    columns = {
        "id": list("abcdef"),
        "pair": ["1", "1", "2", "2", "3", "3"],
        "kind": ["x", "x", "x", "x", "y", "y"],
        "right": [1, 1, 1, 0, 1, 1],
        "chance": [0.5] * 6,
    }
    pairs = Metric("pairs", "pairs", "right", aggregation="all", group="pair", cluster="pair", chance="chance")
    assert items_of(pairs, columns).values.tolist() == [1, 0, 1]
    found = summary(pairs, columns)
    assert (found["value"], found["n"], found["chance"]) == (pytest.approx(2 / 3), 3, 0.25)
    some = Metric("some", "some", "right", where={"kind": ["x"]})
    assert summary(some, columns)["value"] == 0.75
    assert summary(Metric("none", "none", "right", where={"kind": ["z"]}), columns) is None
    with pytest.raises(SgtError, match=r"metric m: no column 'wrong' \(there are id, pair"):
        summary(Metric("m", "m", "wrong"), columns)
    with pytest.raises(SgtError, match=r"metric m: a value is outside \[0, 0.5\]"):
        summary(Metric("m", "m", "right", range=(0, 0.5)), columns)
    with pytest.raises(ValueError, match="needs a group"):
        Metric("m", "m", "right", aggregation="all")


def test_images_are_scored_one_by_one():
    made, held = [], []
    thing = {"colour": "red", "shape": "cube", "column": "left", "row": "top"}

    def predictions():
        for number in range(8):
            image = Image.new("RGB", (48, 48))
            made.append(weakref.ref(image))
            held.append(sum(one() is not None for one in made))
            yield Row(str(number), "a scene", "image", groups={"scene": str(number)}, extra={"objects": [thing]}), image

    about = {"name": "g", "task": "toyworld-gen", "version": 1, "dataset": "test", "sampling": {"num_steps": 1}}
    scored = score_predictions(ToyworldGen(ToyworldGen.Options(**about)), predictions())
    assert scored.items["score"] == [0.0] * 8
    # The one that was just made, and the one before it.
    assert max(held) <= 2


def test_images_of_one_size_are_made_together_each_from_its_own_seed():
    class Edits(ToyworldGen):
        """Edits of a picture, some of them twice."""

        class Options(ToyworldGen.Options):
            """Its images are references."""

            edits = True

    calls = []

    def generate(requests, sampling, *, seeds, size, edit):
        calls.append(([request.text for request in requests], seeds, size, edit, sampling.num_steps))
        return [Image.new("RGB", size[::-1]) for _ in requests]

    sampling = {"num_steps": 5, "seed": 3}
    about = {"name": "g", "task": "toyworld-gen", "version": 1, "dataset": "test", "sampling": sampling}
    picture = Image.new("RGB", (8, 8))
    rows = [
        Row(f"{text}-{repeat}", text, "image", images=[picture], size=size, repeat=repeat)
        for text, repeat, size in (("a", 0, (48, 48)), ("a", 1, (48, 48)), ("b", 0, (48, 40)))
    ]
    reply = replier(SimpleNamespace(generate=generate), Model.model_validate(MODEL), Edits(Edits.Options(**about)))
    assert [image.size for image in reply(rows)] == [(48, 48), (48, 48), (48, 40)]
    assert calls == [(["a", "a"], [3, 4], (48, 48), True, 5), (["b"], [3], (40, 48), True, 5)]
    with pytest.raises(SgtError, match="task toyworld-gen: row 'a-0' has no size"):
        reply([replace(rows[0], size=None)])


def test_an_answer_is_given_and_continuations_are_rated_where_a_task_wants_both():
    calls = []

    def answer_and_rate(requests, decoding, continuations):
        calls.append(([request.text for request in requests], decoding.max_new_tokens, continuations))
        return [RatedReply("two", 1, "stop", [Likelihood(-0.5, 1, -0.25)]) for _ in requests]

    options = ToyworldQA.Options(name="q", task="toyworld-qa", version=1, dataset="test")
    rows = [Row(name, f"{name} ?", "text", options=["one", "two"], answer="two") for name in ("a", "b")]
    model = SimpleNamespace(answer_and_rate=answer_and_rate)
    replies = replier(model, Model.model_validate(MODEL), ToyworldQA(options))(rows)
    assert replies == [RatedReply("two", 1, "stop", [Likelihood(-0.5, 1, -0.25)])] * 2
    assert calls == [(["a ?", "b ?"], 8, [["two"], ["two"]])]


def test_replies_are_read_as_they_were_written(tmp_path):
    rated = [Likelihood(-0.5, 1, -0.25), Likelihood(-3.5, 2, -0.125)]
    rows = [Row(name, "q", "text", extra={"twin": "a"}) for name in "abc"]
    replies = [Reply("two", 1, "stop"), RatedReply("", 8, "length", rated), rated]
    write_predictions(tmp_path / "predictions.jsonl", rows, replies)
    assert list(read_predictions(tmp_path / "predictions.jsonl")) == list(zip(rows, replies, strict=True))


def test_the_items_that_several_runs_share_stand_in_one_order():
    first = Items(["a", "b", "c", "d"], ["1", "1", "2", "2"], np.array([0.0, 1.0, 2.0, 3.0]))
    second = Items(["d", "b", "e"], ["2", "1", "3"], np.array([[30.0, 10.0, 40.0], [31.0, 11.0, 41.0]]))
    one, two = shared_items([first, second])
    assert one.ids == two.ids == ["b", "d"] and one.clusters == two.clusters == ["1", "2"]
    assert one.values.tolist() == [1.0, 3.0] and two.values.tolist() == [[10.0, 30.0], [11.0, 31.0]]
    assert shared_items([first, first]) == [first, first]


def test_rows_that_do_not_fit_together_are_refused():
    task = ToyworldQA(ToyworldQA.Options(name="q", task="toyworld-qa", version=1, dataset="test"))

    def refused(message: str, *rows: Row) -> None:
        with pytest.raises(SgtError, match=message):
            score_predictions(task, [(row, RatedReply("yes", 1, "stop", [Likelihood(-1, 1, 0)])) for row in rows])

    row = Row("a", "q", "text", options=["yes"], answer="yes", dimensions={"kind": "count"}, groups={"scene": "1"})
    refused("task toyworld-qa: several rows have the id 'a'", row, row)
    other = Row("b", "q", "text", options=["yes"], answer="yes", dimensions={"kind": "count"}, groups={"image": "1"})
    refused("row 'b' has columns", row, other)

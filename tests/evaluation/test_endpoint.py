"""A judge over HTTP that answers, stalls, refuses, sends rubbish, is busy and dies: what is counted, kept and paid."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import yaml
from PIL import Image

from sgt.config.judges import Judge
from sgt.errors import SgtError
from sgt.evaluation.evaluators import endpoint
from sgt.evaluation.evaluators.judge_calls import Call, jpeg, png
from sgt.evaluation.evaluators.vision_judge import VisionJudge
from sgt.evaluation.task import Row
from tests.conftest import sgt, write_study
from tests.evaluation.judge_server import (
    DIE,
    KEY,
    RUBBISH,
    STALL,
    JudgeServer,
    completion,
    question_number,
    serving,
)
from tests.evaluation.tasks.published import install

IMAGE = Image.new("RGB", (8, 8), "red")


class Cups:
    """One question about each image; the reply is yes or no."""

    name = "cups"

    def calls(self, row: Row, image: Image.Image) -> list[Call]:
        return [Call(f"Is there cup {row.id}?", [png(image)], 4)]

    def read(self, row: Row, number: int, text: str) -> int | None:
        return {"yes": 1, "no": 0}.get(text)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("JUDGE_KEY", KEY)


def judge_at(server: JudgeServer, folder: Path, **changes) -> VisionJudge:
    given = {"url": server.url, "model": "m", "key_variable": "JUDGE_KEY", "tries": 3, "timeout": 0.5}
    return VisionJudge(Cups(), Judge(**{**given, "failures_allowed": 1.0, **changes}), folder)


def rows(count: int) -> tuple[list[Row], list[Image.Image]]:
    return [Row(str(number), "", "image") for number in range(count)], [IMAGE] * count


def text_on_disk(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def test_every_way_to_fail_is_a_status_and_only_what_was_not_answered_is_asked_again(tmp_path):
    seen: Counter[int] = Counter()
    lock = threading.Lock()
    policy = {"error": {"code": "content_policy_violation", "message": f"not with {KEY}"}}

    def behave(asked, number):
        question = question_number(asked)
        with lock:
            seen[question] += 1
            first = seen[question] == 1
        again = {
            6: (429, {"Retry-After": "0.3"}, {"error": {"message": f"slow down, {asked.authorization}"}}),
            7: DIE,
            8: (200, {"X-Half": "1"}, completion("yes")[2]),
            9: (503, {}, "busy"),
        }
        if question in again and first:
            return again[question]
        return {
            1: completion(None, refusal=f"I cannot, {asked.authorization}"),
            2: (400, {}, policy),
            3: completion("perhaps, or perhaps not"),
            4: STALL,
            5: RUBBISH,
            10: (500, {}, f"no {asked.authorization}"),
            11: (422, {}, "too large"),
        }.get(question, completion("yes"))

    with serving(behave) as server:
        judge = judge_at(server, tmp_path, concurrency=4)
        records = judge.judge(*rows(12))
        statuses = [record["status"] for record in records]
        assert statuses == ["ok", "refused", "refused", "unparsable", "timeout", "error"] + ["ok"] * 4 + ["error"] * 2
        assert seen == {0: 1, 1: 1, 2: 1, 3: 1, 4: 3, 5: 3, 6: 2, 7: 2, 8: 2, 9: 2, 10: 3, 11: 1}
        call = records[0]["repeats"][0]["calls"][0]
        assert (call["value"], call["text"], call["model"]) == (1, "yes", "served-2026-01-01")
        assert records[3]["repeats"][0]["calls"][0]["value"] is None, "no number of a failure"
        times = [time for asked, time in zip(server.log, server.times, strict=True) if question_number(asked) == 6]
        assert times[1] - times[0] >= 0.3, "as long as the server demanded"
        asked = len(server.log)
        assert [record["status"] for record in judge.judge(*rows(4))] == statuses[:4] and len(server.log) == asked
        other = judge_at(server, tmp_path, repeats=2).judge(*rows(1))
        assert len(other[0]["repeats"]) == 2 and len(server.log) == asked + 1, "the first repeat is there already"
        asked = len(server.log)
        twice = [Row("20", "", "image")] * 2
        assert [each["status"] for each in judge.judge(twice, [IMAGE] * 2)] == ["ok"] * 2
        assert len(server.log) == asked + 1, "two runs may make the same image"
        assert {each.authorization for each in server.log} == {f"Bearer {KEY}"}
    kept = text_on_disk(tmp_path)
    assert "content_policy_violation" in kept and KEY not in kept and KEY not in json.dumps(records)


def test_a_judge_that_can_see_passes_and_what_cannot_succeed_stops_at_once(tmp_path, monkeypatch):
    with serving(lambda asked, number: (401, {}, f"incorrect API key {KEY}")) as server:
        checked = judge_at(server, tmp_path).prove()
        assert checked["right"] == 20 and checked["models"] == ["served-2026-01-01"]
        with pytest.raises(SgtError, match=r"answered 401: incorrect API key \*\*\*; export a valid key"):
            judge_at(server, tmp_path).judge(*rows(1))
        known, server.known = server.known, dict.fromkeys(server.known, "yes")
        with pytest.raises(SgtError, match="10 of 20 replies about pictures with known content are right"):
            judge_at(server, tmp_path / "other").prove()
        server.known = known
        assert judge_at(server, tmp_path / "other").prove()["right"] == 20, "a server that was corrected is asked again"
        monkeypatch.delenv("JUDGE_KEY")
        with pytest.raises(SgtError, match=r"no key in \$JUDGE_KEY"):
            judge_at(server, tmp_path).judge(*rows(1))
    monkeypatch.setenv("JUDGE_KEY", KEY)
    with pytest.raises(SgtError, match="2 of 2 calls ended without a reply"):
        judge_at(server, tmp_path, tries=2, failures_allowed=0.5).judge(*rows(2))


def test_the_request_is_that_of_the_api(tmp_path):
    with serving(lambda asked, number: completion("yes")) as server:
        judge = Judge(url=server.url, model="m", extra={"chat_template_kwargs": {"enable_thinking": False}})
        call = Call("How is it?", [png(IMAGE), jpeg(IMAGE)], 7, None, "Be strict.")
        endpoint.Endpoint(judge, tmp_path).ask([call])
    (asked,) = server.log
    urls = [part["image_url"]["url"].partition(",")[0] for part in asked.body["messages"][1]["content"][1:]]
    assert urls == ["data:image/png;base64", "data:image/jpeg;base64"]
    assert asked.body["messages"][0] == {"role": "system", "content": "Be strict."} and asked.authorization is None
    rest = {name: value for name, value in asked.body.items() if name != "messages"}
    assert rest == {"model": "m", "max_tokens": 7, "chat_template_kwargs": {"enable_thinking": False}}


@pytest.mark.parametrize(
    "fields, problem",
    [
        ({"url": "https://user:secret@host/v1", "model": "m"}, "user, password or query"),
        ({"url": "https://host/v1?key=secret", "model": "m"}, "user, password or query"),
        ({"url": "https://host/v1", "model": "m", "key_variable": KEY}, "not the name of an environment variable"),
        ({"url": "https://host/v1"}, "name one"),
        ({}, "either a url"),
        ({"checkpoint": "downloads/judge", "repeats": 2}, "greedily"),
    ],
)
def test_a_judge_that_cannot_work_or_holds_a_secret_is_refused(fields, problem):
    with pytest.raises(ValueError, match=problem):
        Judge(**fields)


CLIENT = """
import sys
from pathlib import Path
from tests.evaluation.test_endpoint import *
from sgt.commands.judge import _stop

signal.signal(signal.SIGTERM, _stop)
given = {"url": sys.argv[1], "model": "m", "key_variable": "JUDGE_KEY", "concurrency": int(sys.argv[3])}
VisionJudge(Cups(), Judge(**given), Path(sys.argv[2])).judge(*rows(9))
print("done")
"""


@pytest.mark.parametrize("number, concurrency", [(signal.SIGKILL, 1), (signal.SIGTERM, 3)])
def test_what_was_answered_before_a_kill_is_never_asked_again(number, concurrency, tmp_path):
    process: list[subprocess.Popen] = []

    def behave(asked, place):
        # In the middle of the fifth request, which SIGTERM lets end.
        if place == 4:
            os.kill(process[0].pid, number)
            return DIE if number == signal.SIGKILL else completion("yes")
        return completion("yes")

    with serving(behave) as server:
        for expected in ("", "done\n"):
            words = [sys.executable, "-c", CLIENT, server.url, tmp_path, str(concurrency)]
            process.insert(0, subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]))
            assert process[0].communicate()[0] == expected
        answered = Counter(server.answered)
        assert len(answered) == 9 and set(answered.values()) == {1}
        assert len(server.log) == 9 + (number == signal.SIGKILL), "but for the one whose reply the kill cut off"


def test_images_and_edits_are_predicted_judged_scored_and_put_into_tables(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names, run = ["dpg-bench", "gedit-bench"], ["--model", "micro", "--arm", "base", "--seed", "0"]

    def behave(asked, number):
        if "question" not in asked.text and len(asked.images) == 2:
            return completion('{"score": [9, 8], "reasoning": "fine"}')
        if "artefacts" in asked.text:
            return completion('{"score": [2, 4], "reasoning": "blurred"}')
        if "cup 3" in asked.text:
            return completion(None, refusal=f"no, {asked.authorization}")
        return completion("yes")

    with serving(behave) as server:
        judge = {"url": server.url, "model": "m", "key_variable": "JUDGE_KEY"}
        write_study(Path(), benchmarks=names, arms=["base"], judge=judge)
        Path("base").symlink_to(prepared / "base")
        for name in names:
            install(name, Path())
            path = Path(f"config/benchmarks/{name}.yaml")
            content = yaml.safe_load(path.read_text())
            path.write_text(
                yaml.safe_dump({**content, "side": 48, "sampling": {**content["sampling"], "num_steps": 2}})
            )
        sgt("train", "config/micro.yaml", *run)
        for name in names:
            sgt("predict", "config/micro.yaml", *run, "--benchmark", name)
            sgt("judge", "config/micro.yaml", "--benchmark", name)
            sgt("score", "config/micro.yaml", *run, "--benchmark", name)
        asked = len(server.log)
        shutil.rmtree("results/judgements/micro/base/seed0/dpg-bench")
        sgt("judge", "config/micro.yaml", "--benchmark", "dpg-bench")
        assert len(server.log) == asked, "every reply is kept"
    dpg, gedit = (json.loads(Path(f"results/scores/micro/base/seed0/{name}.json").read_text()) for name in names)
    assert dpg["statuses"] == {"refused": 2} and "dpg" not in dpg["metrics"]
    assert dpg["metrics"]["refused"]["value"] == 1 and dpg["evaluator"]["self_check"]["right"] == 20
    assert gedit["metrics"]["overall"]["value"] == pytest.approx(4) and gedit["statuses"] == {"ok": 3}
    assert gedit["evaluator"]["self_check"]["right"] == 30, "edits are checked with pairs of images too"
    sgt("tables", "config/micro.yaml")
    table = Path("results/tables/main.md").read_text()
    assert "GEdit (m)" in table and "4.000" in table
    everything = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in path.read_bytes() for path in everything)

"""``sgt predict`` and ``sgt score``: killed and resumed, and refused when predictions are not what was asked."""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sgt.atomic import sha256
from sgt.commands.main import main
from sgt.data.identity import dataset_content
from sgt.data.shards import read_shard
from sgt.evaluation import predict
from sgt.identity import read_record, write_record
from sgt.study.identity import base_content
from sgt.study.load import load_study
from tests.conftest import STUDY, sgt, write_study
from tests.forked import FORKED, settle

RUN = ["config/micro.yaml", "--model", "micro", "--arm", "base", "--seed", "0"]
FOLDER = Path("results/predictions/micro/base/seed0")


@pytest.fixture
def base(study):
    """The study with its base run recorded."""
    sgt("train", *RUN)


def predicted(benchmark: str) -> dict:
    """The record, but for the device, which a call that only joins what others predicted does not have."""
    content = json.loads((FOLDER / benchmark / "meta.json").read_text())
    return {name: value for name, value in content.items() if name not in ("device", "record_sha256")}


def test_how_predictions_are_cut_into_chunks_changes_nothing_but_rounding(base, monkeypatch):
    answers, pictures = [], []
    for size in (20, 5):
        monkeypatch.setattr(predict, "SAMPLES_PER_CHUNK", size)
        for benchmark in ("toyworld-qa", "toyworld-gen"):
            sgt("predict", *RUN, "--benchmark", benchmark)
            left = {path.name for path in (FOLDER / benchmark).iterdir()}
            assert left == {"meta.json", predicted(benchmark)["file"]}
        answers.append([json.loads(line) for line in (FOLDER / "toyworld-qa/predictions.jsonl").open()])
        made = read_shard(FOLDER / "toyworld-gen/images.tar")
        pictures.append([np.asarray(Image.open(io.BytesIO(image.get("png"))), int) for image in made])
    rated = [[line["reply"].pop("likelihoods")[0] for line in lines] for lines in answers]
    assert answers[0] == answers[1]
    for one, other in zip(*rated, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert np.abs(np.subtract(*pictures)).max() <= 1


def test_every_question_and_prompt_is_answered_in_order(base):
    for benchmark in ("toyworld-qa", "toyworld-gen"):
        sgt("predict", *RUN, "--benchmark", benchmark)
    samples = list(read_shard("results/shards/test/shard-00000.tar"))
    asked = [question["id"] for sample in samples for question in sample.json()["questions"]]
    lines = [json.loads(line) for line in (FOLDER / "toyworld-qa/predictions.jsonl").read_text().splitlines()]
    assert [line["row"]["id"] for line in lines] == asked and len(asked) == predicted("toyworld-qa")["count"]
    made = list(read_shard(FOLDER / "toyworld-gen/images.tar"))
    assert [image.key for image in made] == [sample.key for sample in samples[:6]]
    assert [image.json()["question"] for image in made] == [sample.json()["caption"] for sample in samples[:6]]
    assert len({image.get("png") for image in made}) == 6


def test_a_killed_prediction_goes_on_where_it_was(base, monkeypatch):
    words = ["predict", *RUN, "--benchmark", "toyworld-gen"]
    script = "import sys; from sgt.evaluation import predict; predict.SAMPLES_PER_CHUNK = 1; "
    script += "from sgt.commands.main import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    monkeypatch.setattr(predict, "SAMPLES_PER_CHUNK", 1)
    sgt(*words)
    whole = predicted("toyworld-gen")
    shutil.rmtree(FOLDER)

    def killed_after(count: int) -> list[Path]:
        process = subprocess.Popen([sys.executable, "-c", script, *words], stderr=subprocess.DEVNULL, env=environment)
        deadline = time.monotonic() + 120
        while len(parts := sorted(FOLDER.glob("toyworld-gen/work/*/part-*.tar"))) < count:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (FOLDER / "toyworld-gen/meta.json").exists()
        return parts

    killed_after(2)
    sgt(*words)
    assert predicted("toyworld-gen") == whole

    # A part that is there is used as it is.
    shutil.rmtree(FOLDER)
    parts = killed_after(2)
    second = next(read_shard(parts[1])).key
    shutil.copyfile(parts[1], parts[0])
    sgt(*words)
    assert next(read_shard(FOLDER / "toyworld-gen/images.tar")).key == second


def one_sample_per_chunk(words: list[str], folder: Path) -> None:
    """Predict in a forked process."""
    settle(folder, dict(os.environ))
    predict.SAMPLES_PER_CHUNK = 1
    main(words)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_lose_and_repeat_nothing(base, monkeypatch):
    words = ["predict", *RUN, "--benchmark", "toyworld-qa"]
    monkeypatch.setattr(predict, "SAMPLES_PER_CHUNK", 1)
    began = time.monotonic()
    sgt(*words)
    whole, seconds = predicted("toyworld-qa"), time.monotonic() - began
    shutil.rmtree(FOLDER)
    rng, made = random.Random(0), {}
    for _ in range(20):
        process = FORKED.Process(target=one_sample_per_chunk, args=(words, Path.cwd()))
        process.start()
        # Some of a run, or of two, since a run that was killed late is followed by a short one.
        process.join(rng.uniform(0, 2 * seconds))
        process.kill()
        process.join()
        if (FOLDER / "toyworld-qa/meta.json").exists():
            assert predicted("toyworld-qa") == whole
            shutil.rmtree(FOLDER)
            made = {}
            continue
        parts = {path: path.stat() for path in FOLDER.glob("toyworld-qa/work/*/part-*.jsonl")}
        assert made.keys() <= parts.keys(), "a chunk was lost"
        assert all(parts[path].st_mtime_ns == written.st_mtime_ns for path, written in made.items()), "repeated"
        made = parts
    sgt(*words)
    assert predicted("toyworld-qa") == whole


def test_shards_joined_are_one_prediction(base, monkeypatch):
    monkeypatch.setattr(predict, "SAMPLES_PER_CHUNK", 2)
    for benchmark in ("toyworld-qa", "toyworld-gen"):
        words = ["predict", *RUN, "--benchmark", benchmark]
        sgt(*words)
        whole = predicted(benchmark)
        shutil.rmtree(FOLDER / benchmark)
        for number in (3, 1, 2):
            sgt(*words, "--shard", f"{number}/3")
            assert not (FOLDER / benchmark / "meta.json").exists()
        with monkeypatch.context() as patch:
            patch.setattr(predict, "load_model", None)
            sgt(*words)
        assert predicted(benchmark) == whole


@pytest.mark.parametrize("share", ["0/2", "3/2", "1", "1/0", "a/b"])
def test_a_share_that_is_none_is_refused(base, capsys, share):
    with pytest.raises(SystemExit):
        main(["predict", *RUN, "--benchmark", "toyworld-qa", "--shard", share])
    assert f"{share!r} is no share: write 2/8" in capsys.readouterr().err


def fails(capsys, command: str, benchmark: str, *said: str) -> None:
    assert main([command, *RUN, "--benchmark", benchmark]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert all(word in line for word in said), line


def test_a_score_carries_its_evidence(base):
    for benchmark in ("toyworld-qa", "toyworld-gen"):
        sgt("predict", *RUN, "--benchmark", benchmark)
        sgt("score", *RUN, "--benchmark", benchmark)
        score = json.loads(Path(f"results/scores/micro/base/seed0/{benchmark}.json").read_text())
        meta = predicted(benchmark)
        assert score["counts"] == {"predicted": meta["count"], "scored": meta["count"]}
        assert score["hashes"] == {
            "predictions": sha256(FOLDER / benchmark / meta["file"]),
            "data": dataset_content(Path("results/shards/test")),
            "checkpoint": base_content(load_study("config/micro.yaml").models["micro"]),
        }
        assert score["commands"] == [
            f"sgt {verb} {' '.join(RUN)} --benchmark {benchmark}" for verb in ("predict", "score")
        ]
        for metric in score["metrics"].values():
            assert metric["low"] <= metric["value"] <= metric["high"] and metric["n"] > 0
            assert metric["about"]["unit"] == "nats" or 0 <= metric["low"] <= metric["high"] <= 1
    assert score["evaluator"]["self_check"]["found"] > 0.9


def test_predictions_that_are_not_what_was_asked_are_not_scored(base, capsys):
    fails(capsys, "score", "toyworld-qa", "meta.json: it is not there", f"run `sgt predict {' '.join(RUN)}")
    sgt("predict", *RUN, "--benchmark", "toyworld-qa")
    file = FOLDER / "toyworld-qa/predictions.jsonl"
    text = file.read_text()
    file.write_text(text.replace('"text": "', '"text": "x', 1))
    fails(capsys, "score", "toyworld-qa", "predictions.jsonl: changed since it was made")
    file.write_text(text)
    meta = FOLDER / "toyworld-qa/meta.json"
    record = read_record(meta)
    write_record(meta, {**record, "count": record["count"] + 1})
    fails(capsys, "score", "toyworld-qa", f"{record['count']} rows, meta.json has {record['count'] + 1}")
    meta.write_text(json.dumps({**record, "count": 0}))
    fails(capsys, "score", "toyworld-qa", "meta.json: not a record of this version of sgt")
    meta.write_text("{")
    fails(capsys, "score", "toyworld-qa", "meta.json: not valid JSON")
    write_record(meta, record)
    benchmark = Path("config/benchmarks/toyworld-qa.yaml")
    benchmark.write_text(benchmark.read_text().replace("version: 2", "version: 3"))
    fails(capsys, "score", "toyworld-qa", "not of the study as it is: version was 2 and is 3", "run `sgt predict")


def test_predicting_needs_a_finished_run_a_known_benchmark_and_enough_data(study, capsys):
    fails(capsys, "predict", "toyworld-qa", "run.json: it is not there", "run `sgt train")
    sgt("train", *RUN)
    fails(capsys, "predict", "vqa", "no benchmark 'vqa'; use one of toyworld-qa, toyworld-gen")
    # The study asks for more scenes than were made for it before.
    write_study(Path(), datasets={**STUDY["datasets"], "test": {**STUDY["datasets"]["test"], "scenes": 40}})
    fails(capsys, "predict", "toyworld-gen", "test/manifest.json: not of the study as it is", "scenes was 24 and is 40")

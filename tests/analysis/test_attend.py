"""Attention allocation: which words are keywords, what is recorded of a run, and how runs are compared."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sgt.analysis.ablation import mean_reads
from sgt.analysis.analyse import read_findings
from sgt.analysis.analyses.attend import Attend
from sgt.analysis.attention import questions_of, while_answering, while_generating
from sgt.analysis.words import KINDS, OTHER, KeywordKinds
from sgt.data.dataset import open_dataset
from sgt.data.images import encode_png, image_of
from sgt.data.shards import Sample
from sgt.errors import SgtError
from sgt.identity import write_record
from sgt.models.capture import NoisyTarget
from sgt.models.interface import Request
from sgt.reporting.analysis_grids import attention_grid
from sgt.reporting.attention import ALL_LAYERS, attention_of, relative_change
from sgt.reporting.scores import Scores
from sgt.study.load import load_study
from tests.conftest import sgt, write_study
from tests.models.conftest import load_micro
from tests.reporting.conftest import study_with  # noqa: F401 - a fixture

ENTRY = {"analysis": "attend", "dataset": "test", "samples": 5}


def test_keywords_have_the_kind_of_their_word():
    text = "A large red ball at left bottom , two blue cubes and the Table ."
    found = [(text[each.start : each.end], each.kind) for each in KeywordKinds(KINDS)(text)]
    assert found == [
        ("large", "other"), ("red", "colour"), ("ball", "object"), ("left", "position"), ("bottom", "position"),
        ("two", "other"), ("blue", "colour"), ("cubes", "object"), ("Table", "other"),
    ]  # fmt: skip
    named = KeywordKinds({"object": ["table", "tv"], "colour": ["teal"]})
    assert [each.kind for each in named("a tv on two tables")] == ["object", "other", "object"]


def test_words_are_of_one_kind(study):
    with pytest.raises(SgtError, match=r"analyses\.0\.keywords: .*'orange' is listed twice: keep it in one kind"):
        load_study(write_study(Path(), arms=["base"], analyses=[{**ENTRY, "keywords": {"object": ["orange"]}}]))


@pytest.mark.parametrize("word", ["Dog", "traffic light", "t-shirt", ""])
def test_words_that_no_caption_has_are_refused(word):
    with pytest.raises(ValueError, match=f"'{word}' would never be found in a caption: list single words in lower"):
        Attend.Options(**ENTRY, keywords={"object": ["cat", word]})


@pytest.fixture
def model(study_of, request):
    return load_micro(request.param, study_of(request.param))


BOTH = pytest.mark.parametrize("model", ["bagel", "omnigen2"], indirect=True)


@BOTH
def test_shares_are_those_that_are_captured(model, monkeypatch):
    monkeypatch.setattr("sgt.analysis.attention.AT_ONCE", 2)
    dataset, kinds = open_dataset(Path("results/shards/test")).first(3), [*KINDS, OTHER]
    answering = while_answering(model, dataset)
    generating = while_generating(model, dataset, [0.9, 0.3], KeywordKinds(KINDS), kinds)
    assert answering["key"] == generating["key"] == dataset.keys
    has_released = type(model).__name__ == "Bagel"
    assert "released" in answering and ("released" in generating) == has_released
    sample = dataset[2]
    record, image = sample.json(), image_of(sample)
    asked = Request((image, record["questions"][0]["question"]))
    spans = ("image", "frame", "text", "answer", "tail")
    (captured,) = model.capture([asked], None, spans, released=True)
    for layer in (0, 1):
        own, released = captured.attention[layer], captured.released[layer]
        assert answering["model"]["question_to_vision"][2][layer] == pytest.approx(float(own[2, 0]), abs=1e-5)
        assert answering["model"]["answer_to_vision"][2][layer] == pytest.approx(float(own[3, 0]), abs=1e-5)
        of_tail = float(released[4, 0] + released[4, 1])
        assert answering["released"]["question_to_vision"][2][layer] == pytest.approx(of_tail, abs=1e-5)
    spans = ("target", "text", *(f"text.{kind}" for kind in kinds))
    prompt, found = Request((record["caption"],)), KeywordKinds(KINDS)
    passes = [
        model.capture([prompt], None, spans, target=NoisyTarget([image], time, [0]), released=True, keywords=found)[0]
        for time in (0.9, 0.3)
    ]
    for form in ["model", *(["released"] if has_released else [])]:
        for layer in (0, 1):
            rows = [(each.attention if form == "model" else each.released)[layer][0] for each in passes]
            for index, kind in enumerate(kinds, 2):
                want = np.mean([float(row[index] / row[2:].sum()) for row in rows])
                assert generating[form][f"latents_to_{kind}"][2][layer] == pytest.approx(want, abs=1e-5)
    whole = np.array([generating["model"]["latents_to_prompt"]])
    assert (whole > 0).all() and (whole < 1).all()
    by_kind = np.array([generating["model"][f"latents_to_{kind}"] for kind in kinds])
    np.testing.assert_allclose(by_kind.sum(0), 1, atol=1e-5)


class Rewritten:
    """A dataset of some records with an image each."""

    def __init__(self, dataset, records):
        files = [{"json": json.dumps(record).encode()} for record in records]
        samples = [dataset[index] for index in range(len(records))]
        self.samples = [replace(each, files=each.files | of) for each, of in zip(samples, files, strict=True)]
        # Of a text without an image.
        self.samples.append(replace(self.samples[0], files=files[0]))

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


@pytest.mark.parametrize("model", ["bagel"], indirect=True)
def test_samples_without_image_question_or_caption_are_left_out(model):
    turns = [{"from": "human", "value": "<image>\nwhat is it ?"}, {"from": "gpt", "value": "a cube"}]
    records = [{"conversations": turns}, {"caption": "a red ball"}, {}]
    dataset = Rewritten(open_dataset(Path("results/shards/test")).first(3), records)
    keys = [sample.key for sample in dataset.samples]
    assert while_answering(model, dataset)["key"] == keys[:1]
    found = while_generating(model, dataset, [0.5], KeywordKinds(KINDS), [*KINDS, OTHER])
    assert found["key"] == keys[1:2]
    assert found["model"]["latents_to_position"] == [[None, None]]
    red, ball = (np.array(found["model"][f"latents_to_{kind}"][0]) for kind in ("colour", "object"))
    np.testing.assert_allclose(red + ball, 1, atol=1e-5)


@pytest.mark.parametrize("model", ["omnigen2"], indirect=True)
def test_samples_that_cannot_be_used_are_left_out(model, caplog):
    record = {"caption": "a red ball", "questions": [{"question": "what is it ?", "answer": "a ball"}]}
    dataset = Rewritten(open_dataset(Path("results/shards/test")).first(3), [record] * 3)
    dataset.samples = dataset.samples[:3]
    narrow = encode_png(np.zeros((2, 2000, 3), np.uint8))
    for place, content in ((0, b"no image"), (2, narrow)):
        dataset.samples[place] = replace(dataset.samples[place], files=dataset.samples[place].files | {"jpg": content})
    keys = [dataset.samples[1].key]
    assert while_answering(model, dataset)["key"] == keys
    assert while_generating(model, dataset, [0.5], KeywordKinds(KINDS), [*KINDS, OTHER])["key"] == keys
    assert mean_reads(model, dataset, [0])[1] == 1
    assert caplog.text.count("left out: ") == 6


@pytest.mark.parametrize("before", [[], [("gpt", "hello")]])
def test_the_answer_is_the_first_after_the_question(before):
    turns = [*before, ("human", "<image>\nwhat is it ?"), ("human", "tell me"), ("gpt", "a cube"), ("gpt", "or not")]
    record = {"conversations": [{"from": speaker, "value": value} for speaker, value in turns]}
    sample = Sample(Path("shard.tar"), "one", {"json": json.dumps(record).encode()})
    assert questions_of(sample) == [("what is it ?", "a cube")]


def test_the_command_records_a_run(study):
    loaded = load_study(write_study(Path(), arms=["base"], analyses=[ENTRY]))
    given = ("--model", "micro", "--arm", "base", "--seed", 0)
    sgt("train", loaded.path, *given)
    sgt("attend", loaded.path, *given)
    found = read_findings(loaded, loaded.run("micro", "base", 0), "attend")
    assert list(found) == ["answering", "generating"] and len(found["generating"]["key"]) == 5
    assert set(found["answering"]["model"]) == {"question_to_vision", "answer_to_vision"}


def test_a_relative_change_has_the_interval_of_a_ratio():
    rng = np.random.default_rng(0)
    base = rng.uniform(0.2, 0.4, (1, 400))
    tuned = 1.2 * base + rng.normal(0, 0.03, (1, 400))
    keys = np.arange(400).astype(str)
    found = relative_change(tuned, base, keys)
    assert found.value == pytest.approx(100 * (tuned.mean() / base.mean() - 1))
    drawn = rng.integers(400, size=(4000, 400))
    low, high = np.quantile(100 * (tuned[0][drawn].mean(1) / base[0][drawn].mean(1) - 1), [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1)
    # Another seed that moved as far, but no further, widens it.
    wider = relative_change(np.concatenate([tuned, tuned + 0.02]), base, keys)
    assert wider.high - wider.low > 2 * (found.high - found.low)


@pytest.fixture
def attended(study_with):  # noqa: F811
    """A study in which segmentation moves attention to the image in its second layer, and sft does nothing."""
    skill = {arm: 0.8 for arm in ("base", "sft", "segmentation")}
    study_with(skill, seeds=2)
    study = load_study(write_study(Path(), arms=list(skill), benchmarks=["qa"], seeds=[0, 1], analyses=[ENTRY]))
    keys = [f"scene-{index}" for index in range(40)]
    for run in study.runs:
        rng = np.random.default_rng(run.seed + 10 * len(run.arm))
        moved = np.array([0.0, 0.1 if run.arm == "segmentation" else 0.0])
        own = np.random.default_rng(0).uniform(0.2, 0.6, (40, 1)) + moved + rng.normal(0, 0.02, (40, 2))
        lacks = [[None, None]] * 4
        findings = {
            "answering": {"key": keys, "model": {"question_to_vision": own.tolist()}},
            "generating": {"key": keys, "model": {"latents_to_colour": [*lacks, *own[4:].tolist()]}},
        }
        write_record(study.analysis_file(run, "attend"), {"identity": {}, "findings": findings})
    return study


def test_what_moved_is_seen_where_it_moved(attended):
    rows = attention_of(Scores(attended))
    assert set(rows["layer"]) == {0, 1, ALL_LAYERS} and len(rows) == 3 * 2 * 3
    of_question = rows[rows["measure"] == "question_to_vision"].set_index(["arm", "layer"])
    moved = of_question.loc["segmentation", 1]
    assert moved["over_sft"] == pytest.approx(0.1, abs=0.02) and moved["over_sft_low"] > 0
    assert moved["over_base"] == pytest.approx(moved["value"] - of_question.loc["base", 1]["value"])
    percent = 100 * (moved["value"] / of_question.loc["base", 1]["value"] - 1)
    assert moved["over_base_percent"] == pytest.approx(percent)
    still = of_question.loc["segmentation", 0]
    assert still["over_sft_low"] < 0 < still["over_sft_high"] and still["over_sft_detectable"] > 0
    assert of_question.loc["segmentation", ALL_LAYERS]["value"] == pytest.approx((moved + still)[["value"]].item() / 2)
    assert of_question["n"].eq(40).all() and moved["seeds"] == 2 and of_question.loc["base", 1]["seeds"] == 1
    assert np.isnan(of_question.loc["sft", 1]["over_sft"]) and not np.isnan(of_question.loc["sft", 1]["over_base"])
    assert rows[rows["measure"] == "latents_to_colour"]["n"].eq(36).all()
    assert moved["records"].split() == [
        f"results/analyses/micro/segmentation/seed{seed}/attend.json" for seed in (0, 1)
    ]


def test_the_table_of_attention_has_every_layer_with_its_interval(attended):
    rows = attention_of(Scores(attended))
    grid = attention_grid(rows, "micro")
    first, second = grid.groups
    assert first == "question to vision, while answering, weights of the model form"
    assert [row[0][0].text for row in grid.groups[first]] == ["0", "1", "mean of layers"]
    moved = grid.groups[first][1][3]
    assert moved[1].text.startswith("+0.1") and moved[1].bold and "±" in moved[0].text
    assert not grid.groups[first][0][3][1].bold and second.startswith("latents to colour, while generating")


def test_tables_and_figures_have_attention(attended):
    sgt("tables", attended.path)
    sgt("figures", attended.path)
    table = pd.read_csv("results/tables/attention.csv")
    assert len(table) == 18 and Path("results/figures/attention.png").stat().st_size > 10_000

"""Analyses as results: found by name, refused early, recorded with what decided them, and current or not."""

import json
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from sgt.analysis.analyse import analyse, read_findings
from sgt.analysis.analyses import KINDS
from sgt.analysis.analysis import Analysis
from sgt.config.analyses import ANALYSIS_OPTIONS, AnalysisOptions
from sgt.data.images import image_of
from sgt.errors import SgtError
from sgt.identity import read_record
from sgt.models.interface import Request
from sgt.study.load import load_study
from sgt.study.results import MISSING, Results
from sgt.study.schema import study_schema
from tests.conftest import sgt, write_study


class Lengths(Analysis):
    """How many tokens the images of a dataset have, times a factor."""

    class Options(AnalysisOptions):
        analysis: Literal["lengths"]
        factor: int = Field(1, description="to multiply them with")

        def missing_from(self, dataset):
            return None if "captions" in dataset.texts else "captions"

    name = "lengths"

    def measure(self, model, dataset):
        images = [image_of(dataset[index]) for index in range(len(dataset))]
        tokens = [model.request_tokens(Request((image,))) for image in images]
        return {"key": dataset.keys, "tokens": [self.options.factor * each for each in tokens]}


@pytest.fixture(autouse=True)
def lengths(monkeypatch):
    monkeypatch.setitem(KINDS, "lengths", Lengths)
    monkeypatch.setitem(ANALYSIS_OPTIONS, "lengths", Lengths.Options)


def with_analyses(*entries: dict):
    return load_study(write_study(Path(), arms=["base"], analyses=list(entries)))


def test_an_analysis_is_a_result_with_an_identity(study):
    entry = {"analysis": "lengths", "dataset": "test", "samples": 3}
    loaded = with_analyses(entry)
    run = loaded.run("micro", "base", 0)
    result = Results(loaded).analysis(run, "lengths")
    assert result.fault() == MISSING
    sgt("train", loaded.path, "--model", "micro", "--arm", "base", "--seed", 0)
    with pytest.raises(SgtError, match=r"no such analysis; run `sgt lengths config/micro.yaml .* --analysis lengths`"):
        read_findings(loaded, run, "lengths")
    with pytest.raises(SgtError, match=r"analyses.lengths: is no probe, but a lengths; run `sgt lengths"):
        analyse(loaded, run, "probe", "lengths", "")
    analyse(loaded, run, "lengths", "lengths", "sgt lengths …")
    record = read_record(Path("results/analyses/micro/base/seed0/lengths.json"))
    assert record["command"] == "sgt lengths …" and record["environment"] and record["run"]["id"] == run.id
    assert record["options"] == {**entry, "name": "lengths", "factor": 1}
    found = read_findings(loaded, run, "lengths")
    assert found["key"] == [f"test-{index:06d}" for index in range(3)] and min(found["tokens"]) > 1
    assert Results(loaded).analysis(run, "lengths").fault() is None
    other = with_analyses({**entry, "factor": 2})
    assert Results(other).analysis(run, "lengths").fault() == "options.factor was 1 and is 2"
    renamed = with_analyses({**entry, "name": "twice"}, entry)
    assert [Results(renamed).analysis(run, name).fault() for name in ("twice", "lengths")] == [MISSING, None]


def test_the_schema_of_study_files_has_the_fields_of_every_analysis():
    schema = json.loads(study_schema())
    kinds = [each["$ref"].rsplit("/", 1)[1] for each in schema["properties"]["analyses"]["items"]["anyOf"]]
    properties = [schema["$defs"][kind]["properties"] for kind in kinds]
    fields = {each["analysis"]["const"]: each for each in properties}
    assert "name" not in schema["$defs"][kinds[0]]["required"]
    assert {"dataset", "factor"} <= fields["lengths"].keys() and {"dataset", "shuffles"} <= fields["probe"].keys()


def test_analyses_that_cannot_be_made_are_refused(study):
    def refused(message: str, *entries: dict) -> None:
        with pytest.raises(SgtError, match=message):
            with_analyses(*entries)

    refused(r"analyses\.0\.analysis: no analysis 'length'; use one of .*lengths", {"analysis": "length"})
    refused(r"analyses\.0\.dataset: missing; add it", {"analysis": "lengths"})
    entry = {"analysis": "lengths", "dataset": "test"}
    refused(r"analyses\.0\.factor: .*got '2'", {**entry, "factor": "2"})
    refused(r"analyses\.1\.layers: unknown key", {**entry, "name": "one"}, {**entry, "layers": 2})
    refused(r"analyses: two have the same name \(lengths, lengths\)", entry, entry)
    refused(r"analyses\.lengths\.dataset: no dataset 'held'; define it", {**entry, "dataset": "held"})
    refused(r"analyses\.lengths\.samples: 25, and 'test' has 24; lower it", {**entry, "samples": 25})

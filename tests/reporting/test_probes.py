"""What probes found in arms and seeds, side by side: values, controls and differences with intervals."""

import re
from pathlib import Path

import numpy as np
import pytest

from sgt.analysis.probe_record import line
from sgt.errors import SgtError
from sgt.identity import write_record
from sgt.reporting.analysis_grids import analysis_grids, probes_grid
from sgt.reporting.contents import figures_of, table_files
from sgt.reporting.embeddings import embedding_rows, embeddings_figure
from sgt.reporting.probe_figure import probes_figure
from sgt.reporting.probes import COLUMNS, probe_rows
from sgt.reporting.scores import Scores
from sgt.reporting.style import LOOKS
from sgt.study.load import load_study
from tests.conftest import write_study

LAYERS = ("vision.0", "connector", "decoder.0")
SCENES, PER_SCENE = 150, 4
# How often an arm's probes are right: the edge arm's decoder lets class be read off better than the control's.
SKILL = {"base": (0.5, 0.5, 0.5), "sft": (0.5, 0.5, 0.6), "edge": (0.5, 0.5, 0.9)}


def findings(arm: str, seed: int, images: int = SCENES) -> dict:
    """Made-up findings in which classes are read off with an arm's skill, and depth with an R² of 0.4."""
    rng = np.random.default_rng([*arm.encode(), seed])
    of_items = np.repeat(np.arange(images), PER_SCENE)

    def probe(scores: np.ndarray, control: np.ndarray) -> dict:
        return {"value": scores.mean(), "of_control": control.mean(), "strength": 1.0} | {
            "scores": line(scores),
            "control": line(control),
        }

    def drawn(probability: float) -> np.ndarray:
        return (rng.random(len(of_items)) < probability).astype(float)

    classes = {layer: probe(drawn(skill), drawn(0.25)) for layer, skill in zip(LAYERS, SKILL[arm], strict=True)}
    depths = {layer: probe(0.4 + rng.normal(scale=0.5, size=len(of_items)), -0.1 + 0 * of_items) for layer in LAYERS}
    targets = {"class": ("accuracy", classes), "depth": ("R²", depths)}
    return {
        "images": {"fitted": 350, "tested": [f"scene-{index}" for index in range(images)]},
        "left_out": [],
        "targets": {
            name: {"metric": metric, "image": line(of_items), "layers": layers}
            for name, (metric, layers) in targets.items()
        },
    }


@pytest.fixture
def probed(tmp_path, monkeypatch):
    """A study of three arms and two seeds with made-up findings."""
    monkeypatch.chdir(tmp_path)
    entry = {"analysis": "probe", "dataset": "test"}
    study = load_study(write_study(Path(), arms=list(SKILL), seeds=[0, 1], analyses=[entry]))
    for run in study.runs:
        write_record(study.analysis_file(run, "probe"), {"findings": findings(run.arm, run.seed)})
    return study


def test_arms_are_compared_layer_by_layer_with_intervals(probed):
    rows = probe_rows(probed)
    assert list(rows.columns) == COLUMNS and len(rows) == 2 * len(LAYERS) * len(SKILL)
    cells = rows.set_index(["target", "layer", "arm"])
    edge = cells.loc["class", "decoder.0", "edge"]
    assert (edge["seeds"], edge["n"], edge["metric"]) == (2, SCENES * PER_SCENE, "accuracy")
    for column, truth in (
        ("value", 0.9),
        ("control", 0.25),
        ("selectivity", 0.65),
        ("over_sft", 0.3),
        ("over_base", 0.4),
    ):
        low = "low" if column == "value" else f"{column}_low"
        assert edge[low] < edge[column] < edge[low.replace("low", "high")]
        assert edge[column] == pytest.approx(truth, abs=0.06)
    assert edge["over_sft_low"] > 0
    same = cells.loc["class", "vision.0", "edge"]
    assert same["over_sft_low"] < 0 < same["over_sft_high"]
    depth = cells.loc["depth", "connector", "sft"]
    assert depth["metric"] == "R²" and depth["value"] == pytest.approx(0.4, abs=0.05)
    assert depth["selectivity"] == pytest.approx(depth["value"] + 0.1)
    # No arm is compared with itself; the base has one seed.
    assert np.isnan(depth["over_sft"]) and np.isfinite(depth["over_base"])
    base = cells.loc["class", "decoder.0", "base"]
    assert base["seeds"] == 1 and np.isnan(base["over_base"]) and base["over_sft"] == pytest.approx(-0.1, abs=0.06)


def test_the_figure_has_a_panel_per_target_and_a_line_per_arm(probed):
    figure = probes_figure(probed)
    drawn = [axis for axis in figure.axes if axis.axison]
    assert [axis.get_title() for axis in drawn] == ["micro: class, accuracy", "micro: depth, R²"]
    for axis in drawn:
        assert axis.get_legend_handles_labels()[1][-3:] == list(SKILL)
        assert [label.get_text() for label in axis.get_xticklabels()] == ["v0", "c", "d0"]


def test_the_table_has_every_value_with_its_interval(probed):
    rows = probe_rows(probed)
    grid = probes_grid(rows, "micro")
    assert list(grid.groups) == ["class, accuracy", "depth, R²"]
    assert [[line.text for line in cell] for cell in grid.head] == [
        ["layer"],
        *[[arm] for arm in SKILL],
        ["shuffled labels"],
    ]
    layer, *arms, control = grid.groups["class, accuracy"][2]
    cell = rows.set_index(["target", "layer", "arm"]).loc["class", "decoder.0", "edge"]
    half = (cell["high"] - cell["low"]) / 2
    assert layer[0].text == "decoder.0" and arms[2][0].text == f"{cell['value']:.4f} ±{half:.4f}"
    assert arms[2][1].text.startswith(f"+{cell['over_sft']:.4f} ±") and arms[2][1].bold and len(arms[1]) == 1
    assert re.fullmatch(r"0\.2\d\d to 0\.2\d\d", control[0].text)


def test_an_arm_that_did_not_learn_its_task_is_hollow_and_never_bold(probed, study_with):
    figure = probes_figure(probed, [("micro", "edge")])
    drawn = {line.get_color(): line for line in figure.axes[0].lines if line.get_marker() not in ("None", "_")}
    faces = {arm: drawn[LOOKS[arm].colour].get_markerfacecolor() for arm in SKILL}
    assert faces == {"base": LOOKS["base"].colour, "sft": LOOKS["sft"].colour, "edge": "white"}
    for use, bold in ((0.8, True), (0.1, False)):
        entry = {"analysis": "probe", "dataset": "test"}
        study = study_with(dict.fromkeys(SKILL, 0.8), seeds=2, use={"edge": use}, analyses=[entry])
        for run in study.runs:
            write_record(study.analysis_file(run, "probe"), {"findings": findings(run.arm, run.seed)})
        grid = dict(analysis_grids(Scores(study)))["probes-micro"]
        assert grid.groups["class, accuracy"][2][3][1].bold == bold


def test_only_a_study_with_probes_has_their_table_and_figure(probed):
    assert "probes.csv" in table_files(probed) and "probes" in figures_of(probed)
    without = load_study(write_study(Path()))
    assert "probes.csv" not in table_files(without) and "probes" not in figures_of(without)


def test_a_pair_is_drawn_beside_the_number_of_its_probe(probed):
    entry = {"analysis": "probe", "dataset": "test", "pair": ["cube", "cone"]}
    study = load_study(write_study(Path(), arms=list(SKILL), seeds=[0, 1], analyses=[entry]))
    assert "embeddings.csv" in table_files(study) and "embeddings" in figures_of(study)
    assert "embeddings.csv" not in table_files(probed) and "embeddings" not in figures_of(probed)
    rng = np.random.default_rng(0)
    points = {layer: {axis: line(rng.normal(size=6)) for axis in "xy"} for layer in LAYERS[1:]}
    for run in study.runs:
        found = findings(run.arm, run.seed)
        found["targets"]["pair"] = found["targets"].pop("class")
        which, images = line(np.arange(6) % 2), [f"scene-{index}" for index in range(6)]
        found["pair"] = {"classes": ["cube", "cone"], "which": which, "image": images, "layers": points}
        write_record(study.analysis_file(run, "probe"), {"findings": found})
    rows = embedding_rows(study)
    assert len(rows) == 5 * 2 * 6 and rows["class"].tolist()[:3] == ["cube", "cone", "cube"]
    assert rows["x"].iloc[2] == pytest.approx(float(points["connector"]["x"].split()[2]))
    figure = embeddings_figure(study)
    assert len(figure.axes) == 2 * len(SKILL)
    cell = probe_rows(study).set_index(["target", "layer", "arm"]).loc["pair", "decoder.0", "edge"]
    title = f"micro, edge\ndecoder.0: {cell['value']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]"
    assert figure.axes[-1].get_title() == title
    assert [len(each.get_offsets()) for each in figure.axes[-1].collections] == [3, 3]


def test_runs_that_were_probed_on_other_items_are_not_compared(probed):
    run = probed.run("micro", "edge", 1)
    write_record(probed.analysis_file(run, "probe"), {"findings": findings("edge", 1, images=SCENES - 1)})
    with pytest.raises(SgtError, match=r"the runs of a model were probed \(probe\) on other items"):
        probe_rows(probed)
    probed.analysis_file(run, "probe").unlink()
    with pytest.raises(SgtError, match=r"no such analysis; run `sgt probe config/micro\.yaml --model micro --arm edge"):
        probe_rows(probed)

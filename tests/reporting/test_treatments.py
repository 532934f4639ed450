"""Whether the arms learned their task: no claim is made about one that did not, and the report opens with it."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from scipy import stats

from sgt.commands.main import main
from sgt.evaluation.statistics import Estimate
from sgt.evaluation.treatment import read_treatment
from sgt.reporting.figures import gains
from sgt.reporting.figures import treatment as treatment_figure
from sgt.reporting.findings import findings
from sgt.reporting.matrix import matrix
from sgt.reporting.outcomes import outcomes_of
from sgt.reporting.scores import Scores
from sgt.reporting.tables import pivot, tables_of
from sgt.reporting.treatments import over_seeds, read_treatments, share_of_way, summary
from tests.conftest import sgt
from tests.reporting.conftest import ARMS, KINDS, published, write_check

SKILL = {"base": 0.6, "sft": 0.6, "segmentation": 0.95, "edge": 0.95, "reconstruction": 0.6}
LEVELS = "micro: high-level proxies help more than low-level ones"


def rows_of(name: str) -> list[dict]:
    return list(csv.DictReader(Path(f"results/tables/{name}.csv").read_text().splitlines()))


@pytest.mark.parametrize(("seeds", "verdict"), [(1, "seen with one seed"), (3, "supported")])
def test_no_claim_is_made_about_an_arm_that_did_not_learn_its_task(seeds, verdict, study_with):
    study = study_with(SKILL, seeds, use={"edge": 0.07})
    found = {finding.claim: finding for finding in findings(Scores(study))}
    untreated = found["micro: edge helps"]
    assert untreated.verdict == "not tested"
    assert untreated.found == "not administered: edge has a use of 0.070 [0.020, 0.120]; 0.5 is needed"
    # Its scores are as high as those of segmentation, and the low level would not be below it with them.
    levels = found["micro: high-level proxies help perception more than low-level ones"]
    assert levels.verdict == verdict and "less reconstruction:" in levels.numbers
    assert found["micro: the administered proxies help perception on average"].verdict == verdict
    tested = [each for claim, each in found.items() if claim != "micro: edge helps"]
    assert all("edge" not in f"{each.claim} {each.found} {each.numbers}" for each in tested)


def test_a_level_without_an_administered_arm_is_not_tested(study_with):
    study = study_with(SKILL, 3, use={"edge": 0.07, "reconstruction": 0.3})
    found = {finding.claim: finding for finding in findings(Scores(study))}
    assert found[LEVELS].verdict == "not tested"
    assert (
        "edge has a use of 0.070" in found[LEVELS].found and "reconstruction has a use of 0.300" in found[LEVELS].found
    )
    assert not any("help perception more than low-level" in claim for claim in found)
    assert found["micro: segmentation helps perception"].found == "segmentation is above the control"
    study = study_with(SKILL, 3, use={"segmentation": 0.49})
    found = {finding.claim: finding for finding in findings(Scores(study))}
    abilities = found["micro: segmentation helps perception more than reasoning"]
    assert (found[LEVELS].verdict, abilities.verdict) == ("not tested", "not tested")
    assert "segmentation has a use of 0.490" in abilities.found


def test_a_study_whose_arms_all_failed_claims_nothing_of_proxies(study_with):
    study = study_with(SKILL, 3, use=dict.fromkeys(ARMS[2:], 0.1))
    scores = Scores(study)
    assert {each.verdict for each in findings(scores) if each.about not in ("control", "base")} == {"not tested"}
    failed = "segmentation (use 0.100), edge (use 0.100), reconstruction (use 0.100)"
    below = f"not administered (use below 0.5), so nothing is claimed about them: {failed}"
    assert list(summary(study, scores.treatments)) == [f"micro: no proxy arm learned its task; {below}"]


def test_an_arm_is_administered_by_its_mean_use_over_seeds(study_with):
    study = study_with(SKILL, 3)
    runs = [run for run in study.runs if run.arm == "edge"]
    for run, use in zip(runs, (0.7, 0.6, 0.1), strict=True):
        write_check(study.treatment_file(run), use)
    # Two of its three runs learned it.
    assert [read_treatment(study, run).is_administered for run in runs] == [True, True, False]
    of_edge = read_treatments(study)["micro", "edge"]
    assert of_edge.use.value == pytest.approx(1.4 / 3) and not of_edge.is_administered
    (line,) = summary(study, read_treatments(study))
    assert line.startswith("micro: 2 of 3 proxy arms learned their task: segmentation (use 0.800), reconstruction")
    assert line.endswith("so nothing is claimed about them: edge (use 0.467)")


def test_intervals_of_several_seeds_have_both_spreads(study_with):
    study = study_with(SKILL, 3)
    runs = [run for run in study.runs if run.arm == "edge"]
    uses = (0.7, 0.8, 0.9)
    for run, use in zip(runs, uses, strict=True):
        write_check(study.treatment_file(run), use)
    checks = [read_treatment(study, run) for run in runs]
    assert over_seeds(checks[:1]) == checks[0]
    use = over_seeds(checks).use
    student = stats.t.interval(0.95, 2, np.mean(uses), stats.sem(uses))
    assert use.low == pytest.approx(0.8 - np.hypot(0.8 - student[0], 0.05))
    # No use is above 1.
    assert use.high == 1.0 < student[1]
    # Equal seeds leave the spread over images.
    made = over_seeds(checks).fidelity.made
    assert (made.low, made.high) == (pytest.approx(0.55), pytest.approx(0.65))


def test_fidelity_is_shown_between_floor_and_ceiling(study_with):
    checked = read_treatments(study_with(SKILL, 1))["micro", "edge"]
    way = share_of_way(checked.fidelity)
    assert (way.value, way.low) == (pytest.approx(0.4 / 0.7), pytest.approx(0.35 / 0.7))
    # Of an error, for which less is better, too: 30 on the way from 50 to 5.
    (error,) = checked.more
    assert share_of_way(error).value == pytest.approx(20 / 45) and share_of_way(error).low < share_of_way(error).high
    same = Estimate(0.5, 0.5, 0.5, 48)
    assert np.isnan(share_of_way(type(error)("m", "", True, (0.0, 1.0), same, same, same)).value)


def test_tables_have_the_treatment_of_every_arm(study_with):
    study = study_with(SKILL, 3, use={"edge": 0.07})
    sgt("tables", study.path)
    scores = Scores(study)
    frame = pivot(scores, tables_of(scores)["main"], "**{}**").set_index("arm")
    treatment = ["use", "fidelity", "administered"]
    fidelity = "matched IoU 0.600 [0.550, 0.650]<br>floor 0.200, ceiling 0.900"
    assert list(frame.loc["segmentation", treatment]) == ["0.800 [0.750, 0.850]", fidelity, "yes"]
    assert list(frame.loc["edge", treatment]) == ["0.070 [0.020, 0.120]", fidelity, "no"]
    assert all(list(frame.loc[arm, treatment]) == ["", "", ""] for arm in ("chance", "base", "sft"))
    # Its gain is as large, but nothing is claimed of it.
    assert "**" in frame.loc["segmentation", "perception"] and "**" not in frame.loc["edge", "perception"]
    main = {row["arm"]: row for row in rows_of("main")}
    edge = main["edge"]
    assert (edge["use"], edge["use_low"], edge["administered"]) == ("0.070000", "0.020000", "False")
    made = {key: edge[f"fidelity{key}"] for key in ("", "_made", "_floor", "_ceiling")}
    assert made == {"": "matched IoU", "_made": "0.600000", "_floor": "0.200000", "_ceiling": "0.900000"}
    assert (main["sft"]["use"], main["sft"]["administered"]) == ("", "")
    rows = [row for row in rows_of("treatment") if row["arm"] == "edge"]
    assert [row["measure"] for row in rows] == ["matched IoU", "AbsRel_%"]
    assert all(row["administered"] == "False" and row["seeds"] == "3" and row["level"] == "low" for row in rows)
    for file in rows[0]["checks"].split():
        assert json.loads(Path(file).read_text())["use"]["value"] == 0.07
    below = Path("results/tables/main.md").read_text().splitlines()[-1]
    assert "an arm below 0.5 is not administered" in below and "means over seeds" in below


def test_latex_tables_have_the_treatment(study_with):
    study = study_with(SKILL, 1, use={"edge": 0.07})
    sgt("tables", study.path)
    main_, treatment = (Path(f"results/tables/{name}.tex").read_text() for name in ("main", "treatment"))
    assert " & use & " in main_ and "micro" in main_
    assert next(line for line in main_.splitlines() if line.startswith(r"edge\dag{} & 0.07 $\pm$0.05 & "))
    # A row per measure, which is escaped; the text of the second does not repeat the arm.
    assert r" & AbsRel\_\% (\%) & " in treatment and "30.000 [29.950, 30.050] & 50.000 & 5.000" in treatment
    assert "edge & matched IoU & low & 0.070 [0.020, 0.120] & no" in treatment
    for text in (main_, treatment):
        for columns, body in re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
            widths = {line.count(" & ") for line in body.splitlines() if " & " in line}
            assert widths == {len(columns) - 1}


def test_a_run_that_was_not_checked_ends_in_one_line_with_the_command(study_with, capsys):
    study = study_with(SKILL, 1)
    (run,) = [run for run in study.runs if run.arm == "edge"]
    study.treatment_file(run).unlink()
    for command in ("tables", "figures", "report"):
        capsys.readouterr()
        assert main([command, str(study.path)]) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert str(study.treatment_file(run)) in line
        assert f"run `sgt treatment {study.path} --model micro --arm edge --seed 0`" in line


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_report_opens_with_what_the_arms_learned(seeds, study_with):
    text = published(study_with(SKILL, seeds, use={"edge": 0.07}))
    places = [
        text.index(part)
        for part in (
            "<h1>Study micro</h1>",
            "1 seed: exploratory</span>" if seeds == 1 else "3 seeds</span>",
            "In part: 2 of 3 proxy arms did (use 0.80; a use of 0.5 is needed); nothing is claimed about edge",
            'id="figure-key"',
            "Did the arms learn their task?</h2>",
            "micro: 2 of 3 proxy arms learned their task: segmentation (use 0.800)",
            'id="figure-treatment"',
            "What they gained</h2>",
            "micro: the administered proxies help perception",
            'id="figure-gains"',
            'id="figure-outcomes"',
            'id="figure-training"',
            "Evidence</h2>",
        )
    ]
    assert places == sorted(places)
    warned = text.find("One seed cannot rank proxies")
    assert (places[0] < warned < places[3]) if seeds == 1 else warned == -1


def test_another_control_is_compared_with_and_needs_no_check(study_with):
    skill = {"sft": 0.6, "sft-compute": 0.8, "segmentation": 0.97, "edge": 0.7}
    study = study_with(skill, 3, use={"edge": 0.07})
    found = {finding.claim: finding for finding in findings(Scores(study))}
    more = found["micro: segmentation helps perception more than sft-compute"]
    assert (more.verdict, more.found) == ("supported", "segmentation is above sft-compute")
    assert re.search(
        r"segmentation less sft: \+3\d\.\d pp.*; less sft-compute: \+2.*; sft-compute less sft: \+", more.numbers
    )
    sgt("tables", study.path)
    (row,) = [row for row in rows_of("main") if (row["arm"], row["metric"]) == ("sft-compute", "accuracy/perception")]
    assert float(row["gain"]) > 0.1 and all(row[column] == "" for column in ("use", "administered", "level"))
    assert {row["arm"] for row in rows_of("outcomes")} == {"sft-compute", "segmentation", "edge"}
    assert {row["arm"] for row in rows_of("treatment")} == {"segmentation", "edge"}


def test_a_study_without_proxies_has_findings_alone(study_with):
    text = published(study_with({"base": 0.9, "sft": 0.6}, 1))
    assert "learn their task?</h2>" not in text and "Findings</h2>" in text and "Use is" not in text
    assert "Not tested: no arm is trained on a proxy." in text
    assert rows_of("main")[0].get("use") is None and not Path("results/tables/treatment.csv").exists()


def test_a_metric_without_items_of_a_run_has_no_value(study_with):
    study = study_with(SKILL, 2)
    for run in study.runs:
        # Reasoning counts where the run sees something, which the third arm never does.
        path = study.score_file(run, "qa")
        score = json.loads(path.read_text())
        sees = "no" if run.arm == "segmentation" else "yes"
        score["items"]["sees"] = [sees] * len(score["items"]["id"])
        score["metrics"]["accuracy/reasoning"]["about"]["where"]["sees"] = ["yes"]
        path.write_text(json.dumps(score))
    text = published(study)
    assert "a run has no value of" in text and "nan" not in text
    cells = {(row["arm"], row["metric"]): row for row in rows_of("main")}
    none, some = (cells[arm, "accuracy/reasoning"] for arm in ("segmentation", "edge"))
    assert (none["value"], none["gain"], none["n"]) == ("", "", "0") and float(some["value"]) > 0


def test_outcomes_are_differences_by_kind(study_with):
    study = study_with(SKILL, 1, use={"edge": 0.07})
    sgt("tables", study.path)
    cells = {(row["arm"], row["metric"]): row for row in rows_of("all")}
    outcomes = {(row["arm"], row["metric"]): row for row in rows_of("outcomes")}
    parts = ("", "/perception", "/reasoning", *(f"/{kind}" for kind in KINDS))
    metrics = ["accuracy", *(f"accuracy/{kind}" for kind in KINDS), *(f"logprob{part}" for part in parts)]
    # Of every arm that has a control, every metric but those that sum it up.
    assert list(outcomes) == [(arm, metric) for arm in ("segmentation", "edge", "reconstruction") for metric in metrics]
    for key, row in outcomes.items():
        assert (row["difference"], row["low"], row["high"]) == tuple(
            cells[key][column] for column in ("gain", "gain_low", "gain_high")
        )
        seen = (float(row["low"]) > 0) - (float(row["high"]) < 0)
        assert row["seen"] == {1: "better", -1: "worse", 0: ""}[seen] and float(row["detectable"]) > 0
    assert outcomes["segmentation", "accuracy/count"]["seen"] == "better"
    assert outcomes["segmentation", "accuracy/parity"]["seen"] == ""
    assert outcomes["edge", "accuracy/count"]["administered"] == "False"


def test_the_matrix_is_coloured_where_zero_is_out_and_hatched_where_nothing_was_learned(study_with):
    study = study_with({**SKILL, "reconstruction": 0.3}, 1, use={"edge": 0.07})
    for run in study.runs:
        path = study.score_file(run, "qa")
        score = json.loads(path.read_text())
        # The log-probabilities as losses, which are better where they are lower.
        score["items"]["logprob"] = [-value for value in score["items"]["logprob"]]
        for name, metric in score["metrics"].items():
            if name.startswith("logprob"):
                metric["about"] |= {"higher_is_better": False, "range": [0.0, None]}
        path.write_text(json.dumps(score))
    scores = Scores(study)
    panels = matrix(scores).axes
    outcomes = outcomes_of(scores)
    assert [axis.get_title() for axis in panels] == [
        "micro: qa\nshare of questions, less sft",
        "micro: qa\nnats, less sft, lower is better",
    ]
    for axis, unit in zip(panels, ("share of questions", "nats"), strict=True):
        part = outcomes[outcomes["unit"] == unit]
        assert len(axis.patches) == len(part)
        for cell, row in zip(axis.patches, part.itertuples(), strict=True):
            red, _, blue, _ = cell.get_facecolor()
            tint = {"better": blue > red, "worse": red > blue}.get(row.seen, cell.get_facecolor() == to_rgba("white"))
            assert bool(cell.get_hatch()) == (row.arm == "edge")
            assert tint if row.arm != "edge" else cell.get_facecolor() == to_rgba("white")
    assert set(outcomes["seen"]) == {"better", "worse", ""}
    losses = outcomes[outcomes["unit"] == "nats"]
    assert ((losses["difference"] < 0) == (losses["seen"] == "better"))[losses["seen"] != ""].all()


def test_figures_draw_what_was_not_administered_hollow(study_with):
    scores = Scores(study_with(SKILL, 1, use={"edge": 0.07}))
    hollow = {}
    for figure in (treatment_figure(scores), gains(scores)):
        for axis in figure.axes:
            for container in axis.containers:
                face = to_rgba(container.lines[0].get_markerfacecolor())
                hollow.setdefault(container.get_label(), set()).add(face == to_rgba("white"))
    assert hollow == {"segmentation": {False}, "edge": {True}, "reconstruction": {False}}

"""What is said of the claims: help is above the control, one seed decides nothing, what is missing is not tested."""

import json
import re
from pathlib import Path

import pytest

from sgt.reporting.findings import findings, headline
from sgt.reporting.opening import answers
from sgt.reporting.scores import Scores
from tests.conftest import sgt
from tests.reporting.conftest import ARMS, KINDS, published, write_scores

LEVELS = "micro: high-level proxies help perception more than low-level ones"


def found_in(study) -> dict:
    return {finding.claim: finding for finding in findings(Scores(study))}


def test_several_seeds_support_what_one_has_only_seen(study_with):
    skill = {arm: 0.9 if arm == "segmentation" else 0.6 for arm in ARMS}
    for seeds, verdict in ((1, "seen with one seed"), (3, "supported")):
        found = found_in(study_with(skill, seeds))
        assert found[LEVELS].verdict == verdict
        assert "above the control: segmentation; not seen to differ from the control: edge" in found[LEVELS].found
        assert found["micro: segmentation helps perception more than reasoning"].verdict == verdict
        (reasoning,) = [each for claim, each in found.items() if "reasoning on average" in claim]
        assert reasoning.verdict == "not seen" and re.search(r"\(detectable: \d+\.\d pp\)", reasoning.numbers)


def test_seeds_that_disagree_support_nothing(study_with):
    study = study_with({arm: 0.9 if arm == "segmentation" else 0.6 for arm in ARMS}, seeds=3)
    for run in study.runs:
        if run.arm == "segmentation":
            skill = {kind: (0.95, 0.8, 0.45)[run.seed] for kind in KINDS}
            write_scores(study.score_file(run, "qa"), run.arm, run.seed, skill, 0.6)
    # The mean over seeds alone would be far above the control.
    assert found_in(study)[LEVELS].verdict == "not seen"


@pytest.mark.parametrize(("seeds", "verdict"), [(1, "opposite seen with one seed"), (3, "contradicted")])
def test_less_harm_is_not_help(seeds, verdict, study_with):
    study = study_with({"base": 0.9, "sft": 0.8, "segmentation": 0.6, "edge": 0.4, "reconstruction": 0.2}, seeds)
    found = found_in(study)
    assert found[LEVELS].verdict == verdict
    least = "every proxy is below the control" + ("; segmentation least" if seeds > 1 else "")
    assert found[LEVELS].found == f"{least}; high level above low level"
    assert found["micro: the proxies help perception on average"].verdict == verdict
    text = published(study)
    assert f">{verdict}<" in text and least in text
    assert seeds > 1 or ">supported<" not in text


@pytest.mark.parametrize(("seeds", "verdict"), [(1, "seen with one seed"), (3, "supported")])
def test_what_is_above_the_control_and_below_the_base_is_called_less_harm(seeds, verdict, study_with):
    study = study_with({"base": 0.97, "sft": 0.4, "segmentation": 0.8, "edge": 0.6}, seeds, shared=0.8)
    scores = Scores(study)
    found = {finding.claim: finding for finding in findings(scores)}
    for claim in (
        "micro: the proxies hurt perception less than sft does on average",
        "micro: high-level proxies hurt perception less than low-level ones",
        "micro: segmentation limits what training took from perception more than from reasoning",
    ):
        assert found[claim].verdict == verdict and "less harm, not help" in found[claim].found
    assert not any("help" in claim and "perception" in claim for claim in found)
    # The gains of both that are compared.
    levels = found["micro: high-level proxies hurt perception less than low-level ones"].numbers
    assert re.match(r"segmentation less sft: \+.* pp.*; less edge: \+.* pp.*; edge less sft: \+.* pp", levels)
    *_, sentence = (answer.sentence for answer in answers(scores))
    assert sentence.startswith(
        "No, in none of 4 comparisons with the control sft; above the control but below the base"
    )
    assert "less harm and no help: all 2 arms in perception (+" in sentence


@pytest.mark.parametrize(
    ("base", "sft", "claim"),
    [
        (0.9, 0.6, "micro: base beats the control sft in perception"),
        (0.6, 0.9, "micro: the control sft beats base in perception"),
    ],
)
def test_what_the_control_did_to_the_base_is_told_first(base, sft, claim, study_with):
    for seeds, verdict in ((1, "seen with one seed"), (3, "supported")):
        study = study_with({"base": base, "sft": sft, "segmentation": sft, "edge": sft}, seeds)
        found = findings(Scores(study))
        assert (found[0].claim, found[0].verdict) == (claim, verdict)
        assert headline(found)[0].startswith(f"{claim}: {verdict}")


def test_a_proxy_helps_by_lowering_a_metric_that_is_better_where_it_is_lower(study_with):
    study = study_with({"base": 0.9, "sft": 0.8, "segmentation": 0.5, "edge": 0.8, "reconstruction": 0.8}, seeds=3)
    raised = found_in(study)
    for run in study.runs:
        path = study.score_file(run, "qa")
        score = json.loads(path.read_text())
        for metric in score["metrics"].values():
            metric["about"]["higher_is_better"] = False
        path.write_text(json.dumps(score))
    lowered = found_in(study)
    helps = "micro: segmentation helps perception more than reasoning"
    for claim in (LEVELS, helps):
        assert (raised[claim].verdict, lowered[claim].verdict) == ("contradicted", "supported")
        # What was measured is the same.
        assert lowered[claim].numbers.partition(", difference")[0] == raised[claim].numbers.partition(", difference")[0]
    assert "below the control: segmentation" in lowered[LEVELS].found
    assert "micro: the control sft beats base in perception" in lowered
    assert "micro: base beats the control sft in perception" in raised


def test_what_is_not_there_is_not_tested(study_with):
    skill = dict.fromkeys(ARMS, 0.7)
    for arms, said in (
        (["base"], {"base and the control sft differ": "no arm sft", "proxies help": "no arm is trained on a proxy"}),
        (["sft"], {"base and the control sft differ": "no arm base", "proxies help": "no arm is trained on a proxy"}),
        (["base", "sft"], {"proxies help": "no arm is trained on a proxy"}),
        (["sft", "edge"], {"high-level proxies help more than low-level ones": "of high level"}),
        (["sft", "depth"], {"high-level proxies help more than low-level ones": "of high or low level"}),
    ):
        found = found_in(study_with({arm: skill.get(arm, 0.7) for arm in arms}, 1))
        for claim, reason in said.items():
            assert found[claim].verdict == "not tested" and reason in found[claim].found
        assert LEVELS not in found
        assert len(arms) == 1 or found[next(iter(found))].verdict != "not tested"
    single = found_in(study_with({"sft": 0.5, "edge": 0.9}, 1))["micro: edge helps perception"]
    assert (single.verdict, single.found) == ("seen with one seed", "edge is above the control")


def test_findings_say_what_the_numbers_say(scored):
    for run in scored.runs:
        if run.arm == "base":
            skill = {"count": 0.9, "left_right": 0.5, "parity": 0.9}
            write_scores(scored.score_file(run, "qa"), run.arm, run.seed, skill)
    (base,) = [finding for finding in findings(Scores(scored)) if finding.about == "base"]
    assert (base.verdict, base.found) == ("not seen", "not above chance: left right")
    assert re.search(r"left right \d\d\.\d% \[.*?\] \(chance 50\.0%, detectable: \d+\.\d% above\)", base.numbers)


def test_a_missing_value_is_not_tested_and_shown_as_missing(study_with):
    study = study_with(dict.fromkeys(ARMS, 0.7), 1, shared=0.98)
    (run,) = [run for run in study.runs if run.arm == "edge"]
    path = study.score_file(run, "qa")
    score = json.loads(path.read_text())
    score["items"]["accuracy"][score["items"]["kind"].index("count")] = None
    path.write_text(json.dumps(score))
    found = found_in(study)
    assert (found[LEVELS].verdict, found[LEVELS].found) == ("not tested", "a run has no value of perception")
    assert found["micro: base and the control sft differ in perception"].verdict == "not seen"
    sgt("tables", study.path)
    sgt("figures", study.path)
    text = Path("results/tables/main.md").read_text()
    assert [line.split("|")[2].strip() for line in text.splitlines() if "–" in line] == ["edge"] and "nan" not in text
    assert json.loads(Path("results/tables/metrics.json").read_text())["micro"]["edge"]["qa perception"] is None

"""The paper's tables: corrected tests, bold and printed values in the right cells, and LaTeX that fits its page."""

import csv
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgt.evaluation.statistics import Difference, Estimate, adjusted, paired_difference
from sgt.reporting.contents import PAPER_TABLES, figures_of
from sgt.reporting.grid import PAGE, Grid, latex, markdown
from sgt.reporting.latex import Line, width_of
from sgt.reporting.paper.cells import mean, mean_difference
from sgt.reporting.paper.figures import curves_figure, dimensions_figure, protocols_figure
from sgt.reporting.paper.layouts import TABLES, paper_tables
from sgt.reporting.paper.texts import csv_rows, grid_of
from sgt.reporting.scores import Scores
from tests.conftest import STUDY, sgt
from tests.reporting.conftest import ARMS
from tests.reporting.page import Page

PDFLATEX = shutil.which("pdflatex")
DOCUMENT = r"""\documentclass[10pt]{article}
\usepackage{booktabs,longtable}
\setlength{\textwidth}{%gpt}
\begin{document}
%s
\end{document}
"""


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holms_correction_is_at_least_the_p_value_and_at_most_bonferronis(p):
    found = adjusted(p)
    assert all(one <= other <= min(1.0, one * len(p)) + 1e-12 for one, other in zip(p, found, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(found)[order]) >= 0).all()


def test_holms_correction_of_a_known_case():
    # Holm (1979): multiplied by 4, 3, 2 and 1, and never below the one before.
    assert adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjusted([np.nan, 0.04])[1] == 0.04 and np.isnan(adjusted([np.nan, 0.04])[0])


def test_p_values_agree_with_intervals():
    rng = np.random.default_rng(0)
    for shift in np.linspace(0, 0.6, 12):
        x = rng.normal(shift, 1, 60)
        found = paired_difference(x, np.zeros_like(x), [str(place) for place in range(60)])
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    same = paired_difference([1.0] * 5, [1.0] * 5, list("abcde"))
    assert (same.p, same.value) == (1.0, 0.0)


def test_a_mean_over_benchmarks_has_the_variance_of_independent_parts():
    parts = [Difference(0.2, 0.1, 0.3, 50, 0.14, 1, 0.0), Difference(0.4, 0.2, 0.6, 70, 0.28, 1, 0.0)]
    one = mean_difference(parts, seeds=1)
    assert (one.value, one.n) == (pytest.approx(0.3), 120)
    assert one.high - one.value == pytest.approx(np.hypot(0.1, 0.2) / 2) and 0 < one.p < 0.001
    # Over several seeds, which the benchmarks share.
    assert mean_difference(parts, seeds=3).high - 0.3 == pytest.approx(0.15)
    assert mean_difference(parts[:1], seeds=1) is parts[0]
    assert mean([Estimate(0.1, 0.0, 0.2, 5)] * 2, 1).n == 10


@pytest.fixture
def compared(scored):
    """Its table of proxies; segmentation perceives better than every other arm, and nothing else differs."""
    scores = Scores(scored)
    return scores, paper_tables(scores)["paper-proxies"]


def test_bold_is_what_beats_the_control_and_all_others_and_stars_are_corrected(compared):
    scores, table = compared
    rows = csv_rows(table)
    own = rows[rows["column"] == "perception"].set_index("arm")
    assert own.index[own["best"] == True].tolist() == ["segmentation"]  # noqa: E712 (a column of objects)
    tested = rows[rows["p_holm"].notna()]
    assert len(tested) == 2 * 4 and not tested["p_holm"].lt(tested["p"].astype(float)).any()
    assert own.loc["segmentation", "significant"] and not rows[rows["column"] == "reasoning"]["best"].eq(True).any()
    assert tested["p_holm"].tolist() == pytest.approx(adjusted(tested["p"].astype(float).tolist()))
    # Every arm and benchmark of the paper that was not run is there, and says so.
    assert set(rows["column"]) > {"CV-Bench", "GEdit"} and set(rows[rows["column"] == "MMVP"]["status"]) == {"not run"}
    text = markdown(grid_of(scores, table))
    assert re.search(r"\| segmentation \| \*\*9\d\.\d ±\d+\.\d\*\*<br>\+\d+\.\d ±\d+\.\d\* \|", text), text
    assert (
        "3 training seeds and scenes" in text
        and "for the 8 comparisons" in text
        and "Not run by this study: CV-" in text
    )


def test_nothing_is_claimed_of_an_arm_that_did_not_learn_its_task(study_with):
    study = study_with({arm: 0.95 if arm == "segmentation" else 0.6 for arm in ARMS}, 1, use={"segmentation": 0.1})
    scores = Scores(study)
    table = paper_tables(scores)["paper-proxies"]
    rows = csv_rows(table).set_index(["arm", "column"])
    cell = rows.loc[("segmentation", "perception")]
    assert cell["gain"] > 0.2 and np.isnan(cell["p_holm"]) and not cell["significant"] and not cell["best"]
    text = markdown(grid_of(scores, table))
    assert (
        "| segmentation† |" in text and "†: the arm did not learn its proxy" in text and "One seed: exploratory" in text
    )


def test_arms_that_were_not_run_are_beaten_by_none(study_with):
    study = study_with({"base": 0.6, "sft": 0.6, "segmentation": 0.95}, 1)
    rows = csv_rows(paper_tables(Scores(study))["paper-proxies"]).set_index(["arm", "column"])
    assert rows.loc[("segmentation", "perception"), "best"] and rows.loc[("edge", "perception"), "status"] == "not run"


def test_not_best_where_another_arm_is_as_good(study_with):
    study = study_with({"base": 0.6, "sft": 0.6, "segmentation": 0.95, "edge": 0.95}, 1)
    rows = csv_rows(paper_tables(Scores(study))["paper-proxies"])
    seen = rows[(rows["column"] == "perception") & rows["significant"].eq(True)]
    assert set(seen["arm"]) == {"segmentation", "edge"} and not rows["best"].eq(True).any()


@pytest.fixture
def curved(study_with):
    """A study whose arms differ in ratio alone, or in the number of images alone."""
    datasets = {**STUDY["datasets"], "few": {"source": "toyworld", "split": "proxy", "scenes": 12}}
    variants = {
        "segmentation-1-1": {"proxy": "segmentation", "ratio": [1, 1], "batch": 4},
        "segmentation-12": {"proxy": "segmentation", "images": "few"},
        "edge-12": {"proxy": "edge", "images": "few"},
    }
    ours = {"segmentation": 0.9, "segmentation-1-1": 0.8, "segmentation-12": 0.7, "edge-12": 0.7}
    return study_with({"base": 0.6, "sft": 0.6, **ours}, 1, datasets=datasets, variants=variants)


def test_arms_that_differ_in_one_thing_are_on_a_curve_with_the_control(curved):
    scores = Scores(curved)
    tables = paper_tables(scores)
    of = {name: [(place.arm, place.at, place.curve) for place in tables[name].places] for name in tables}
    assert of["paper-ratio"] == [
        ("sft", 0.0, "segmentation"),
        ("segmentation-1-1", 1.0, "segmentation"),
        ("segmentation", 2.0, "segmentation"),
    ]
    assert of["paper-scale"] == [
        ("sft", 0.0, "segmentation"),
        ("segmentation-12", 12.0, "segmentation"),
        ("segmentation", 24.0, "segmentation"),
    ]
    assert "segmentation-1-1" not in {arm for arm, *_ in of["paper-proxies"]}
    assert "segmentation 1:1" in markdown(grid_of(scores, tables["paper-ratio"]))


def test_sub_scores_are_found_by_the_tags_of_genevals_prompts(scored, monkeypatch):
    monkeypatch.setattr("sgt.reporting.paper.layouts.paper_name", lambda benchmark: "GenEval")
    scores = Scores(scored)
    about = scores.metric("qa", "accuracy/count")
    tags = {"correct/two_object": "two objects", "correct/color_attr": "color attribution", "overall": "overall"}
    monkeypatch.setattr(scores, "metrics", lambda benchmark: [replace(about, name=tag) for tag in tags])
    measured = [measure.title for measure in paper_tables(scores)["paper-geneval"].measures if measure.of]
    assert measured == list(tags.values())


def test_a_printed_value_stands_beside_the_studys_own(study_with, monkeypatch):
    from sgt.config.printed import Printed

    study = study_with({"base": 0.7, "sft": 0.7, "segmentation": 0.7}, 1)
    asked = []

    def value(table, model, arm, benchmark, metric):
        asked.append((table, arm, metric))
        return Printed(81.5, arm == "segmentation", "a page") if metric == "accuracy/perception" else None

    monkeypatch.setattr("sgt.reporting.paper.cells.printed_value", value)
    scores = Scores(study)
    text = markdown(grid_of(scores, paper_tables(scores)["paper-main"]))
    # A fake of printed numbers: the real ones are of models too large for a test (test_printed.py).
    assert text.count("printed 81.5") == 2 and text.count("printed ≈81.5") == 1 and "≈: read off a figure" in text
    assert ("main", "base", "accuracy/perception") in asked


def test_every_format_of_every_table(compared):
    scores, _ = compared
    sgt("tables", scores.study.path)
    assert tuple(TABLES) == PAPER_TABLES
    for name in PAPER_TABLES:
        path = Path("results/tables") / name
        page = Page(path.with_suffix(".html").read_text().replace("<body>", "<body><h1>x</h1>"))
        assert len(page.tables) == 1
        with path.with_suffix(".csv").open() as file:
            assert all(row["status"] in ("measured", "not run") for row in csv.DictReader(file))
        assert path.with_suffix(".tex").read_text().startswith(r"% needs \usepackage{booktabs,longtable}")


def wide(columns: int, rows: int) -> Grid:
    """A table of numbers, which needs more than a page."""
    cell = [Line("80.5 ±1.1"), Line("+10.2 ±0.4*", bold=True)]
    body = [[[Line(f"an arm_{row}†")], *[cell] * columns] for row in range(rows)]
    head = [[Line("")], *[[Line(f"a measure {column}"), Line("n=1,000–2,000")] for column in range(columns)]]
    return Grid("A table & more", head, {"one model": body, "another": body}, 1, ["In 100% of cases; p < 0.05."])


def test_a_table_is_set_in_parts_that_each_fit_the_page():
    grid = wide(17, 3)
    assert sum(grid.widths()) > 2 * PAGE
    parts = grid.fitting()
    assert len(parts) > 2 and all(sum(part.widths()) <= PAGE for part in parts)
    assert sum(len(part.head) - 1 for part in parts) == 17
    assert [row[0] for row in parts[1].rows()] == [row[0] for row in grid.rows()]
    # The measure can fail: of another page, parts are others, and a column that is too wide is still there.
    assert len(grid.fitting(page=120)) > len(parts)
    narrow = replace(grid, head=[grid.head[0], *[[Line("m" * 90)]] * 17])
    assert any(sum(part.widths()) > PAGE for part in narrow.fitting())


# Measured with LaTeX, in footnotesize of a document of 10 points.
MEASURED = {
    "Hello": 19.117,
    "0.812 [0.800, 0.824]": 70.834,
    "mmmmm": 35.417,
    "segmentation": 48.923,
    "80.5 ±1.1": 35.417,
}


@pytest.mark.parametrize("text", MEASURED)
def test_widths_are_those_of_latex(text):
    assert MEASURED[text] - 0.2 <= width_of(Line(text)) <= 1.06 * MEASURED[text]
    assert width_of(Line("segmentation", bold=True)) == pytest.approx(56.535, rel=0.02)


@pytest.mark.skipif(PDFLATEX is None, reason="there is no TeX: widths are checked by the tests above alone")
def test_every_table_compiles_and_none_is_wider_than_the_page(compared):
    scores, _ = compared
    sgt("tables", scores.study.path)
    texts = [path.read_text() for path in sorted(Path("results/tables").glob("*.tex"))]
    texts += [latex(wide(17, 3), "wide"), latex(wide(17, 40), "tall")]
    assert len(texts) == 2 + 3 + len(PAPER_TABLES) and r"\begin{longtable}" in texts[-1]
    overfull, log = compiled(DOCUMENT % (PAGE, "\n\\clearpage\n".join(texts)))
    assert overfull == [], log
    too_wide = "\\begin{tabular}{l}" + "m" * 90 + "\\end{tabular}"
    assert compiled(DOCUMENT % (PAGE, too_wide))[0] != []
    assert compiled(DOCUMENT % (PAGE, too_wide.replace("tabular", "longtable")))[0] != []


def compiled(document: str) -> tuple[list[str], str]:
    """What pdflatex finds too wide or too high in a document, and its log."""
    Path("document.tex").write_text(document)
    done = subprocess.run(
        [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "document.tex"],
        capture_output=True, encoding="utf-8", errors="replace", timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    log = re.sub(r"\n(?=[^\n(])", " ", done.stdout)
    found = re.findall(r"Overfull \\[hv]box \([\d.]+pt too (?:wide|high)\)", log)
    # LaTeX does not complain about a longtable, but notes the widths of its columns.
    for columns in re.findall(r"\\gdef \\LT@\w+ {(.*?}) *}", Path("document.aux").read_text(), re.DOTALL):
        width = sum(map(float, re.findall(r"{\d+}{([\d.]+)pt}", columns)))
        assert width > 0
        found += [f"longtable of {width} pt"] if width > PAGE else []
    return found, done.stdout


def test_curves_are_drawn_with_bands_through_the_control(curved):
    scores = Scores(curved)
    assert {"ratio", "scale", "dimensions"} <= set(figures_of(curved))
    table = paper_tables(scores)["paper-ratio"]
    figure = curves_figure(scores, table, "ratio")
    (axis,) = {axis for axis in figure.axes if axis.get_title() == "micro: perception"}
    (line,) = [line for line in axis.lines if line.get_marker() == "^"]
    assert line.get_xdata().tolist() == [0.0, 1.0, 2.0] and line.get_ydata()[0] == 0.0
    gains = csv_rows(table).query("column == 'perception'").set_index("at")["gain"].astype(float)
    assert line.get_ydata()[1:] == pytest.approx(100 * gains[[1.0, 2.0]].to_numpy())
    assert len(axis.collections) == 1 and [text.get_text() for text in axis.texts] == ["segmentation"]
    plt.close(figure)
    sgt("figures", curved.path)
    assert all((Path("results/figures") / f"{name}.png").exists() for name in ("ratio", "scale", "dimensions"))


def test_dimensions_have_dots_with_intervals_and_a_radar(compared):
    scores, _ = compared
    table = paper_tables(scores)["paper-dimensions"]
    figure = dimensions_figure(scores, table)
    dots, radar = figure.axes
    assert [label.get_text() for label in dots.get_yticklabels()] == ["count", "left right", "parity"]
    assert len(dots.containers) == 3 and all(container.has_xerr for container in dots.containers)
    assert radar.name == "polar" and len(radar.lines) == 3 + 1
    plt.close(figure)


def test_harnesses_are_drawn_as_far_apart_as_they_are(scored, monkeypatch):
    own = {"benchmark": "qa", "protocol": "official", "apart": 0.0}
    rows = [
        {"model": run.model, "arm": run.arm, "seed": run.seed, **each}
        for run in scored.runs
        for each in (own, {**own, "protocol": "lmms-eval", "apart": 0.02 if run.seed else 0.05})
    ]
    monkeypatch.setattr("sgt.reporting.paper.figures.protocol_rows", lambda scores: pd.DataFrame(rows))
    figure = protocols_figure(Scores(scored))
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["qa: lmms-eval"]
    drawn = {container.lines[0].get_marker(): container.lines[0].get_xdata()[0] for container in axis.containers}
    # A mean over three seeds; the base has one.
    assert drawn["^"] == pytest.approx(3.0) and drawn["o"] == pytest.approx(5.0) and len(drawn) == len(ARMS)
    plt.close(figure)

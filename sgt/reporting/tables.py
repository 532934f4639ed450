"""The study's numbers as CSV (one row per cell, with its evidence), Markdown and LaTeX, the paper's tables as HTML too.

``main`` has what sums the benchmarks up, beside each arm's treatment, ``all`` every metric, ``treatment`` every measure
of whether the arms learned their task, ``protocols`` the same replies by the rules of every harness. ``outcomes.csv``
has the differences from the control that the figure of this name shows, ``overlap.csv`` how many images of a benchmark
a run was trained on, ``probes.csv`` the scores of linear probes by layer, ``attention.csv`` what analyses of attention
found, ``transplants.csv`` how much of an arm's gain moves with its parts. ``paper-*`` are the paper's tables, of the
study's own values. Two more files are for DVC, to compare studies with: ``metrics.json`` (``dvc metrics``) and
``gains.csv`` (``dvc plots``).
"""

from pathlib import Path

import pandas as pd

from sgt.atomic import write_json, write_text
from sgt.config.benchmarks import FetchedBenchmark
from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.evaluation.treatment import MIN_USE
from sgt.reporting.ablations import ablations_of
from sgt.reporting.attention import attention_of
from sgt.reporting.contents import analyses_of, compared_arms, embedding_analyses
from sgt.reporting.embeddings import embedding_rows
from sgt.reporting.grid import Grid, html_page, latex, markdown
from sgt.reporting.outcomes import outcomes_of
from sgt.reporting.paper.layouts import paper_tables
from sgt.reporting.paper.texts import csv_rows, grid_of
from sgt.reporting.probes import probe_rows
from sgt.reporting.protocols import overlap_rows, protocol_pivot, protocol_rows, protocols_note
from sgt.reporting.released import released_grid, released_rows
from sgt.reporting.scores import Scores, interval
from sgt.reporting.table_grids import main_grid, metrics_grid, protocols_grid, treatment_grid
from sgt.reporting.transplants import transplants_of
from sgt.reporting.treatments import columns_of, treatment_rows
from sgt.study.loaded import LoadedStudy
from sgt.study.releases import arm_label, compared_releases, trains

NOT_RUN = "not run"
ONE_SEED = "With one seed, what another training would have changed is not in it."
NO_TRAINING = "Every model is one training, and what another would have changed is not in it."


def interval_note(scores: Scores) -> str:
    """What intervals are over, and which benchmarks have none because they were not run."""
    once = len(scores.study.study.seeds) == 1
    text = f"Intervals are 95%, over {scores.clusters if once else f'training seeds and {scores.clusters}'}."
    return (f"{text} {_once(scores)}" if once else text) + not_run_note(scores)


def not_run_note(scores: Scores) -> str:
    """Which benchmarks of the study have no scores, or none that sums them up, and why; empty if there are none."""
    text = "".join(f" {name} was not run: {reason}." for name, reason in scores.not_run.items())
    partial = [name for name in scores.study.benchmarks if scores.metrics(name) and not scores.headlines(name)]
    return text + "".join(f" {name} has no value that sums it up: a part of it has no sample." for name in partial)


def note(scores: Scores) -> str:
    """What stands below a study's tables."""
    study = scores.study.study
    once = len(study.seeds) == 1
    text = f"Value and 95% interval over {scores.clusters if once else f'training seeds and {scores.clusters}'}"
    if ARM_WITHOUT_PROXY in study.arms and len(study.arms) > 1:
        text += "; below it the gain over `sft` on the same items, bold where its interval leaves zero out"
        text += " and the arm learned its task" if scores.treatments else ""
    return (f"{text}. {_once(scores)}" if once else f"{text}.") + not_run_note(scores)


def _once(scores: Scores) -> str:
    """What the intervals leave out of a study with one seed, or that trains nothing."""
    return ONE_SEED if trains(scores.study) else NO_TRAINING


def treatment_note(scores: Scores) -> str:
    """What use and fidelity are, and how seeds are combined, below tables that have them."""
    text = (
        "Use is 1 less the ratio of the flow error with the right image to that with another scene's image, near "
        f"noise, on held-out images; an arm below {MIN_USE} is not administered, and nothing is claimed about it. "
        "Fidelity is to the true target, between the floor, which is the target of another image, and the ceiling, "
        "which is the true target through the VAE."
    )
    if len(scores.study.study.seeds) > 1:
        text += (
            " Both are means over seeds, and an arm is administered if its mean use is; intervals add in squares "
            "that over seeds and the mean of those over images."
        )
    return text


def write_tables(study: LoadedStudy) -> None:
    """Write the files that :func:`~sgt.reporting.contents.table_files` names, into ``tables``."""
    scores = Scores(study)
    folder, tables = study.results / "tables", tables_of(scores)
    note_of = {name: note(scores) for name in tables}
    if scores.treatments:
        note_of["main"] += f" {treatment_note(scores)}"
    grids = {"main": main_grid(scores, note_of["main"]), "all": metrics_grid(scores, note_of["all"])}
    for name, cells in tables.items():
        _write(folder / name, cells, pivot(scores, cells, "**{}**"), note_of[name], grids[name])
    if scores.treatments:
        rows = treatment_rows(study, scores.treatments)
        people = treatment_pivot(rows)
        below = treatment_note(scores)
        _write(folder / "treatment", rows, people, below, treatment_grid(people, below))
    if any(isinstance(benchmark, FetchedBenchmark) for benchmark in study.benchmarks.values()):
        rows = protocol_rows(scores)
        people = protocol_pivot(study, rows)
        write_text(folder / "overlap.csv", overlap_rows(scores).to_csv(index=False))
        _write(folder / "protocols", rows, people, protocols_note(), protocols_grid(people, protocols_note()))
    if compared_releases(study):
        grid = released_grid(scores)
        write_text(folder / "released.csv", released_rows(scores).to_csv(index=False, float_format="%.6f"))
        write_text(folder / "released.md", markdown(grid))
        write_text(folder / "released.tex", latex(grid, "released"))
    for name, table in paper_tables(scores).items():
        grid = grid_of(scores, table)
        write_text(folder / f"{name}.csv", csv_rows(table).to_csv(index=False, float_format="%.6f"))
        write_text(folder / f"{name}.md", markdown(grid))
        write_text(folder / f"{name}.tex", latex(grid, name))
        write_text(folder / f"{name}.html", html_page(grid))
    if compared_arms(study):
        write_text(folder / "outcomes.csv", outcomes_of(scores).to_csv(index=False, float_format="%.6f"))
    if analyses_of(study, "probe"):
        write_text(folder / "probes.csv", probe_rows(study).to_csv(index=False, float_format="%.6f"))
    if embedding_analyses(study):
        write_text(folder / "embeddings.csv", embedding_rows(study).to_csv(index=False, float_format="%.6g"))
    if analyses_of(study, "ablate"):
        write_text(folder / "ablations.csv", ablations_of(scores).to_csv(index=False, float_format="%.6f"))
    if analyses_of(study, "attend"):
        write_text(folder / "attention.csv", attention_of(scores).to_csv(index=False, float_format="%.6f"))
    if study.study.transplants:
        write_text(folder / "transplants.csv", transplants_of(scores).to_csv(index=False, float_format="%.6f"))
    write_json(folder / "metrics.json", metrics_of(scores, tables["main"]))
    write_text(folder / "gains.csv", gains_of(scores, tables["main"]).to_csv(index=False))


def _write(path: Path, rows: pd.DataFrame, people: pd.DataFrame, below: str, grid: Grid) -> None:
    write_text(path.with_suffix(".csv"), rows.to_csv(index=False, float_format="%.6f"))
    write_text(path.with_suffix(".md"), f"{people.to_markdown(index=False, disable_numparse=True)}\n\n{below}\n")
    write_text(path.with_suffix(".tex"), latex(grid, path.name))


def metrics_of(scores: Scores, cells: pd.DataFrame) -> dict:
    """Values as model → arm → ``benchmark metric``; None where a run has none."""
    metrics: dict = {}
    for row in cells.itertuples():
        values = metrics.setdefault(row.model, {}).setdefault(row.arm, {})
        values[f"{row.benchmark} {scores.metric(row.benchmark, row.metric).title}"] = (
            None if pd.isna(row.value) else round(row.value, 6)
        )
    return metrics


def gains_of(scores: Scores, cells: pd.DataFrame) -> pd.DataFrame:
    """``gain`` over the control and ``what`` has it (model, arm and metric), of the cells that have one."""
    gained = cells[cells["gain"].notna()]
    what = [
        f"{row.model} {row.arm} {row.benchmark} {scores.metric(row.benchmark, row.metric).title}"
        for row in gained.itertuples()
    ]
    return pd.DataFrame({"what": what, "gain": gained["gain"].astype(float).round(6).to_numpy()})


def tables_of(scores: Scores) -> dict[str, pd.DataFrame]:
    """The cells of each table; those of ``main`` also have the treatment of their arm, if an arm has a proxy."""
    headlines = [(name, metric.name) for name in scores.study.benchmarks for metric in scores.headlines(name)]
    metrics = pd.MultiIndex.from_frame(scores.cells[["benchmark", "metric"]])
    main = scores.cells[metrics.isin(headlines)]
    if scores.treatments:
        arms = zip(main["model"], main["arm"], strict=True)
        treatment = pd.DataFrame([columns_of(scores.treatments.get(arm)) for arm in arms], main.index)
        place = main.columns.get_loc("administered")
        main = pd.concat([main.iloc[:, :place], treatment, main.iloc[:, place:]], axis=1)
    return {"main": main, "all": scores.cells}


def pivot(scores: Scores, cells: pd.DataFrame, bold: str, break_: str = "<br>") -> pd.DataFrame:
    """Cells as people read them: a row per model and arm, a column per benchmark's metric, and a row for chance.

    A benchmark that was not run has a column that says so.

    Args:
        scores: that the cells are of.
        cells: one of :func:`tables_of`.
        bold: how to set a gain whose interval leaves zero out, with ``{}`` for it.
        break_: between the value and the gain.
    """
    titles = scores.titles(zip(cells["benchmark"], cells["metric"], strict=True))
    rows: list[dict[str, str]] = []
    chance: dict[str, str] = {}
    of_treatment = ["use", "fidelity", "administered"] if "use" in cells else []
    for (model, arm), group in cells.groupby(["model", "arm"], sort=False):
        texts = {titles[row.benchmark, row.metric]: cell_text(row, bold, break_) for row in group.itertuples()}
        first = next(group.itertuples())
        level = first.level if isinstance(first.level, str) else ""
        treatment = _treatment_texts(first, break_) if of_treatment and level else {}
        texts |= dict.fromkeys(scores.not_run, NOT_RUN)
        rows.append({"model": model, "arm": arm_label(scores.study, model, arm), "level": level, **treatment, **texts})
        for row in group.itertuples():
            if not pd.isna(row.chance):
                chance.setdefault(titles[row.benchmark, row.metric], f"{row.chance:.3f}")
    above = [{"model": "", "arm": "chance", "level": "", **chance}] if chance else []
    columns = ["model", "arm", "level", *of_treatment, *titles.values(), *scores.not_run]
    return pd.DataFrame([*above, *rows], columns=columns).fillna("")


def _treatment_texts(row, break_: str) -> dict[str, str]:
    made = interval(row.fidelity_made, row.fidelity_made_low, row.fidelity_made_high)
    return {
        "use": interval(row.use, row.use_low, row.use_high),
        "fidelity": f"{row.fidelity} {made}{break_}floor {row.fidelity_floor:.3f}, ceiling {row.fidelity_ceiling:.3f}",
        "administered": "yes" if row.administered else "no",
    }


def treatment_pivot(rows: pd.DataFrame) -> pd.DataFrame:
    """The treatment as people read it: a row per measure, with what is said of the arm in the first of them."""
    texts = []
    arm = None
    for row in rows.itertuples():
        use, administered = interval(row.use, row.use_low, row.use_high), "yes" if row.administered else "no"
        about = (row.model, row.arm, row.level, use, administered)
        shown, arm = about if (row.model, row.arm) != arm else ("",) * len(about), (row.model, row.arm)
        measure = f"{row.measure} ({row.unit})" if row.unit else row.measure
        made = interval(row.made, row.made_low, row.made_high)
        texts.append((*shown, measure, made, f"{row.floor:.3f}", f"{row.ceiling:.3f}"))
    columns = ["model", "arm", "level", "use", "administered", "measure", "made", "floor", "ceiling"]
    return pd.DataFrame(texts, columns=columns)


def cell_text(row, bold: str, break_: str) -> str:
    """``0.812 [0.800, 0.824]``, and under it the gain over the control, if there is one; ``–`` for no value.

    The gain of an arm that was not administered is never bold.
    """
    text = interval(row.value, row.low, row.high)
    if pd.isna(row.value) or pd.isna(row.gain) or row.arm == ARM_WITHOUT_PROXY:
        return text
    gain = interval(row.gain, row.gain_low, row.gain_high, sign="+")
    seen = (row.gain_low > 0 or row.gain_high < 0) and row.administered is not False
    return f"{text}{break_}{bold.format(gain) if seen else gain}"

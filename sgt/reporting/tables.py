"""The study's numbers as CSV (one row per cell, with its evidence), Markdown and LaTeX.

``main`` has what sums the benchmarks up, ``all`` every metric. Two more files are for DVC, to compare studies with:
``metrics.json`` (``dvc metrics``) and ``gains.csv`` (``dvc plots``).
"""

import pandas as pd

from sgt.atomic import write_json, write_text
from sgt.config.study import ARM_WITHOUT_PROXY
from sgt.reporting.scores import Scores, interval
from sgt.study.load import LoadedStudy


def note(scores: Scores) -> str:
    """What stands below a study's tables."""
    study = scores.study.study
    once = len(study.seeds) == 1
    text = f"Value and 95% interval over {scores.clusters if once else f'training seeds and {scores.clusters}'}"
    if ARM_WITHOUT_PROXY in study.arms and len(study.arms) > 1:
        text += "; below it the gain over `sft` on the same items, bold where its interval leaves zero out"
    return f"{text}. With one seed, what another training would have changed is not in it." if once else f"{text}."


def write_tables(study: LoadedStudy) -> None:
    """Write ``tables/{main,all}.{csv,md,tex}``, ``tables/metrics.json`` and ``tables/gains.csv``."""
    scores = Scores(study)
    tables = tables_of(scores)
    for name, cells in tables.items():
        path = study.results / "tables" / name
        people = pivot(scores, cells, "**{}**").to_markdown(index=False)
        write_text(path.with_suffix(".csv"), cells.to_csv(index=False, float_format="%.6f"))
        write_text(path.with_suffix(".md"), f"{people}\n\n{note(scores)}\n")
        write_text(path.with_suffix(".tex"), _latex(scores, cells))
    write_json(study.results / "tables" / "metrics.json", metrics_of(scores, tables["main"]))
    write_text(study.results / "tables" / "gains.csv", gains_of(scores, tables["main"]).to_csv(index=False))


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
    """The cells of each table."""
    headlines = [(name, metric.name) for name in scores.study.benchmarks for metric in scores.headlines(name)]
    metrics = pd.MultiIndex.from_frame(scores.cells[["benchmark", "metric"]])
    return {"main": scores.cells[metrics.isin(headlines)], "all": scores.cells}


def pivot(scores: Scores, cells: pd.DataFrame, bold: str, break_: str = "<br>") -> pd.DataFrame:
    """Cells as people read them: a row per model and arm, a column per benchmark's metric, and a row for chance.

    Args:
        scores: that the cells are of.
        cells: rows of :attr:`Scores.cells`.
        bold: how to set a gain whose interval leaves zero out, with ``{}`` for it.
        break_: between the value and the gain.
    """
    titles = scores.titles(zip(cells["benchmark"], cells["metric"], strict=True))
    rows: list[dict[str, str]] = []
    chance: dict[str, str] = {}
    for (model, arm), group in cells.groupby(["model", "arm"], sort=False):
        texts = {titles[row.benchmark, row.metric]: cell_text(row, bold, break_) for row in group.itertuples()}
        level = group["level"].iloc[0]
        rows.append({"model": model, "arm": arm, "level": level if isinstance(level, str) else "", **texts})
        for row in group.itertuples():
            if not pd.isna(row.chance):
                chance.setdefault(titles[row.benchmark, row.metric], f"{row.chance:.3f}")
    above = [{"model": "", "arm": "chance", "level": "", **chance}] if chance else []
    return pd.DataFrame([*above, *rows], columns=["model", "arm", "level", *titles.values()]).fillna("")


def cell_text(row, bold: str, break_: str) -> str:
    """``0.812 [0.800, 0.824]``, and under it the gain over the control, if there is one; ``–`` for no value."""
    if pd.isna(row.value):
        return "–"
    text = interval(row.value, row.low, row.high)
    if pd.isna(row.gain) or row.arm == ARM_WITHOUT_PROXY:
        return text
    gain = interval(row.gain, row.gain_low, row.gain_high, sign="+")
    return f"{text}{break_}{bold.format(gain) if row.gain_low > 0 or row.gain_high < 0 else gain}"


def _latex(scores: Scores, cells: pd.DataFrame) -> str:
    """A booktabs table; gains stand below values in cells of their own line."""
    frame = pivot(scores, cells, r"\textbf{{{}}}", r" \\ ")
    escape = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&"})
    lines = [
        r"% needs \usepackage{booktabs,makecell}",
        rf"\begin{{tabular}}{{{'l' * len(frame.columns)}}}",
        r"\toprule",
        " & ".join(column.translate(escape) for column in frame.columns) + r" \\",
        r"\midrule",
    ]
    for row in frame.itertuples(index=False):
        texts = [text if "\\" in text else text.translate(escape) for text in row]
        lines.append(" & ".join(rf"\makecell{{{text}}}" if r"\\" in text else text for text in texts) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])
